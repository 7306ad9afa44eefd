/* SPDX-License-Identifier: Apache-2.0 */
/* Sequence numbers of one SA: taken by the one worker that seals for it, judged by all that open. */
#ifndef ESPALIER_AGENT_SEQUENCE_H
#define ESPALIER_AGENT_SEQUENCE_H

#include "agent/sa_context.h"

#include <stdint.h>

/*
 * Take the next number (RFC 4303 3.3.3); false: there is none left. It is taken in the map, so that an agent that
 * starts after a crash goes on behind it. It is used up even if its packet dies later: a gap is harmless, a repetition
 * breaks the cipher. No other thread takes numbers of this SA (worker_owns in worker.h).
 */
static inline bool sequence_take(struct sa_context *ctx, uint64_t *seq)
{
	uint64_t taken = __atomic_load_n(&ctx->run->out_seq, __ATOMIC_RELAXED);

	if (taken >= ctx->seq_last)
		return false;
	*seq = taken + 1;
	__atomic_store_n(&ctx->run->out_seq, taken + 1, __ATOMIC_RELAXED);
	return true;
}

/*
 * The whole sequence number of which the packet carries `low`, and whether it could be accepted (RFC 4303 3.4.3).
 * Without the lock: what is decided here is decided again, under it, when the packet is authentic (replay_mark).
 * Another worker that moves the window meanwhile can only make a number look seen that has just become too old.
 */
__attribute__((noinline)) enum drop_reason sequence_check_any(
	const struct sa_context *ctx, uint32_t low, uint64_t *seq);
static inline enum drop_reason sequence_check(const struct sa_context *ctx, uint32_t low, uint64_t *seq)
{
	/* Beyond all that came before, as most packets are. */
	if (!(ctx->sa.flags & SA_ESN) && low > __atomic_load_n(&ctx->run->replay_top, __ATOMIC_RELAXED)) {
		*seq = low;
		return DROP_NONE;
	}
	return sequence_check_any(ctx, low, seq);
}

/* Around replay_mark and what is told by the newest packet. */
void sequence_lock(const struct sa_context *ctx);
void sequence_unlock(const struct sa_context *ctx);

#endif
