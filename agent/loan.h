/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs of one bundle that their owner shares with other threads. The owner publishes them from the first on, as they
 * become ready; it and any number of helpers claim them in chunks by compare and swap, do them, and say so. Who claimed
 * a chunk does it at once and waits for nothing; the owner waits for all chunks before it ends their packets, so a
 * helper touches nothing of the owner's outside of that time.
 */
#ifndef ESPALIER_AGENT_LOAN_H
#define ESPALIER_AGENT_LOAN_H

#include "agent/bundle.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LOAN_CHUNK  8u /* jobs claimed at once; of ciphers that work on several at a time twice as many */
#define LOAN_CHUNKS (BUNDLE_MAX / LOAN_CHUNK)

enum loan_state { LOAN_OPEN, LOAN_DONE_BY_OWNER, LOAN_DONE_BY_HELPER };

struct loan {
	/*
	 * Jobs published << 16 | jobs claimed. This word is all that a claim depends on, so it does not matter what
	 * happened between a helper's look at it and its compare and swap.
	 */
	_Alignas(64) _Atomic uint32_t place;
	_Atomic uint32_t step;				/* jobs of a claim, the owner's choice */
	_Alignas(64) _Atomic uint8_t done[LOAN_CHUNKS]; /* enum loan_state */
	_Alignas(64) struct esp_job *jobs;		/* the bundle's; set once */
	void (*work)(struct esp_job *jobs, uint32_t count);
};

/* Nothing is published. `work` is esp_jobs_seal or esp_jobs_open. */
void loan_init(struct loan *loan, struct esp_job *jobs, void (*work)(struct esp_job *jobs, uint32_t count));

/*
 * The owner: publish jobs from `from` (as many are published already, a multiple of LOAN_CHUNK) up to `to`. Gives how
 * many are published now: only whole chunks unless `last`, and none from the first job on whose cipher is not
 * concurrent.
 */
uint32_t loan_publish(struct loan *loan, uint32_t from, uint32_t to, bool last);

/* Claim and do one chunk. Gives the number of jobs done, 0: none is left to claim. */
uint32_t loan_work(struct loan *loan, enum loan_state by);

/* The owner: is the chunk that begins with job `first` done, and by whom? */
static inline enum loan_state loan_done(const struct loan *loan, uint32_t first)
{
	return atomic_load_explicit(&loan->done[first / LOAN_CHUNK], memory_order_acquire);
}

/* The owner, when all that it published is done: nothing is published again. */
void loan_close(struct loan *loan);

#endif
