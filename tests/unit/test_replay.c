/* SPDX-License-Identifier: Apache-2.0 */
/* The replay window: a table of stories, every edge of every size, and a naive model that must always agree. */
#include "agent/base/own.h"
#include "agent/replay.h"
#include "tests/unit/esp_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* check, and mark if it may be accepted: what a packet does that is authentic. */
static enum drop_reason see(struct sa_run *run, uint32_t bits, uint64_t seq)
{
	enum drop_reason reason = replay_check(run, bits, seq), marked;
	bool newest;
	uint64_t top = run->replay_top;

	marked = replay_mark(run, bits, seq, &newest);
	assert_int_equal(marked, reason);
	assert_int_equal(newest, reason == DROP_NONE && seq > top);
	return reason;
}

static void test_sizes(void **state)
{
	(void)state;
	assert_true(replay_bits_valid(0));
	for (uint32_t bits = 32; bits <= REPLAY_BITS_MAX; bits *= 2) {
		assert_true(replay_bits_valid(bits));
		assert_false(replay_bits_valid(bits - 1));
		assert_false(replay_bits_valid(bits + 1));
	}
	assert_false(replay_bits_valid(16));
	assert_false(replay_bits_valid(REPLAY_BITS_MAX * 2));
}

/* One story, in order, with a window of 64. */
static void test_story(void **state)
{
	static const struct {
		uint64_t seq;
		enum drop_reason reason;
	} story[] = {
		{0, DROP_SEQ_ZERO},
		{1, DROP_NONE},
		{1, DROP_REPLAY},
		{0, DROP_SEQ_ZERO},
		{9, DROP_NONE},
		{8, DROP_NONE},
		{7, DROP_NONE},
		{7, DROP_REPLAY},
		{8, DROP_REPLAY},
		{9, DROP_REPLAY},
		{64, DROP_NONE},
		{2, DROP_NONE}, /* right at the left edge: 1..64 */
		{1, DROP_REPLAY},
		{65, DROP_NONE},
		{1, DROP_REPLAY_OLD}, /* now 2..65 */
		{2, DROP_REPLAY},
		{66, DROP_NONE},
		{2, DROP_REPLAY_OLD},
		{3, DROP_NONE},
		{3, DROP_REPLAY},
		{1000, DROP_NONE}, /* a jump over the whole window */
		{66, DROP_REPLAY_OLD},
		{936, DROP_REPLAY_OLD},
		{937, DROP_NONE},
		{999, DROP_NONE},
		{999, DROP_REPLAY},
		{1000, DROP_REPLAY},
		{1064, DROP_NONE}, /* a jump by the window's size exactly */
		{1000, DROP_REPLAY_OLD},
		{1001, DROP_NONE},
		{1127, DROP_NONE}, /* by one less: 1064 stays */
		{1064, DROP_REPLAY},
		{1063, DROP_REPLAY_OLD},
		{1065, DROP_NONE},
		{UINT32_MAX - 1, DROP_NONE},
		{UINT32_MAX, DROP_NONE},
		{UINT32_MAX, DROP_REPLAY},
		{UINT32_MAX - 63, DROP_NONE},
		{UINT32_MAX - 64, DROP_REPLAY_OLD},
		{0, DROP_SEQ_ZERO},
		{UINT64_C(0x100000000), DROP_NONE}, /* with 64-bit numbers it goes on */
		{UINT32_MAX, DROP_REPLAY},
		{UINT32_MAX - 62, DROP_NONE},
		{UINT32_MAX - 63, DROP_REPLAY_OLD},
	};
	struct sa_run run = {0};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(story); i++)
		assert_int_equal(see(&run, 64, story[i].seq), story[i].reason);
}

