/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/child_sa.h"

#include "agent/base/secret.h"
#include "ike/core.h"
#include "ike/memory.h"
#include "ike/ts.h"

#include <stdio.h>

#define SPI_RESERVED_MAX 255u /* RFC 4303 2.1 */
#define ADMIT_TEXT_MAX	 2048u

/* ---- the tables ------------------------------------------------------------------------------------------------ */
static void table_put(struct child_sa *child, enum child_index index, uint64_t key)
{
	struct ike_engine *engine = child->sa->engine;

	child_table_put(&engine->children, engine->hash_seed, index, child, key);
}

static struct child_sa *table_find(const struct ike_engine *engine, enum child_index index, uint64_t key)
{
	return child_table_find(&engine->children, engine->hash_seed, index, key);
}

void child_set_replaced(struct child_sa *child, uint32_t replaced)
{
	child->replaces = replaced;
	table_put(child, CHILD_BY_REPLACED, replaced);
}

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* Of what is settled before a child is installed and never changes then. */
static uint64_t policy_key(const struct child_sa *child)
{
	uint64_t hash =
		mix(child->sa->engine->hash_seed, child->local_ts, child->local_count * sizeof(child->local_ts[0]));

	return mix(hash, child->remote_ts, child->remote_count * sizeof(child->remote_ts[0]));
}

static void set_out_installed(struct child_sa *child, bool installed)
{
	child->out_installed = installed;
	if (installed)
		table_put(child, CHILD_BY_POLICY, policy_key(child));
	else
		child_table_take(CHILD_BY_POLICY, child);
}

/* ---------------------------------------------------------------------------------------------------------------- */
static uint32_t fresh_spi(struct ike_engine *engine)
{
	uint32_t spi;

	do
		core_random(engine, &spi, sizeof(spi));
	while (spi <= SPI_RESERVED_MAX || table_find(engine, CHILD_BY_SPI, spi));
	return spi;
}

/* The packet that waits is for one attempt: a later one is for all. */
static void packet_take(struct child_sa *child, struct conn_child *from)
{
	child->packet_local = from->packet_local;
	child->packet_remote = from->packet_remote;
	from->packet_local.family = from->packet_remote.family = 0;
}

struct child_sa *child_new(struct ike_sa *sa, uint32_t index)
{
	struct child_sa *child = memory_new(1, sizeof(*child));
	struct child_sa **end = &sa->children;

	child->sa = sa;
	child->state = CHILD_CREATED;
	child->index = index;
	child->config = &sa->conn->config->children[index];
	child->mode = SA_TUNNEL;
	packet_take(child, &sa->conn->children[index]);
	child->child_id = sa->engine->next_child_id++;
	child->spi_in = fresh_spi(sa->engine);
	child->rekey_at = child->life_at = child->switch_at = TIME_NEVER;
	while (*end)
		end = &(*end)->next;
	*end = child;
	table_put(child, CHILD_BY_ID, child->child_id);
	table_put(child, CHILD_BY_SPI, child->spi_in);
	return child;
}

static bool same_policy(const struct child_sa *a, const struct child_sa *b)
{
	return a->sa->conn == b->sa->conn && a->index == b->index &&
	       ike_id_equal(&a->sa->remote_id, &b->sa->remote_id) && a->local_count == b->local_count &&
	       a->remote_count == b->remote_count &&
	       memcmp(a->local_ts, b->local_ts, a->local_count * sizeof(a->local_ts[0])) == 0 &&
	       memcmp(a->remote_ts, b->remote_ts, a->remote_count * sizeof(a->remote_ts[0])) == 0;
}

/* The youngest one of the same policy that is installed both ways. */
struct child_sa *child_twin(const struct child_sa *child)
{
	struct child_sa *best = NULL, *other = table_find(child->sa->engine, CHILD_BY_POLICY, policy_key(child));

	for (; other; other = child_table_next(CHILD_BY_POLICY, other))
		if (other != child && (!best || other->child_id > best->child_id) && same_policy(other, child))
			best = other;
	return best;
}

struct child_sa *child_by_id(struct ike_engine *engine, uint32_t child_id)
{
	return table_find(engine, CHILD_BY_ID, child_id);
}

static struct child_install install_of(const struct child_sa *child)
{
	const struct ike_sa *sa = child->sa;
	struct child_install install = {
		.child_id = child->child_id,
		.replaces = child->replaces,
		.conn = ike_sa_conn_name(sa),
		.child = child->config->name,
		.peer = &sa->remote_id,
		.spi_in = child->spi_in,
		.spi_out = child->spi_out,
		.suite = child->suite,
		.in = child->in,
		.out = child->out,
		.local = sa->local,
		.remote = sa->remote,
		.udp_encap = child_encap(child),
		.mode = child->mode,
		.tfc_plain = child->tfc_plain,
		.config = child->config,
		.local_count = child->local_count,
		.remote_count = child->remote_count,
	};

