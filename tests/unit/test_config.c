/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: what a good one gives, and the exact sentence for every kind of bad one. */
#include "agent/base/clock.h"
#include "agent/base/config.h"
#include "agent/base/own.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define CHILD "    children: [{name: net}]\n"
#define AUTH  "    local: {auth: psk, id: a}\n    remote: {auth: psk, id: b}\n"

static const char good[] =
	"agent: {interfaces: [eth0, eth1], pin_dir: , socket: /run/a.sock, xdp_mode: auto, sa_count: 64, mss_clamp: "
	"no}\n"
	"ike: {socket: , log_level: debug, cookie_threshold: 7}\n"
	"connections:\n"
	"  - name: home\n"
	"    local_addrs: [192.0.2.1]\n"
	"    remote_addrs: gw.example.com\n"
	"    proposals: [aes256gcm16-prfsha384-x25519, aes256-sha256-modp2048]\n" AUTH "    children:\n"
	"      - name: net\n"
	"        local_ts: [10.1.0.0/16]\n"
	"        remote_ts: [10.2.0.0/16, '10.3.0.0/16[tcp/443]']\n"
	"        rekey_bytes: 1000000000000\n"
	"        start_action: start\n"
	"secrets:\n"
	"  - {name: x, ids: [gw-b.example, b], secret: \"quite \\\"secret\\\" \xc3\xa4\"} # not this\n"
	"  - secret: |-\n"
	"      0x0102\n"
	"  - {secret: third, ids: 'c#d'}\n";

static struct config *parse(const char *text, char error[static CONFIG_ERROR_LEN])
{
	error[0] = '\0';
	return config_parse("f.yaml", text, strlen(text), error, CONFIG_ERROR_LEN);
}

static void good_file_is_loaded(void **state)
{
	char error[CONFIG_ERROR_LEN];
	struct config *config = parse(good, error);

	(void)state;
	assert_string_equal(error, "");
	assert_non_null(config);
	assert_int_equal(config->agent->interfaces_count, 2);
	assert_string_equal(config->agent->interfaces[1], "eth1");
	assert_null(config->agent->pin_dir);
	assert_string_equal(config->agent->socket, "/run/a.sock");
	assert_int_equal(config->agent->sa_count, 64);
	assert_false(*config->agent->mss_clamp);
	assert_null(config->ike->socket);
	assert_int_equal(*config->ike->cookie_threshold, 7);
	assert_int_equal(config->connections_count, 1);
	assert_int_equal(config->connections[0].remote_addrs_count, 1);
	assert_string_equal(config->connections[0].remote_addrs[0], "gw.example.com");
	assert_string_equal(config->connections[0].proposals[1], "aes256-sha256-modp2048");
	assert_string_equal(config->connections[0].remote->id, "b");
	assert_string_equal(config->connections[0].children[0].remote_ts[1], "10.3.0.0/16[tcp/443]");
	assert_true(config->connections[0].children[0].rekey_bytes == UINT64_C(1000000000000));
	assert_string_equal(config->secrets[0].secret, "quite \"secret\" \xc3\xa4");
	assert_string_equal(config->secrets[1].secret, "0x0102");
	config_free(config);
}

/* swanctl's form: names as keys. */
static void names_may_be_keys(void **state)
{
	char error[CONFIG_ERROR_LEN];
	struct config *config = parse("connections:\n"
				      "  gw.home:\n"
				      "    local: {id: a}\n"
				      "    remote: {id: b}\n"
				      "    children:\n"
				      "      net: {start_action: trap}\n"
				      "      net2:\n"
				      "        remote_ts: 10.9.0.0/16\n"
				      "secrets:\n"
				      "  ike-1: {secret: abc}\n",
		error);

	(void)state;
	assert_string_equal(error, "");
	assert_string_equal(config->connections[0].name, "gw.home");
	assert_int_equal(config->connections[0].children_count, 2);
	assert_string_equal(config->connections[0].children[1].name, "net2");
	assert_string_equal(config->connections[0].children[1].remote_ts[0], "10.9.0.0/16");
	assert_string_equal(config->secrets[0].name, "ike-1");
	config_error_at(config, "connections.gw.home.children.net2.remote_ts[0]", error, sizeof(error), "%s", "bad");
	assert_string_equal(error, "f.yaml:8: connections.gw.home.children.net2.remote_ts[0]: bad");
	config_free(config);
}

