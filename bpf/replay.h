/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The arithmetic of the anti-replay window (RFC 4303 3.4.3, appendix A), for XDP and for the agent: what is a certain
 * replay to the one is one to the other. The window stands in struct sa_run.
 */
#ifndef ESPALIER_BPF_REPLAY_H
#define ESPALIER_BPF_REPLAY_H

#include "bpf/contract.h"

#define REPLAY_BITS_MIN	  32u
#define REPLAY_WORD_BITS  64u
#define REPLAY_IMPOSSIBLE (~0ull) /* a number that would lie before 0: no packet can have it */

/* Can a window have this size? 0 switches the check off. */
static inline int replay_window_works(__u32 bits)
{
	return bits >= REPLAY_BITS_MIN && bits <= REPLAY_BITS_MAX && (bits & (bits - 1)) == 0;
}

/* The 64-bit number of which the wire carries the low half, judged by the window's top (RFC 4303 A2.2). */
static inline __u64 replay_number(__u64 top, __u32 bits, __u32 low)
{
	__u32 top_low = (__u32)top;
	__u64 top_high = top >> 32;
	__u32 bottom = top_low - (bits - 1); /* modulo 2^32 */

	if (top_low >= bits - 1) /* A2.2 case A: the window lies within one subspace */
		return (low >= bottom ? top_high : top_high + 1) << 32 | low;
	/* Case B: it spans two. */
	if (low < bottom)
		return top_high << 32 | low;
	return top_high == 0 ? REPLAY_IMPOSSIBLE : (top_high - 1) << 32 | low;
}

/* May `seq` be new, under a window whose top is `top`? Bit n stands for sequence number n modulo `bits`, a power of
 * two. */
static inline enum drop_reason replay_judge(const __u64 *window, __u64 top, __u32 bits, __u64 seq)
{
	__u32 bit = (__u32)(seq & (bits - 1)), word;

	if (seq == 0)
		return DROP_SEQ_ZERO;
	if (seq == REPLAY_IMPOSSIBLE)
		return DROP_REPLAY_OLD;
	if (seq > top)
		return DROP_NONE;
	if (top - seq >= bits)
		return DROP_REPLAY_OLD;
	word = bit / REPLAY_WORD_BITS;
#ifdef __bpf__
	/* The compiler knows that `word` is in bounds and leaves the remainder out; the verifier of Linux 6.12 does
	 * not. */
	asm volatile("" : "+r"(word));
#endif
	return window[word % REPLAY_WORDS] >> (bit % REPLAY_WORD_BITS) & 1 ? DROP_REPLAY : DROP_NONE;
}

#endif
