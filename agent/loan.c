/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/loan.h"

#include "agent/suite_engine.h"

#define PUBLISHED_SHIFT 16u
#define CLAIMED_MASK	0xffffu

void loan_init(struct loan *loan, struct bundle *bundle, enum sa_direction direction)
{
	atomic_init(&loan->place, 0);
	atomic_init(&loan->step, LOAN_CHUNK);
	for (uint32_t i = 0; i < LOAN_CHUNKS; i++)
		atomic_init(&loan->done[i], LOAN_OPEN);
	loan->bundle = bundle;
	loan->direction = direction;
	loan->work = direction == SA_OUT ? esp_jobs_seal : esp_jobs_open;
}

void loan_publish(struct loan *loan, bool last)
{
	struct bundle *bundle = loan->bundle;
	uint32_t count = bundle->count - bundle->lent;

	if (!last)
		count -= count % LOAN_CHUNK;
	if (!count)
		return;
	/* What does many packets at a time wants many. */
	if (!bundle->lent)
		atomic_store_explicit(&loan->step,
			bundle->jobs[0].cipher->work->seal_burst ? LOAN_CLAIM_MAX : LOAN_CHUNK, memory_order_relaxed);
	bundle->lent += count;
	atomic_fetch_add_explicit(&loan->place, count << PUBLISHED_SHIFT, memory_order_release);
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

static void loan_tell(struct loan *loan, uint32_t first, uint32_t count, enum loan_state state)
{
	for (uint32_t i = first; i < first + count; i += LOAN_CHUNK)
		atomic_store_explicit(&loan->done[i / LOAN_CHUNK], (uint8_t)state, memory_order_release);
}

bool loan_work(struct loan *loan)
{
	uint32_t first, count = loan_claim(loan, &first);

	if (!count)
		return false;
	loan->work(&loan->bundle->jobs[first], count);
	loan_tell(loan, first, count, LOAN_DONE_BY_OWNER);
	return true;
}

void loan_redo(struct loan *loan, uint32_t first)
{
	uint32_t left = loan->bundle->lent - first, count = left < LOAN_CHUNK ? left : LOAN_CHUNK;

	loan->work(&loan->bundle->jobs[first], count);
	loan_tell(loan, first, count, LOAN_DONE_BY_OWNER);
}

/* ---- helpers ------------------------------------------------------------------------------------------------- */

/* A cipher of the very SA of the job that this thread may work with; NULL without one. */
static struct esp_cipher *cipher_for(const struct loan *loan, struct sa_table *own, uint32_t job)
{
	struct esp_cipher *cipher = loan->bundle->jobs[job].cipher;
	const struct sa_slot *theirs;
	enum drop_reason reason;
	struct sa_slot *slot;

	if (cipher->concurrent)
		return cipher;
	theirs = loan->bundle->slots[job];
	slot = sa_table_find(
		own, (uint32_t)(theirs->context.run - own->maps.run), loan->direction, DROP_SA_MISSING, &reason);
	return slot && slot->generation == theirs->generation ? &slot->context.cipher : NULL;
}

/* The chunk with ciphers that are this thread's. False: one is missing, and nothing was done. */
static bool loan_do(struct loan *loan, struct sa_table *own, uint32_t first, uint32_t count)
{
	struct bundle *bundle = loan->bundle;
	struct esp_job jobs[LOAN_CLAIM_MAX];

	for (uint32_t i = 0; i < count; i++) {
		const struct esp_job *job = &bundle->jobs[first + i];

		jobs[i] = (struct esp_job){.cipher = cipher_for(loan, own, first + i),
			.esp = job->esp,
			.seq = job->seq,
			.text_len = job->text_len};
		if (!jobs[i].cipher)
			return false;
	}
	loan->work(jobs, count);
	for (uint32_t i = 0; i < count; i++)
		bundle->jobs[first + i].good = jobs[i].good;
	return true;
}

uint32_t loan_help(struct loan *loan, struct sa_table *own)
{
	uint32_t first, count = loan_claim(loan, &first);
	bool done;

	if (!count)
		return 0;
	done = loan_do(loan, own, first, count);
	loan_tell(loan, first, count, done ? LOAN_DONE_BY_HELPER : LOAN_REFUSED);
	return done ? count : 0;
}

void loan_close(struct loan *loan)
{
	for (uint32_t i = 0; i < LOAN_CHUNKS; i++)
		atomic_store_explicit(&loan->done[i], LOAN_OPEN, memory_order_relaxed);
	loan->bundle->lent = 0;
	atomic_store_explicit(&loan->place, 0, memory_order_release);
}
