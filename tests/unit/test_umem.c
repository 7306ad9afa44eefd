/* SPDX-License-Identifier: Apache-2.0 */
/* The packet memory: chunks, jumbo buffers, and that each goes back to where it came from. */
#include "agent/umem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define CHUNKS 256u

struct lab {
	struct umem umem;
	struct chunk_cache cache;
};

static int set_up(void **state)
{
	static struct lab lab;

	assert_int_equal(umem_init(&lab.umem, CHUNKS), 0);
	chunk_cache_init(&lab.cache, &lab.umem);
	*state = &lab;
	return 0;
}

static int tear_down(void **state)
{
	struct lab *lab = *state;

	umem_clear(&lab->umem);
	return 0;
}

static void test_small_in_chunk(void **state)
{
	struct lab *lab = *state;
	struct frame frame = {0};

	assert_true(frame_alloc(&lab->cache, &frame, FRAME_DATA_MAX));
	assert_false(umem_is_jumbo(&lab->umem, frame.chunk));
	frame.len = FRAME_DATA_MAX;
	assert_int_equal(frame_headroom(&frame), FRAME_HEADROOM);
	assert_int_equal(frame_tailroom(&frame), FRAME_TAILROOM);
	chunk_give(&lab->cache, frame.chunk);
	chunk_cache_drain(&lab->cache);
	assert_int_equal(umem_free_count(&lab->umem), CHUNKS);
}

static void test_long_in_jumbo(void **state)
{
	struct lab *lab = *state;
	struct frame frame = {0};

	assert_false(frame_alloc(&lab->cache, &frame, JUMBO_DATA_MAX + 1));
	assert_true(frame_alloc(&lab->cache, &frame, FRAME_DATA_MAX + 1));
	assert_true(umem_is_jumbo(&lab->umem, frame.chunk));
	frame.len = JUMBO_DATA_MAX;
	assert_int_equal(frame_tailroom(&frame), FRAME_TAILROOM);
	memset(frame.chunk, 1, frame.size);
	assert_int_equal(umem_jumbo_count(&lab->umem), JUMBO_COUNT - 1);
	chunk_give(&lab->cache, frame.chunk + frame.size - 1); /* any byte inside names it */
	assert_int_equal(umem_jumbo_count(&lab->umem), JUMBO_COUNT);
	assert_int_equal(lab->cache.count, 0);
}

/* Every buffer once, none twice, then none. */
static void test_jumbo_bound(void **state)
{
	static uint8_t *taken[JUMBO_COUNT];
	struct lab *lab = *state;

	for (uint32_t i = 0; i < JUMBO_COUNT; i++) {
		taken[i] = jumbo_take(&lab->umem);
		assert_non_null(taken[i]);
		taken[i][0] = taken[i][JUMBO_SIZE - 1] = 1;
		if (i)
			assert_ptr_equal(taken[i], taken[i - 1] + JUMBO_SIZE);
	}
	assert_null(jumbo_take(&lab->umem));
	for (uint32_t i = 0; i < JUMBO_COUNT; i++)
		jumbo_give(&lab->umem, taken[i]);
	assert_int_equal(umem_jumbo_count(&lab->umem), JUMBO_COUNT);
}

static void test_chunks_bound(void **state)
{
	static struct frame frames[CHUNKS];
	struct lab *lab = *state;
	struct frame more;

	for (uint32_t i = 0; i < CHUNKS; i++)
		assert_true(frame_alloc(&lab->cache, &frames[i], 64));
	assert_false(frame_alloc(&lab->cache, &more, 64));
	for (uint32_t i = 0; i < CHUNKS; i++)
		chunk_give(&lab->cache, frames[i].chunk);
	chunk_cache_drain(&lab->cache);
	assert_int_equal(umem_free_count(&lab->umem), CHUNKS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_small_in_chunk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_in_jumbo, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_jumbo_bound, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_chunks_bound, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("umem", tests, NULL, NULL);
}
