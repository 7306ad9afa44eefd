/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/loan.h"

#include "agent/suite_engine.h"

#define PUBLISHED_SHIFT 16u
#define CLAIMED_MASK	0xffffu

void loan_init(struct loan *loan, struct esp_job *jobs, void (*work)(struct esp_job *jobs, uint32_t count))
{
	atomic_init(&loan->place, 0);
	atomic_init(&loan->step, LOAN_CHUNK);
	for (uint32_t i = 0; i < LOAN_CHUNKS; i++)
		atomic_init(&loan->done[i], LOAN_OPEN);
	loan->jobs = jobs;
	loan->work = work;
}

uint32_t loan_publish(struct loan *loan, uint32_t from, uint32_t to, bool last)
{
	uint32_t end = from;

	while (end < to && loan->jobs[end].cipher->concurrent)
		end++;
	if (end < to || !last)
		end -= (end - from) % LOAN_CHUNK;
	if (end == from)
		return from;
	/* What does many packets at a time wants many. */
	if (!from)
		atomic_store_explicit(&loan->step, loan->jobs[0].cipher->work->seal_burst ? 2 * LOAN_CHUNK : LOAN_CHUNK,
			memory_order_relaxed);
	atomic_fetch_add_explicit(&loan->place, (end - from) << PUBLISHED_SHIFT, memory_order_release);
	return end;
}

/* Gives how many jobs from *first on are the caller's to do now. */
static uint32_t loan_claim(struct loan *loan, uint32_t *first)
{
	uint32_t step = atomic_load_explicit(&loan->step, memory_order_relaxed);
	uint32_t place = atomic_load_explicit(&loan->place, memory_order_relaxed);

	for (;;) {
		uint32_t published = place >> PUBLISHED_SHIFT, claimed = place & CLAIMED_MASK;
		uint32_t count = published - claimed < step ? published - claimed : step;

		if (!count)
			return 0;
		*first = claimed;
		if (atomic_compare_exchange_weak_explicit(
			    &loan->place, &place, place + count, memory_order_acquire, memory_order_relaxed))
			return count;
	}
}

uint32_t loan_work(struct loan *loan, enum loan_state by)
{
	uint32_t first, count = loan_claim(loan, &first);

	if (!count)
		return 0;
	loan->work(&loan->jobs[first], count);
	for (uint32_t i = first; i < first + count; i += LOAN_CHUNK)
		atomic_store_explicit(&loan->done[i / LOAN_CHUNK], (uint8_t)by, memory_order_release);
	return count;
}

void loan_close(struct loan *loan)
{
	for (uint32_t i = 0; i < LOAN_CHUNKS; i++)
		atomic_store_explicit(&loan->done[i], LOAN_OPEN, memory_order_relaxed);
	atomic_store_explicit(&loan->place, 0, memory_order_release);
}
