/* SPDX-License-Identifier: Apache-2.0 */
/* One plaintext packet, into its tunnel: its begin and its end (turn.h). */
#ifndef ESPALIER_AGENT_OUT_H
#define ESPALIER_AGENT_OUT_H

#include "agent/icmp_error.h"
#include "agent/worker.h"

/* META_PLAIN_OUT: frame->data is the link header. On DROP_NONE it has joined the bundle of packets to seal, or waits.
 */
enum drop_reason out_begin(struct worker *worker, struct frame *frame);
/* A fragment that the host made of a packet (META_HOST_FRAGMENT, or one for an SA in transport mode; RFC 4303 3.3.4:
 * ESP is applied to whole packets): kept until the packet is whole, which is then judged by the policies. */
enum drop_reason out_join(struct worker *worker, struct frame *frame);
/* frame->data is the IP header of a whole packet for `tunnel`, its parse in `inner`. */
enum drop_reason out_tunnel(struct worker *worker, struct frame *frame, struct inner *inner, uint32_t tunnel);
/* Tell the sender of the packet at frame->data, `inner` its parse, as often as errors may be sent. `mtu`: with
 * ICMP_TOO_BIG. What becomes of the packet itself is the caller's business. */
void out_tell_sender(struct worker *worker, enum icmp_error kind, const struct frame *frame, const struct inner *inner,
	uint32_t mtu);
/* `count` packets of one SA, in their order, whose jobs are done: on their way to the peer, or dropped. */
void out_end(
	struct worker *worker, struct sa_slot *slot, struct frame *frames, const struct esp_job *jobs, uint32_t count);
/* META_DUMMY_OUT: a dummy packet of frame->len bytes. As out_begin, but it waits for nothing. */
enum drop_reason out_dummy(struct worker *worker, struct frame *frame);
/* Up to `max` of the dummies that were asked for. Gives how many. */
uint32_t out_make_dummies(struct worker *worker, struct frame *frames, uint32_t max);
/* Packets whose tunnel now has an SA, or whose time is over. */
void out_sweep_held(struct worker *worker);

#endif
