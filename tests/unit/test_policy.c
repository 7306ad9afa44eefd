/* SPDX-License-Identifier: Apache-2.0 */
/* The pure half of the policies: ranges to prefixes, and what stands behind each prefix in which order. */
#include "agent/base/addr.h"
#include "agent/base/own.h"
#include "bpf/policy_lens.h"
#include "bpf/policy_table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TEXT_LEN 1024

static struct ip_addr addr(const char *text)
{
	struct ip_addr out;

	if (!addr_parse(text, &out))
		fail_msg("not an address: %s", text);
	return out;
}

static struct policy_prefix prefix(const char *text)
{
	struct ip_prefix parsed;
	struct policy_prefix out;

	if (!prefix_parse(text, &parsed))
		fail_msg("not a prefix: %s", text);
	out = (struct policy_prefix){.family = parsed.addr.family, .len = parsed.len};
	memcpy(out.bytes, parsed.addr.bytes, sizeof(out.bytes));
	return out;
}

static void prefix_append(char text[static TEXT_LEN], const struct policy_prefix *p)
{
	struct ip_addr at = {.family = p->family};
	char one[ADDR_TEXT_LEN];
	size_t used = strlen(text);

	memcpy(at.bytes, p->bytes, sizeof(at.bytes));
	snprintf(text + used, TEXT_LEN - used, "%s%s/%u", used ? " " : "", addr_format(&at, one), p->len);
}

/* "first last" -> "prefix prefix ..." */
static const struct {
	const char *first;
	const char *last;
	const char *prefixes;
} ranges[] = {
	{"10.1.0.0", "10.1.255.255", "10.1.0.0/16"},
	{"0.0.0.0", "255.255.255.255", "0.0.0.0/0"},
	{"255.255.255.255", "255.255.255.255", "255.255.255.255/32"},
	{"0.0.0.0", "0.0.0.0", "0.0.0.0/32"},
	{"10.0.0.5", "10.0.0.9", "10.0.0.5/32 10.0.0.6/31 10.0.0.8/31"},
	{"10.0.0.1", "10.0.0.6", "10.0.0.1/32 10.0.0.2/31 10.0.0.4/31 10.0.0.6/32"},
	{"127.255.255.255", "128.0.0.0", "127.255.255.255/32 128.0.0.0/32"},
	{"128.0.0.0", "255.255.255.255", "128.0.0.0/1"},
	{"10.0.0.2", "10.0.0.1", ""},
	{"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0"},
	{"2001:db8::", "2001:db8:0:ffff:ffff:ffff:ffff:ffff", "2001:db8::/48"},
	{"fd00::ffff", "fd00::1:0", "fd00::ffff/128 fd00::1:0/128"},
	{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127"},
};

static void test_ranges(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		struct ip_addr first = addr(ranges[i].first), last = addr(ranges[i].last);
		struct policy_prefix out[RANGE_PREFIXES_MAX];
		uint32_t count = range_to_prefixes(first.family, first.bytes, last.bytes, out);
		char text[TEXT_LEN] = "";

		for (uint32_t k = 0; k < count; k++)
			prefix_append(text, &out[k]);
		assert_string_equal(text, ranges[i].prefixes);
	}
}

/* The worst ranges fit the bound exactly. */
static void test_worst_range(void **state)
{
	struct policy_prefix out[RANGE_PREFIXES_MAX];
	struct ip_addr first = addr("0.0.0.1"), last = addr("255.255.255.254");

	(void)state;
	assert_int_equal(range_to_prefixes(4, first.bytes, last.bytes, out), 62);
	first = addr("::1");
	last = addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe");
	assert_int_equal(range_to_prefixes(6, first.bytes, last.bytes, out), RANGE_PREFIXES_MAX);
}

static uint64_t address_number(const struct policy_prefix *p)
{
	return (uint64_t)p->bytes[0] << 24 | (uint64_t)p->bytes[1] << 16 | (uint64_t)p->bytes[2] << 8 | p->bytes[3];
}