/* For every size: the left edge is in, the one before it is out, wherever the top stands within a word. */
static void test_edges(void **state)
{
	(void)state;
	for (uint32_t bits = REPLAY_BITS_MIN; bits <= REPLAY_BITS_MAX; bits *= 2) {
		for (uint64_t top = 3 * (uint64_t)bits - 1; top <= 3 * (uint64_t)bits + 130; top++) {
			struct sa_run run = {0};

			assert_int_equal(see(&run, bits, top), DROP_NONE);
			assert_int_equal(see(&run, bits, top - bits), DROP_REPLAY_OLD);
			assert_int_equal(see(&run, bits, top - bits + 1), DROP_NONE);
			assert_int_equal(see(&run, bits, top - bits + 1), DROP_REPLAY);
			assert_int_equal(see(&run, bits, top - 1), DROP_NONE);
			assert_int_equal(see(&run, bits, top), DROP_REPLAY);
			assert_int_equal(run.replay_top, top);
		}
	}
}

/* All of a window, backwards, each once. */
static void test_backwards(void **state)
{
	(void)state;
	for (uint32_t bits = REPLAY_BITS_MIN; bits <= REPLAY_BITS_MAX; bits *= 2) {
		struct sa_run run = {0};

		for (uint64_t seq = 2 * (uint64_t)bits; seq > bits; seq--)
			assert_int_equal(see(&run, bits, seq), DROP_NONE);
		for (uint64_t seq = 2 * (uint64_t)bits; seq > bits; seq--)
			assert_int_equal(see(&run, bits, seq), DROP_REPLAY);
	}
}

/* A word behind the window's size is nobody's business. */
static void test_stays_inside(void **state)
{
	(void)state;
	for (uint32_t bits = REPLAY_BITS_MIN; bits < REPLAY_BITS_MAX; bits *= 2) {
		struct sa_run run = {0};

		memset(run.replay_window, 0xa5, sizeof(run.replay_window));
		memset(run.replay_window, 0, bits < 64 ? 8 : bits / 8);
		for (uint64_t seq = 1; seq < 5 * (uint64_t)bits; seq += seq % 7 + 1)
			see(&run, bits, seq);
		see(&run, bits, 100 * (uint64_t)bits);
		for (uint32_t i = bits < 64 ? 8 : bits / 8; i < sizeof(run.replay_window); i++)
			assert_int_equal(((const uint8_t *)run.replay_window)[i], 0xa5);
	}
}

static void test_off(void **state)
{
	struct sa_run run = {0};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(see(&run, 0, 0), DROP_NONE);
		assert_int_equal(see(&run, 0, 5), DROP_NONE);
		assert_int_equal(see(&run, 0, 3), DROP_NONE);
		assert_int_equal(run.replay_top, 5);
	}
	for (unsigned i = 0; i < REPLAY_WORDS; i++)
		assert_int_equal(run.replay_window[i], 0);
}

/* ---- against a model that remembers everything ---------------------------------------------------------------- */

#define MODEL_SEQS (1u << 18)

static uint8_t seen[MODEL_SEQS];

static enum drop_reason model_see(uint64_t *top, uint32_t bits, uint64_t seq)
{
	if (seq == 0)
		return DROP_SEQ_ZERO;
	if (seq + bits <= *top)
		return DROP_REPLAY_OLD;
	if (seen[seq])
		return DROP_REPLAY;
	seen[seq] = 1;
	if (seq > *top)
		*top = seq;
	return DROP_NONE;
}

/* Mostly near the top, sometimes far back or ahead. */
static uint64_t random_seq(uint64_t *random, uint64_t top, uint32_t bits)
{
	uint32_t kind = lab_random(random) % 16;
	uint64_t seq;

	if (kind < 6)
		seq = top + 1 + lab_random(random) % 4;
	else if (kind < 13)
		seq = top - lab_random(random) % (bits + 8);
	else if (kind < 14)
		seq = top + lab_random(random) % (bits / 2);
	else if (kind < 15)
		seq = top - lab_random(random) % (2 * bits);
	else
		seq = top + (lab_random(random) % 64 ? 1 : lab_random(random) % (3 * bits));
	return seq > top && seq - top > 4 * (uint64_t)bits ? 0 : seq; /* went below 0 */
}

