/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of one direction that go through the ciphers together. A packet joins its bundle when it has begun
 * (esp_seal.h, esp_open.h), the jobs of all are done at once, and then the packets end in the order in which they came.
 * What belongs to one packet stands at the same index of all rows.
 */
#ifndef ESPALIER_AGENT_BUNDLE_H
#define ESPALIER_AGENT_BUNDLE_H

#include "agent/port.h"
#include "agent/sa_table.h"
#include "agent/suite.h"

#include <stdint.h>
#include <string.h>

#define BUNDLE_MAX PORT_BATCH

struct bundle {
	uint32_t count;
	uint32_t lent; /* so many jobs, from the first on, are published for others (loan.h) */
	struct frame frames[BUNDLE_MAX];
	struct sa_slot *slots[BUNDLE_MAX];
	struct esp_job jobs[BUNDLE_MAX];
};

/* How many packets from `first` on, but before `end`, are of the same SA. */
static inline uint32_t bundle_run(const struct bundle *bundle, uint32_t first, uint32_t end)
{
	uint32_t next = first + 1;

	while (next < end && bundle->slots[next] == bundle->slots[first])
		next++;
	return next - first;
}

/* The packet of `len` bytes at `data` in `frame`, which has begun with the job at index `count`, joins. There must be
 * room. */
static inline void bundle_add_as(
	struct bundle *bundle, const struct frame *frame, uint8_t *data, uint32_t len, struct sa_slot *slot)
{
	uint32_t at = bundle->count;

	frame_copy_as(&bundle->frames[at], frame, data, len);
	bundle->slots[at] = slot;
	bundle->count = at + 1;
}

static inline void bundle_add(struct bundle *bundle, const struct frame *frame, struct sa_slot *slot)
{
	bundle_add_as(bundle, frame, frame->data, frame->len, slot);
}

#endif
