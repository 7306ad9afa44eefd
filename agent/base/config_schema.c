/* SPDX-License-Identifier: Apache-2.0 */
/* The schema of espalier.yaml(5): one line a key. */
#include "agent/base/config.h"
#include "agent/base/config_source.h"

#include <string.h>

#define TEXT_MAX       1024u
#define LIST_MAX       64u
#define CONNECTION_MAX 4096u
#define CHILD_MAX      64u
#define OPTIONAL       CYAML_FLAG_OPTIONAL

static const cyaml_schema_value_t text_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, TEXT_MAX),
};

#define TEXT(type, member, flags)                                                                                      \
	CYAML_FIELD_STRING_PTR(#member, CYAML_FLAG_POINTER | (flags), struct type, member, 1, TEXT_MAX)
#define TEXTS(type, member, min)                                                                                       \
	CYAML_FIELD_SEQUENCE(#member, CYAML_FLAG_POINTER | OPTIONAL, struct type, member, &text_schema, min, LIST_MAX)
#define NUMBER(type, member)	 CYAML_FIELD_UINT(#member, OPTIONAL, struct type, member)
#define NUMBER_PTR(type, member) CYAML_FIELD_UINT_PTR(#member, OPTIONAL, struct type, member)
#define FLAG(type, member)	 CYAML_FIELD_BOOL_PTR(#member, OPTIONAL, struct type, member)

static const cyaml_schema_field_t agent_fields[] = {
	TEXTS(config_agent, interfaces, 0),
	TEXT(config_agent, pin_dir, OPTIONAL),
	TEXT(config_agent, socket, OPTIONAL),
	TEXT(config_agent, xdp_mode, OPTIONAL),
	TEXT(config_agent, tx_engine, OPTIONAL),
	FLAG(config_agent, busy_poll),
	NUMBER(config_agent, workers),
	TEXT(config_agent, lend, OPTIONAL),
	NUMBER(config_agent, ring_size),
	TEXT(config_agent, dispatcher, OPTIONAL),
	NUMBER(config_agent, sa_count),
	NUMBER(config_agent, tunnel_count),
	NUMBER(config_agent, policy_count),
	FLAG(config_agent, mss_clamp),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t ike_fields[] = {
	TEXT(config_ike, socket, OPTIONAL),
	TEXT(config_ike, log_level, OPTIONAL),
	NUMBER_PTR(config_ike, cookie_threshold),
	NUMBER_PTR(config_ike, half_open_max),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t auth_fields[] = {
	TEXT(config_auth, auth, OPTIONAL),
	TEXT(config_auth, id, OPTIONAL),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t child_fields[] = {
	TEXT(config_child, name, 0),
	TEXTS(config_child, local_ts, 0),
	TEXTS(config_child, remote_ts, 0),
	TEXTS(config_child, esp_proposals, 0),
	TEXTS(config_child, ah_proposals, 0),
	TEXT(config_child, mode, OPTIONAL),
	TEXT(config_child, start_action, OPTIONAL),
	TEXT(config_child, close_action, OPTIONAL),
	TEXT(config_child, dpd_action, OPTIONAL),
	TEXT(config_child, rekey_time, OPTIONAL),
	TEXT(config_child, life_time, OPTIONAL),
	NUMBER(config_child, rekey_bytes),
	NUMBER(config_child, life_bytes),
	NUMBER(config_child, rekey_packets),
	NUMBER(config_child, life_packets),
	NUMBER_PTR(config_child, replay_window),
	NUMBER_PTR(config_child, priority),
	TEXT(config_child, df, OPTIONAL),
	TEXT(config_child, dscp, OPTIONAL),
	FLAG(config_child, copy_ecn),
	NUMBER_PTR(config_child, ttl),
	TEXT(config_child, flow_label, OPTIONAL),
	TEXT(config_child, tfc_padding, OPTIONAL),
	FLAG(config_child, mss_clamp),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t child_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_child, child_fields),
};

static const cyaml_schema_field_t connection_fields[] = {
	TEXT(config_connection, name, 0),
	TEXTS(config_connection, local_addrs, 0),
	TEXTS(config_connection, remote_addrs, 0),
	TEXTS(config_connection, proposals, 0),
	CYAML_FIELD_MAPPING_PTR("local", CYAML_FLAG_POINTER | OPTIONAL, struct config_connection, local, auth_fields),
	CYAML_FIELD_MAPPING_PTR("remote", CYAML_FLAG_POINTER | OPTIONAL, struct config_connection, remote, auth_fields),
	CYAML_FIELD_SEQUENCE(
		"children", CYAML_FLAG_POINTER, struct config_connection, children, &child_schema, 1, CHILD_MAX),
	FLAG(config_connection, encap),
	TEXT(config_connection, dpd_delay, OPTIONAL),
	TEXT(config_connection, rekey_time, OPTIONAL),
	TEXT(config_connection, over_time, OPTIONAL),
	TEXT(config_connection, nat_keepalive, OPTIONAL),
	NUMBER_PTR(config_connection, keyingtries),
	TEXT(config_connection, unique, OPTIONAL),
	CYAML_FIELD_END,
};

const cyaml_schema_value_t config_connection_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_connection, connection_fields),
};

static const cyaml_schema_field_t secret_fields[] = {
	TEXT(config_secret, name, OPTIONAL),
	TEXTS(config_secret, ids, 0),
	TEXT(config_secret, secret, 0),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t secret_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_secret, secret_fields),
};

static const cyaml_schema_field_t config_fields[] = {
	CYAML_FIELD_MAPPING_PTR("agent", CYAML_FLAG_POINTER | OPTIONAL, struct config, agent, agent_fields),
	CYAML_FIELD_MAPPING_PTR("ike", CYAML_FLAG_POINTER | OPTIONAL, struct config, ike, ike_fields),
	CYAML_FIELD_SEQUENCE("connections", CYAML_FLAG_POINTER | OPTIONAL, struct config, connections,
		&config_connection_schema, 0, CONNECTION_MAX),
	CYAML_FIELD_SEQUENCE(
		"secrets", CYAML_FLAG_POINTER | OPTIONAL, struct config, secrets, &secret_schema, 0, CONNECTION_MAX),
	CYAML_FIELD_END,
};

const cyaml_schema_value_t config_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, config_fields),
};

bool config_schema_is_named_list(const cyaml_schema_value_t *schema)
{
	const cyaml_schema_value_t *entry = schema->type == CYAML_SEQUENCE ? schema->sequence.entry : NULL;

	return entry && entry->type == CYAML_MAPPING && strcmp(entry->mapping.fields[0].key, "name") == 0;
}
