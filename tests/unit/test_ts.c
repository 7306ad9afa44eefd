/* SPDX-License-Identifier: Apache-2.0 */
/* Traffic selectors: notation, narrowing (RFC 7296 2.9), containment; and identities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/own.h"
#include "ike/id.h"
#include "ike/ts.h"
#include "ike/ts_pairs.h"

#include <string.h>

static const struct {
	const char *text;
	const char *normal; /* NULL: refused */
} notation[] = {
	{"10.1.0.0/16", "10.1.0.0/16"},
	{"10.1.2.3", "10.1.2.3/32"},
	{"0.0.0.0/0", "0.0.0.0/0"},
	{"10.0.0.0-10.0.0.255", "10.0.0.0/24"},
	{"10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9"},
	{"10.1.0.0/16[tcp/443]", "10.1.0.0/16[tcp/443]"},
	{"10.1.0.0/16[udp/1024-2048]", "10.1.0.0/16[udp/1024-2048]"},
	{"10.1.0.0/16[icmp]", "10.1.0.0/16[icmp]"},
	{"10.1.0.0/16[icmp/8]", "10.1.0.0/16[icmp/8]"},
	{"10.1.0.0/16[icmp/3/4]", "10.1.0.0/16[icmp/3/4]"},
	{"10.1.0.0/16[icmp/2048]", "10.1.0.0/16[icmp/8/0]"}, /* as strongSwan has it: type * 256 + code */
	{"10.1.0.0/16[icmp/256-1023]", "10.1.0.0/16[icmp/256-1023]"},
	{"2001:db8::/32[icmpv6/128]", "2001:db8::/32[icmpv6/128]"},
	{"10.1.0.0/16[icmp/8/256]", NULL},
	{"10.1.0.0/16[icmp/x]", NULL},
	{"10.1.0.0/16[tcp/3/4]", NULL},
	{"10.1.0.0/16[132]", "10.1.0.0/16[132]"},
	{"2001:db8::/32[tcp/80]", "2001:db8::/32[tcp/80]"},
	{"10.1.0.1/16", NULL},
	{"10.1.0.0/33", NULL},
	{"10.0.0.9-10.0.0.1", NULL},
	{"10.0.0.1-2001:db8::1", NULL},
	{"10.1.0.0/16[tcp/70000]", NULL},
	{"10.1.0.0/16[tcp", NULL},
	{"10.1.0.0/16[tcp]x", NULL},
	{"10.1.0.0/16[foo]", NULL},
	{"host.example", NULL},
	{"", NULL},
};

static void parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(notation); i++) {
		struct selector selector;
		char error[512] = "", text[TS_TEXT_LEN];
		bool ok = ts_parse(notation[i].text, &selector, error, sizeof(error));

		if (ok != (notation[i].normal != NULL))
			fail_msg("%s: %s", notation[i].text, error);
		if (ok)
			assert_string_equal(ts_format(&selector, text), notation[i].normal);
		else
			assert_true(strlen(error) > 0);
	}
}

static unsigned list_of(const char *texts, struct selector *out)
{
	char copy[512], error[512];
	char *rest = copy, *word;
	unsigned count = 0;

	memcpy(copy, texts, strlen(texts) + 1);
	while ((word = strsep(&rest, " ")))
		assert_true(ts_parse(word, &out[count++], error, sizeof(error)));
	return count;
}

