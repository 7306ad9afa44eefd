/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/config.h"

#include "agent/base/log.h"
#include "agent/base/own.h"
#include "ike/config_build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool build_fail(const struct config_build *build, const char *key, const char *format, ...)
{
	char path[BUILD_KEY_LEN + 64], message[CONFIG_ERROR_LEN];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	snprintf(path, sizeof(path), "%s%s%s", build->base, build->base[0] && key[0] ? "." : "", key);
	config_error_at(build->config, path, build->error, build->error_size, "%s", message);
	return false;
}

void build_base_child(struct config_build *build, const struct conn_config *conn, const struct child_config *child)
{
	snprintf(build->base, sizeof(build->base), "connections.%s.children.%s", conn->name, child->name);
}

uint64_t build_duration(const char *text, uint64_t fallback)
{
	uint64_t ns;

	return text && config_duration(text, &ns) ? ns : fallback;
}

uint64_t build_overtime(uint64_t rekey_ns)
{
	uint64_t part = rekey_ns / 100 * CONFIG_LIFE_PERCENT;

	if (!rekey_ns)
		return 0;
	return part > CONFIG_LIFE_BEHIND_NS ? part : CONFIG_LIFE_BEHIND_NS;
}

bool build_proposals(const struct config_build *build, const char *key, char *const *texts, unsigned count,
	enum ike_protocol protocol, struct proposal_list *out)
{
	char item[64], reason[256];

	if (!count || (count == 1 && strcmp(texts[0], "default") == 0)) {
		proposal_defaults(protocol, out);
		return true;
	}
	if (count > IKE_PROPOSALS_MAX)
		return build_fail(build, key, "at most %u proposals were expected, not %u", IKE_PROPOSALS_MAX, count);
	for (unsigned i = 0; i < count; i++) {
		snprintf(item, sizeof(item), "%s[%u]", key, i);
		if (!proposal_parse(texts[i], protocol, &out->items[i], reason, sizeof(reason)))
			return build_fail(build, item, "%s", reason);
		out->count++;
	}
	return true;
}

static bool auth_build(
	const struct config_build *build, const char *key, const struct config_auth *from, struct auth_config *to)
{
	char path[32];

	to->method = AUTH_PSK;
	to->id.type = IKE_ID_ANY;
	snprintf(path, sizeof(path), "%s.id", key);
	if (from && from->id && !ike_id_parse(from->id, &to->id))
		return build_fail(build, path,
			"an identity was expected (an address, gw.example.com, user@example.com, %%any, "
			"or one with the prefix fqdn:, email: or keyid:)");
	return true;
}

static bool local_build(const struct config_build *build, const struct config_connection *from, struct conn_config *to)
{
	if (from->local_addrs_count > 1)
		return build_fail(
			build, "local_addrs", "one address (or %%any) was expected, not %u", from->local_addrs_count);
	if (from->local_addrs_count && strcmp(from->local_addrs[0], "%any") != 0)
		addr_parse(from->local_addrs[0], &to->local);
	return true;
}

/* With a name, or several addresses to try in turn, the daemon asks before each dial. */
static bool remote_build(const struct config_build *build, const struct config_connection *from, struct conn_config *to)
{
	for (unsigned i = 0; i < from->remote_addrs_count; i++)
		if (strcmp(from->remote_addrs[i], "%any") == 0 && from->remote_addrs_count > 1)
			return build_fail(build, "remote_addrs", "%%any stands alone");
	if (!from->remote_addrs_count || strcmp(from->remote_addrs[0], "%any") == 0)
		return true;
	to->remote_is_name = from->remote_addrs_count > 1 || !addr_parse(from->remote_addrs[0], &to->remote);
	if (!to->remote_is_name && to->local.family != IP_NONE && to->local.family != to->remote.family)
		return build_fail(build, "remote_addrs[0]", "an address of the family of local_addrs was expected");
	return true;
}

static bool can_dial(const struct config_connection *from)
{
	return from->remote_addrs_count && strcmp(from->remote_addrs[0], "%any") != 0;
}

static bool child_dial_check(
	const struct config_build *build, const struct config_connection *from, const struct child_config *child)
{
	if (child->start_action == CHILD_START && !can_dial(from))
		return build_fail(
			build, "start_action", "none or trap was expected: the connection has no remote_addrs to dial");
	return true;
}

/* Connections with nothing to negotiate: their children are policies alone. */
static bool shunts_alone(const struct conn_config *conn)
{
	for (unsigned i = 0; i < conn->child_count; i++)
		if (!conn->children[i].shunt)
			return false;
	return true;
}

/* A connection with a peer says who both are; AH does not cross NATs, nor go into UDP. */
static bool peer_check(const struct config_build *build, const struct config_connection *from, struct conn_config *to)
{
	to->peerless = shunts_alone(to);
	if (!to->peerless && (!from->local || !from->remote))
		return build_fail(build, "", "key '%s' is missing", from->local ? "remote" : "local");
	for (unsigned i = 0; i < to->child_count && to->encap; i++)
		if (!to->children[i].shunt && to->children[i].proposals.items[0].protocol == PROTOCOL_AH)
			return build_fail(build, "encap",
				"false was expected: child '%s' has ah_proposals, and only ESP goes into UDP",
				to->children[i].name);
	return true;
}

