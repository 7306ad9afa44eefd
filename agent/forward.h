/* SPDX-License-Identifier: Apache-2.0 */
/* The last step of every packet: next hop, link header, transmit batch. */
#ifndef ESPALIER_AGENT_FORWARD_H
#define ESPALIER_AGENT_FORWARD_H

#include "agent/worker.h"

/* frame->data is an IP header. The frame is taken on DROP_NONE: queued on a port, given to the host, or held for its
 * neighbour. */
enum drop_reason forward_packet(struct worker *worker, struct frame *frame, bool outer);
/* The same where the next hop is known already. */
static inline enum drop_reason forward_to(
	struct worker *worker, struct frame *frame, const struct next_hop *hop, bool outer);
/* Into the host's own network stack, through the host device. */
enum drop_reason forward_to_host(struct worker *worker, struct frame *frame);
/* Send what the turn has queued. */
void forward_flush(struct worker *worker);
/* Held packets whose neighbour has answered, or whose time is over. */
void forward_sweep_held(struct worker *worker);

/* For forward_to: out of a port with a link header before the packet, and wherever else. */
enum drop_reason forward_transmit(
	struct worker *worker, const struct port *port, struct frame *frame, const struct next_hop *hop);
enum drop_reason forward_elsewhere(struct worker *worker, struct frame *frame, enum hop_kind kind, bool outer);

static inline enum drop_reason forward_to(
	struct worker *worker, struct frame *frame, const struct next_hop *hop, bool outer)
{
	const struct port *port;

	if (hop->kind != HOP_PORT)
		return forward_elsewhere(worker, frame, (enum hop_kind)hop->kind, outer);
	port = worker->ports[hop->slot];
	return port ? forward_transmit(worker, port, frame, hop) : DROP_PORT_DOWN;
}

#endif