static const struct {
	const char *offered, *configured, *narrowed; /* "": nothing */
} narrowing[] = {
	{"10.1.0.0/16", "10.1.0.0/16", "10.1.0.0/16"},
	{"0.0.0.0/0", "10.1.0.0/16", "10.1.0.0/16"},
	{"10.1.0.0/16", "0.0.0.0/0", "10.1.0.0/16"},
	{"10.1.0.0/16", "10.2.0.0/16", ""},
	{"0.0.0.0/0", "10.1.0.0/16 10.2.0.0/16", "10.1.0.0/16, 10.2.0.0/16"},
	{"0.0.0.0/0 ::/0", "10.1.0.0/16 2001:db8::/32", "10.1.0.0/16, 2001:db8::/32"},
	{"::/0", "10.1.0.0/16", ""},
	{"10.1.0.0/16[tcp]", "10.1.0.0/24[tcp/443]", "10.1.0.0/24[tcp/443]"},
	{"10.1.0.0/16[tcp]", "10.1.0.0/24[udp]", ""},
	{"10.1.0.0/16[tcp/80]", "10.1.0.0/24[tcp/443]", ""},
	{"10.1.0.5 10.1.0.0/16", "10.1.0.0/16", "10.1.0.0/16"}, /* the packet's own selector is within the whole */
	{"10.0.0.1-10.0.0.9", "10.0.0.4-10.0.0.20", "10.0.0.4-10.0.0.9"},
	/* opaque ports are part of any, and of no range (RFC 4301 4.4.1.1) */
	{"10.1.0.0/16[tcp/opaque]", "10.1.0.0/16", "10.1.0.0/16[tcp/opaque]"},
	{"10.1.0.0/16", "10.1.0.0/16[tcp/opaque]", "10.1.0.0/16[tcp/opaque]"},
	{"10.1.0.0/16[tcp/opaque]", "10.1.0.0/16[tcp/opaque]", "10.1.0.0/16[tcp/opaque]"},
	{"10.1.0.0/16[tcp/opaque]", "10.1.0.0/16[tcp/1-65535]", ""},
};

static void narrow(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(narrowing); i++) {
		struct selector offered[8], configured[8], out[SELECTORS_MAX];
		unsigned offered_count = list_of(narrowing[i].offered, offered),
			 configured_count = list_of(narrowing[i].configured, configured);
		unsigned count = ts_narrow(offered, offered_count, configured, configured_count, out);
		char text[1024];

		assert_string_equal(ts_list_format(out, count, text, sizeof(text)), narrowing[i].narrowed);
		if (count)
			assert_true(ts_list_contains(configured, configured_count, out, count));
	}
}

/* More common ranges than fit: the first SELECTORS_MAX stay, nothing is written past the end. */
static void narrow_is_bounded(void **state)
{
	struct selector offered[IKE_TS_MAX], everything, out[SELECTORS_MAX];

	(void)state;
	list_of("0.0.0.0/0", &everything);
	for (unsigned i = 0; i < IKE_TS_MAX; i++) {
		struct ip_addr addr = {.family = IP_V4, .bytes = {10, 0, (uint8_t)i, 1}};

		ts_of_addr(&addr, &offered[i]);
	}
	assert_int_equal(ts_narrow(offered, IKE_TS_MAX, &everything, 1, out), SELECTORS_MAX);
}

static const struct {
	const char *pattern, *id;
	bool matches;
} id_rows[] = {
	{"%any", "gw.example.com", true},
	{"gw.example.com", "GW.Example.COM", true},
	{"gw.example.com", "gw2.example.com", false},
	{"*.example.com", "gw.example.com", true},
	{"*.example.com", ".example.com", false},
	{"*.example.com", "example.com", false},
	{"*@example.com", "user@example.com", true},
	{"*@example.com", "user@example.org", false},
	{"192.0.2.1", "192.0.2.1", true},
	{"192.0.2.1", "fqdn:192.0.2.1", false},
	{"keyid:abc", "keyid:abc", true},
	{"keyid:abc", "abc", false},
	{"@gw.example.com", "gw.example.com", true},
	{"@@user@example.com", "user@example.com", true},
	{"email:user@example.com", "user@example.com", true},
	{"2001:db8::1", "2001:DB8:0::1", true},
};

static void ids_match(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(id_rows); i++) {
		struct ike_id pattern, id;

		assert_true(ike_id_parse(id_rows[i].pattern, &pattern));
		assert_true(ike_id_parse(id_rows[i].id, &id));
		if (ike_id_matches(&pattern, &id) != id_rows[i].matches)
			fail_msg("%s against %s", id_rows[i].pattern, id_rows[i].id);
	}
	assert_false(ike_id_parse("", &(struct ike_id){0}));
	assert_false(ike_id_parse("@", &(struct ike_id){0}));
	assert_false(ike_id_parse("C=CH, O=Example, CN=gw", &(struct ike_id){0}));
}