static bool children_build(struct config_build *build, const struct config_connection *from, struct conn_config *to)
{
	size_t base = strlen(build->base);

	to->children = calloc(from->children_count, sizeof(*to->children));
	if (!to->children)
		return build_fail(build, "children", "out of memory");
	to->child_count = from->children_count;
	for (unsigned i = 0; i < from->children_count; i++) {
		snprintf(build->base + base, sizeof(build->base) - base, ".children.%s", from->children[i].name);
		for (unsigned j = 0; j < i; j++)
			if (strcmp(from->children[j].name, from->children[i].name) == 0)
				return build_fail(build, "", "a second child of this name");
		if (!build_child(build, &from->children[i], &to->children[i]) ||
			!child_dial_check(build, from, &to->children[i]))
			return false;
		build->base[base] = '\0';
	}
	return true;
}

static uint8_t unique_of(const char *text)
{
	return !text || strcmp(text, "replace") == 0 ? UNIQUE_REPLACE
	       : strcmp(text, "keep") == 0	     ? UNIQUE_KEEP
						     : UNIQUE_NEVER;
}

static void times_build(const struct config_connection *from, struct conn_config *to)
{
	to->dpd_ns = build_duration(from->dpd_delay, CONFIG_DPD_NS);
	to->rekey_ns = build_duration(from->rekey_time, CONFIG_IKE_REKEY_NS);
	to->over_ns = build_duration(from->over_time, build_overtime(to->rekey_ns));
	to->keepalive_ns = build_duration(from->nat_keepalive, IKE_NAT_KEEPALIVE_NS);
	to->keying_tries = from->keyingtries ? *from->keyingtries : 0;
	to->encap = from->encap && *from->encap;
	to->unique = unique_of(from->unique);
}

static bool connection_build(struct config_build *build, const struct config_connection *from, struct conn_config *to)
{
	snprintf(build->base, sizeof(build->base), "connections.%s", from->name);
	snprintf(to->name, sizeof(to->name), "%s", from->name);
	times_build(from, to);
	return local_build(build, from, to) && remote_build(build, from, to) &&
	       build_proposals(
		       build, "proposals", from->proposals, from->proposals_count, PROTOCOL_IKE, &to->proposals) &&
	       auth_build(build, "local", from->local, &to->local_auth) &&
	       auth_build(build, "remote", from->remote, &to->remote_auth) && children_build(build, from, to) &&
	       peer_check(build, from, to);
}

static bool connections_build(struct config_build *build, struct engine_config *engine)
{
	const struct config *config = build->config;

	for (unsigned i = 0; i < config->connections_count; i++) {
		if (ike_config_connection(config, config->connections[i].name) != &config->connections[i]) {
			snprintf(build->base, sizeof(build->base), "connections[%u]", i);
			return build_fail(
				build, "name", "a second connection called '%s'", config->connections[i].name);
		}
		if (!connection_build(build, &config->connections[i], &engine->conns[i]))
			return false;
	}
	return build_overlap_check(build, engine) && build_room_check(build, engine);
}

/* Identities of secrets are read by the keeper; here they are only checked, so that every process gives the same
 * answer. */
static bool secrets_check(struct config_build *build)
{
	for (unsigned i = 0; i < build->config->secrets_count; i++)
		for (unsigned j = 0; j < build->config->secrets[i].ids_count; j++) {
			struct ike_id id;
			char key[64];

			build->base[0] = '\0';
			snprintf(key, sizeof(key), "secrets[%u].ids[%u]", i, j);
			if (!ike_id_parse(build->config->secrets[i].ids[j], &id))
				return build_fail(build, key, "an identity was expected");
		}
	return true;
}

struct engine_config *ike_config_build(const struct config *config, char *error, size_t error_size)
{
	struct config_build build = {.config = config, .error = error, .error_size = error_size};
	struct engine_config *engine = calloc(1, sizeof(*engine));

	if (engine && config->connections_count)
		engine->conns = calloc(config->connections_count, sizeof(*engine->conns));
	if (!engine || (config->connections_count && !engine->conns)) {
		free(engine);
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	engine->conn_count = config->connections_count;
	engine->cookie_threshold = config->ike && config->ike->cookie_threshold ? *config->ike->cookie_threshold
										: IKE_COOKIE_THRESHOLD_DEFAULT;
	engine->half_open_max =
		config->ike && config->ike->half_open_max ? *config->ike->half_open_max : IKE_HALF_OPEN_MAX_DEFAULT;
	if (!connections_build(&build, engine) || !secrets_check(&build)) {
		engine_config_free(engine);
		return NULL;
	}
	return engine;
}

const struct config_connection *ike_config_connection(const struct config *config, const char *name)
{
	for (unsigned i = 0; i < config->connections_count; i++)
		if (strcmp(config->connections[i].name, name) == 0)
			return &config->connections[i];
	return NULL;
}
