/* SPDX-License-Identifier: Apache-2.0 */
/* From the file to the engine's configuration: values, defaults, and a sentence for every mistake that the schema
 * cannot see. */
#include "ike/config.h"

#include "agent/base/own.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ENDS "    local: {id: a.example}\n    remote: {id: b.example}\n"

static struct engine_config *build(const char *text, char error[static CONFIG_ERROR_LEN])
{
	struct config *config;
	struct engine_config *engine;

	error[0] = '\0';
	config = config_parse("f.yaml", text, strlen(text), error, CONFIG_ERROR_LEN);
	engine = config ? ike_config_build(config, error, CONFIG_ERROR_LEN) : NULL;
	config_free(config);
	return engine;
}

static void defaults_are_filled_in(void **state)
{
	char error[CONFIG_ERROR_LEN];
	struct engine_config *engine = build("connections:\n  x:\n" ENDS "    children: {c: {}}\n", error);
	const struct conn_config *conn;

	(void)state;
	assert_string_equal(error, "");
	assert_non_null(engine);
	assert_int_equal(engine->cookie_threshold, IKE_COOKIE_THRESHOLD_DEFAULT);
	assert_int_equal(engine->half_open_max, IKE_HALF_OPEN_MAX_DEFAULT);
	conn = &engine->conns[0];
	assert_string_equal(conn->name, "x");
	assert_int_equal(conn->local.family, IP_NONE);
	assert_int_equal(conn->remote.family, IP_NONE);
	assert_false(conn->remote_is_name || conn->encap);
	assert_true(conn->proposals.count > 0);
	assert_true(conn->dpd_ns == 30 * NS_PER_S);
	assert_true(conn->rekey_ns == 4 * 3600 * NS_PER_S);
	assert_true(conn->over_ns == 1440 * NS_PER_S);
	assert_true(conn->keepalive_ns == 20 * NS_PER_S);
	assert_int_equal(conn->unique, UNIQUE_REPLACE);
	assert_int_equal(conn->remote_auth.id.type, IKE_ID_FQDN);
	assert_int_equal(conn->children[0].local_count, 0);
	assert_int_equal(conn->children[0].remote_count, 0);
	assert_true(conn->children[0].rekey_ns == 3600 * NS_PER_S);
	assert_true(conn->children[0].life_ns == 3960 * NS_PER_S);
	assert_int_equal(conn->children[0].replay_bits, 1024);
	assert_int_equal(conn->children[0].start_action, CHILD_NONE);
	assert_int_equal(conn->children[0].mode, SA_TUNNEL);
	engine_config_free(engine);
}

static void values_are_taken(void **state)
{
	char error[CONFIG_ERROR_LEN];
	struct engine_config *engine =
		build("ike: {cookie_threshold: 0, half_open_max: 5}\n"
		      "connections:\n  - name: x\n    local_addrs: 192.0.2.1\n    remote_addrs: 192.0.2.2\n"
		      "    proposals: [aes256gcm16-prfsha384-x25519]\n    encap: on\n    dpd_delay: 0\n"
		      "    unique: never\n    keyingtries: 3\n    rekey_time: 0\n" ENDS
		      "    children:\n      - name: c\n        local_ts: [10.1.0.0/16, 10.9.0.0/16]\n"
		      "        remote_ts: ['10.2.0.0/16[tcp/443]']\n        start_action: start\n"
		      "        dpd_action: restart\n        close_action: trap\n        rekey_time: 10m\n"
		      "        life_time: 15m\n        replay_window: 0\n        esp_proposals: aes128gcm16\n"
		      "  - name: y\n    remote_addrs: [gw.example, 192.0.2.9]\n" ENDS
		      "    children: {c: {remote_ts: dynamic}}\n",
			error);
	const struct conn_config *conn;

	(void)state;
	assert_string_equal(error, "");
	assert_non_null(engine);
	assert_int_equal(engine->cookie_threshold, 0);
	assert_int_equal(engine->half_open_max, 5);
	conn = &engine->conns[0];
	assert_int_equal(conn->local.family, IP_V4);
	assert_int_equal(conn->remote.bytes[3], 2);
	assert_true(conn->encap);
	assert_true(conn->dpd_ns == 0 && conn->rekey_ns == 0 && conn->over_ns == 0);
	assert_int_equal(conn->unique, UNIQUE_NEVER);
	assert_int_equal(conn->keying_tries, 3);
	assert_int_equal(conn->proposals.count, 1);
	assert_int_equal(conn->children[0].local_count, 2);
	assert_int_equal(conn->children[0].remote[0].protocol, 6);
	assert_int_equal(conn->children[0].remote[0].port_first, 443);
	assert_int_equal(conn->children[0].start_action, CHILD_START);
	assert_int_equal(conn->children[0].dpd_action, CHILD_START);
	assert_int_equal(conn->children[0].close_action, CHILD_TRAP);
	assert_int_equal(conn->children[0].replay_bits, 0);
	assert_true(conn->children[0].life_ns == 900 * NS_PER_S);
	assert_true(engine->conns[1].remote_is_name);
	assert_int_equal(engine->conns[1].remote.family, IP_NONE);
	assert_int_equal(engine->conns[1].children[0].remote_count, 0);
	engine_config_free(engine);
}

