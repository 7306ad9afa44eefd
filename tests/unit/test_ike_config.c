/* SPDX-License-Identifier: Apache-2.0 */
/* From the file to the engine's configuration: values, defaults, and a sentence for every mistake that the schema
 * cannot see. */
#include "ike/config.h"

#include "agent/base/own.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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
		{"connections:\n  x:\n    local: {id: a}\n    children: {c: {}}\n",
			"f.yaml:3: connections.x: key 'remote' is missing"},
		{"connections:\n  x:\n" ENDS "    children:\n      c:\n        ah_proposals: sha256\n"
		 "        esp_proposals: aes256gcm16\n",
			"f.yaml:7: connections.x.children.c.ah_proposals: a child is protected by ESP or by AH"},
		{"connections:\n  x:\n" ENDS "    encap: yes\n    children: {c: {ah_proposals: sha256}}\n",
			"f.yaml:5: connections.x.encap: false was expected: child 'c' has ah_proposals"},
		{"connections:\n  x:\n" ENDS "    children:\n      c:\n        ah_proposals: aes256-sha256\n",
			"f.yaml:7: connections.x.children.c.ah_proposals[0]: \"aes256\" has no place in AH proposals"},
		{"connections:\n  x:\n" ENDS "    children:\n      c:\n        esp_proposals: aes256ctr\n",
			"f.yaml:7: connections.x.children.c.esp_proposals[0]: a cipher without integrity"},
		{"connections:\n  x:\n" ENDS "    children:\n      c:\n        mode: transport\n"
		 "        local_ts: 10.1.0.0/16\n",
			"f.yaml:8: connections.x.children.c.local_ts: the local host's own address was expected"},
		{"connections:\n  x:\n" ENDS "    children:\n      c:\n        mode: transport\n        df: set\n",
			"f.yaml:8: connections.x.children.c.df: only with mode tunnel"},
		{"connections:\n  x:\n" ENDS "    children:\n      c:\n        ah_proposals: sha256\n"
		 "        tfc_padding: mtu\n",
			"f.yaml:8: connections.x.children.c.tfc_padding: 0 was expected: AH has no padding"},
		{"connections:\n  x:\n    children:\n      c:\n        mode: pass\n",
			"f.yaml:5: connections.x.children.c.remote_ts: selectors were expected"},
		{"connections:\n  x:\n    children:\n      c:\n        mode: drop\n        remote_ts: 10.2.0.0/16\n"
		 "        esp_proposals: aes256gcm16\n",
			"f.yaml:7: connections.x.children.c.esp_proposals: not with mode drop, which has no SAs"},
		{"connections:\n  x:\n    children:\n      c:\n        mode: drop\n        remote_ts: 10.2.0.0/16\n"
		 "        start_action: start\n",
			"f.yaml:7: connections.x.children.c.start_action: none or trap was expected"},
		{"connections:\n  x:\n" ENDS "    children:\n      c:\n        dscp: 64\n",
			"f.yaml:7: connections.x.children.c.dscp: copy or a number from 0 to 63 was expected, not "
			"'64'"},
		{"connections:\n  x:\n" ENDS "    children:\n      c:\n        ttl: 0\n",
			"f.yaml:7: connections.x.children.c.ttl: a number from 1 to 255 was expected, not '0'"},
		{"connections:\n  x:\n" ENDS "    children:\n      c:\n        tfc_padding: 9001\n",
			"f.yaml:7: connections.x.children.c.tfc_padding: 0 (none), mtu or a number of bytes up to 9000 "
			"was"},
		{"connections:\n  x:\n    local_addrs: 192.0.2.1\n    remote_addrs: 192.0.2.2\n" ENDS
		 "    children: {c: {mode: transport}}\n  y:\n    local_addrs: 192.0.2.1\n"
		 "    remote_addrs: 192.0.2.2\n" ENDS "    children: {d: {mode: transport}}\n",
			"f.yaml:13: connections.y.children.d.remote_ts: child 'c' of connection 'x' already protects "
			"the same traffic to 192.0.2.2/32"},
		{"agent:\n  tunnel_count: 1\nconnections:\n  x:\n" ENDS
		 "    children:\n      c: {remote_ts: 10.2.0.0/16}\n      d: {remote_ts: 10.3.0.0/16}\n",
			"f.yaml:9: connections.x.children.d: at most 1 children with SAs were expected; raise "
			"agent.tunnel_count"},
		{"agent:\n  policy_count: 2\nconnections:\n  x:\n" ENDS
		 "    children:\n      c: {local_ts: 10.1.0.0/16, remote_ts: [10.2.0.0/16, 10.3.0.0/16]}\n"
		 "      d: {local_ts: 10.1.0.0/16, remote_ts: 10.4.0.0/16}\n",
			"f.yaml:9: connections.x.children.d.remote_ts: at most 2 prefixes of IPv4 were expected, in "
			"all children together, and this child is past that; raise agent.policy_count"},
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

