/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/port.h"

#include <stdlib.h>

struct port *port_table_by_ifindex(struct port_table *table, uint32_t ifindex)
{
	for (uint32_t slot = 0; slot < PORTS_MAX; slot++) {
		struct port *port = port_table_find(table, slot);

		if (port && port->ifindex == ifindex)
			return port;
	}
	return NULL;
}

struct port *port_table_host(struct port_table *table)
{
	for (uint32_t slot = 0; slot < PORTS_MAX; slot++) {
		struct port *port = port_table_find(table, slot);

		if (port && port->host)
			return port;
	}
	return NULL;
}

void port_queue_init(struct port_queue *queue, const struct port_ops *ops, int fd)
{
	queue->ops = ops;
	queue->shared = false;
	queue->fd = fd;
	pthread_spin_init(&queue->send_lock, PTHREAD_PROCESS_PRIVATE);
}

void port_free(struct port *port)
{
	if (!port)
		return;
	for (uint32_t i = 0; i < port->queue_count; i++)
		if (port->queues[i])
			port->queues[i]->ops->free(port->queues[i]);
	free(port);
}

uint32_t port_send(struct port_queue *queue, const struct frame *frames, uint32_t count, struct chunk_cache *cache)
{
	uint32_t taken;

	if (!queue->shared)
		return queue->ops->send(queue, frames, count, cache);
	pthread_spin_lock(&queue->send_lock);
	taken = queue->ops->send(queue, frames, count, cache);
	pthread_spin_unlock(&queue->send_lock);
	return taken;
}

bool port_flush(struct port_queue *queue, struct chunk_cache *cache)
{
	bool waiting;

	if (!queue->shared)
		return queue->ops->flush(queue, cache);
	pthread_spin_lock(&queue->send_lock);
	waiting = queue->ops->flush(queue, cache);
	pthread_spin_unlock(&queue->send_lock);
	return waiting;
}