static void mistakes_are_explained(void **state)
{
	static const struct {
		const char *text;
		const char *begins; /* the message up to here */
	} cases[] = {
		{"connections:\n  - name: x\n    proposals: [aes256gcm16-prfsha384-x25519, aes256-sha257]\n" ENDS
		 "    children: [{name: c}]\n",
			"f.yaml:3: connections.x.proposals[1]: "},
		{"connections:\n  x:\n" ENDS "    children:\n      c:\n        esp_proposals: nonsense\n",
			"f.yaml:7: connections.x.children.c.esp_proposals[0]: "},
		{"connections:\n  x:\n" ENDS "    children:\n      c:\n        local_ts: [10.1.0.0/33]\n",
			"f.yaml:7: connections.x.children.c.local_ts[0]: "},
		{"connections:\n  x:\n" ENDS "    children:\n      c:\n        remote_ts: [10.1.0.0/16, dynamic]\n",
			"f.yaml:7: connections.x.children.c.remote_ts[1]: 'dynamic' stands alone"},
		{"connections:\n  x:\n" ENDS "    children:\n      c:\n        local_ts: [a, a, a, a, a, a, a, a, a]\n",
			"f.yaml:7: connections.x.children.c.local_ts: at most 8 selectors were expected, not 9"},
		{"connections:\n  x:\n" ENDS
		 "    children:\n      c:\n        local_ts: 10.1.0.0/16\n        remote_ts: 2001:db8::/32\n",
			"f.yaml:8: connections.x.children.c.remote_ts: selectors of the same address family as "
			"local_ts were expected"},
		{"connections:\n  x:\n" ENDS "    children:\n      c:\n        rekey_time: 1h\n        life_time: 1h\n",
			"f.yaml:8: connections.x.children.c.life_time: more than rekey_time was expected"},
		{"connections:\n  x:\n" ENDS
		 "    children:\n      c:\n        esp_proposals: aes128gcm16-esn\n        replay_window: 0\n",
			"f.yaml:8: connections.x.children.c.replay_window: a window was expected, not 0"},
		{"connections:\n  x:\n" ENDS "    children:\n      c:\n        start_action: start\n",
			"f.yaml:7: connections.x.children.c.start_action: none or trap was expected: the connection "
			"has no "
			"remote_addrs to dial"},
		{"connections:\n  x:\n    remote_addrs: ['%any']\n" ENDS
		 "    children:\n      c:\n        start_action: start\n",
			"f.yaml:8: connections.x.children.c.start_action: none or trap was expected"},
		{"connections:\n  x:\n    remote_addrs: [192.0.2.1, '%any']\n" ENDS "    children: {c: {}}\n",
			"f.yaml:3: connections.x.remote_addrs: %any stands alone"},
		{"connections:\n  x:\n    local_addrs: [192.0.2.1, 192.0.2.2]\n" ENDS "    children: {c: {}}\n",
			"f.yaml:3: connections.x.local_addrs: one address (or %any) was expected, not 2"},
		{"connections:\n  x:\n    local_addrs: [192.0.2.1]\n    remote_addrs: [2001:db8::1]\n" ENDS
		 "    children: {c: {}}\n",
			"f.yaml:4: connections.x.remote_addrs[0]: an address of the family of local_addrs was "
			"expected"},
		{"connections:\n  x:\n    local: {id: '%any'}\n    remote: {id: 'fqdn:'}\n    children: {c: {}}\n",
			"f.yaml:4: connections.x.remote.id: an identity was expected"},
		{"connections:\n  - name: x\n" ENDS "    children: [{name: c}]\n  - name: x\n" ENDS
		 "    children: [{name: c}]\n",
			"f.yaml:6: connections[1].name: a second connection called 'x'"},
		{"connections:\n  - name: x\n" ENDS "    children:\n      - name: c\n      - name: c\n",
			"f.yaml:6: connections.x.children.c: a second child of this name"},
		{"connections:\n  x:\n" ENDS
		 "    children: {c: {local_ts: 10.1.0.0/16, remote_ts: 10.2.0.0/16}}\n  y:\n" ENDS
		 "    children: {d: {local_ts: 10.1.0.0/16, remote_ts: [10.3.0.0/16, 10.2.0.0/16]}}\n",
			"f.yaml:9: connections.y.children.d.remote_ts[1]: child 'c' of connection 'x' already protects "
			"the same traffic "
			"to 10.2.0.0/16"},
		{"secrets:\n  - {ids: [a, 'email:'], secret: x}\n",
			"f.yaml:2: secrets[0].ids[1]: an identity was expected"},
	};
	char error[CONFIG_ERROR_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct engine_config *engine = build(cases[i].text, error);

		if (engine || strncmp(error, cases[i].begins, strlen(cases[i].begins)) != 0)
			print_error("case %zu: '%s' instead of '%s'\n", i, error, cases[i].begins);
		assert_null(engine);
		assert_int_equal(strncmp(error, cases[i].begins, strlen(cases[i].begins)), 0);
	}
}

static void narrower_child_is_fine(void **state)
{
	char error[CONFIG_ERROR_LEN];
	struct engine_config *engine =
		build("connections:\n  x:\n" ENDS
		      "    children:\n      wide: {local_ts: 10.1.0.0/16, remote_ts: 10.0.0.0/8}\n"
		      "      narrow: {local_ts: 10.1.0.0/16, remote_ts: 10.2.0.0/16}\n",
			error);

	(void)state;
	assert_string_equal(error, "");
	assert_non_null(engine);
	engine_config_free(engine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_filled_in),
		cmocka_unit_test(values_are_taken),
		cmocka_unit_test(mistakes_are_explained),
		cmocka_unit_test(narrower_child_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
