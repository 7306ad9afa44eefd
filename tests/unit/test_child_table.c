/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of CHILD SAs against a list that is searched from end to end. */
#include "ike/child_table.h"

#include "ike/child_sa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define CHILDREN 3000u
#define KEYS	 700u /* so that keys are shared */
#define STEPS	 60000u
#define SEED	 UINT64_C(0x9e3779b97f4a7c15)

struct world {
	struct child_table table;
	struct child_sa children[CHILDREN];
};

static int set_up(void **state)
{
	*state = calloc(1, sizeof(struct world));
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static bool has(const struct child_sa *child, enum child_index index, uint64_t key)
{
	return child->links[index].at && child->links[index].key == key;
}

/* All with `key`, each once. */
static void same_as_list(const struct world *world, enum child_index index, uint64_t key)
{
	uint32_t wanted = 0, found = 0;
	struct child_sa *child = child_table_find(&world->table, SEED, index, key);

	for (uint32_t i = 0; i < CHILDREN; i++)
		wanted += has(&world->children[i], index, key);
	for (; child; child = child_table_next(index, child)) {
		assert_true(has(child, index, key));
		assert_true(++found <= wanted);
	}
	assert_int_equal(found, wanted);
}

static void test_as_a_list(void **state)
{
	struct world *world = *state;
	uint32_t random = 7;

	for (uint32_t step = 0; step < STEPS; step++) {
		struct child_sa *child = &world->children[next_random(&random) % CHILDREN];
		enum child_index index = next_random(&random) % CHILD_INDEXES;
		uint64_t key = (uint64_t)(next_random(&random) % KEYS) << (index == CHILD_BY_POLICY ? 40 : 0);

		if (next_random(&random) % 3)
			child_table_put(&world->table, SEED, index, child, key);
		else
			child_table_take(index, child);
		if (step % 97 == 0)
			same_as_list(world, index, key);
	}
	for (uint32_t i = 0; i < CHILDREN; i++)
		for (enum child_index index = 0; index < CHILD_INDEXES; index++)
			child_table_take(index, &world->children[i]);
	for (enum child_index index = 0; index < CHILD_INDEXES; index++)
		for (uint32_t i = 0; i < CHILD_BUCKETS; i++)
			assert_null(world->table.buckets[index][i]);
}

/* Ids go up one by one, SPIs come as they like: neither makes a chain long. */
static void test_chains_are_short(void **state)
{
	struct world *world = *state;
	uint32_t random = 3, longest = 0;

	for (uint32_t i = 0; i < CHILDREN; i++) {
		child_table_put(&world->table, SEED, CHILD_BY_ID, &world->children[i], i + 1);
		child_table_put(&world->table, SEED, CHILD_BY_SPI, &world->children[i], next_random(&random) << 8);
	}
	for (enum child_index index = CHILD_BY_ID; index <= CHILD_BY_SPI; index++)
		for (uint32_t i = 0; i < CHILD_BUCKETS; i++) {
			uint32_t len = 0;

			for (const struct child_sa *c = world->table.buckets[index][i]; c; c = c->links[index].next)
				len++;
			longest = len > longest ? len : longest;
		}
	assert_in_range(longest, 1, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_as_a_list, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_chains_are_short, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("child_table", tests, NULL, NULL);
}