/* Prefixes of any range follow each other without gap or overlap, from its first to its last address. */
static void test_ranges_are_exact(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		struct policy_prefix out[RANGE_PREFIXES_MAX];
		uint8_t ends[2][16] = {{0}};
		uint64_t next;
		uint32_t count;

		for (int i = 0; i < 8; i++) {
			seed = seed * 1664525u + 1013904223u;
			ends[i / 4][i % 4] = (uint8_t)(seed >> 24);
		}
		if (memcmp(ends[0], ends[1], 4) > 0)
			continue;
		count = range_to_prefixes(4, ends[0], ends[1], out);
		assert_true(count > 0 && count <= 62);
		next = address_number(&out[0]);
		assert_memory_equal(out[0].bytes, ends[0], 4);
		for (uint32_t k = 0; k < count; k++) {
			assert_int_equal(address_number(&out[k]), next);
			next += UINT64_C(1) << (32 - out[k].len);
		}
		assert_int_equal(next - 1, (uint64_t)ends[1][0] << 24 | (uint64_t)ends[1][1] << 16 |
						   (uint64_t)ends[1][2] << 8 | ends[1][3]);
	}
}

static const struct {
	const char *outer;
	const char *inner;
	bool covers;
} coverings[] = {
	{"0.0.0.0/0", "10.1.2.3/32", true},
	{"0.0.0.0/0", "0.0.0.0/0", true},
	{"10.0.0.0/8", "10.255.0.0/16", true},
	{"10.0.0.0/8", "11.0.0.0/8", false},
	{"10.0.0.0/16", "10.0.0.0/8", false},
	{"10.128.0.0/9", "10.128.0.0/10", true},
	{"10.128.0.0/9", "10.0.0.0/10", false},
	{"10.0.0.1/32", "10.0.0.1/32", true},
	{"::/0", "10.0.0.1/32", false},
	{"fd00::/9", "fd7f::/16", true},
	{"fd00::/9", "fd80::/16", false},
};

static void test_covers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(coverings); i++) {
		struct policy_prefix outer = prefix(coverings[i].outer), inner = prefix(coverings[i].inner);

		if (prefix_covers(&outer, &inner) != coverings[i].covers)
			fail_msg("%s, %s", coverings[i].outer, coverings[i].inner);
	}
}

static struct selector selector(const char *first, const char *last, uint8_t protocol)
{
	struct ip_addr low = addr(first), high = addr(last);
	struct selector s = {.family = low.family, .protocol = protocol, .port_last = 0xffff};

	memcpy(s.first, low.bytes, sizeof(s.first));
	memcpy(s.last, high.bytes, sizeof(s.last));
	return s;
}

static struct policy policy(uint32_t tunnel, uint32_t priority, const char *first, const char *last)
{
	struct policy p = {
		.tunnel = tunnel, .action = POLICY_PROTECT, .priority = priority, .local_count = 1, .remote_count = 1};

	p.local[0] = selector("10.1.0.0", "10.1.255.255", 0);
	p.remote[0] = selector(first, last, 0);
	return p;
}

/* "tunnel tunnel ..." behind a prefix, in the order asked. */
static void entry_expect(const struct policy_table *table, const char *at, const char *expected)
{
	struct policy_prefix p = prefix(at);
	union policy_entry entry;
	char text[TEXT_LEN] = "";
	int count = policy_entry_build(table, &p, &entry);

	for (int i = 0; i < count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u", i ? " " : "",
			entry.v4.selectors[i].tunnel);
	assert_string_equal(text, expected);
}

static void test_order(void **state)
{
	struct policy_table table = {0};
	const struct policy policies[] = {
		policy(1, 10, "10.0.0.0", "10.255.255.255"),
		policy(2, 10, "10.2.0.0", "10.2.255.255"),
		policy(3, 10, "10.2.0.0", "10.2.255.255"),
		policy(4, 5, "10.0.0.0", "10.127.255.255"),
		policy(5, 20, "10.2.3.0", "10.2.3.255"),
	};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(policies); i++)
		assert_int_equal(policy_table_add(&table, &policies[i], i + 1), 0);
	entry_expect(&table, "10.0.0.0/8", "1");
	entry_expect(&table, "10.0.0.0/9", "4 1");
	entry_expect(&table, "10.2.0.0/16", "4 2 3 1");
	entry_expect(&table, "10.2.3.0/24", "4 2 3 1 5");
	entry_expect(&table, "11.0.0.0/8", "");
	policy_table_clear(&table);
}

