/* SPDX-License-Identifier: Apache-2.0 */
/* Pre-shared keys: how they are written, and which one is found for two identities. */
#include "ike/secrets.h"

#include "agent/base/own.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char file[] = "secrets:\n"
			   "  - {name: anyone, secret: any}\n"
			   "  - {name: pair, ids: [gw-a.example, gw-b.example], secret: pair}\n"
			   "  - {name: other, ids: [gw-c.example], secret: remote-only}\n"
			   "  - {name: road, ids: ['*.road.example'], secret: pattern}\n"
			   "  - {name: address, ids: [192.0.2.7], secret: 0x616464726573}\n"
			   "  - {name: mail, ids: [someone@example.com], secret: 0sbWFpbA==}\n";

static struct secrets *load(const char *text, char error[static CONFIG_ERROR_LEN])
{
	struct config *config = config_parse("f.yaml", text, strlen(text), error, CONFIG_ERROR_LEN);
	struct secrets *secrets;

	assert_non_null(config);
	secrets = secrets_new(config, error, CONFIG_ERROR_LEN);
	config_free(config);
	return secrets;
}

static void best_match_is_found(void **state)
{
	static const struct {
		const char *local, *remote, *secret;
	} cases[] = {
		{"gw-a.example", "gw-b.example", "pair"},
		{"gw-b.example", "gw-a.example", "pair"},
		{"gw-a.example", "gw-c.example", "remote-only"}, /* the remote identity counts first */
		{"gw-x.example", "gw-c.example", "remote-only"},
		{"gw-a.example", "gw-y.example", "any"}, /* "any" matches the remote one, "pair" does not */
		{"gw-x.example", "one.road.example", "pattern"},
		{"gw-x.example", "road.example", "any"},
		{"gw-x.example", "192.0.2.7", "addres"},
		{"gw-x.example", "Someone@Example.com", "mail"},
		{"192.0.2.1", "2001:db8::1", "any"},
	};
	char error[CONFIG_ERROR_LEN];
	struct secrets *secrets = load(file, error);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ike_id local, remote;
		struct bytes found;

		assert_true(ike_id_parse(cases[i].local, &local) && ike_id_parse(cases[i].remote, &remote));
		assert_true(secrets_find(secrets, &local, &remote, &found));
		assert_int_equal(found.len, strlen(cases[i].secret));
		assert_memory_equal(found.data, cases[i].secret, found.len);
	}
	secrets_free(secrets);
}

static void nothing_matches(void **state)
{
	char error[CONFIG_ERROR_LEN];
	struct secrets *secrets = load("secrets: [{ids: [a.example], secret: x}]\n", error);
	struct ike_id local, remote;
	struct bytes found;

	(void)state;
	assert_true(ike_id_parse("b.example", &local) && ike_id_parse("c.example", &remote));
	assert_false(secrets_find(secrets, &local, &remote, &found));
	secrets_free(secrets);
	secrets = load("connections: []\n", error);
	assert_false(secrets_find(secrets, &local, &remote, &found));
	secrets_free(secrets);
}

static void secrets_are_decoded(void **state)
{
	static const struct {
		const char *text;
		int len;
		const char *bytes;
	} cases[] = {
		{"plain text", 10, "plain text"},
		{"0x00ff", 2, "\x00\xff"},
		{"0Xab", 1, "\xab"},
		{"0sYWJj", 3, "abc"},
		{"0sYWI=", 2, "ab"},
		{"0sYQ==", 1, "a"},
		{"0x0", -1, ""},
		{"0xzz", -1, ""},
		{"0sYW", -1, ""},
		{"0sY$==", -1, ""},
		{"x", 1, "x"},
	};
	uint8_t out[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(secret_decode(cases[i].text, out), cases[i].len);
		if (cases[i].len > 0)
			assert_memory_equal(out, cases[i].bytes, (size_t)cases[i].len);
	}
}

static void bad_base64_is_told(void **state)
{
	char error[CONFIG_ERROR_LEN];

	(void)state;
	assert_null(load("secrets:\n  - {name: a, secret: x}\n  - secret: 0s====\n", error));
	assert_string_equal(
		error, "f.yaml:3: secrets[1].secret: a text, 0x and hex digits, or 0s and base64 was expected");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(best_match_is_found),
		cmocka_unit_test(nothing_matches),
		cmocka_unit_test(secrets_are_decoded),
		cmocka_unit_test(bad_base64_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