static void errors_know_their_line(void **state)
{
	static const struct {
		const char *key;
		const char *message;
	} cases[] = {
		{"connections.home.proposals[1]", "f.yaml:7: connections.home.proposals[1]: no"},
		{"connections.home.children.net.local_ts", "f.yaml:12: connections.home.children.net.local_ts: no"},
		{"connections.home.local.id", "f.yaml:8: connections.home.local.id: no"},
		{"connections.home.children.net.esp_proposals",
			"f.yaml:11: connections.home.children.net.esp_proposals: no"},
		{"connections[0].local_addrs[0]", "f.yaml:5: connections[0].local_addrs[0]: no"},
		{"secrets.x.secret", "f.yaml:17: secrets.x.secret: no"},
		{"nothing", "f.yaml:1: nothing: no"},
	};
	char error[CONFIG_ERROR_LEN];
	struct config *config = parse(good, error);

	(void)state;
	assert_non_null(config);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		config_error_at(config, cases[i].key, error, sizeof(error), "no");
		assert_string_equal(error, cases[i].message);
	}
	config_free(config);
}

static void bad_files_are_explained(void **state)
{
	static const struct {
		const char *text;
		const char *message;
	} cases[] = {
		{"", "f.yaml:1: the file is empty; 'connections:' was expected"},
		{"# nothing\n", "f.yaml:1: the file is empty; 'connections:' was expected"},
		{"connections: [\n",
			"f.yaml:2: YAML syntax: did not find expected node content, while parsing a flow node"},
		{"agent:\n\tinterfaces: [a]\n", "f.yaml:2: YAML syntax: found character that cannot start any token, "
						"while scanning for the next token"},
		{"- a\n- b\n", "f.yaml:1: a mapping (key: value) was expected, not a list"},
		{"hello\n", "f.yaml:1: a mapping (key: value) was expected, not a single value"},
		{"agent: {}\n---\nike: {}\n", "f.yaml:3: a second YAML document (---); one was expected"},
		{"agent: &a {}\n",
			"f.yaml:1: anchors (&name) and aliases (*name) are not supported; quote the text if it is one"},
		{"ike: {}\nagent: *a\n",
			"f.yaml:2: anchors (&name) and aliases (*name) are not supported; quote the text if it is one"},
		{"agent: !x {}\n", "f.yaml:1: tags (!name) are not supported; quote the text if it is one"},
		{"agents: {}\n", "f.yaml:1: agents: unknown key; did you mean 'agent'? (known here: agent, ike, "
				 "connections, secrets)"},
		{"agent:\n  zzz: 1\n",
			"f.yaml:2: agent.zzz: unknown key; known here: interfaces, pin_dir, socket, "
			"xdp_mode, tx_engine, busy_poll, workers, lend, ring_size, dispatcher, sa_count, tunnel_count, "
			"policy_count, mss_clamp"},
		{"agent: {}\nike: {}\nagent: {}\n", "f.yaml:3: key 'agent' is given twice; first on line 1"},
		{"agent: 5\n", "f.yaml:1: agent: a mapping (key: value) was expected, not a single value"},
		{"agent:\n  interfaces: {eth0: 1}\n", "f.yaml:2: agent.interfaces: a list was expected, not a mapping"},
		{"agent:\n  interfaces:\n    - eth0\n    - [eth1]\n",
			"f.yaml:4: agent.interfaces[1]: a single value was expected, not a list"},
		{"agent:\n  interfaces: [a/b]\n",
			"f.yaml:2: agent.interfaces[0]: the name of a network interface was expected, not 'a/b'"},
		{"agent:\n  sa_count: many\n",
			"f.yaml:2: agent.sa_count: a number from 0 to 4294967295 was expected, not 'many'"},
		{"agent:\n  sa_count: 4294967296\n",
			"f.yaml:2: agent.sa_count: a number from 0 to 4294967295 was expected, not '4294967296'"},
		{"agent:\n  sa_count: -1\n",
			"f.yaml:2: agent.sa_count: a number from 0 to 4294967295 was expected, not '-1'"},
		{"agent:\n  mss_clamp: maybe\n", "f.yaml:2: agent.mss_clamp: true or false was expected, not 'maybe'"},
		{"agent:\n  xdp_mode: fast\n",
			"f.yaml:2: agent.xdp_mode: auto, native or generic was expected, not 'fast'"},
		{"agent:\n  dispatcher: maybe\n",
			"f.yaml:2: agent.dispatcher: auto, on or off was expected, not 'maybe'"},
		{"agent:\n  socket: here\n",
			"f.yaml:2: agent.socket: an absolute path of at most 107 characters was expected, not 'here'"},
		{"ike:\n  socket: \"/a\\u0001b\"\n",
			"f.yaml:2: ike.socket: a text without control characters and line breaks was expected"},
		{"connections:\n  - name: a b\n", "f.yaml:2: connections.a b.name: a name of at most 63 letters, "
						  "digits, '-', '_' and '.', starting with a letter "
						  "or digit was expected, not 'a b'"},
		{"connections:\n  - local_addrs: []\n", "f.yaml:2: connections[0]: key 'name' is missing"},
		{"connections:\n  - name: x\n    local: {}\n", "f.yaml:2: connections.x: key 'children' is missing"},
		{"connections:\n  - name: x\n" AUTH, "f.yaml:2: connections.x: key 'children' is missing"},
		{"connections:\n  - name: x\n" AUTH "    children: []\n",
			"f.yaml:5: connections.x.children: at least 1 was expected"},
		{"connections:\n  - name: x\n" AUTH "    children:\n      - mode: tunnel\n",
			"f.yaml:6: connections.x.children[0]: key 'name' is missing"},
		{"connections:\n  - name: x\n    children:\n" AUTH,
			"f.yaml:3: connections.x.children: a value was expected"},
		{"connections:\n  x:\n    local: {}\n", "f.yaml:3: connections.x: key 'children' is missing"},
		{"connections:\n  x:\n    name: y\n",
			"f.yaml:3: connections.x.name: unknown key; known here: local_addrs, remote_addrs, proposals, "
			"local, remote, "
			"children, encap, dpd_delay, rekey_time, over_time, nat_keepalive, keyingtries, unique"},
		{"connections:\n  - name: x\n    local_addrs: [gw]\n",
			"f.yaml:3: connections.x.local_addrs[0]: an IPv4 or IPv6 address, or %any was expected, not "
			"'gw'"},
		{"connections:\n  - name: x\n    remote_addrs: [192.0.2.256]\n",
			"f.yaml:3: connections.x.remote_addrs[0]: an IPv4 or IPv6 address, a host name, or %any was "
			"expected, not "
			"'192.0.2.256'"},
		{"connections:\n  - name: x\n    rekey_time: soon\n",
			"f.yaml:3: connections.x.rekey_time: a duration such as 90s, 5m, 1h, 1d or plain seconds was "
			"expected, not "
			"'soon'"},
		{"connections:\n  - name: x\n    local:\n      auth: pubkey\n",
			"f.yaml:4: connections.x.local.auth: psk was expected, not 'pubkey'"},
		{"connections:\n  - name: x\n    local:\n      idd: pubkey\n",
			"f.yaml:4: connections.x.local.idd: unknown key; did you mean 'id'? (known here: auth, id)"},
		{"connections:\n  - name: x\n    unique: perhaps\n",
			"f.yaml:3: connections.x.unique: replace, keep or never was expected, not 'perhaps'"},
		{"connections:\n  - name: x\n    children:\n      - name: c\n        replay_window: 100\n",
			"f.yaml:5: connections.x.children.c.replay_window: 0 (anti-replay off) or a power of two from "
			"32 to 8192 was "
			"expected, not '100'"},
		{"secrets:\n  - {name: x}\n", "f.yaml:2: secrets.x: key 'secret' is missing"},
		{"secrets:\n  - secret: \"\"\n", "f.yaml:2: secrets[0].secret: a text that is not empty was expected"},
		{"secrets:\n  - secret: 0x123\n", "f.yaml:2: secrets[0].secret: a text, 0x and an even number of hex "
						  "digits, or 0s and base64 was expected"},
		{"secrets:\n  - secret: [a]\n", "f.yaml:2: secrets[0].secret: a single value was expected, not a list"},
		{"secrets:\n  - secrte: a\n", "f.yaml:2: secrets[0].secrte: unknown key; did you mean 'secret'? (known "
					      "here: name, ids, secret)"},
	};
	char error[CONFIG_ERROR_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config *config = parse(cases[i].text, error);

		assert_null(config);
		assert_string_equal(error, cases[i].message);
	}
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t seconds;
	} cases[] = {
		{"0", true, 0},
		{"90", true, 90},
		{"90s", true, 90},
		{"5m", true, 300},
		{"1h", true, 3600},
		{"2d", true, 172800},
		{"", false, 0},
		{"s", false, 0},
		{"5 m", false, 0},
		{"5ms", false, 0},
		{"-5", false, 0},
		{"1w", false, 0},
		{"99999999999999999999", false, 0},
		{"999999d", false, 0},
	};
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(config_duration(cases[i].text, &ns), cases[i].ok);
		if (cases[i].ok)
			assert_true(ns == cases[i].seconds * NS_PER_S);
	}
}

