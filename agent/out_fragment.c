/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's own packets that it has cut before they came here. Transport mode protects whole packets (RFC 4303 3.3.4),
 * and ports, by which policies may ask, stand in the first fragment alone: so these are put together again.
 */
#include "agent/join.h"
#include "agent/out.h"

enum drop_reason out_join(struct worker *worker, struct frame *frame)
{
	struct reassembly *table = worker->shared->host_fragments;
	struct host_policy *policy = worker->shared->policy;
	uint32_t tunnel = TUNNEL_NONE;
	enum drop_reason reason;
	struct inner packet;
	bool whole;

	if (!table || !policy)
		return DROP_FRAGMENT_TRANSPORT;
	frame->meta.l3_off = 0;
	reason = join_fragment(worker, table, frame, &whole);
	if (reason || !whole)
		return reason;
	if (!inner_parse(frame->data, frame->len, &packet))
		return DROP_PACKET_MALFORMED;
	reason = policy->ask(policy, &packet, &tunnel);
	if (reason)
		return reason;
	/* META_FRAGMENT: what was cut once may be cut again. */
	frame->meta = (struct packet_meta){.kind = META_PLAIN_OUT,
		.flags = META_FROM_HOST | META_FRAGMENT,
		.family = packet.family,
		.protocol = packet.protocol,
		.payload_off = packet.payload_off,
		.index = tunnel};
	return out_tunnel(worker, frame, &packet, tunnel);
}
