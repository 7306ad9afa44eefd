/* SPDX-License-Identifier: Apache-2.0 */
/* What was sent lately: SAs found by SPI and peer, and the sequence numbers of the last seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/sent.h"

#include <stdlib.h>

#define SAS  4096u
#define T0   (1000 * NS_PER_S)
#define TICK (UINT64_C(1) << SENT_TICK_BITS)

static const struct addr16 peer = {.bytes = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 2}};

struct lab {
	struct sa sas[SAS];
	struct sa_maps maps;
	struct sent sent;
};

static int set_up(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	lab->maps = (struct sa_maps){.sa = lab->sas, .sa_count = SAS};
	*state = lab;
	return sent_init(&lab->sent, SAS);
}

static int tear_down(void **state)
{
	struct lab *lab = *state;

	sent_clear(&lab->sent);
	free(lab);
	return 0;
}

static void sa_put(struct lab *lab, uint32_t index, __be32 spi)
{
	lab->sas[index] = (struct sa){.state = SA_LIVE, .direction = SA_OUT, .spi = spi, .remote = peer};
	sent_add(&lab->sent, &lab->maps, index, &lab->sas[index]);
}

static void finds_every_sa(void **state)
{
	struct lab *lab = *state;
	struct addr16 other = peer;

	other.bytes[15]++;
	assert_int_equal(sent_find(&lab->sent, &lab->maps, 1000, &peer), SA_NONE);
	for (uint32_t i = 0; i < SAS; i++)
		sa_put(lab, i, 1000 + i);
	for (uint32_t i = 0; i < SAS; i++) {
		assert_int_equal(sent_find(&lab->sent, &lab->maps, 1000 + i, &peer), i);
		assert_int_equal(sent_find(&lab->sent, &lab->maps, 1000 + i, &other), SA_NONE);
	}
	assert_int_equal(sent_find(&lab->sent, &lab->maps, 1000 + SAS, &peer), SA_NONE);
}

static void forgets_what_is_gone(void **state)
{
	struct lab *lab = *state;

	sa_put(lab, 7, 1000);
	lab->sas[7].state = SA_RETIRED;
	assert_int_equal(sent_find(&lab->sent, &lab->maps, 1000, &peer), SA_NONE);
	lab->sas[7].state = SA_LIVE;
	lab->sas[7].direction = SA_IN;
	assert_int_equal(sent_find(&lab->sent, &lab->maps, 1000, &peer), SA_NONE);
	sa_put(lab, 7, 2000);
	assert_int_equal(sent_find(&lab->sent, &lab->maps, 1000, &peer), SA_NONE);
	assert_int_equal(sent_find(&lab->sent, &lab->maps, 2000, &peer), 7);
}

/* Rekeyed again and again: what is gone gives its place. */
static void takes_the_places_of_those_gone(void **state)
{
	struct lab *lab = *state;

	for (uint32_t round = 1; round <= 20; round++)
		for (uint32_t i = 0; i < SAS; i++)
			sa_put(lab, i, round * 100000 + i);
	for (uint32_t i = 0; i < SAS; i++)
		assert_int_equal(sent_find(&lab->sent, &lab->maps, 20 * 100000 + i, &peer), i);
}

static void remembers_seconds(void **state)
{
	struct lab *lab = *state;
	struct sent *sent = &lab->sent;
	uint64_t now = T0;

	assert_int_equal(sent_before(sent, 3, 2, now), UINT64_MAX);
	for (uint32_t i = 0; i < 100; i++, now += TICK) {
		uint64_t oldest = i < SENT_TICKS ? 0 : i - SENT_TICKS + 1;

		sent_mark(sent, 3, 2, i * UINT64_C(1000000), now);
		sent_mark(sent, 3, 2, i * UINT64_C(1000000) + 5, now + 1); /* the first of a tick counts */
		assert_int_equal(sent_before(sent, 3, 2, now), oldest * 1000000);
	}
	assert_int_equal(sent_before(sent, 3, 2, now + (SENT_TICKS - 3) * TICK), 98000000);
	assert_int_equal(sent_before(sent, 3, 2, now + SENT_TICKS * TICK), UINT64_MAX);
	assert_int_equal(sent_before(sent, 4, 2, now), UINT64_MAX);
}

/* The next SA of the slot begins anew. */
static void generations_are_apart(void **state)
{
	struct lab *lab = *state;
	struct sent *sent = &lab->sent;

	sent_mark(sent, 3, 2, 5000, T0);
	assert_int_equal(sent_before(sent, 3, 4, T0), UINT64_MAX);
	sent_mark(sent, 3, 4, 7000, T0 + TICK);
	assert_int_equal(sent_before(sent, 3, 4, T0 + TICK), 7000);
	assert_int_equal(sent_before(sent, 3, 2, T0 + TICK), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(finds_every_sa, set_up, tear_down),
		cmocka_unit_test_setup_teardown(forgets_what_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(takes_the_places_of_those_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(remembers_seconds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(generations_are_apart, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
