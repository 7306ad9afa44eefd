/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of next hops: how long an answer holds, what makes it stale, and how many questions are asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/nexthop.h"

#include <stdlib.h>
#include <string.h>

#define T0 (10 * NS_PER_S)

#define NEIGHBOR 7u /* the group of every neighbour here */

struct table {
	struct resolver resolver; /* first */
	struct nexthop_cache cache;
	struct fib_news news;
	enum hop_kind kind;
	unsigned asked;
	struct addr16 source; /* of the last question; zero: it had none */
};

static void table_resolve(
	struct resolver *base, const struct addr16 *destination, const struct addr16 *source, struct next_hop *hop)
{
	struct table *table = (struct table *)base;

	table->asked++;
	table->source = source ? *source : (struct addr16){0};
	hop->kind = (uint8_t)table->kind;
	hop->slot = source ? 2 : 1;
	hop->mtu = (uint32_t)destination->bytes[14] << 8 | destination->bytes[15];
	hop->neighbor = NEIGHBOR;
	hop->neighbor_news = table->news.neighbors[NEIGHBOR];
}

static struct table *table_new(enum hop_kind kind)
{
	struct table *table = calloc(1, sizeof(*table));

	table->resolver.resolve = table_resolve;
	table->kind = kind;
	assert_int_equal(nexthop_cache_init(&table->cache, &table->resolver, &table->news), 0);
	return table;
}

static void table_free(struct table *table)
{
	nexthop_cache_clear(&table->cache);
	free(table);
}

static struct addr16 host(uint32_t number)
{
	struct addr16 addr = {.bytes = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 2}};

	addr.bytes[14] = (uint8_t)(number >> 8);
	addr.bytes[15] = (uint8_t)number;
	return addr;
}

static const struct next_hop *find(struct table *table, uint32_t number, uint64_t now)
{
	struct addr16 destination = host(number);

	return nexthop_find(&table->cache, &destination, now);
}

/* One question after the other, at the rate that may last. Gives the time after them. */
static uint64_t find_slowly(struct table *table, uint32_t count, uint64_t now)
{
	for (uint32_t i = 0; i < count; i++, now += NS_PER_S / NEXTHOP_ASKS_PER_S)
		assert_int_equal(find(table, i, now)->mtu, i);
	return now;
}

static void asks_once_while_fresh(void **state)
{
	struct table *table = table_new(HOP_PORT);

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(find(table, 1, T0)->kind, HOP_PORT);
	assert_int_equal(table->asked, 1);
	find(table, 1, T0 + NEXTHOP_LIFE_NS);
	assert_int_equal(table->asked, 2);
	table_free(table);
}

static void kernel_change_makes_stale(void **state)
{
	struct table *table = table_new(HOP_PORT);

	(void)state;
	find(table, 1, T0);
	table->news.all++;
	find(table, 1, T0);
	assert_int_equal(table->asked, 2);
	table_free(table);
}

/* A neighbour's news are about those that go by it, and about no others. */
static void neighbor_change_makes_its_own_stale(void **state)
{
	struct table *table = table_new(HOP_PORT);

	(void)state;
	find(table, 1, T0);
	table->news.neighbors[NEIGHBOR + 1]++;
	find(table, 1, T0);
	assert_int_equal(table->asked, 1);
	table->news.neighbors[NEIGHBOR]++;
	find(table, 1, T0);
	find(table, 1, T0);
	assert_int_equal(table->asked, 2);
	table_free(table);
}

static void bad_news_is_asked_again_soon(void **state)
{
	static const struct {
		enum hop_kind kind;
		uint64_t life;
	} rows[] = {{HOP_PENDING, NEXTHOP_RETRY_NS}, {HOP_FAILED, NEXTHOP_FAILED_NS}, {HOP_NONE, NEXTHOP_FAILED_NS},
		{HOP_HOST, NEXTHOP_LIFE_NS}};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct table *table = table_new(rows[i].kind);

		find(table, 1, T0);
		find(table, 1, T0 + rows[i].life - 1);
		assert_int_equal(table->asked, 1);
		find(table, 1, T0 + rows[i].life);
		assert_int_equal(table->asked, 2);
		table_free(table);
	}
}

/* Some thousand hosts of one network have a place each. */
static void thousands_are_known(void **state)
{
	struct table *table = table_new(HOP_PORT);
	uint64_t now = find_slowly(table, 4000, T0);
	unsigned again = 0;

	(void)state;
	assert_int_equal(table->asked, 4000);
	for (uint32_t i = 0; i < 4000; i++)
		again += find(table, i, now)->kind == HOP_HOST;
	assert_true(again < 40); /* sets that more than their share came to: asked, or the host's */
	assert_true(table->asked < 4000 + 40);
	table_free(table);
}

/* More destinations than places: answers are lost, never mixed up. */
static void collisions_give_right_answers(void **state)
{
	struct table *table = table_new(HOP_PORT);
	uint64_t now = T0;

	(void)state;
	for (unsigned round = 0; round < 2; round++)
		now = find_slowly(table, 4 * NEXTHOP_CACHE_SIZE < 65536 ? 4 * NEXTHOP_CACHE_SIZE : 65535, now);
	table_free(table);
}

