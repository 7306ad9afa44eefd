/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/sequence.h"

#include "agent/replay.h"

#include <sched.h>

void sequence_lock(const struct sa_context *ctx)
{
	if (!ctx->replay_lock)
		return;
	while (atomic_flag_test_and_set_explicit(ctx->replay_lock, memory_order_acquire))
		sched_yield(); /* held for some tens of instructions, unless its holder was preempted */
}

void sequence_unlock(const struct sa_context *ctx)
{
	if (ctx->replay_lock)
		atomic_flag_clear_explicit(ctx->replay_lock, memory_order_release);
}

enum drop_reason sequence_check_any(const struct sa_context *ctx, uint32_t low, uint64_t *seq)
{
	uint32_t bits = ctx->sa.replay_bits;
	const struct sa_run *run = ctx->run;

	*seq = ctx->sa.flags & SA_ESN ? replay_extend(__atomic_load_n(&run->replay_top, __ATOMIC_RELAXED), bits, low)
				      : low;
	return *seq == UINT64_MAX ? DROP_REPLAY_OLD : replay_check(run, bits, *seq);
}