static void policy_take(struct policy_table *table, uint32_t id)
{
	struct policy_rules *rules = policy_table_find(table, id);

	assert_non_null(rules);
	policy_table_unlink(table, rules);
	policy_table_forget(table, rules);
}

static void test_take(void **state)
{
	struct policy_table table = {0};
	const struct policy one = policy(1, 10, "10.0.0.5", "10.0.0.9"),
			    two = policy(2, 10, "10.0.0.0", "10.255.255.255");
	struct policy_prefix single = prefix("10.0.0.5/32");
	struct policy_rules *rules;

	(void)state;
	assert_int_equal(policy_table_add(&table, &one, 1), 0);
	assert_int_equal(policy_table_add(&table, &two, 2), 0);
	assert_non_null(policy_table_node(&table, &single));
	rules = policy_table_find(&table, 1);
	assert_int_equal(rules->count, 3);
	policy_table_unlink(&table, rules);
	entry_expect(&table, "10.0.0.5/32", "2");
	policy_table_link(&table, rules);
	entry_expect(&table, "10.0.0.5/32", "1 2");
	policy_take(&table, 1);
	assert_null(policy_table_node(&table, &single));
	assert_null(policy_table_find(&table, 1));
	assert_int_equal(table.count, 1);
	entry_expect(&table, "10.0.0.5/32", "2");
	policy_table_clear(&table);
}

/* What the maps hold stays in the index though no policy has it. */
static void test_installed(void **state)
{
	struct policy_table table = {0};
	const struct policy one = policy(1, 10, "10.0.0.0", "10.0.255.255");
	const char *texts[] = {"10.2.0.0/16", "10.0.0.0/8", "fd02::/16", "10.0.7.0/24"};
	struct policy_prefix wide = prefix("10.0.0.0/8");
	uint32_t at;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct policy_prefix p = prefix(texts[i]);

		assert_int_equal(policy_table_append(&table, &p), 0);
	}
	policy_table_sort(&table);
	assert_int_equal(policy_table_add(&table, &one, 1), 0);
	at = policy_table_first(&table, &wide);
	assert_int_equal(at, 0);
	for (; at < table.count && prefix_covers(&wide, &table.nodes[at]->prefix); at++)
		assert_int_equal(table.nodes[at]->prefix.family, 4);
	assert_int_equal(at, 4);
	policy_take(&table, 1);
	assert_int_equal(table.count, 4);
	table.nodes[1]->installed = false;
	policy_table_prune(&table);
	assert_int_equal(table.count, 3);
	policy_table_clear(&table);
}

#define MODEL_POLICIES 60u
#define MODEL_STEPS    400u

/* The tunnels behind `at` by looking at every policy: few priorities, so that all three criteria decide. */
static void model_expect(const struct policy *all, const bool *live, const struct policy_prefix *at, char *text)
{
	bool told[MODEL_POLICIES] = {false};

	text[0] = '\0';
	for (;;) {
		uint32_t best = MODEL_POLICIES;
		unsigned best_len = 0;

		for (uint32_t i = 0; i < MODEL_POLICIES; i++) {
			struct policy_prefix own[RANGE_PREFIXES_MAX];

			if (!live[i] || told[i])
				continue;
			range_to_prefixes(4, all[i].remote[0].first, all[i].remote[0].last, own);
			if (!prefix_covers(&own[0], at))
				continue;
			if (best == MODEL_POLICIES || all[i].priority < all[best].priority ||
				(all[i].priority == all[best].priority && own[0].len > best_len)) {
				best = i;
				best_len = own[0].len;
			}
		}
		if (best == MODEL_POLICIES)
			return;
		told[best] = true;
		snprintf(text + strlen(text), TEXT_LEN - strlen(text), "%s%u", text[0] ? " " : "", all[best].tunnel);
	}
}

/* A policy to one random prefix of 10.0.0.0/12 to /24; few under one prefix. */
static struct policy model_policy(uint32_t i)
{
	struct policy p = policy(i + 1, (uint32_t)rand() % 3, "10.0.0.0", "10.0.0.0");
	unsigned len = 12 + (unsigned)rand() % 13;
	uint32_t first = (0x0a000000u | ((uint32_t)rand() & 0xfffff)) & ~(0xffffffffu >> len), last;

