/* SPDX-License-Identifier: Apache-2.0 */
/* AF_XDP sockets as queues of a port, through libxdp. */
#ifndef ESPALIER_AGENT_XSK_PORT_H
#define ESPALIER_AGENT_XSK_PORT_H

#include "agent/port.h"

#define XSK_FILL_RING	    2048u
#define XSK_RX_RING	    2048u
#define XSK_TX_RING	    2048u
#define XSK_COMPLETION_RING 2048u
/* Chunks that one socket may hold: a full fill ring and a full transmit ring. */
#define XSK_CHUNKS (XSK_FILL_RING + XSK_TX_RING)

/*
 * Open the socket of one queue of `port` and put it into the xsk map at slot * QUEUES_MAX + queue, in place of an older
 * one. Zero-copy is tried first if `zero_copy`; *zero_copy tells what it became. The queue is freed by port_free.
 * -errno.
 */
int xsk_queue_open(const struct port *port, uint32_t queue, struct umem *umem, int xsks_fd, bool *zero_copy,
	struct port_queue **out);

#endif
