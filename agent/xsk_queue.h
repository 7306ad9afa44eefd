/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the AF_XDP port: what stands behind one queue. */
#ifndef ESPALIER_AGENT_XSK_QUEUE_H
#define ESPALIER_AGENT_XSK_QUEUE_H

#include "agent/live_engine.h"
#include "agent/port.h"
#include "agent/xsk_port.h"

#include <linux/if_xdp.h>
#include <xdp/xsk.h>

#ifndef SOL_XDP
#define SOL_XDP 283
#endif
/* Linux 6.6; older headers do not know them. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif

/* A packet of several descriptors that is being put together. */
struct xsk_gather {
	bool open;	    /* more descriptors belong to it */
	bool broken;	    /* too long, or no memory: its other descriptors go the same way */
	struct frame frame; /* in a jumbo buffer */
};

/*
 * Each socket registers the one packet area anew, instead of binding with XDP_SHARED_UMEM: a shared bind inherits copy
 * or zero-copy from the first socket, and a NIC with zero-copy could then not stand beside one that has none.
 */
struct xsk_queue {
	struct port_queue head;
	struct port *port;
	struct umem *umem;
	struct xsk_umem *registration;
	struct xsk_socket *socket;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons completion;
	struct xsk_ring_cons rx;
	struct xsk_ring_prod tx;
	uint32_t number;    /* of the interface's queue */
	uint32_t ring_size; /* of each of the four */
	bool zero_copy;
	bool multi_buffer;
	bool busy_poll;
	uint16_t holder; /* mark of this socket in umem.holder */
	/* receive: the queue's own worker */
	struct xsk_gather gather;
	struct chunk_cache spare; /* chunks of gathered packets, for the next refill */
	uint64_t rx_broken;
	struct port_lost told;
	/* send */
	uint32_t in_flight; /* descriptors sent, chunk not yet back */
	uint64_t tx_gone;
	struct live_engine *live; /* NULL: AF_XDP alone */
	bool on_live;		  /* the last frames went there */
	_Atomic uint64_t live_sent;
	/* A change of engines: frames wait until the one has sent all that it was given. */
	uint64_t changing_ns;	/* since when; 0: there is none */
	uint64_t not_before_ns; /* AF_XDP never came to rest: no change to the live engine until then */
	struct live_drain drain;
	struct frame *waiting; /* a ring of `ring_size`, NULL without `live` */
	uint32_t waiting_first;
	uint32_t waiting_count;
};

/* The last `count` reserved descriptors are not needed. */
static inline void xsk_ring_unreserve(struct xsk_ring_prod *ring, uint32_t count)
{
	ring->cached_prod -= count;
}

uint32_t xsk_queue_recv(struct port_queue *head, struct frame *frames, uint32_t max);
void xsk_queue_refill(struct port_queue *head, struct chunk_cache *cache);
uint32_t xsk_queue_send(struct port_queue *head, const struct frame *frames, uint32_t count, struct chunk_cache *cache);
bool xsk_queue_flush(struct port_queue *head, struct chunk_cache *cache);
/* Of a queue that ends: its waiting frames' buffers go to `spare`. */
void xsk_queue_drop_waiting(struct xsk_queue *queue);

#endif
