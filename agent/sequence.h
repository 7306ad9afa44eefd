/* SPDX-License-Identifier: Apache-2.0 */
/* Sequence numbers of one SA, which several workers may carry at once: taken when sealing, judged when opening. */
#ifndef ESPALIER_AGENT_SEQUENCE_H
#define ESPALIER_AGENT_SEQUENCE_H

#include "agent/sa_context.h"

#include <stdint.h>

/*
 * Take the next *count numbers (RFC 4303 3.3.3). Gives the last number before those taken, in *count how many there
 * were. Numbers are used up even if their packets die later: a gap is harmless, a repetition breaks the cipher.
 */
uint64_t sequence_take(struct sa_context *ctx, uint32_t *count);

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