	memcpy(install.local_ts, child->local_ts, sizeof(install.local_ts));
	memcpy(install.remote_ts, child->remote_ts, sizeof(install.remote_ts));
	return install;
}

static void emit_install(const struct child_sa *child, enum effect_kind kind)
{
	struct child_install install = install_of(child);

	effects_install(&child->sa->engine->effects, kind, &install);
	secret_wipe(&install, sizeof(install));
}

enum notify child_admit(const struct child_sa *child, const struct child_sa *old)
{
	struct ike_engine *engine = child->sa->engine;
	struct child_install install = install_of(child);
	char why[ADMIT_TEXT_MAX] = "";
	enum notify refusal;

	/* As child_install_in will have it. */
	old = old ? old : child_twin(child);
	install.replaces = old ? old->child_id : 0;
	secret_wipe(&install.in, sizeof(install.in));
	secret_wipe(&install.out, sizeof(install.out));
	refusal = engine->admit ? (enum notify)engine->admit(engine->admit_context, &install, why, sizeof(why))
				: NOTIFY_NONE;
	if (refusal == TS_UNACCEPTABLE)
		core_count(engine, IKE_COUNTER_TS_UNACCEPTABLE);
	if (refusal != NOTIFY_NONE)
		effects_event(&engine->effects, EVENT_CHILD_REFUSED, ike_sa_conn_name(child->sa), child->config->name,
			&child->sa->remote, "CHILD SA refused with %s: %s", notify_name((uint16_t)refusal), why);
	return refusal;
}

static void start_lifetimes(struct child_sa *child, uint64_t now)
{
	const struct child_config *config = child->config;

	child->since = now;
	child->rekey_at = config->rekey_ns ? now + core_jitter(child->sa->engine, config->rekey_ns) : TIME_NEVER;
	child->life_at = config->life_ns ? now + config->life_ns : TIME_NEVER;
}

void child_install_in(struct child_sa *child, uint64_t now)
{
	const struct child_sa *twin = child_twin(child);

	if (child->in_installed)
		return;
	/* An older CHILD SA of the same policy hands over, be it by a rekey or because the peer dialled anew. */
	if (!child->replaces && twin)
		child_set_replaced(child, twin->child_id);
	child->in_installed = true;
	child->state = CHILD_IN_LIVE;
	start_lifetimes(child, now);
	emit_install(child, EFFECT_INSTALL_IN);
}

static void report_up(const struct child_sa *child)
{
	char local[TS_TEXT_LEN * 2], remote[TS_TEXT_LEN * 2], suite[160];

	ts_list_format(child->local_ts, child->local_count, local, sizeof(local));
	ts_list_format(child->remote_ts, child->remote_count, remote, sizeof(remote));
	suite_format(&child->suite, suite, sizeof(suite));
	effects_event(&child->sa->engine->effects, child->replaces ? EVENT_CHILD_REKEYED : EVENT_CHILD_UP,
		ike_sa_conn_name(child->sa), child->config->name, &child->sa->remote,
		"CHILD SA %s: %s === %s, %s%s, SPIs 0x%08x in, 0x%08x out%s%s", child->replaces ? "rekeyed" : "up",
		local, remote, child_protocol(child) == PROTOCOL_AH ? "AH " : "", suite, child->spi_in, child->spi_out,
		child->mode == SA_TRANSPORT ? ", transport mode" : "", child_encap(child) ? ", in UDP" : "");
	if (child->config->mode == SA_TRANSPORT && child->mode == SA_TUNNEL)
		effects_event(&child->sa->engine->effects, EVENT_MODE_TUNNEL, ike_sa_conn_name(child->sa),
			child->config->name, &child->sa->remote,
			"mode is transport here, but the peer does not have it: the CHILD SA is in tunnel mode between "
			"the same hosts (RFC 7296 1.3.1)");
}

void child_install_out(struct child_sa *child, uint64_t now)
{
	if (child->out_installed || !child->in_installed || child->state != CHILD_IN_LIVE)
		return;
	set_out_installed(child, true);
	child->state = CHILD_UP;
	child->switch_at = TIME_NEVER;
	emit_install(child, EFFECT_INSTALL_OUT);
	report_up(child);
	conn_child_up(child->sa->conn, child->index, now);
	for (struct child_sa *old = child->sa->children; old; old = old->next) {
		if (old->successor != child || !old->out_installed)
			continue;
		set_out_installed(old, false);
		effects_remove(&child->sa->engine->effects, EFFECT_REMOVE_OUT, old->child_id, true);
	}
}

