/* SPDX-License-Identifier: Apache-2.0 */
/* Packets that wait: order, bounds, time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/hold.h"

#include <stdlib.h>

#define T0 UINT64_C(1000)

struct seen {
	uint64_t ready; /* the key to take */
	unsigned taken;
	unsigned expired;
	uint32_t lens[HOLD_MAX];
};

static enum held_fate judge(void *context, uint64_t key, struct frame *frame, bool expired)
{
	struct seen *seen = context;

	seen->expired += expired;
	if (key != seen->ready && !expired)
		return HELD_KEEP;
	seen->lens[seen->taken++] = frame->len;
	return HELD_TAKEN;
}

static bool add(struct hold *hold, uint64_t key, uint32_t len, uint64_t now)
{
	struct frame frame = {.len = len};

	return hold_add(hold, key, &frame, now);
}

static void takes_one_key_in_order(void **state)
{
	struct hold *hold = calloc(1, sizeof(*hold));
	struct seen seen = {.ready = 7};

	(void)state;
	for (uint32_t i = 0; i < 5; i++) {
		assert_true(add(hold, 7, i, T0));
		assert_true(add(hold, 8, 100 + i, T0));
	}
	hold_sweep(hold, T0 + 1, judge, &seen);
	assert_int_equal(seen.taken, 5);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(seen.lens[i], i);
	assert_int_equal(hold->count, 5);
	seen = (struct seen){.ready = 8};
	hold_sweep(hold, T0 + 1, judge, &seen);
	assert_int_equal(seen.taken, 5);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(seen.lens[i], 100 + i);
	assert_int_equal(hold->count, 0);
	free(hold);
}

static void one_key_has_bounded_room(void **state)
{
	struct hold *hold = calloc(1, sizeof(*hold));

	(void)state;
	for (uint32_t i = 0; i < HOLD_KEY_MAX; i++)
		assert_true(add(hold, 1, i, T0));
	assert_false(add(hold, 1, 0, T0));
	assert_true(add(hold, 2, 0, T0));
	free(hold);
}

static void all_keys_have_bounded_room(void **state)
{
	struct hold *hold = calloc(1, sizeof(*hold));

	(void)state;
	for (uint32_t i = 0; i < HOLD_MAX; i++)
		assert_true(add(hold, i, 0, T0));
	assert_false(add(hold, HOLD_MAX, 0, T0));
	free(hold);
}

static void time_ends_waiting(void **state)
{
	struct hold *hold = calloc(1, sizeof(*hold));
	struct seen seen = {.ready = UINT64_MAX};

	(void)state;
	add(hold, 1, 1, T0);
	add(hold, 1, 2, T0 + HOLD_NS / 2);
	hold_sweep(hold, T0 + HOLD_NS - 1, judge, &seen);
	assert_int_equal(seen.taken, 0);
	hold_sweep(hold, T0 + HOLD_NS, judge, &seen);
	assert_int_equal(seen.taken, 1);
	assert_int_equal(seen.expired, 1);
	assert_int_equal(seen.lens[0], 1);
	assert_int_equal(hold->count, 1);
	free(hold);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_one_key_in_order),
		cmocka_unit_test(one_key_has_bounded_room),
		cmocka_unit_test(all_keys_have_bounded_room),
		cmocka_unit_test(time_ends_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
