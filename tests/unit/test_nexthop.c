/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of next hops: how long an answer holds, and what makes it stale. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/nexthop.h"

#include <stdlib.h>
#include <string.h>

#define T0 (10 * NS_PER_S)

struct table {
	struct resolver resolver; /* first */
	enum hop_kind kind;
	unsigned asked;
};

static void table_resolve(struct resolver *base, const struct addr16 *destination, bool outer, struct next_hop *hop)
{
	struct table *table = (struct table *)base;

	table->asked++;
	hop->kind = (uint8_t)table->kind;
	hop->slot = outer ? 2 : 1;
	hop->mtu = destination->bytes[15];
}

static _Atomic uint32_t epoch;

static struct nexthop_cache *cache_new(struct table *table, enum hop_kind kind)
{
	struct nexthop_cache *cache = calloc(1, sizeof(*cache));

	*table = (struct table){.resolver.resolve = table_resolve, .kind = kind};
	cache->resolver = &table->resolver;
	cache->epoch = &epoch;
	return cache;
}

static struct addr16 host(uint8_t last)
{
	struct addr16 addr = {.bytes = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = last}};

	return addr;
}

static void asks_once_while_fresh(void **state)
{
	struct addr16 destination = host(1);
	struct table table;
	struct nexthop_cache *cache = cache_new(&table, HOP_PORT);

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(nexthop_find(cache, &destination, false, T0)->kind, HOP_PORT);
	assert_int_equal(table.asked, 1);
	nexthop_find(cache, &destination, false, T0 + NEXTHOP_LIFE_NS);
	assert_int_equal(table.asked, 2);
	free(cache);
}

static void kernel_change_makes_stale(void **state)
{
	struct addr16 destination = host(1);
	struct table table;
	struct nexthop_cache *cache = cache_new(&table, HOP_PORT);

	(void)state;
	nexthop_find(cache, &destination, false, T0);
	epoch++;
	nexthop_find(cache, &destination, false, T0);
	assert_int_equal(table.asked, 2);
	free(cache);
}

static void protected_and_plain_are_apart(void **state)
{
	struct addr16 destination = host(1);
	struct table table;
	struct nexthop_cache *cache = cache_new(&table, HOP_PORT);

	(void)state;
	assert_int_equal(nexthop_find(cache, &destination, false, T0)->slot, 1);
	assert_int_equal(nexthop_find(cache, &destination, true, T0)->slot, 2);
	assert_int_equal(nexthop_find(cache, &destination, false, T0)->slot, 1);
	free(cache);
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
		struct addr16 destination = host(1);
		struct table table;
		struct nexthop_cache *cache = cache_new(&table, rows[i].kind);

		nexthop_find(cache, &destination, false, T0);
		nexthop_find(cache, &destination, false, T0 + rows[i].life - 1);
		assert_int_equal(table.asked, 1);
		nexthop_find(cache, &destination, false, T0 + rows[i].life);
		assert_int_equal(table.asked, 2);
		free(cache);
	}
}

/* More destinations than places: answers are lost, never mixed up. */
static void collisions_give_right_answers(void **state)
{
	struct table table;
	struct nexthop_cache *cache = cache_new(&table, HOP_PORT);

	(void)state;
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < 4 * NEXTHOP_CACHE_SIZE; i++) {
			struct addr16 destination = host((uint8_t)i);

			destination.bytes[13] = (uint8_t)(i >> 16);
			destination.bytes[14] = (uint8_t)(i >> 8);
			assert_int_equal(nexthop_find(cache, &destination, false, T0)->mtu, (uint8_t)i);
		}
	free(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_once_while_fresh),
		cmocka_unit_test(kernel_change_makes_stale),
		cmocka_unit_test(protected_and_plain_are_apart),
		cmocka_unit_test(bad_news_is_asked_again_soon),
		cmocka_unit_test(collisions_give_right_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