static void test_model(void **state)
{
	uint64_t random = 20260101;

	(void)state;
	for (uint32_t bits = REPLAY_BITS_MIN; bits <= REPLAY_BITS_MAX; bits *= 2) {
		for (unsigned run_number = 0; run_number < 8; run_number++) {
			struct sa_run run = {0};
			uint64_t top = 0;

			memset(seen, 0, sizeof(seen));
			for (unsigned i = 0; i < 20000; i++) {
				uint64_t seq = random_seq(&random, top, bits);

				if (seq >= MODEL_SEQS)
					break;
				assert_int_equal(see(&run, bits, seq), model_see(&top, bits, seq));
				assert_int_equal(run.replay_top, top);
			}
		}
	}
}

/* ---- 64-bit numbers from their low half: RFC 4303 appendix A2.2 ------------------------------------------------ */

static void test_extend(void **state)
{
	static const struct {
		uint64_t top;
		uint32_t bits, low;
		uint64_t seq;
	} cases[] = {
		{0, 64, 0, 0},
		{0, 64, 1, 1},
		{0, 64, UINT32_MAX, UINT64_MAX}, /* before the first: nothing can have it */
		{0, 64, UINT32_MAX - 62, UINT64_MAX},
		{0, 64, UINT32_MAX - 63, UINT32_MAX - 63},
		{62, 64, UINT32_MAX, UINT64_MAX}, /* case B still */
		{63, 64, 0, 0},			  /* case A: the window is 0..63 */
		{63, 64, UINT32_MAX, UINT32_MAX},
		{64, 64, 0, UINT64_C(0x100000000)}, /* left of the window: must be the next subspace */
		{64, 64, 1, 1},
		{UINT32_MAX, 64, UINT32_MAX - 63, UINT32_MAX - 63},
		{UINT32_MAX, 64, UINT32_MAX - 64, UINT64_C(0x1ffffffbf)},
		{UINT32_MAX, 64, 0, UINT64_C(0x100000000)},
		{UINT64_C(0x100000000), 64, UINT32_MAX, UINT32_MAX}, /* the window spans two subspaces */
		{UINT64_C(0x100000000), 64, UINT32_MAX - 62, UINT32_MAX - 62},
		{UINT64_C(0x100000000), 64, UINT32_MAX - 63, UINT64_C(0x1ffffffc0)},
		{UINT64_C(0x100000000), 64, 0, UINT64_C(0x100000000)},
		{UINT64_C(0x100000000), 64, 5, UINT64_C(0x100000005)},
		{UINT64_C(0x700000010), 8192, UINT32_MAX, UINT64_C(0x6ffffffff)},
		{UINT64_C(0x700004000), 8192, 0x2001, UINT64_C(0x700002001)},
		{UINT64_C(0x700004000), 8192, 0x2000, UINT64_C(0x800002000)},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(replay_extend(cases[i].top, cases[i].bits, cases[i].low), cases[i].seq);
}

/* Whatever lies in the window or ahead of it by less than 2^32 - bits is recovered. */
static void test_extend_recovers(void **state)
{
	static const uint64_t tops[] = {
		100000, UINT32_MAX - 3, UINT32_MAX, UINT64_C(0x100000003), UINT64_C(0x4fffffff0)};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(tops); i++) {
		for (uint32_t bits = REPLAY_BITS_MIN; bits <= REPLAY_BITS_MAX; bits *= 2) {
			for (uint64_t seq = tops[i] - bits + 1; seq < tops[i] + 20000; seq += 13)
				assert_int_equal(replay_extend(tops[i], bits, (uint32_t)seq), seq);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_story),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_backwards),
		cmocka_unit_test(test_stays_inside),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_extend),
		cmocka_unit_test(test_extend_recovers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
