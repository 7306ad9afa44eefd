/* SPDX-License-Identifier: Apache-2.0 */
/* AF_XDP sockets as queues of a port, through libxdp. */
#ifndef ESPALIER_AGENT_XSK_PORT_H
#define ESPALIER_AGENT_XSK_PORT_H

#include "agent/port.h"
#include "bpf/transmit.h"

#define XSK_RING_SIZE	  2048u /* descriptors of each ring, unless told otherwise */
#define XSK_RING_SIZE_MIN 256u
#define XSK_RING_SIZE_MAX 16384u
#define XSK_DATA_MAX	  3520u /* bytes of a frame that the kernel gives one descriptor: page, headroom and tail off */

/* The largest MTU whose frames, VLAN tag included, the live engine takes. */
#define LIVE_MTU_MAX (TRANSMIT_FRAME_MAX - 18u)

struct live_engine;

struct xsk_options {
	uint32_t ring_size; /* a power of two; 0: XSK_RING_SIZE */
	bool busy_poll;	    /* the worker drives the driver's receive loop, where the kernel takes it */
};

/* Chunks that one socket may hold: a full fill ring and a full transmit ring. */
static inline uint32_t xsk_chunks(uint32_t ring_size)
{
	return 2 * ring_size;
}

/* What the kernel gave instead of what was asked for. */
struct xsk_outcome {
	bool zero_copy;
	bool multi_buffer; /* packets of several descriptors, both ways (Linux 6.6) */
	bool busy_poll;
	bool need_wakeup;
};

/*
 * Open the socket of one queue of `port` and put it into the xsk map at slot * QUEUES_MAX + queue, in place of an older
 * one. Zero-copy is tried first if outcome->zero_copy. The queue keeps `port`, and is freed by port_free. -errno;
 * -EBUSY after a second of trying, for as long a socket may still be on the queue after its close. In zero-copy mode
 * the end waits likewise. So neither is for a worker's thread.
 */
int xsk_queue_open(struct port *port, uint32_t queue, struct umem *umem, int xsks_fd, const struct xsk_options *options,
	struct xsk_outcome *outcome, struct port_queue **out);

/* Let the queue send by the live engine of the one worker that sends on it. Before the port is seen by any worker.
 * -ENOMEM. */
int xsk_queue_use_live(struct port_queue *queue, struct live_engine *engine);
/* Frames that went by the live engine, ever; and does it carry now? Any thread. */
uint64_t xsk_queue_live_sent(const struct port_queue *queue);

#endif
