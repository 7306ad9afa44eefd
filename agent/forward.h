/* SPDX-License-Identifier: Apache-2.0 */
/* The last step of every packet: next hop, link header, transmit batch. */
#ifndef ESPALIER_AGENT_FORWARD_H
#define ESPALIER_AGENT_FORWARD_H

#include "agent/worker.h"

/* frame->data is an IP header. The frame is taken on DROP_NONE: queued on a port, given to the host, or held for its
 * neighbour. */
enum drop_reason forward_packet(struct worker *worker, struct frame *frame, bool outer);
/* The same where the next hop is known already. */
enum drop_reason forward_to(struct worker *worker, struct frame *frame, const struct next_hop *hop, bool outer);
/* Into the host's own network stack, through the host device. */
enum drop_reason forward_to_host(struct worker *worker, struct frame *frame);
/* Send what the turn has queued. */
void forward_flush(struct worker *worker);
/* Held packets whose neighbour has answered, or whose time is over. */
void forward_sweep_held(struct worker *worker);

#endif
