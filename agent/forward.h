/* SPDX-License-Identifier: Apache-2.0 */
/* The last step of every packet: next hop, link header, transmit batch. */
#ifndef ESPALIER_AGENT_FORWARD_H
#define ESPALIER_AGENT_FORWARD_H

#include "agent/worker.h"

/* A plain packet; frame->data is its IP header. The frame is taken on DROP_NONE: queued on a port, given to the host,
 * or held for its neighbour. */
enum drop_reason forward_packet(struct worker *worker, struct frame *frame);
/* The same where the next hop is known already. `sealed`: the SA that protects the packet; NULL: a plain one. */
static inline enum drop_reason forward_to(
	struct worker *worker, struct frame *frame, const struct next_hop *hop, const struct sa_slot *sealed);
/* Into the host's own network stack, through the host device. */
enum drop_reason forward_to_host(struct worker *worker, struct frame *frame);
/* Send what the turn has queued. */
void forward_flush(struct worker *worker);
/* Held packets whose neighbour has answered, or whose time is over. */
void forward_sweep_held(struct worker *worker);

/*
 * What the packets to one neighbour have in common, found out once: `link` goes before each of them. Valid for the turn
 * in which it was made.
 */
#define FORWARD_LINK_LEN 14u
#define FORWARD_LINK_MAX (FORWARD_LINK_LEN + 4u) /* with a VLAN tag */

struct forward_way {
	struct tx_batch *batch;
	uint32_t slot;
	uint8_t link[FORWARD_LINK_LEN];
};

/* IPv4 packets by `hop`. False: not simply out of a port, see forward_to. */
bool forward_way_init(struct forward_way *way, struct worker *worker, const struct next_hop *hop);
/* The packet of `len` bytes at `data` in `frame` goes that way: taken. At least FORWARD_LINK_MAX bytes are free before
 * it. */
static inline void forward_by(
	struct worker *worker, const struct forward_way *way, const struct frame *frame, uint8_t *data, uint32_t len);

/* For forward_by: the batch of this port's slot is full, or the turn ends. */
void forward_flush_port(struct worker *worker, uint32_t slot);
/* For forward_to: out of a port with a link header before the packet, and wherever else. */
enum drop_reason forward_transmit(
	struct worker *worker, const struct port *port, struct frame *frame, const struct next_hop *hop);
enum drop_reason forward_elsewhere(
	struct worker *worker, struct frame *frame, enum hop_kind kind, const struct sa_slot *sealed);

/* Into the batch of a port: the packet of `len` bytes at `data`, link header and all. */
static inline void forward_queue(struct worker *worker, struct tx_batch *batch, uint32_t slot,
	const struct frame *frame, uint8_t *data, uint32_t len)
{
	uint32_t count = batch->count;

	frame_copy_as(&batch->frames[count], frame, data, len);
	batch->count = count + 1;
	if (!count)
		worker->out_pending |= 1u << slot;
	if (count + 1 == PORT_BATCH)
		forward_flush_port(worker, slot);
}

static inline void forward_by(
	struct worker *worker, const struct forward_way *way, const struct frame *frame, uint8_t *data, uint32_t len)
{
	data -= FORWARD_LINK_LEN;
	memcpy(data, way->link, FORWARD_LINK_LEN);
	forward_queue(worker, way->batch, way->slot, frame, data, len + FORWARD_LINK_LEN);
}

static inline enum drop_reason forward_to(
	struct worker *worker, struct frame *frame, const struct next_hop *hop, const struct sa_slot *sealed)
{
	const struct port *port;

	if (hop->kind != HOP_PORT)
		return forward_elsewhere(worker, frame, (enum hop_kind)hop->kind, sealed);
	port = worker->ports[hop->slot];
	return port ? forward_transmit(worker, port, frame, hop) : DROP_PORT_DOWN;
}

#endif