	last = first | 0xffffffffu >> len;
	for (unsigned b = 0; b < 4; b++) {
		p.remote[0].first[b] = (uint8_t)(first >> (24 - 8 * b));
		p.remote[0].last[b] = (uint8_t)(last >> (24 - 8 * b));
	}
	return p;
}

static void test_model(void **state)
{
	struct policy_table table = {0};
	struct policy all[MODEL_POLICIES];
	bool live[MODEL_POLICIES] = {false};

	(void)state;
	srand(7);
	for (uint32_t i = 0; i < MODEL_POLICIES; i++)
		all[i] = model_policy(i);
	for (uint32_t step = 0; step < MODEL_STEPS; step++) {
		uint32_t i = (uint32_t)rand() % MODEL_POLICIES;

		if (live[i])
			policy_take(&table, i + 1);
		else
			assert_int_equal(policy_table_add(&table, &all[i], i + 1), 0);
		live[i] = !live[i];
		for (uint32_t n = 0; n < table.count; n++) {
			char expected[TEXT_LEN], at[TEXT_LEN] = "";
			union policy_entry entry;

			if (policy_entry_build(&table, &table.nodes[n]->prefix, &entry) < 0)
				continue;
			prefix_append(at, &table.nodes[n]->prefix);
			model_expect(all, live, &table.nodes[n]->prefix, expected);
			entry_expect(&table, at, expected);
		}
	}
	policy_table_clear(&table);
}

/* ---- the list of lengths ---- */

static void lens_expect(const struct policy_lens *lens, const char *expected)
{
	char text[TEXT_LEN] = "";

	for (int at = policy_lens_next(lens, POLICY_LENS_HEAD); at >= 0; at = policy_lens_next(lens, (uint32_t)at))
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%d", text[0] ? " " : "", at);
	assert_string_equal(text, expected);
}

static void test_lens(void **state)
{
	struct policy_lens lens = {0};

	(void)state;
	lens_expect(&lens, "");
	policy_lens_remove(&lens, 24);
	policy_lens_insert(&lens, 24);
	policy_lens_insert(&lens, 0);
	policy_lens_insert(&lens, 128);
	policy_lens_insert(&lens, 16);
	policy_lens_insert(&lens, 24);
	lens_expect(&lens, "128 24 16 0");
	policy_lens_remove(&lens, 24);
	lens_expect(&lens, "128 16 0");
	/* Who stands on the removed length still finds the rest. */
	assert_int_equal(policy_lens_next(&lens, 24), 16);
	policy_lens_remove(&lens, 128);
	policy_lens_remove(&lens, 0);
	lens_expect(&lens, "16");
	policy_lens_remove(&lens, 16);
	lens_expect(&lens, "");
}

/* A list that leads in a circle still ends. */
static void test_lens_broken(void **state)
{
	struct policy_lens lens = {0};

	(void)state;
	lens.next[POLICY_LENS_HEAD] = 25;
	lens.next[24] = 33;
	lens.next[32] = 25;
	lens_expect(&lens, "24");
	memset(&lens, 0xff, sizeof(lens));
	lens_expect(&lens, "");
}

/* Selectors pair within a family, and where one side's protocol is open the other's counts. */
static void test_pairs(void **state)
{
	struct policy_table table = {0};
	struct policy p = {.tunnel = 9, .action = POLICY_PROTECT, .local_count = 3, .remote_count = 3};
	struct policy_prefix at = prefix("10.2.0.0/16");
	union policy_entry entry;

	(void)state;
	p.local[0] = selector("10.1.0.0", "10.1.255.255", 0);
	p.local[1] = selector("10.9.0.0", "10.9.255.255", 6);
	p.local[2] = selector("fd01::", "fd01::ffff", 0);
	p.remote[0] = selector("10.2.0.0", "10.2.255.255", 17);
	p.remote[1] = selector("10.2.0.0", "10.2.255.255", 6);
	p.remote[2] = selector("fd02::", "fd02::ffff", 0);
	assert_int_equal(policy_table_add(&table, &p, 1), 0);
	assert_int_equal(policy_entry_build(&table, &at, &entry), 3);
	assert_int_equal(entry.v4.selectors[0].protocol, 17);
	assert_int_equal(entry.v4.selectors[1].protocol, 6);
	assert_int_equal(entry.v4.selectors[2].protocol, 6);
	assert_int_equal(entry.v4.selectors[2].local_first, 0x0a090000);
	at = prefix("fd02::/112");
	assert_int_equal(policy_entry_build(&table, &at, &entry), 1);
	assert_int_equal(entry.v6.selectors[0].tunnel, 9);
	policy_table_clear(&table);
}