/* One that waits to take over from `child`, be it of this IKE SA or of one that the peer dialled anew; NULL: none. */
static struct child_sa *find_heir(const struct child_sa *child)
{
	struct child_sa *other = table_find(child->sa->engine, CHILD_BY_REPLACED, child->child_id);

	while (other && (other->state != CHILD_IN_LIVE || other->want_delete))
		other = child_table_next(CHILD_BY_REPLACED, other);
	return other;
}

void child_stop_out(struct child_sa *child, uint64_t now)
{
	struct child_sa *twin, *heir = find_heir(child);

	if (heir)
		child_install_out(heir, now);
	if (!child->out_installed)
		return;
	set_out_installed(child, false);
	twin = child_twin(child);
	if (twin)
		emit_install(twin, EFFECT_INSTALL_OUT);
	effects_remove(&child->sa->engine->effects, EFFECT_REMOVE_OUT, child->child_id,
		twin || child_keeps_policy(child->config));
}

void child_replace(struct child_sa *child, struct child_sa *successor)
{
	child->successor = successor;
	child->state = CHILD_REPLACED;
	child->want_rekey = false;
	child->rekey_at = TIME_NEVER;
	child_set_replaced(successor, child->child_id);
}

void child_deleting(struct child_sa *child, uint64_t now)
{
	child->want_delete = false;
	child->want_rekey = false;
	child_stop_out(child, now);
	child->state = CHILD_DELETING;
	child->rekey_at = child->switch_at = TIME_NEVER;
}

static void forget_task(struct task *task, const struct child_sa *child)
{
	if (task->child == child)
		task->child = NULL;
	if (task->old == child)
		task->old = NULL;
	if (task->rival == child)
		task->rival = NULL;
}

/* No pointer may stay to what is being freed: tasks are of the IKE SA in which it is, or was. */
static void forget(struct child_sa *child)
{
	forget_task(&child->sa->task, child);
	for (struct ike_sa *sa = child->sa->engine->emptied; sa; sa = sa->next_emptied)
		forget_task(&sa->task, child);
	for (struct child_sa *other = child->sa->children; other; other = other->next)
		if (other->successor == child)
			other->successor = NULL;
}

static void unlink_child(struct child_sa *child)
{
	struct child_sa **at = &child->sa->children;

	while (*at && *at != child)
		at = &(*at)->next;
	if (*at)
		*at = child->next;
}

void child_free(struct child_sa *child, bool keep_policy, uint64_t now)
{
	struct ike_engine *engine = child->sa->engine;
	struct child_sa *twin;

	child_stop_out(child, now);
	twin = child_twin(child);
	if (child->in_installed) {
		if ((twin || child->successor) && !engine->shut)
			core_bury(engine, child->child_id, true, now + IKE_GRACE_NS);
		else
			effects_remove(&engine->effects, EFFECT_REMOVE_IN, child->child_id, keep_policy);
	}
	forget(child);
	unlink_child(child);
	for (enum child_index index = 0; index < CHILD_INDEXES; index++)
		child_table_take(index, child);
	conn_touch(child->sa->conn);
	secret_wipe(child, sizeof(*child));
	free(child);
}

uint8_t child_protocol(const struct child_sa *child)
{
	if (child->suite.protocol)
		return child->suite.protocol;
	return child->config->proposals.count ? child->config->proposals.items[0].protocol : PROTOCOL_ESP;
}

bool child_encap(const struct child_sa *child)
{
	return ike_sa_encap(child->sa) && child_protocol(child) == PROTOCOL_ESP;
}

struct child_sa *child_by_spi_out(struct ike_sa *sa, uint8_t protocol, uint32_t spi)
{
	for (struct child_sa *child = sa->children; child; child = child->next)
		if (child->spi_out == spi && child_protocol(child) == protocol && child->state != CHILD_CREATED)
			return child;
	return NULL;
}

struct child_sa *child_alive(struct ike_sa *sa, uint32_t index)
{
	for (struct child_sa *child = sa->children; child; child = child->next)
		if (child->index == index && !child->want_delete && child->state <= CHILD_UP)
			return child;
	return NULL;
}

const char *child_state_name(enum child_state state)
{
	static const char *const names[] = {
		[CHILD_CREATED] = "connecting",
		[CHILD_IN_LIVE] = "installed",
		[CHILD_UP] = "up",
		[CHILD_REPLACED] = "rekeyed",
		[CHILD_DELETING] = "deleting",
	};

	return names[state];
}

bool child_keeps_policy(const struct child_config *config)
{
	return config->start_action != CHILD_NONE;
}

uint64_t child_deadline(const struct child_sa *child)
{
	uint64_t at = child->rekey_at < child->life_at ? child->rekey_at : child->life_at;

	return child->switch_at < at ? child->switch_at : at;
}