/* `count` children, each for one port of one host, in connections of 32, then a wide one that covers it. */
static struct engine_config *build_ports(unsigned count, bool wide, char error[static CONFIG_ERROR_LEN])
{
	static char text[16384];
	int len = snprintf(text, sizeof(text), "connections:\n");

	for (unsigned i = 0; i < count; i++) {
		if (i % 32 == 0)
			len += snprintf(
				text + len, sizeof(text) - (size_t)len, "  x%u:\n" ENDS "    children:\n", i / 32);
		len += snprintf(text + len, sizeof(text) - (size_t)len,
			"      p%u: {local_ts: 10.1.0.0/16, remote_ts: '10.2.0.5[tcp/%u]'}\n", i, 8000 + i);
	}
	if (wide)
		snprintf(text + len, sizeof(text) - (size_t)len,
			"  y:\n" ENDS "    children:\n      all: {local_ts: 10.1.0.0/16, remote_ts: 10.2.0.0/16}\n");
	return build(text, error);
}

/* What the maps do not hold is refused with the child that is too much: it would be without protection. */
static void policies_have_room(void **state)
{
	static const char reason[] =
		"at most 64 pairs of selectors to 10.2.0.5/32 were expected, in all children together";
	char error[CONFIG_ERROR_LEN];
	struct engine_config *engine;

	(void)state;
	engine = build_ports(POLICY_SELECTORS_MAX, false, error);
	assert_non_null(engine);
	engine_config_free(engine);
	assert_null(build_ports(POLICY_SELECTORS_MAX, true, error));
	assert_non_null(strstr(error, "f.yaml:78: connections.y.children.all.remote_ts: "));
	assert_non_null(strstr(error, reason));
	assert_null(build_ports(POLICY_SELECTORS_MAX + 1, false, error));
	assert_non_null(strstr(error, "f.yaml:78: connections.x2.children.p64.remote_ts: "));
	assert_non_null(strstr(error, reason));
}

static void outer_header_and_policies(void **state)
{
	char error[CONFIG_ERROR_LEN];
	struct engine_config *engine;
	const struct child_config *child;

	(void)state;
	engine = build(
		"connections:\n  x:\n" ENDS "    children:\n      a: {df: clear, dscp: 46, copy_ecn: no, ttl: 9, "
		"flow_label: copy, tfc_padding: mtu,"
		" mss_clamp: no, rekey_time: 1s, replay_window: 32}\n"
		"      b: {mode: transport, tfc_padding: 1400, priority: 7, remote_ts: 10.3.0.1, replay_window: 0}\n"
		"  y:\n    children:\n      ssh: {mode: pass, remote_ts: ['10.3.0.0/16[tcp/22]', '2001:db8::/32']}\n"
		"      no: {mode: drop, local_ts: 10.1.0.0/16, remote_ts: 10.3.0.0/16, start_action: trap}\n",
		error);
	assert_string_equal(error, "");
	assert_non_null(engine);
	child = &engine->conns[0].children[0];
	assert_int_equal(child->options.df, DF_CLEAR);
	assert_int_equal(child->options.dscp, DSCP_SET);
	assert_int_equal(child->options.dscp_value, 46);
	assert_int_equal(child->options.ecn, ECN_OFF);
	assert_int_equal(child->options.ttl, 9);
	assert_int_equal(child->options.flow_label, FLOW_LABEL_COPY);
	assert_int_equal(child->options.tfc_pad, TFC_PAD_MTU);
	assert_int_equal(child->clamp, MSS_KEEP);
	assert_int_equal(child->replay_bits, 32);
	assert_true(child->rekey_ns == NS_PER_S && child->life_ns == 31 * NS_PER_S);
	child = &engine->conns[0].children[1];
	assert_int_equal(child->mode, SA_TRANSPORT);
	assert_int_equal(child->priority, 7);
	assert_int_equal(child->options.tfc_pad, 1400);
	/* Without a window the defaults do without extended sequence numbers. */
	for (unsigned i = 0; i < child->proposals.count; i++)
		for (unsigned t = 0; t < child->proposals.items[i].count; t++)
			assert_false(child->proposals.items[i].transforms[t].type == TRANSFORM_ESN &&
				     child->proposals.items[i].transforms[t].id == ESN_YES);
	assert_true(engine->conns[1].peerless && !engine->conns[0].peerless);
	child = &engine->conns[1].children[0];
	assert_int_equal(child->shunt, POLICY_BYPASS);
	assert_int_equal(child->local_count, 2);
	assert_int_equal(child->local[0].family, 4);
	assert_int_equal(child->local[1].last[15], 0xff);
	assert_int_equal(engine->conns[1].children[1].shunt, POLICY_DISCARD);
	assert_int_equal(engine->conns[1].children[1].start_action, CHILD_NONE);
	engine_config_free(engine);
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
		cmocka_unit_test(outer_header_and_policies),
		cmocka_unit_test(policies_have_room),
		cmocka_unit_test(narrower_child_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
