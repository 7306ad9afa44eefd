/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/replay.h"

#include <string.h>

#define WORD_BITS REPLAY_WORD_BITS

bool replay_bits_valid(uint32_t bits)
{
	return bits == 0 || replay_window_works(bits);
}

/* Sequence numbers share a bit exactly when they differ by a multiple of the window's size: never two inside it. */
static __u64 *word_of(struct sa_run *run, uint32_t bits, uint64_t seq, uint64_t *mask)
{
	uint32_t bit = (uint32_t)(seq & (bits - 1));

	*mask = UINT64_C(1) << (bit % WORD_BITS);
	return &run->replay_window[bit / WORD_BITS];
}

enum drop_reason replay_check(const struct sa_run *run, uint32_t bits, uint64_t seq)
{
	return bits == 0 ? DROP_NONE : replay_judge(run->replay_window, run->replay_top, bits, seq);
}

/* Forget the numbers that leave the window when its top moves up to `top`: their bits now stand for (old top, top]. */
static void window_advance(struct sa_run *run, uint32_t bits, uint64_t top)
{
	uint64_t seq = run->replay_top + 1;

	if (top - run->replay_top >= bits) {
		memset(run->replay_window, 0, bits < WORD_BITS ? sizeof(__u64) : bits / 8);
		return;
	}
	while (seq <= top) {
		uint64_t mask;
		__u64 *word = word_of(run, bits, seq, &mask);

		if (seq % WORD_BITS == 0 && top - seq >= WORD_BITS - 1 && bits >= WORD_BITS) {
			*word = 0;
			seq += WORD_BITS;
		} else {
			*word &= ~mask;
			seq++;
		}
	}
}

enum drop_reason replay_mark_any(struct sa_run *run, uint32_t bits, uint64_t seq, bool *newest)
{
	enum drop_reason reason = replay_check(run, bits, seq);
	uint64_t mask;

	*newest = reason == DROP_NONE && seq > run->replay_top;
	if (reason != DROP_NONE)
		return reason;
	if (*newest) {
		if (bits)
			window_advance(run, bits, seq);
		/* After the bits: who sees this top (XDP does, on another CPU) sees them cleared. */
		__atomic_store_n(&run->replay_top, seq, __ATOMIC_RELEASE);
	}
	if (bits)
		*word_of(run, bits, seq, &mask) |= mask;
	return DROP_NONE;
}

uint64_t replay_extend(uint64_t top, uint32_t bits, uint32_t low)
{
	return replay_number(top, bits, low);
}