static void test_refused(void **state)
{
	struct policy_table table = {0};
	struct policy p = policy(1, 1, "10.2.0.0", "10.2.0.255");

	(void)state;
	p.remote[0] = selector("10.2.0.255", "10.2.0.0", 0);
	assert_int_equal(policy_table_add(&table, &p, 1), -EINVAL);
	p.remote[0] = selector("fd02::", "fd02::1", 0);
	assert_int_equal(policy_table_add(&table, &p, 1), -EINVAL);
	p = policy(1, 1, "10.2.0.0", "10.2.0.255");
	p.action = 0;
	assert_int_equal(policy_table_add(&table, &p, 1), -EINVAL);
	p.action = POLICY_PROTECT;
	p.local[0].port_first = 9;
	p.local[0].port_last = 8;
	assert_int_equal(policy_table_add(&table, &p, 1), -EINVAL);
	p.local_count = 0;
	assert_int_equal(policy_table_add(&table, &p, 1), -EINVAL);
	p.local_count = SELECTORS_MAX + 1;
	assert_int_equal(policy_table_add(&table, &p, 1), -EINVAL);
	assert_int_equal(table.count, 0);
	policy_table_clear(&table);
}

static void test_too_many(void **state)
{
	struct policy_table table = {0};
	const struct policy p = policy(1, 1, "10.2.0.0", "10.2.0.255");
	struct policy_prefix at = prefix("10.2.0.0/24"), elsewhere = prefix("10.3.0.0/24");
	union policy_entry entry;

	(void)state;
	for (uint32_t i = 1; i <= POLICY_SELECTORS_MAX; i++)
		assert_int_equal(policy_table_add(&table, &p, i), 0);
	assert_int_equal(policy_entry_build(&table, &at, &entry), POLICY_SELECTORS_MAX);
	assert_int_equal(policy_table_add(&table, &p, 99), 0);
	assert_int_equal(policy_entry_build(&table, &at, &entry), -E2BIG);
	assert_int_equal(policy_entry_build(&table, &elsewhere, &entry), 0);
	policy_table_clear(&table);
}

static const struct {
	const char *first;
	const char *last;
	uint8_t flags;
} among[] = {
	{"0.0.0.0", "255.255.255.255", SELECTOR_NOT_AMONG_LOCAL},
	{"10.0.0.0", "10.255.255.255", SELECTOR_NOT_AMONG_LOCAL},
	{"10.1.0.0", "10.1.255.255", 0}, /* the same as the local range: nothing else would be left */
	{"10.1.0.0", "10.1.127.255", 0},
	{"10.2.0.0", "10.2.255.255", 0},
};

static void test_among_local(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(among); i++) {
		struct policy_table table = {0};
		struct policy p = policy(5, 1, among[i].first, among[i].last);
		union policy_entry entry;

		assert_int_equal(policy_table_add(&table, &p, 1), 0);
		assert_int_equal(policy_entry_build(&table, &table.nodes[0]->prefix, &entry), 1);
		assert_int_equal(entry.v4.selectors[0].flags, among[i].flags);
		policy_table_clear(&table);
	}
}

/* Bypass and discard name no tunnel, whatever the caller left in the field. */
static void test_no_tunnel(void **state)
{
	struct policy_table table = {0};
	struct policy p = policy(5, 1, "10.2.0.0", "10.2.0.255");

	(void)state;
	p.action = POLICY_BYPASS;
	assert_int_equal(policy_table_add(&table, &p, 1), 0);
	assert_int_equal(table.nodes[0]->rules->tunnel, TUNNEL_NONE);
	policy_table_clear(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_worst_range),
		cmocka_unit_test(test_ranges_are_exact),
		cmocka_unit_test(test_covers),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_installed),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_lens),
		cmocka_unit_test(test_lens_broken),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_among_local),
		cmocka_unit_test(test_no_tunnel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
