/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The anti-replay window of an inbound SA (RFC 4303 3.4.3, appendix A), kept in sa_run: replay_top is the highest
 * authenticated number, bit n of replay_window stands for sequence number n modulo `bits`. Pure; calls for one SA are
 * serialised by the caller. `bits` is a power of two, 32 to REPLAY_BITS_MAX; 0 switches the check off.
 */
#ifndef ESPALIER_AGENT_REPLAY_H
#define ESPALIER_AGENT_REPLAY_H

#include "bpf/contract.h"
#include "bpf/replay.h"

#include <stdbool.h>
#include <stdint.h>

/* Can the window work with this size? */
bool replay_bits_valid(uint32_t bits);

/* Before decryption: could `seq` be accepted? DROP_NONE, DROP_SEQ_ZERO, DROP_REPLAY_OLD or DROP_REPLAY. Changes
 * nothing. */
enum drop_reason replay_check(const struct sa_run *run, uint32_t bits, uint64_t seq);

/*
 * After authentication: check again (another worker may have been faster) and mark `seq` as seen. `*newest` tells
 * whether it is now the highest. With bits == 0 only replay_top moves.
 */
enum drop_reason replay_mark_any(struct sa_run *run, uint32_t bits, uint64_t seq, bool *newest);
static inline enum drop_reason replay_mark(struct sa_run *run, uint32_t bits, uint64_t seq, bool *newest)
{
	uint32_t bit = (uint32_t)(seq & (bits - 1));

	/* In order: the one number that leaves the window shares its bit with the one that comes in. */
	if (!bits || seq != run->replay_top + 1)
		return replay_mark_any(run, bits, seq, newest);
	run->replay_window[bit / 64] |= UINT64_C(1) << (bit % 64);
	__atomic_store_n(&run->replay_top, seq, __ATOMIC_RELEASE); /* for esp_open_begin's look without the lock */
	*newest = true;
	return DROP_NONE;
}

/*
 * The 64-bit number of which the wire carries the low half (RFC 4303 appendix A2.2), judged by the window's top.
 * UINT64_MAX if the number would lie before 0: no packet can have it.
 */
uint64_t replay_extend(uint64_t top, uint32_t bits, uint32_t low);

#endif