/* A flood of destinations: so many questions in a row and a second, the rest is the host's; who is known stays so. */
static void questions_are_bounded(void **state)
{
	struct table *table = table_new(HOP_PORT);
	unsigned elsewhere = 0;

	(void)state;
	find(table, 0, T0);
	for (uint32_t i = 1; i < 5000; i++) {
		const struct next_hop *hop = find(table, i, T0);

		elsewhere += hop->kind == HOP_HOST;
		assert_true(hop->kind == HOP_HOST || hop->mtu == i);
	}
	assert_int_equal(table->asked, NEXTHOP_ASKS_RUN);
	assert_int_equal(elsewhere, 5000 - NEXTHOP_ASKS_RUN);
	for (uint64_t now = T0; now < T0 + NS_PER_S; now += NS_PER_MS) {
		for (uint32_t i = 0; i < 100; i++)
			find(table, (uint32_t)(now / NS_PER_MS * 100 + i) % 60000 + 1, now);
		assert_int_equal(find(table, 0, now)->kind, HOP_PORT);
	}
	assert_in_range(table->asked, NEXTHOP_ASKS_PER_S, NEXTHOP_ASKS_PER_S + NEXTHOP_ASKS_RUN);
	table_free(table);
}

/* An old answer holds on until there is time to ask; one that is no longer true does not. */
static void old_answers_wait_their_turn(void **state)
{
	struct table *table = table_new(HOP_PORT);
	uint64_t now = find_slowly(table, 1000, T0);
	unsigned before = table->asked;

	(void)state;
	now += NEXTHOP_LIFE_NS;
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(find(table, i, now)->kind, HOP_PORT);
	assert_int_equal(table->asked, before + NEXTHOP_ASKS_RUN - NEXTHOP_ASKS_KEPT);
	assert_int_equal(find(table, 2000, now)->kind, HOP_PORT); /* a new one need not wait for them */
	table->news.all++;
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(find(table, i, now)->kind, i < NEXTHOP_ASKS_KEPT - 1 ? HOP_PORT : HOP_HOST);
	table_free(table);
}

/* What was asked at once is not asked again at once. */
static void lives_differ(void **state)
{
	struct table *table = table_new(HOP_PORT);
	unsigned before = NEXTHOP_LIFE_STEPS;

	(void)state;
	for (uint32_t i = 0; i < NEXTHOP_LIFE_STEPS; i++)
		find(table, i, T0);
	for (uint64_t age = NEXTHOP_LIFE_NS / 2; age <= NEXTHOP_LIFE_NS; age += NEXTHOP_LIFE_NS / 128) {
		for (uint32_t i = 0; i < NEXTHOP_LIFE_STEPS; i++)
			find(table, i, T0 + age);
		assert_in_range(table->asked - before, 0, 2);
		before = table->asked;
	}
	assert_int_equal(before, 2 * NEXTHOP_LIFE_STEPS);
	table_free(table);
}

/* The way to a peer depends on the SA's own address; beyond the bound it waits, or is what it was. */
static void protected_packets_have_their_own(void **state)
{
	struct table *table = table_new(HOP_PORT);
	struct addr16 peer = host(1), own = host(2);
	struct nexthop_place places[NEXTHOP_ASKS_RUN + 1] = {0};

	(void)state;
	for (unsigned i = 0; i <= NEXTHOP_ASKS_RUN; i++)
		assert_int_equal(nexthop_at(&places[i], &table->cache, &peer, &own, T0)->kind,
			i < NEXTHOP_ASKS_RUN ? HOP_PORT : HOP_PENDING);
	assert_int_equal(places[0].hop.slot, 2);
	assert_memory_equal(&table->source, &own, sizeof(own));
	assert_int_equal(find(table, 1, T0)->slot, 1); /* plain packets' questions are others */
	assert_int_equal(table->source.bytes[15], 0);
	table->news.all++;
	assert_int_equal(nexthop_at(&places[0], &table->cache, &peer, &own, T0)->kind, HOP_PORT);
	assert_int_equal(table->asked, NEXTHOP_ASKS_RUN + 1);
	assert_int_equal(
		nexthop_at(&places[NEXTHOP_ASKS_RUN], &table->cache, &peer, &own, T0 + NS_PER_MS)->kind, HOP_PORT);
	table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_once_while_fresh),
		cmocka_unit_test(kernel_change_makes_stale),
		cmocka_unit_test(neighbor_change_makes_its_own_stale),
		cmocka_unit_test(bad_news_is_asked_again_soon),
		cmocka_unit_test(thousands_are_known),
		cmocka_unit_test(collisions_give_right_answers),
		cmocka_unit_test(questions_are_bounded),
		cmocka_unit_test(old_answers_wait_their_turn),
		cmocka_unit_test(lives_differ),
		cmocka_unit_test(protected_packets_have_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
