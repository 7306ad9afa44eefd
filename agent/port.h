/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port: one attached interface as the workers see it, a row of queues with few verbs. What stands behind a queue (an
 * AF_XDP socket, or memory for tests and benchmarks) is asked once per batch, never per packet.
 *
 * Each queue is received from by one worker alone. Every worker may send on any queue; a queue that more than one
 * worker sends on is `shared` and locks itself.
 */
#ifndef ESPALIER_AGENT_PORT_H
#define ESPALIER_AGENT_PORT_H

#include "agent/frame.h"
#include "agent/umem.h"
#include "bpf/contract.h"
#include "bpf/dataplane.h"

#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PORT_BATCH 64u /* frames a worker takes from a queue, and sends to one, in one call */

struct port_queue;

/* Packets that died out of the worker's sight, since the last time it was asked. */
struct port_lost {
	uint64_t rx_full;    /* the receive ring was full */
	uint64_t no_frame;   /* there was no chunk to receive into */
	uint64_t tx_refused; /* taken to be sent, but the interface was down or gone */
	uint64_t tx_gone;    /* taken to be sent, but lost on the way */
};

struct port_ops {
	uint32_t (*recv)(struct port_queue *queue, struct frame *frames, uint32_t max);
	void (*refill)(struct port_queue *queue, struct chunk_cache *cache);
	uint32_t (*send)(
		struct port_queue *queue, const struct frame *frames, uint32_t count, struct chunk_cache *cache);
	bool (*flush)(struct port_queue *queue, struct chunk_cache *cache);
	void (*lost)(struct port_queue *queue, struct port_lost *lost);
	void (*free)(struct port_queue *queue);
};

/* The head of every queue; the backend's own state follows it. */
struct port_queue {
	const struct port_ops *ops;
	pthread_spinlock_t send_lock; /* held for send and flush if `shared` */
	bool shared;
	/* Many frames wait in it for what it does not do at once: whoever sends here should not bring more for a
	 * moment. Written under the lock, read by any sender. */
	_Atomic bool choked;
	int fd; /* readable when frames wait; -1 in memory */
};

struct port {
	uint32_t slot; /* index into struct port_table and, times QUEUES_MAX, into the xsk map */
	uint32_t ifindex;
	char name[IF_NAMESIZE];
	uint8_t mac[6];
	bool host; /* the host device: behind it is the host itself, and packets have no link header */
	_Atomic uint32_t mtu;
	_Atomic bool up;
	uint32_t queue_count;
	struct port_queue *queues[QUEUES_MAX];
	enum attach_mode mode;
	bool zero_copy;
	bool multi_buffer;		/* takes and sends packets longer than a chunk */
	bool need_wakeup;		/* the kernel is called only when it asks for that */
	uint8_t busy_poll;		/* enum agent_busy_poll */
	uint32_t ring_size;		/* descriptors of each AF_XDP ring; 0: it has none */
	bool captures;			/* what the host sends by it goes through the policies */
	bool live_capable;		/* the live engine may send here */
	_Atomic bool live_refused;	/* it could not, or not now; AF_XDP does */
	_Atomic bool live_carries;	/* it did within the last second */
	_Atomic uint64_t live_vanished; /* given to it and never counted by the link; told by the first queue's lost */
	bool live_failed;		/* control thread: packets vanished, never again */
	uint64_t live_seen;		/* control thread: frames by the engine, and by the link, when last compared */
	uint64_t link_seen;
	char reason[256]; /* why not better; "" if nothing to say */
};

/*
 * The ports by slot. The control thread puts and takes them out; workers read the pointers at the start of each turn. A
 * port that was taken out is freed only after every worker began a new turn (workers_wait in worker.h).
 */
struct port_table {
	struct port *_Atomic ports[PORTS_MAX];
};

static inline struct port *port_table_find(struct port_table *table, uint32_t slot)
{
	return atomic_load_explicit(&table->ports[slot], memory_order_acquire);
}

/* The attached port with this interface index, or NULL. */
struct port *port_table_by_ifindex(struct port_table *table, uint32_t ifindex);
/* The host device's port, or NULL. */
struct port *port_table_host(struct port_table *table);

void port_queue_init(struct port_queue *queue, const struct port_ops *ops, int fd);
/* Close every queue and free the port. Frames that lie in its rings go back to the depot. No worker may still use it.
 */
void port_free(struct port *port);

/* The queue on which worker `worker` sends. */
static inline struct port_queue *port_send_queue(const struct port *port, uint32_t worker)
{
	return port->queues[worker < port->queue_count ? worker : worker % port->queue_count];
}

/*
 * Receive up to `max` frames, their metadata copied out, `data` at the link header. The frames are the caller's until
 * it sends them or gives their chunks back. Only the queue's own worker may call this.
 */
static inline uint32_t port_recv(struct port_queue *queue, struct frame *frames, uint32_t max)
{
	return queue->ops->recv(queue, frames, max);
}

/* Hand free chunks to the queue to receive into. Only the queue's own worker may call this. */
static inline void port_refill(struct port_queue *queue, struct chunk_cache *cache)
{
	queue->ops->refill(queue, cache);
}

/* What the queue lost on receive. Only the queue's own worker may call this. */
static inline void port_lost(struct port_queue *queue, struct port_lost *lost)
{
	queue->ops->lost(queue, lost);
}

/*
 * Queue frames for transmission, `data` at the link header. Gives how many were taken, from the first on; those the
 * caller may no longer touch. The rest stays the caller's (the ring is full). Buffers that are no longer needed go back
 * to `cache`. Nothing is sure to move before port_flush.
 */
uint32_t port_send(struct port_queue *queue, const struct frame *frames, uint32_t count, struct chunk_cache *cache);
/* Make the queue transmit, and take the chunks of transmitted frames into `cache`. True: frames are still waiting,
 * flush again soon. */
bool port_flush(struct port_queue *queue, struct chunk_cache *cache);

#endif
