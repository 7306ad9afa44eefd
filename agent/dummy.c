/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/dummy.h"

#include <string.h>

void dummy_queue_init(struct dummy_queue *queue)
{
	memset(queue, 0, sizeof(*queue));
	pthread_mutex_init(&queue->lock, NULL);
}

bool dummy_put(struct dummy_queue *queue, const struct dummy_request *request)
{
	uint32_t pending;
	bool room;

	pthread_mutex_lock(&queue->lock);
	pending = atomic_load_explicit(&queue->pending, memory_order_relaxed);
	room = request->count && pending < DUMMY_REQUESTS_MAX;
	if (room) {
		queue->requests[(queue->first + pending) % DUMMY_REQUESTS_MAX] = *request;
		atomic_store_explicit(&queue->pending, pending + 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&queue->lock);
	return room;
}

bool dummy_take(struct dummy_queue *queue, uint32_t max, struct dummy_request *part)
{
	struct dummy_request *oldest;
	uint32_t pending;

	pthread_mutex_lock(&queue->lock);
	pending = atomic_load_explicit(&queue->pending, memory_order_relaxed);
	oldest = &queue->requests[queue->first];
	if (pending) {
		*part = *oldest;
		part->count = oldest->count < max ? oldest->count : max;
		oldest->count -= part->count;
		if (!oldest->count) {
			queue->first = (queue->first + 1) % DUMMY_REQUESTS_MAX;
			atomic_store_explicit(&queue->pending, pending - 1, memory_order_relaxed);
		}
	}
	pthread_mutex_unlock(&queue->lock);
	return pending != 0;
}
