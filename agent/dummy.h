/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dummy packets (RFC 4303 2.6): sent on request, to hide when there is traffic and how much. Requests wait in a short
 * queue, which the control thread fills and one worker works off, a batch a turn.
 */
#ifndef ESPALIER_AGENT_DUMMY_H
#define ESPALIER_AGENT_DUMMY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define DUMMY_REQUESTS_MAX 16u

struct dummy_request {
	uint32_t tunnel;
	uint32_t count;
	uint32_t len; /* bytes before padding; a packet is no longer than its SA carries */
};

struct dummy_queue {
	pthread_mutex_t lock;
	_Atomic uint32_t pending; /* requests */
	uint32_t first;
	struct dummy_request requests[DUMMY_REQUESTS_MAX];
};

void dummy_queue_init(struct dummy_queue *queue);
/* Any thread. False: nothing is asked for, or so much that the queue is full. */
bool dummy_put(struct dummy_queue *queue, const struct dummy_request *request);
/* The oldest request, or the part of it that is no more than `max` packets. False: none. */
bool dummy_take(struct dummy_queue *queue, uint32_t max, struct dummy_request *part);

static inline bool dummy_pending(const struct dummy_queue *queue)
{
	return atomic_load_explicit(&queue->pending, memory_order_relaxed) != 0;
}

#endif
