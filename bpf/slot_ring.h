/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of slot numbers: a slot that became free waits behind all others. Room for every slot once. */
#ifndef ESPALIER_BPF_SLOT_RING_H
#define ESPALIER_BPF_SLOT_RING_H

#include <stdint.h>
#include <stdlib.h>

struct slot_ring {
	uint32_t *slots;
	uint32_t capacity;
	uint32_t head;
	uint32_t count;
};

/* 0 or -1: no memory. */
static inline int slot_ring_init(struct slot_ring *ring, uint32_t capacity)
{
	*ring = (struct slot_ring){.slots = calloc(capacity, sizeof(*ring->slots)), .capacity = capacity};
	return ring->slots ? 0 : -1;
}

static inline void slot_ring_clear(struct slot_ring *ring)
{
	free(ring->slots);
	*ring = (struct slot_ring){0};
}

/* The caller puts no slot in twice, so there is room. */
static inline void slot_ring_put(struct slot_ring *ring, uint32_t slot)
{
	ring->slots[(ring->head + ring->count++) % ring->capacity] = slot;
}

/* The one that has waited longest; the ring is not empty. */
static inline uint32_t slot_ring_first(const struct slot_ring *ring)
{
	return ring->slots[ring->head];
}

static inline void slot_ring_drop_first(struct slot_ring *ring)
{
	ring->head = (ring->head + 1) % ring->capacity;
	ring->count--;
}

#endif
