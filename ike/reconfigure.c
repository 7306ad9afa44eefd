/* SPDX-License-Identifier: Apache-2.0 */
/* A new configuration: the difference is applied, all else lives on. */
#include "ike/core.h"
#include "ike/exchange.h"
#include "ike/memory.h"

/* What a CHILD SA of a removed child points to until its DELETE is answered. */
static const struct child_config orphan_config = {.name = ""};
#define ORPHAN_INDEX UINT32_MAX

static bool proposals_equal(const struct proposal_list *a, const struct proposal_list *b)
{
	bool equal = a->count == b->count;

	for (unsigned i = 0; equal && i < a->count; i++) {
		const struct proposal *pa = &a->items[i], *pb = &b->items[i];

		equal = pa->protocol == pb->protocol && pa->count == pb->count;
		for (unsigned t = 0; equal && t < pa->count; t++)
			equal = pa->transforms[t].type == pb->transforms[t].type &&
				pa->transforms[t].id == pb->transforms[t].id &&
				pa->transforms[t].key_bits == pb->transforms[t].key_bits;
	}
	return equal;
}

static bool selectors_equal(const struct selector *a, unsigned a_count, const struct selector *b, unsigned b_count)
{
	return a_count == b_count && memcmp(a, b, a_count * sizeof(*a)) == 0;
}

/* All that was negotiated. Options of the outer header are changed under living SAs. */
static bool child_equal(const struct child_config *a, const struct child_config *b)
{
	return selectors_equal(a->local, a->local_count, b->local, b->local_count) &&
	       selectors_equal(a->remote, a->remote_count, b->remote, b->remote_count) &&
	       proposals_equal(&a->proposals, &b->proposals) && a->mode == b->mode && a->shunt == b->shunt &&
	       a->priority == b->priority && a->start_action == b->start_action && a->close_action == b->close_action &&
	       a->dpd_action == b->dpd_action && a->rekey_ns == b->rekey_ns && a->life_ns == b->life_ns &&
	       a->rekey_bytes == b->rekey_bytes && a->life_bytes == b->life_bytes &&
	       a->rekey_packets == b->rekey_packets && a->life_packets == b->life_packets &&
	       a->replay_bits == b->replay_bits;
}

static bool same_id(const struct ike_id *a, const struct ike_id *b)
{
	return a->type == b->type && a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

static bool auth_equal(const struct auth_config *a, const struct auth_config *b)
{
	return a->method == b->method && same_id(&a->id, &b->id);
}

/* All but the children. */
static bool conn_equal(const struct conn_config *a, const struct conn_config *b)
{
	return addr_equal(&a->local, &b->local) && a->remote_is_name == b->remote_is_name &&
	       addr_equal(&a->remote, &b->remote) && proposals_equal(&a->proposals, &b->proposals) &&
	       auth_equal(&a->local_auth, &b->local_auth) && auth_equal(&a->remote_auth, &b->remote_auth) &&
	       a->encap == b->encap && a->dpd_ns == b->dpd_ns && a->rekey_ns == b->rekey_ns &&
	       a->over_ns == b->over_ns && a->keepalive_ns == b->keepalive_ns && a->keying_tries == b->keying_tries &&
	       a->unique == b->unique;
}

static struct conn_config *find_config(struct engine_config *config, const char *name)
{
	for (uint32_t i = 0; i < config->conn_count; i++)
		if (strcmp(config->conns[i].name, name) == 0)
			return &config->conns[i];
	return NULL;
}

/* Its DELETE goes out, its CHILD SAs go at once, and it knows its connection no more. */
static void close_sas(struct ike_engine *engine, struct conn *conn, uint64_t now)
{
	for (struct ike_sa *sa = engine->sas; sa; sa = sa->next) {
		if (sa->conn != conn)
			continue;
		exchange_close_now(sa, now);
		sa->want_delete = true;
		while (sa->children)
			child_free(sa->children, false, now);
		sa->conn = NULL;
		sa->probe_at = TIME_NEVER;
	}
}

/* The CHILD SA's child is gone or changed: out of the data path now, its DELETE as soon as the window allows. */
static void orphan(struct child_sa *child, uint64_t now)
{
	child_stop_out(child, now);
	if (child->in_installed)
		effects_remove(&child->sa->engine->effects, EFFECT_REMOVE_IN, child->child_id, false);
	child->in_installed = false;
	child->config = &orphan_config;
	child->index = ORPHAN_INDEX;
	child->rekey_at = child->life_at = child->switch_at = TIME_NEVER;
	child->want_rekey = false;
	child->want_delete = child->state != CHILD_CREATED;
	ike_sa_touch(child->sa);
}

/* Where `child` of the old configuration stands in the new one; -1: gone or changed. */
static int new_index(const struct conn_config *from, const struct conn_config *to, uint32_t index)
{
	int found = conn_child_index(to, from->children[index].name);

	return found >= 0 && child_equal(&from->children[index], &to->children[found]) ? found : -1;
}

static void move_children(struct conn *conn, struct conn_config *to, uint64_t now)
{
	for (struct ike_sa *sa = conn->engine->sas; sa; sa = sa->next) {
		if (sa->conn != conn)
			continue;
		for (struct child_sa *child = sa->children; child; child = child->next) {
			int index = child->index == ORPHAN_INDEX ? -1 : new_index(conn->config, to, child->index);

			if (index < 0 && child->index != ORPHAN_INDEX) {
				orphan(child, now);
			} else if (index >= 0) {
				child->index = (uint32_t)index;
				child->config = &to->children[index];
			}
		}
	}
}

static void update(struct conn *conn, struct conn_config *to, uint64_t now)
{
	struct conn_child *children = memory_new(to->child_count, sizeof(*children));

	move_children(conn, to, now);
	for (uint32_t i = 0; i < to->child_count; i++)
		children[i].wanted = child_is_started(&to->children[i]) && conn_dialable(conn);
	for (uint32_t i = 0; i < conn->config->child_count; i++) {
		int index = new_index(conn->config, to, i);

		if (index >= 0)
			children[index] = conn->children[i];
	}
	free(conn->children);
	conn->children = children;
	conn->config = to;
}

static void drop_removed(struct ike_engine *engine, struct engine_config *config, uint64_t now)
{
	struct conn **at = &engine->conns;

	while (*at) {
		struct conn *conn = *at;
		struct conn_config *to = find_config(config, conn->config->name);

		if (to && conn_equal(conn->config, to)) {
			update(conn, to, now);
			at = &conn->next;
			continue;
		}
		close_sas(engine, conn, now);
		*at = conn->next;
		conn_free(conn);
	}
}

/* In the order of the configuration, with new ones where there are none. */
static void add_new(struct ike_engine *engine, struct engine_config *config)
{
	struct conn *old = engine->conns, **end = &engine->conns;

	engine->conns = NULL;
	for (uint32_t i = 0; i < config->conn_count; i++) {
		struct conn **at = &old;

		while (*at && (*at)->config != &config->conns[i])
			at = &(*at)->next;
		if (*at) {
			*end = *at;
			*at = (*at)->next;
		} else {
			*end = conn_new(engine, &config->conns[i]);
		}
		end = &(*end)->next;
		*end = NULL;
	}
}

void engine_reconfigure(struct ike_engine *engine, struct engine_config *config, uint64_t now)
{
	core_enter(engine);
	drop_removed(engine, config, now);
	add_new(engine, config);
	engine_config_free(engine->retired);
	engine->retired = engine->config;
	engine->config = config;
	for (struct conn *conn = engine->conns; conn; conn = conn->next)
		conn_touch(conn);
	core_settle(engine, now);
}
