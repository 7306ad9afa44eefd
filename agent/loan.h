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

#define LOAN_CHUNK     8u /* jobs claimed at once; of ciphers that work on several at a time twice as many */
#define LOAN_CLAIM_MAX (2 * LOAN_CHUNK)
#define LOAN_CHUNKS    (BUNDLE_MAX / LOAN_CHUNK)

enum loan_state {
	LOAN_OPEN,
	LOAN_DONE_BY_OWNER,
	LOAN_DONE_BY_HELPER,
	LOAN_REFUSED, /* a helper had claimed it and could not do it */
};

struct loan {
	/*
	 * Jobs published << 16 | jobs claimed. This word is all that a claim depends on, so it does not matter what
	 * happened between a helper's look at it and its compare and swap.
	 */
	_Alignas(64) _Atomic uint32_t place;
	_Atomic uint32_t step;				/* jobs of a claim, the owner's choice */
	_Alignas(64) _Atomic uint8_t done[LOAN_CHUNKS]; /* enum loan_state */
	_Alignas(64) struct bundle *bundle;		/* set once, as all that follows */
	enum sa_direction direction;
	void (*work)(struct esp_job *jobs, uint32_t count);
};

/* Nothing is published. The bundle's packets are sealed by SAs of direction SA_OUT, or opened. */
void loan_init(struct loan *loan, struct bundle *bundle, enum sa_direction direction);

/* The owner: publish the jobs behind the bundle's first `lent`, and move that on. Only whole chunks unless `last`. */
void loan_publish(struct loan *loan, bool last);

/* The owner: claim and do one chunk. False: none is left to claim. */
bool loan_work(struct loan *loan);
/* A helper: the same. A cipher that is not for several threads at once is not touched; the helper's own one of the same
 * SA serves instead (`own`, borrowed). Gives the number of jobs done: 0 if none was left, or if it had no such cipher.
 */
uint32_t loan_help(struct loan *loan, struct sa_table *own);
/* The owner: do the chunk that begins with job `first`, and was refused. */
void loan_redo(struct loan *loan, uint32_t first);

/* The owner: is the chunk that begins with job `first` done, and by whom? */
static inline enum loan_state loan_done(const struct loan *loan, uint32_t first)
{
	return atomic_load_explicit(&loan->done[first / LOAN_CHUNK], memory_order_acquire);
}

/* The owner, when all that it published is done: nothing is lent. */
void loan_close(struct loan *loan);

#endif
