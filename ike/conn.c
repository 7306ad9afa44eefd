/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/conn.h"

#include "ike/core.h"
#include "ike/exchange.h"
#include "ike/memory.h"

bool child_is_started(const struct child_config *config)
{
	return config->start_action == CHILD_START && !config->shunt;
}

struct conn *conn_new(struct ike_engine *engine, struct conn_config *config)
{
	struct conn *conn = memory_new(1, sizeof(*conn));

	conn->engine = engine;
	conn->config = config;
	conn->local = config->local;
	conn->remote = config->remote;
	conn->children = memory_new(config->child_count, sizeof(*conn->children));
	conn->timer = (struct timer){.kind = TIMER_CONN, .owner = conn};
	for (uint32_t i = 0; i < config->child_count; i++)
		conn->children[i].wanted = child_is_started(&config->children[i]) && conn_dialable(conn);
	return conn;
}

void conn_touch(struct conn *conn)
{
	if (!conn || conn->dirty)
		return;
	conn->dirty = true;
	conn->next_dirty = conn->engine->dirty_conns;
	conn->engine->dirty_conns = conn;
}

void conn_free(struct conn *conn)
{
	struct conn **at = &conn->engine->dirty_conns;

	while (*at && *at != conn)
		at = &(*at)->next_dirty;
	if (*at)
		*at = conn->next_dirty;
	schedule_set(&conn->engine->schedule, &conn->timer, TIME_NEVER);
	free(conn->children);
	free(conn);
}

struct conn *conn_by_name(struct ike_engine *engine, const char *name)
{
	for (struct conn *conn = engine->conns; conn; conn = conn->next)
		if (strcmp(conn->config->name, name) == 0)
			return conn;
	return NULL;
}

int conn_child_index(const struct conn_config *config, const char *name)
{
	for (uint32_t i = 0; i < config->child_count; i++)
		if (strcmp(config->children[i].name, name) == 0)
			return (int)i;
	return -1;
}

/* 0: does not fit; 1: any address would; 2: this very one is configured. */
static int address_fit(const struct ip_addr *configured, const struct ip_addr *actual)
{
	if (configured->family == IP_NONE)
		return 1;
	return addr_equal(configured, actual) ? 2 : 0;
}

int conn_fit(const struct conn *conn, const struct ip_addr *local, const struct ip_addr *remote)
{
	const struct ip_addr *far = conn->config->remote_is_name ? &conn->remote : &conn->config->remote;
	int local_fit = conn->config->peerless ? 0 : address_fit(&conn->config->local, local);
	int remote_fit = address_fit(far, remote);

	/* The address dialled last is one of several, or of a name that may have moved on: the identity decides. */
	if (!remote_fit && conn->config->remote_is_name)
		remote_fit = 1;
	return local_fit && remote_fit ? 2 * remote_fit + local_fit : 0;
}

struct conn *conn_for_proposals(struct ike_engine *engine, const struct ike_sa *sa, const struct proposal_list *theirs,
	struct suite *suite, struct conn **near)
{
	struct conn *best = NULL;
	struct suite candidate;
	int best_fit = 0, near_fit = 0;

	*near = NULL;
	for (struct conn *conn = engine->conns; conn; conn = conn->next) {
		int fit = conn_fit(conn, &sa->local.addr, &sa->remote.addr);

		if (fit > near_fit) {
			near_fit = fit;
			*near = conn;
		}
		if (fit > best_fit && proposal_choose(&conn->config->proposals, theirs, false, &candidate)) {
			best_fit = fit;
			best = conn;
			*suite = candidate;
		}
	}
	return best;
}

/* Would the connection have agreed to the suite that the IKE SA already uses? */
static bool allows_suite(const struct conn *conn, const struct suite *suite)
{
	const struct transform *parts[] = {&suite->encr, &suite->prf, &suite->integ, &suite->ke};
	struct proposal_list one = {.count = 1};
	struct suite ignored;

	one.items[0].number = 1;
	one.items[0].protocol = PROTOCOL_IKE;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i]->type)
			one.items[0].transforms[one.items[0].count++] = *parts[i];
	return proposal_choose(&conn->config->proposals, &one, false, &ignored);
}

struct conn *conn_for_ids(struct ike_engine *engine, const struct ike_sa *sa, const struct ike_id *remote_id,
	const struct ike_id *local_id)
{
	struct conn *best = NULL;
	int best_fit = 0;

	for (struct conn *conn = engine->conns; conn; conn = conn->next) {
		int fit = conn_fit(conn, &sa->local.addr, &sa->remote.addr);
		struct ike_id own;

		if (!fit || !ike_id_matches(&conn->config->remote_auth.id, remote_id) ||
			!allows_suite(conn, &sa->suite))
			continue;
		conn_local_id(conn, &sa->local.addr, &own);
		if (local_id && !ike_id_equal(&own, local_id))
			continue;
		/* An identity that is named weighs more than any address. */
		fit = 8 * (ike_id_equal(&conn->config->remote_auth.id, remote_id)
					  ? 2
					  : conn->config->remote_auth.id.type != IKE_ID_ANY) +
		      fit;
		if (fit > best_fit) {
			best_fit = fit;
			best = conn;
		}
	}
	return best;
}

void conn_local_id(const struct conn *conn, const struct ip_addr *address, struct ike_id *out)
{
	if (conn->config->local_auth.id.type == IKE_ID_ANY)
		ike_id_of_addr(address, out);
	else
		*out = conn->config->local_auth.id;
}

