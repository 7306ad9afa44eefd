/* SPDX-License-Identifier: Apache-2.0 */
/* Lifetimes of SAs that carry nothing: told once each, by a sweep that goes round. */
#include "agent/lifetime.h"

#include "agent/contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT (2 * LIFETIME_SWEEP_STEP + 10)

struct lab {
	struct sa *sas;
	struct sa_run *runs;
	struct sa_maps maps;
	uint32_t told;
	uint32_t last_index;
	__be32 last_spi;
	unsigned last_kinds;
};

static int set_up(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	lab->sas = calloc(COUNT, sizeof(*lab->sas));
	lab->runs = calloc(COUNT, sizeof(*lab->runs));
	lab->maps = (struct sa_maps){.sa = lab->sas, .run = lab->runs, .sa_count = COUNT};
	*state = lab;
	return 0;
}

static int tear_down(void **state)
{
	struct lab *lab = *state;

	free(lab->sas);
	free(lab->runs);
	free(lab);
	return 0;
}

static void note(void *context, uint32_t index, __be32 spi, unsigned kinds)
{
	struct lab *lab = context;

	lab->told++;
	lab->last_index = index;
	lab->last_spi = spi;
	lab->last_kinds = kinds;
}

/* Once around; gives how often something was told. */
static uint32_t sweep(struct lab *lab, uint64_t now)
{
	uint32_t at = 0;

	lab->told = 0;
	do {
		at = lifetime_sweep(&lab->maps, at, now, note, lab);
	} while (at < COUNT);
	return lab->told;
}

static struct sa *live(struct lab *lab, uint32_t index)
{
	lab->sas[index] = (struct sa){.generation = 2, .state = SA_LIVE, .spi = 0x1000 + index};
	return &lab->sas[index];
}

static void test_time(void **state)
{
	struct lab *lab = *state;
	struct sa *sa = live(lab, COUNT - 1);

	sa->soft_ns = 100;
	sa->hard_ns = 200;
	assert_int_equal(sweep(lab, 99), 0);
	assert_int_equal(sweep(lab, 100), 1);
	assert_int_equal(lab->last_index, COUNT - 1);
	assert_int_equal(lab->last_spi, 0x1000 + COUNT - 1);
	assert_int_equal(lab->last_kinds, AGENT_EXPIRE_SOFT);
	assert_int_equal(sweep(lab, 150), 0);
	assert_int_equal(sweep(lab, 200), 1);
	assert_int_equal(lab->last_kinds, AGENT_EXPIRE_HARD);
	assert_int_equal(sweep(lab, 300), 0);
	lifetime_forget_told(&lab->maps);
	assert_int_equal(sweep(lab, 300), 1);
	assert_int_equal(lab->last_kinds, AGENT_EXPIRE_SOFT | AGENT_EXPIRE_HARD);
}

/* Each limit by itself. */
static void test_every_limit(void **state)
{
	struct lab *lab = *state;

	for (unsigned i = 0; i < 6; i++)
		live(lab, i);
	lab->sas[0].soft_bytes = lab->sas[1].hard_bytes = 1000;
	lab->sas[2].soft_packets = lab->sas[3].hard_packets = 10;
	lab->sas[4].soft_ns = lab->sas[5].hard_ns = 500;
	for (unsigned i = 0; i < 6; i++) {
		lab->runs[i].bytes = 999;
		lab->runs[i].packets = 9;
	}
	assert_int_equal(sweep(lab, 499), 0);
	for (unsigned i = 0; i < 6; i++) {
		lab->runs[i].bytes += i < 2;
		lab->runs[i].packets += i == 2 || i == 3;
		assert_int_equal(sweep(lab, i < 4 ? 499 : 500), i == 5 ? 0 : i == 4 ? 2 : 1);
		if (i < 4)
			assert_int_equal(lab->last_kinds, i % 2 ? AGENT_EXPIRE_HARD : AGENT_EXPIRE_SOFT);
	}
}

/* Not of what is free, deleted, or being written, nor of SAs without limits. */
static void test_no_sa(void **state)
{
	struct lab *lab = *state;

	for (unsigned i = 0; i < 4; i++)
		live(lab, i)->hard_ns = 1;
	lab->sas[0].state = SA_FREE;
	lab->sas[1].state = SA_RETIRED;
	lab->sas[2].generation = 3;
	lab->sas[3].hard_ns = 0;
	assert_int_equal(sweep(lab, 1000), 0);
	lab->sas[2].generation = 4;
	assert_int_equal(sweep(lab, 1000), 1);
	assert_int_equal(lab->last_index, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_every_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_sa, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
