/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/handover.h"

#include <stdlib.h>

struct handover *handover_new(void)
{
	struct handover *ring = aligned_alloc(_Alignof(struct handover), sizeof(*ring));

	if (!ring)
		return NULL;
	atomic_init(&ring->given, 0);
	atomic_init(&ring->taken, 0);
	return ring;
}

bool handover_put(struct handover *ring, const struct frame *frame)
{
	uint32_t given = atomic_load_explicit(&ring->given, memory_order_relaxed);

	if (given - atomic_load_explicit(&ring->taken, memory_order_acquire) == HANDOVER_MAX)
		return false;
	ring->frames[given % HANDOVER_MAX] = *frame;
	atomic_store_explicit(&ring->given, given + 1, memory_order_release);
	return true;
}

uint32_t handover_take(struct handover *ring, struct frame *frames, uint32_t max)
{
	uint32_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
	uint32_t count = atomic_load_explicit(&ring->given, memory_order_acquire) - taken;

	if (count > max)
		count = max;
	for (uint32_t i = 0; i < count; i++)
		frames[i] = ring->frames[(taken + i) % HANDOVER_MAX];
	atomic_store_explicit(&ring->taken, taken + count, memory_order_release);
	return count;
}

bool handover_empty(const struct handover *ring)
{
	return atomic_load_explicit(&ring->given, memory_order_acquire) ==
	       atomic_load_explicit(&ring->taken, memory_order_relaxed);
}
