/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plaintext frames on their way from the worker that received them to the worker that numbers their SA. An outbound SA
 * belongs to the worker that first used it: were several workers to number packets of one SA, those would arrive out of
 * order, and a peer with a small replay window (strongSwan's is 32) would drop them. A ring has one giver and one
 * taker, so the packets of a flow stay in order.
 */
#ifndef ESPALIER_AGENT_HANDOVER_H
#define ESPALIER_AGENT_HANDOVER_H

#include "agent/frame.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HANDOVER_MAX 2048u /* frames that wait, as many as a receive ring holds; a power of two */

struct handover {
	_Alignas(64) _Atomic uint32_t given; /* the giver's; frames put so far, modulo 2^32 */
	_Alignas(64) _Atomic uint32_t taken; /* the taker's */
	_Alignas(64) struct frame frames[HANDOVER_MAX];
};

/* An empty ring, to be freed by the caller with free(); NULL without memory. */
struct handover *handover_new(void);

/* The giver: false, and the frame stays the caller's, when the ring is full. */
bool handover_put(struct handover *ring, const struct frame *frame);
/* The taker: up to `max` frames, in the order in which they were put. */
uint32_t handover_take(struct handover *ring, struct frame *frames, uint32_t max);
/* The taker: is nothing there? */
bool handover_empty(const struct handover *ring);

#endif
