/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets that wait, a few and not for long: for an SA (key: tunnel) or for a neighbour's link address (key:
 * forward.c). One worker's own; in order of arrival. Bounded in all and per key, so that one silent peer cannot take
 * the room of the others.
 */
#ifndef ESPALIER_AGENT_HOLD_H
#define ESPALIER_AGENT_HOLD_H

#include "agent/frame.h"

#include <stdbool.h>
#include <stdint.h>

#define HOLD_MAX     256u /* packets of one worker */
#define HOLD_KEY_MAX 16u  /* of one tunnel or one destination */
#define HOLD_NS	     UINT64_C(2000000000)

struct held {
	uint64_t key;
	uint64_t until_ns;
	struct frame frame;
};

struct hold {
	uint32_t count;
	struct held items[HOLD_MAX];
};

enum held_fate { HELD_KEEP, HELD_TAKEN };

/* Keep the frame. False: no room (in all, or for this key); the frame stays the caller's. */
bool hold_add(struct hold *hold, uint64_t key, const struct frame *frame, uint64_t now_ns);

/*
 * Ask `judge` about every held frame, in order; `expired` says that its time is over and that it must be taken. A taken
 * frame is the judge's: it sends it or drops it. The judge may not call into the same hold.
 */
void hold_sweep(struct hold *hold, uint64_t now_ns,
	enum held_fate (*judge)(void *context, uint64_t key, struct frame *frame, bool expired), void *context);

#endif
