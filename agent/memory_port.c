/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/memory_port.h"

#include <stdlib.h>
#include <string.h>

struct memory_ring {
	uint32_t first;
	uint32_t count;
	struct frame frames[MEMORY_QUEUE_MAX];
};

struct memory_queue {
	struct port_queue head;
	struct memory_ring received; /* pushed, not yet received */
	struct memory_ring sent;
	uint32_t limit;
};

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* In at most two runs; gives how many were put. */
static uint32_t ring_put(struct memory_ring *ring, const struct frame *frames, uint32_t count)
{
	uint32_t at = (ring->first + ring->count) % MEMORY_QUEUE_MAX, run;

	count = smaller(count, MEMORY_QUEUE_MAX - ring->count);
	run = smaller(count, MEMORY_QUEUE_MAX - at);
	memcpy(&ring->frames[at], frames, run * sizeof(*frames));
	memcpy(ring->frames, frames + run, (count - run) * sizeof(*frames));
	ring->count += count;
	return count;
}

static uint32_t ring_take(struct memory_ring *ring, struct frame *frames, uint32_t max)
{
	uint32_t count = smaller(ring->count, max), run = smaller(count, MEMORY_QUEUE_MAX - ring->first);

	memcpy(frames, &ring->frames[ring->first], run * sizeof(*frames));
	memcpy(frames + run, ring->frames, (count - run) * sizeof(*frames));
	ring->first = (ring->first + count) % MEMORY_QUEUE_MAX;
	ring->count -= count;
	if (!ring->count)
		ring->first = 0; /* where its memory is warm */
	return count;
}

static uint32_t memory_recv(struct port_queue *head, struct frame *frames, uint32_t max)
{
	return ring_take(&((struct memory_queue *)head)->received, frames, max);
}

static void memory_refill(struct port_queue *head, struct chunk_cache *cache)
{
	(void)head;
	(void)cache;
}

static uint32_t memory_send(
	struct port_queue *head, const struct frame *frames, uint32_t count, struct chunk_cache *cache)
{
	struct memory_queue *queue = (struct memory_queue *)head;
	uint32_t room = queue->limit > queue->sent.count ? queue->limit - queue->sent.count : 0;

	(void)cache;
	return ring_put(&queue->sent, frames, smaller(count, room));
}

static bool memory_flush(struct port_queue *head, struct chunk_cache *cache)
{
	(void)head;
	(void)cache;
	return false;
}

static void memory_lost(struct port_queue *head, struct port_lost *lost)
{
	(void)head;
	memset(lost, 0, sizeof(*lost));
}

static void memory_free(struct port_queue *head)
{
	free(head);
}

static const struct port_ops memory_ops = {
	.recv = memory_recv,
	.refill = memory_refill,
	.send = memory_send,
	.flush = memory_flush,
	.lost = memory_lost,
	.free = memory_free,
};

struct port *memory_port_new(uint32_t slot, uint32_t queues, const uint8_t mac[6])
{
	struct port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	port->slot = slot;
	port->ifindex = slot + 1;
	port->queue_count = queues;
	port->mode = ATTACH_NATIVE;
	memcpy(port->mac, mac, sizeof(port->mac));
	atomic_store(&port->mtu, 1500);
	atomic_store(&port->up, true);
	for (uint32_t i = 0; i < queues; i++) {
		struct memory_queue *queue = calloc(1, sizeof(*queue));

		if (!queue) {
			port_free(port);
			return NULL;
		}
		port_queue_init(&queue->head, &memory_ops, -1);
		queue->limit = MEMORY_QUEUE_MAX;
		port->queues[i] = &queue->head;
	}
	return port;
}

bool memory_port_push(struct port *port, uint32_t queue, const struct frame *frame)
{
	return ring_put(&((struct memory_queue *)port->queues[queue])->received, frame, 1) == 1;
}

uint32_t memory_port_pull(struct port *port, uint32_t queue, struct frame *frames, uint32_t max)
{
	return ring_take(&((struct memory_queue *)port->queues[queue])->sent, frames, max);
}

void memory_port_limit(struct port *port, uint32_t queue, uint32_t frames)
{
	((struct memory_queue *)port->queues[queue])->limit = frames;
}
