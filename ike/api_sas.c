/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/sas: what stands in the maps. */
#include "agent/base/secret.h"
#include "ike/api_json.h"
#include "ike/daemon.h"
#include "ike/transform.h"
#include "ike/ts.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static void set_sa_suite(json_t *object, const struct sa *sa)
{
	struct transform encr = {.type = TRANSFORM_ENCR, .id = sa->encr, .key_bits = sa->encr_key_bits};
	struct transform integ = {.type = TRANSFORM_INTEG, .id = sa->integ};
	char encr_text[48], integ_text[48], text[128];

	transform_format(&encr, encr_text, sizeof(encr_text));
	if (sa->integ == INTEG_NONE)
		snprintf(text, sizeof(text), "%s", encr_text);
	else
		snprintf(text, sizeof(text), "%s-%s", encr_text,
			transform_format(&integ, integ_text, sizeof(integ_text)));
	json_set_text(object, "suite", text);
}

static void set_end(json_t *object, const char *key, const struct addr16 *addr, uint16_t port)
{
	struct endpoint endpoint = {.port = port};
	char text[ADDR_TEXT_LEN];

	addr_from_mapped(addr->bytes, &endpoint.addr);
	json_set_text(object, key, port ? endpoint_format(&endpoint, text) : addr_format(&endpoint.addr, text));
}

static void set_run(json_t *object, const struct sa_run *live)
{
	const volatile struct sa_run *run = live;
	json_t *dropped = json_object();

	json_set_count(object, "seq", run->out_seq);
	json_set_count(object, "replay_top", run->replay_top);
	json_set_count(object, "packets", run->packets);
	json_set_count(object, "bytes", run->bytes);
	json_set_count(dropped, "replay", run->dropped_replay);
	json_set_count(dropped, "icv", run->dropped_icv);
	json_set_count(dropped, "other", run->dropped_other);
	json_object_set_new(object, "dropped", dropped);
}

static json_t *sa_json(const struct daemon *d, uint32_t index, const struct sa *sa)
{
	const struct tunnel_entry *entry = tunnel_find_sa(installer_tunnels(d->installer), index, NULL);
	json_t *object = json_object();

	json_set_count(object, "index", index);
	json_set_text(object, "direction", sa->direction == SA_IN ? "in" : "out");
	json_set_text(object, "protocol", sa->protocol == 51 ? "ah" : "esp");
	json_set_text(object, "mode", sa->mode == SA_TRANSPORT ? "transport" : "tunnel");
	json_set_spi32(object, "spi", ntohl(sa->spi));
	json_set_count(object, "tunnel", sa->tunnel);
	json_set_text(object, "connection", entry ? entry->conn : "");
	json_set_text(object, "child", entry ? entry->child : "");
	set_sa_suite(object, sa);
	set_end(object, "local", &sa->local, sa->local_port);
	set_end(object, "remote", &sa->remote, sa->remote_port);
	json_object_set_new(object, "encap", json_boolean(sa->flags & SA_UDP_ENCAP));
	json_set_count(object, "replay_window", sa->replay_bits);
	set_run(object, sadb_run(d->db, index));
	json_set_seconds(object, "age", sa->created_ns, clock_now_ns());
	return object;
}

static void policy_one(const struct policy_entry_info *info, void *context)
{
	static const char *const actions[] = {
		[POLICY_PROTECT] = "protect", [POLICY_BYPASS] = "bypass", [POLICY_DISCARD] = "drop"};
	struct ip_addr addr = {.family = info->family};
	char prefix[ADDR_TEXT_LEN], text[ADDR_TEXT_LEN + 8], selector[TS_TEXT_LEN];
	json_t *object = json_object();

	memcpy(addr.bytes, info->prefix, addr_len(&addr));
	snprintf(text, sizeof(text), "%s/%u", addr_format(&addr, prefix), info->prefix_len);
	json_set_text(object, "prefix", text);
	json_set_text(object, "action",
		info->action <= POLICY_DISCARD && actions[info->action] ? actions[info->action] : "?");
	json_object_set_new(object, "tunnel", info->tunnel == TUNNEL_NONE ? json_null() : json_integer(info->tunnel));
	json_set_text(object, "local", ts_format(&info->local, selector));
	json_set_text(object, "remote", ts_format(&info->remote, selector));
	json_set_count(object, "protocol", info->remote.protocol ? info->remote.protocol : info->local.protocol);
	json_array_append_new(context, object);
}

json_t *api_sas(const struct daemon *d)
{
	json_t *object = json_object(), *sas = json_array(), *policies = json_array();

	for (uint32_t i = 0; d->engine && i < sadb_sa_count(d->db); i++) {
		struct sa sa;

		if (!sadb_read(d->db, i, &sa))
			continue;
		json_array_append_new(sas, sa_json(d, i, &sa));
		secret_wipe(&sa, sizeof(sa));
	}
	if (d->engine)
		sadb_policies(d->db, policy_one, policies);
	json_object_set_new(object, "sas", sas);
	json_object_set_new(object, "policies", policies);
	return object;
}