static void redacted_text_keeps_lines(void **state)
{
	static const char expected[] = "secrets:\n"
				       "  - {name: x, ids: [gw-b.example, b], secret: redacted} \n"
				       "  - secret: redacted\n\n"
				       "  - {secret: redacted, ids: 'c#d'}\n";
	size_t len;
	char *text = config_redact(good, strlen(good), &len);

	(void)state;
	assert_non_null(text);
	assert_true(len > strlen(expected));
	assert_memory_equal(text + len - strlen(expected), expected, strlen(expected));
	assert_memory_equal(text, good, (size_t)(strstr(good, "secrets:") - good));
	free(text);
}

static void redacted_text_has_no_secret(void **state)
{
	static const char *const texts[] = {
		"secrets: {a: {secret: hidden, ids: b}}\n",
		"secrets:\n  a:\n    secret:\n      hidden\n    ids: b\n",
		"secrets:\n  a:\n    ? secret\n    : hidden\n",
		"secrets:\n  a:\n    \"secret\": 'hidden\n      hidden'\n",
		"secrets:\n  a:\n    secret: >\n      hidden\n\n      hidden\n",
		"# hidden\nsecrets:\n  a: # hidden\n    # hidden\n    secret: hidden # hidden\n# hidden",
		"secrets: [{\"secret\" : \"\xc3\xa4\xe2\x82\xac hidden\"}]",
		"\xef\xbb\xbfsecrets:\r\n- secret: \"\xc3\xa4 hidden\"\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		size_t len;
		char *text = config_redact(texts[i], strlen(texts[i]), &len);

		assert_non_null(text);
		assert_null(memmem(text, len, "hidden", 6));
		assert_non_null(memmem(text, len, "redacted", 8));
		free(text);
	}
}