bool conn_dialable(const struct conn *conn)
{
	return conn->config->remote_is_name || conn->config->remote.family != IP_NONE;
}

void conn_want(struct conn *conn, uint32_t index, bool wanted)
{
	if (!conn || index >= conn->config->child_count || conn->config->children[index].shunt)
		return; /* taken out of the configuration meanwhile, or not to be negotiated */
	conn->children[index].wanted = wanted;
	conn->children[index].retry_at = 0;
	conn->children[index].delay = 0;
	conn_touch(conn);
}

/* Has the child an SA, in whichever IKE SA of this connection? */
static bool child_has_sa(const struct conn *conn, uint32_t index)
{
	for (struct ike_sa *sa = conn->engine->sas; sa; sa = sa->next)
		if (sa->conn == conn && sa->state != IKE_DEAD && sa->state != IKE_DELETING && child_alive(sa, index))
			return true;
	return false;
}

int conn_next_child(const struct conn *conn, uint64_t now)
{
	for (uint32_t i = 0; i < conn->config->child_count; i++)
		if (conn->children[i].wanted && conn->children[i].retry_at <= now && !child_has_sa(conn, i))
			return (int)i;
	return -1;
}

static uint64_t next_delay(uint64_t delay)
{
	if (!delay)
		return IKE_REDIAL_FIRST_NS;
	return 2 * delay < IKE_REDIAL_MAX_NS ? 2 * delay : IKE_REDIAL_MAX_NS;
}

void conn_failed(struct conn *conn, uint64_t now)
{
	conn_touch(conn);
	conn->tries++;
	if (conn->config->keying_tries && conn->tries >= conn->config->keying_tries) {
		for (uint32_t i = 0; i < conn->config->child_count; i++)
			conn->children[i].wanted = false;
		conn->tries = 0;
		conn->delay = 0;
		return;
	}
	conn->delay = next_delay(conn->delay);
	conn->redial_at = now + conn->delay;
	/* A name may have moved, and the route to it: ask again. */
	if (conn->config->remote_is_name)
		conn->remote.family = IP_NONE;
	conn->local = conn->config->local;
}

void conn_succeeded(struct conn *conn)
{
	conn->tries = 0;
	conn->delay = 0; /* redial_at stays: a peer that closes what it has just made does not keep us busy */
}

void conn_child_up(struct conn *conn, uint32_t index, uint64_t now)
{
	if (!conn || index >= conn->config->child_count)
		return;
	conn->children[index].delay = 0;
	conn->children[index].retry_at = now + IKE_REDIAL_FIRST_NS;
	conn_touch(conn); /* another one may wait for its time */
}

void conn_child_failed(struct conn *conn, uint32_t index, uint64_t now)
{
	struct conn_child *child;

	if (!conn || index >= conn->config->child_count)
		return; /* taken out of the configuration meanwhile */
	child = &conn->children[index];
	child->delay = next_delay(child->delay);
	child->retry_at = now + child->delay;
	conn_touch(conn);
}

void conn_child_lost(struct conn *conn, uint32_t index, uint8_t action)
{
	bool again;

	if (!conn || index >= conn->config->child_count)
		return; /* taken out of the configuration meanwhile */
	again = action == CHILD_START || conn->config->children[index].start_action == CHILD_START;
	conn->children[index].wanted = again && conn_dialable(conn);
	conn_touch(conn);
}

/* Is an IKE SA of this connection up, or on its way up? */
static struct ike_sa *find_sa(const struct conn *conn, bool up)
{
	for (struct ike_sa *sa = conn->engine->sas; sa; sa = sa->next)
		if (sa->conn == conn &&
			(up ? sa->state == IKE_UP && !sa->want_delete : sa->initiator && sa->state < IKE_UP))
			return sa;
	return NULL;
}

/* Ask for what dialling needs to know. True: everything is known. */
static bool addresses_known(struct conn *conn)
{
	if (conn->local.family != IP_NONE && conn->remote.family != IP_NONE)
		return true;
	if (!conn->resolving)
		effects_resolve(&conn->engine->effects, conn->config->name);
	conn->resolving = true;
	return false;
}

static uint64_t earliest_retry(const struct conn *conn)
{
	uint64_t at = TIME_NEVER;

	for (uint32_t i = 0; i < conn->config->child_count; i++) {
		const struct conn_child *child = &conn->children[i];

		if (child->wanted && child->retry_at < at && !child_has_sa(conn, i))
			at = child->retry_at;
	}
	return at;
}

void conn_settle(struct conn *conn, uint64_t now)
{
	struct ike_sa *up = find_sa(conn, true);
	uint64_t at = earliest_retry(conn);

	if (at == TIME_NEVER || conn->engine->shut || find_sa(conn, false)) {
		schedule_set(&conn->engine->schedule, &conn->timer, TIME_NEVER);
		return;
	}
	if (!up && conn->redial_at > at)
		at = conn->redial_at;
	if (at > now) {
		schedule_set(&conn->engine->schedule, &conn->timer, at);
		return;
	}
	schedule_set(&conn->engine->schedule, &conn->timer, TIME_NEVER);
	if (up)
		ike_sa_touch(up); /* it makes the child when it has nothing else in flight */
	else if (conn_dialable(conn) && addresses_known(conn))
		exchange_dial(conn, now);
}
