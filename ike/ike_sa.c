/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/ike_sa.h"

#include "agent/base/secret.h"
#include "ike/core.h"
#include "ike/exchange.h"
#include "ike/memory.h"

#include <stdio.h>

void blob_clear(struct ike_blob *blob)
{
	if (blob->data)
		secret_wipe(blob->data, blob->len);
	free(blob->data);
	*blob = (struct ike_blob){0};
}

void blob_set(struct ike_blob *blob, struct bytes bytes)
{
	uint8_t *data = memory_copy(bytes.data, bytes.len);

	blob_clear(blob);
	*blob = (struct ike_blob){.data = data, .len = bytes.len};
}

int nonce_compare(struct bytes a, struct bytes b)
{
	size_t common = a.len < b.len ? a.len : b.len;
	int order = common ? memcmp(a.data, b.data, common) : 0;

	if (order)
		return order;
	return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

struct bytes nonce_lower(struct bytes a, struct bytes b)
{
	return nonce_compare(a, b) <= 0 ? a : b;
}

uint64_t ike_sa_spi(const struct ike_sa *sa)
{
	return sa->initiator ? sa->spi_i : sa->spi_r;
}

const char *ike_sa_conn_name(const struct ike_sa *sa)
{
	return sa->conn ? sa->conn->config->name : "";
}

bool ike_sa_encap(const struct ike_sa *sa)
{
	return sa->nat_local || sa->nat_remote || sa->encap;
}

const char *ike_state_name(enum ike_state state)
{
	static const char *const names[IKE_STATE_COUNT] = {
		[IKE_NEW] = "new",
		[IKE_INIT_SENT] = "IKE_SA_INIT sent",
		[IKE_INIT_ANSWERED] = "IKE_SA_INIT answered",
		[IKE_AUTH_CHECKING] = "checking the peer's AUTH",
		[IKE_AUTH_SIGNING] = "making our AUTH",
		[IKE_AUTH_SENT] = "IKE_AUTH sent",
		[IKE_UP] = "up",
		[IKE_REPLACED] = "rekeyed",
		[IKE_DELETING] = "deleting",
		[IKE_DEAD] = "over",
	};

	return names[state];
}

static uint64_t fresh_spi(struct ike_engine *engine)
{
	uint64_t spi;

	do
		spi = core_random_u64(engine);
	while (!spi || core_find_spi(engine, spi));
	return spi;
}

struct ike_sa *ike_sa_new(struct ike_engine *engine, bool initiator)
{
	struct ike_sa *sa = memory_new(1, sizeof(*sa));

	sa->engine = engine;
	sa->initiator = initiator;
	*(initiator ? &sa->spi_i : &sa->spi_r) = fresh_spi(engine);
	sa->timer = (struct timer){.kind = TIMER_IKE_SA, .owner = sa};
	sa->request.at = TIME_NEVER;
	sa->rekey_at = sa->life_at = sa->probe_at = sa->keepalive_at = sa->expire_at = TIME_NEVER;
	return sa;
}

void ike_sa_link(struct ike_sa *sa)
{
	struct ike_engine *engine = sa->engine;
	struct ike_sa **bucket = &engine->by_spi[core_bucket(engine, ike_sa_spi(sa))];

	sa->next_spi = *bucket;
	*bucket = sa;
	if (!sa->initiator) {
		bucket = &engine->by_init[core_bucket(engine, sa->spi_i)];
		sa->next_init = *bucket;
		*bucket = sa;
	}
	sa->next = engine->sas;
	if (sa->next)
		sa->next->link = &sa->next;
	engine->sas = sa;
	sa->link = &engine->sas;
	sa->linked = true;
}

static void unlink_sa(struct ike_sa *sa)
{
	struct ike_engine *engine = sa->engine;
	struct ike_sa **at = &engine->by_spi[core_bucket(engine, ike_sa_spi(sa))];

	while (*at != sa)
		at = &(*at)->next_spi;
	*at = sa->next_spi;
	if (!sa->initiator) {
		at = &engine->by_init[core_bucket(engine, sa->spi_i)];
		while (*at != sa)
			at = &(*at)->next_init;
		*at = sa->next_init;
	}
	*sa->link = sa->next;
	if (sa->next)
		sa->next->link = sa->link;
	sa->linked = false;
}

/* No pointer may stay to what is being freed. */
static void forget(struct ike_sa *sa)
{
	for (struct ike_sa *other = sa->engine->sas; other; other = other->next) {
		if (other->successor == sa)
			other->successor = NULL;
		if (other->task.heir == sa)
			other->task.heir = NULL;
	}
	for (struct ike_sa **at = &sa->engine->emptied; sa->emptied && *at; at = &(*at)->next_emptied)
		if (*at == sa) {
			*at = sa->next_emptied;
			break;
		}
	for (struct ike_sa **at = &sa->engine->dirty; *at; at = &(*at)->next_dirty)
		if (*at == sa) {
			*at = sa->next_dirty;
			break;
		}
}

void ike_sa_task_clear(struct ike_sa *sa, uint64_t now)
{
	struct task task = sa->task;

	sa->task = (struct task){0};
	dh_free(task.dh);
	if (task.fresh)
		ike_sa_free(task.fresh, now);
	if (task.child && task.child->state == CHILD_CREATED)
		child_free(task.child, child_keeps_policy(task.child->config), now);
	secret_wipe(&task, sizeof(task));
}

void ike_sa_free(struct ike_sa *sa, uint64_t now)
{
	ike_sa_task_clear(sa, now);
	while (sa->children)
		child_free(sa->children, child_keeps_policy(sa->children->config), now);
	schedule_set(&sa->engine->schedule, &sa->timer, TIME_NEVER);
	if (sa->half_open)
		sa->engine->half_open--;
	if (sa->linked)
		unlink_sa(sa);
	forget(sa);
	request_clear(sa);
	blob_clear(&sa->response);
	blob_clear(&sa->init_request);
	blob_clear(&sa->init_response);
	blob_clear(&sa->held);
	dh_free(sa->dh);
	conn_touch(sa->conn);
	secret_wipe(sa, sizeof(*sa));
	free(sa);
}

void ike_sa_touch(struct ike_sa *sa)
{
	if (sa->dirty || !sa->linked)
		return;
	sa->dirty = true;
	sa->next_dirty = sa->engine->dirty;
	sa->engine->dirty = sa;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void set_timer(struct ike_sa *sa)
{
	uint64_t at = earliest(sa->request.at, sa->expire_at);

	if (sa->state == IKE_UP) {
		at = earliest(at, earliest(sa->rekey_at, sa->life_at));
		at = earliest(at, earliest(sa->probe_at, sa->keepalive_at));
	}
	for (const struct child_sa *child = sa->children; child; child = child->next)
		at = earliest(at, child_deadline(child));
	schedule_set(&sa->engine->schedule, &sa->timer, at);
}

void ike_sa_settle(struct ike_sa *sa, uint64_t now)
{
	if (sa->state != IKE_DEAD)
		exchange_next(sa, now);
	if (sa->state == IKE_DEAD) {
		ike_sa_free(sa, now);
		return;
	}
	set_timer(sa);
}

void ike_sa_up(struct ike_sa *sa, uint64_t now)
{
	const struct conn_config *config = sa->conn->config;

	sa->since = now;
	sa->rekey_at = config->rekey_ns ? now + core_jitter(sa->engine, config->rekey_ns) : TIME_NEVER;
	sa->life_at = config->rekey_ns ? now + config->rekey_ns + config->over_ns : TIME_NEVER;
	sa->probe_at = config->dpd_ns ? now + config->dpd_ns : TIME_NEVER;
	sa->keepalive_at = sa->nat_local && config->keepalive_ns ? now + config->keepalive_ns : TIME_NEVER;
	if (sa->conn)
		conn_succeeded(sa->conn);
}

void ike_sa_drop_children(struct ike_sa *sa, bool peer_dead, const char *why, uint64_t now)
{
	while (sa->children) {
		struct child_sa *child = sa->children;
		uint8_t action = peer_dead ? child->config->dpd_action : child->config->close_action;
		bool keep = child_keeps_policy(child->config) || action != CHILD_NONE;

		if (child->state == CHILD_UP || child->state == CHILD_IN_LIVE) {
			if (!sa->want_delete)
				conn_child_lost(sa->conn, child->index, action);
			effects_event(&sa->engine->effects, EVENT_CHILD_DOWN, ike_sa_conn_name(sa), child->config->name,
				&sa->remote, "CHILD SA down: %s", why);
		}
		child_free(child, keep, now);
	}
}

void ike_sa_lost(struct ike_sa *sa, const char *why, uint64_t now)
{
	bool was_up = sa->state >= IKE_UP;

	if (was_up) {
		if (sa->state == IKE_UP)
			effects_event(&sa->engine->effects, EVENT_IKE_DOWN, ike_sa_conn_name(sa), "", &sa->remote,
				"IKE SA down: %s", why);
		ike_sa_drop_children(sa, true, why, now);
	} else if (sa->initiator && sa->conn) {
		conn_failed(sa->conn, now);
	}
}

void ike_sa_move_children(struct ike_sa *from, struct ike_sa *to)
{
	struct child_sa **end = &to->children;

	while (*end)
		end = &(*end)->next;
	*end = from->children;
	from->children = NULL;
	for (struct child_sa *child = *end; child; child = child->next) {
		child->sa = to;
		child->answered_id = -1;
	}
	if (!from->emptied) {
		from->emptied = true;
		from->next_emptied = from->engine->emptied;
		from->engine->emptied = from;
	}
	ike_sa_touch(to);
	ike_sa_touch(from);
}

static struct bytes lowest_nonce(const struct ike_sa *sa)
{
	return nonce_lower((struct bytes){sa->ni, sa->ni_len}, (struct bytes){sa->nr, sa->nr_len});
}

/* Both ends dialled at the same time: each must keep the same one. As in RFC 7296 2.8.1, that with the lowest nonce
 * goes. */
static bool crossing_loses(const struct ike_sa *sa, const struct ike_sa *other, uint64_t now)
{
	if (sa->initiator == other->initiator || now - other->since > IKE_CROSSING_NS)
		return false;
	return nonce_compare(lowest_nonce(sa), lowest_nonce(other)) < 0;
}

void ike_sa_replace_others(struct ike_sa *sa, uint64_t now)
{
	if (sa->conn->config->unique == UNIQUE_NEVER && !sa->initial_contact)
		return;
	for (struct ike_sa *other = sa->engine->sas; other; other = other->next) {
		if (other == sa || other->conn != sa->conn || other->state != IKE_UP || other->want_delete ||
			!ike_id_equal(&other->remote_id, &sa->remote_id))
			continue;
		if (sa->conn->config->unique == UNIQUE_KEEP || crossing_loses(sa, other, now)) {
			sa->want_delete = true;
		} else if (sa->initial_contact) {
			/* RFC 7296 2.4: the peer has lost the others; no DELETE could reach it. */
			other->want_delete = true;
			ike_sa_drop_children(other, false, "the peer has started anew", now);
			transition_end(other);
		} else {
			other->want_delete = true;
		}
		ike_sa_touch(other);
	}
}

void ike_sa_move(struct ike_sa *sa, const struct endpoint *local, const struct endpoint *remote)
{
	char text[ADDR_TEXT_LEN];

	sa->local = *local;
	sa->remote = *remote;
	for (struct child_sa *child = sa->children; child; child = child->next)
		if (child->in_installed)
			effects_move(&sa->engine->effects, child->child_id, local, remote, child_encap(child));
	if (sa->state == IKE_UP)
		effects_event(&sa->engine->effects, EVENT_ENDPOINT_MOVED, ike_sa_conn_name(sa), "", remote,
			"The peer moved to %s", endpoint_format(remote, text));
}

void ike_sa_follow(struct ike_sa *sa, const struct endpoint *local, const struct endpoint *remote)
{
	if (endpoint_equal(&sa->local, local) && endpoint_equal(&sa->remote, remote))
		return;
	/* RFC 7296 2.23: a host behind a NAT should not; before IKE_AUTH is done, the peer's float to port 4500 is
	 * followed by its responder. */
	if (sa->nat_local && (sa->state >= IKE_UP || sa->initiator))
		return;
	ike_sa_move(sa, local, remote);
}

static void report_dead(struct ike_sa *sa)
{
	static const char *const texts[] = {
		[TASK_NONE] = "IKE_SA_INIT was not answered",
		[TASK_SETUP] = "IKE_AUTH was not answered",
	};
	const char *text = sa->state < IKE_UP ? texts[sa->state == IKE_AUTH_SENT ? TASK_SETUP : TASK_NONE]
					      : "the peer does not answer any more";
	char addr[ADDR_TEXT_LEN];

	effects_event(&sa->engine->effects, EVENT_PEER_DEAD, ike_sa_conn_name(sa), "", &sa->remote,
		"%s: %s after %u attempts", endpoint_format(&sa->remote, addr), text, sa->request.tries + 1);
}

/* RFC 7296 2.4: only after repeated attempts over several minutes or so without an answer is the peer taken for dead.
 */
static void peer_dead(struct ike_sa *sa, uint64_t now)
{
	if (sa->state == IKE_UP || sa->state < IKE_UP)
		report_dead(sa);
	ike_sa_lost(sa, "the peer does not answer", now);
	transition_end(sa);
}

static void tick_children(struct ike_sa *sa, uint64_t now)
{
	for (struct child_sa *child = sa->children; child; child = child->next) {
		if (child->switch_at <= now) {
			child->switch_at = TIME_NEVER;
			child_install_out(child, now);
		}
		if (child->rekey_at <= now) {
			child->rekey_at = TIME_NEVER;
			child->want_rekey = true;
		}
		if (child->life_at <= now) {
			child->life_at = TIME_NEVER;
			child->want_delete = true;
		}
	}
}

static void tick_up(struct ike_sa *sa, uint64_t now)
{
	if (sa->life_at <= now) {
		/* RFC 7296 2.8: an SA past its lifetime must not be used. */
		sa->life_at = TIME_NEVER;
		ike_sa_lost(sa, "its lifetime is over and no rekey came about", now);
		sa->want_delete = true;
	}
	if (sa->rekey_at <= now) {
		sa->rekey_at = TIME_NEVER;
		sa->want_rekey = true;
	}
	if (sa->probe_at <= now) {
		sa->probe_at = now + sa->conn->config->dpd_ns;
		sa->want_probe = true;
	}
	if (sa->keepalive_at <= now) {
		sa->keepalive_at = now + sa->conn->config->keepalive_ns;
		effects_keepalive(&sa->engine->effects, &sa->local, &sa->remote);
	}
}

void ike_sa_tick(struct ike_sa *sa, uint64_t now)
{
	ike_sa_touch(sa);
	if (sa->expire_at <= now) {
		ike_sa_lost(sa, "not finished in time", now);
		transition_end(sa);
		return;
	}
	if (sa->request.at <= now && !request_again(sa, now)) {
		peer_dead(sa, now);
		return;
	}
	tick_children(sa, now);
	if (sa->state == IKE_UP)
		tick_up(sa, now);
}