static void connections_are_compared(void **state)
{
	static const char base[] =
		"connections:\n  - {name: x, local: {id: a}, remote: {id: b}, dpd_delay: 10s, children: [{name: c, "
		"local_ts: [10.0.0.0/8], rekey_bytes: 5}]}\n";
	static const struct {
		const char *from;
		const char *to;
	} changes[] = {{"id: b", "id: c"}, {"10s", "11s"}, {"bytes: 5", "bytes: 6"}, {"10.0.0.0/8", "10.0.0.0/9"},
		{"[10.0.0.0/8]", "[10.0.0.0/8, 11.0.0.0/8]"}, {", dpd_delay: 10s", ""},
		{"name: x", "name: x, encap: yes"}};
	char error[CONFIG_ERROR_LEN], text[512];
	struct config *a = parse(base, error), *b = parse(base, error);

	(void)state;
	assert_true(config_connection_equal(&a->connections[0], &b->connections[0]));
	config_free(b);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		const char *at = strstr(base, changes[i].from);

		snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - base), base, changes[i].to,
			at + strlen(changes[i].from));
		b = parse(text, error);
		assert_non_null(b);
		assert_false(config_connection_equal(&a->connections[0], &b->connections[0]));
		config_free(b);
	}
	config_free(a);
}

static void long_file_is_refused(void **state)
{
	char name[] = "/tmp/espalier-config-XXXXXX";
	char error[CONFIG_ERROR_LEN], expected[128];
	int fd = mkstemp(name);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, CONFIG_BYTES_MAX + 1), 0);
	close(fd);
	assert_null(config_load(name, error, sizeof(error)));
	snprintf(expected, sizeof(expected), "%s: larger than 1048576 bytes", name);
	assert_string_equal(error, expected);
	assert_false(config_file_is_open(name));
	assert_int_equal(chmod(name, 0640), 0);
	assert_true(config_file_is_open(name));
	assert_int_equal(chmod(name, 0604), 0);
	assert_true(config_file_is_open(name));
	unlink(name);
	assert_null(config_load(name, error, sizeof(error)));
	snprintf(expected, sizeof(expected), "%s: cannot be opened: No such file or directory", name);
	assert_string_equal(error, expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_file_is_loaded),
		cmocka_unit_test(names_may_be_keys),
		cmocka_unit_test(errors_know_their_line),
		cmocka_unit_test(bad_files_are_explained),
		cmocka_unit_test(durations),
		cmocka_unit_test(redacted_text_keeps_lines),
		cmocka_unit_test(redacted_text_has_no_secret),
		cmocka_unit_test(long_file_is_refused),
		cmocka_unit_test(connections_are_compared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
