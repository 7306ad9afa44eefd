/* SPDX-License-Identifier: Apache-2.0 */
/* A port without a kernel: frames are pushed in and pulled out by hand. For unit tests and the pipeline benchmark. */
#ifndef ESPALIER_AGENT_MEMORY_PORT_H
#define ESPALIER_AGENT_MEMORY_PORT_H

#include "agent/port.h"

#define MEMORY_QUEUE_MAX 1024u

/* A port of `queues` queues with this link address. NULL: out of memory. Ended by port_free; what lies in it is then
 * the caller's loss. */
struct port *memory_port_new(uint32_t slot, uint32_t queues, const uint8_t mac[6]);

/* The next frame that queue `queue` receives: `data` at the link header, `meta` filled. False: full, the frame stays
 * the caller's. */
bool memory_port_push(struct port *port, uint32_t queue, const struct frame *frame);
/* The oldest frames that were sent on the queue and flushed; their chunks are the caller's. Gives their number. */
uint32_t memory_port_pull(struct port *port, uint32_t queue, struct frame *frames, uint32_t max);
/* How many frames the queue takes before it is flushed: a test of the full ring. */
void memory_port_limit(struct port *port, uint32_t queue, uint32_t frames);

#endif