static void ids_print_harmlessly(void **state)
{
	struct ike_id id = {.type = IKE_ID_FQDN, .len = 5, .data = "a\033[2J"};
	char text[IKE_ID_TEXT_LEN];

	(void)state;
	assert_string_equal(ike_id_format(&id, text), "a?[2J");
	memset(&id, 0xff, sizeof(id));
	id.type = IKE_ID_KEY_ID;
	id.len = IKE_ID_MAX;
	assert_int_equal(strlen(ike_id_format(&id, text)), IKE_ID_MAX);
	id.type = IKE_ID_DN; /* no DER at all */
	assert_int_equal(strlen(ike_id_format(&id, text)), IKE_ID_MAX);
	/* CN=gw */
	id = (struct ike_id){
		.type = IKE_ID_DN, .len = 15, .data = "\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x0c\x02gw"};
	assert_string_equal(ike_id_format(&id, text), "CN=gw");
}

static const struct pairs_case {
	const char *local[2], *remote[2]; /* of either side */
	bool overlap;
	int same;
} pairs_cases[] = {
	{{"10.1.0.0/16", "10.1.0.0/16"}, {"10.2.0.0/16", "10.2.0.0/16"}, true, 0},
	{{"10.1.0.0/16", "10.1.0.0/16"}, {"10.2.0.0/16", "10.2.3.0/24"}, true, -1},
	{{"10.1.0.0/16", "10.3.0.0/16"}, {"10.2.0.0/16", "10.2.0.0/16"}, false, -1},
	{{"10.1.0.0/16", "10.1.0.0/16"}, {"10.2.0.0/16", "10.3.0.0/16"}, false, -1},
	{{"10.1.0.0/16", "10.1.0.0/16"}, {"10.2.0.0/16[tcp]", "10.2.0.0/16[udp]"}, false, -1},
	/* Each side of a pair may be the one that names the protocol. */
	{{"10.1.0.0/16[tcp]", "10.1.0.0/16"}, {"10.2.0.0/16", "10.2.0.0/16[udp]"}, false, -1},
	{{"10.1.0.0/16[tcp]", "10.1.0.0/16"}, {"10.2.0.0/16", "10.2.0.0/16[tcp]"}, true, -1},
	{{"10.1.0.0/16", "10.1.0.0/16"}, {"10.2.0.0/16[tcp/80]", "10.2.0.0/16[tcp/81]"}, false, -1},
	{{"10.1.0.0/16", "10.1.0.0/16"}, {"10.2.0.0/16[tcp/80-90]", "10.2.0.0/16[tcp/90-99]"}, true, -1},
	{{"10.1.0.0/16", "2001:db8::/32"}, {"10.2.0.0/16", "2001:db8:1::/48"}, false, -1},
};

static void pairs_are_compared(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(pairs_cases) / sizeof(pairs_cases[0]); i++) {
		const struct pairs_case *c = &pairs_cases[i];
		struct selector local[2], remote[2];
		struct ts_pairs pairs[2];
		char error[256];

		for (unsigned side = 0; side < 2; side++) {
			assert_true(ts_parse(c->local[side], &local[side], error, sizeof(error)));
			assert_true(ts_parse(c->remote[side], &remote[side], error, sizeof(error)));
			pairs[side] = (struct ts_pairs){&local[side], &remote[side], 1, 1};
		}
		if (ts_pairs_overlap(&pairs[0], &pairs[1]) != c->overlap ||
			ts_pairs_same(&pairs[0], &pairs[1]) != c->same)
			fail_msg("case %zu", i);
		assert_int_equal(ts_pairs_overlap(&pairs[1], &pairs[0]), c->overlap);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse),
		cmocka_unit_test(narrow),
		cmocka_unit_test(narrow_is_bounded),
		cmocka_unit_test(ids_match),
		cmocka_unit_test(ids_print_harmlessly),
		cmocka_unit_test(pairs_are_compared),
	};

	return cmocka_run_group_tests_name("ts", tests, NULL, NULL);
}
