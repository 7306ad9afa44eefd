/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/forward.h"

#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define VLAN_TAG_LEN	(FORWARD_LINK_MAX - FORWARD_LINK_LEN)
#define ETHERTYPE_VLAN	0x8100u
#define ETHERTYPE_V4	0x0800u
#define ETHERTYPE_V6	0x86ddu
#define IPV4_HEADER_MIN 20u
#define IPV6_HEADER_LEN 40u

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* The destination of the IP packet at frame->data. False: it is none. */
static bool packet_destination(const struct frame *frame, struct addr16 *destination)
{
	uint8_t version = frame->len ? frame->data[0] >> 4 : 0;

	if (version == 4 && frame->len >= IPV4_HEADER_MIN) {
		memcpy(destination->bytes, mapped_prefix, sizeof(mapped_prefix));
		memcpy(destination->bytes + 12, frame->data + 16, 4);
		return true;
	}
	if (version == 6 && frame->len >= IPV6_HEADER_LEN) {
		memcpy(destination->bytes, frame->data + 24, 16);
		return true;
	}
	return false;
}

void forward_flush_port(struct worker *worker, uint32_t slot)
{
	struct tx_batch *batch = &worker->out[slot];
	struct port *port = worker->ports[slot];
	uint32_t bit = 1u << slot, sent = 0;
	struct port_queue *queue;

	if (port) {
		queue = port_send_queue(port, worker->index);
		sent = port_send(queue, batch->frames, batch->count, &worker->cache);
		if (sent < batch->count) { /* full: make room once, then give up */
			port_flush(queue, &worker->cache);
			sent += port_send(queue, batch->frames + sent, batch->count - sent, &worker->cache);
		}
		worker->flush_pending |= bit;
	}
	worker->stat->tx_packets += sent;
	for (uint32_t i = sent; i < batch->count; i++)
		worker_drop(worker, &batch->frames[i], port ? DROP_TX_FULL : DROP_PORT_DOWN);
	batch->count = 0;
	worker->out_pending &= ~bit;
}

/* The 802.1Q tag of a VLAN device over the port; the packet's own EtherType goes behind it. */
static void vlan_tag_put(struct frame *frame, uint16_t vlan_id, uint16_t *type)
{
	uint8_t *tag = frame_push(frame, VLAN_TAG_LEN);

	tag[0] = (uint8_t)(vlan_id >> 8);
	tag[1] = (uint8_t)vlan_id;
	tag[2] = (uint8_t)(*type >> 8);
	tag[3] = (uint8_t)*type;
	*type = ETHERTYPE_VLAN;
}

/* At `link`, before a packet of this EtherType. */
static void link_put(uint8_t link[FORWARD_LINK_LEN], const struct next_hop *hop, uint16_t type)
{
	type = htobe16(type);
	memcpy(link, hop->destination_mac, 6);
	memcpy(link + 6, hop->source_mac, 6);
	memcpy(link + 12, &type, sizeof(type));
}

enum drop_reason forward_transmit(
	struct worker *worker, const struct port *port, struct frame *frame, const struct next_hop *hop)
{
	uint16_t type = frame->data[0] >> 4 == 4 ? ETHERTYPE_V4 : ETHERTYPE_V6;

	if (frame_headroom(frame) < FORWARD_LINK_MAX)
		return DROP_TOO_BIG;
	if (hop->vlan_id)
		vlan_tag_put(frame, hop->vlan_id, &type);
	link_put(frame_push(frame, FORWARD_LINK_LEN), hop, type);
	forward_queue(worker, &worker->out[port->slot], port->slot, frame, frame->data, frame->len);
	return DROP_NONE;
}

bool forward_way_init(struct forward_way *way, struct worker *worker, const struct next_hop *hop)
{
	const struct port *port = hop->kind == HOP_PORT && !hop->vlan_id ? worker->ports[hop->slot] : NULL;

	if (!port)
		return false;
	way->slot = port->slot;
	way->batch = &worker->out[port->slot];
	link_put(way->link, hop, ETHERTYPE_V4);
	return true;
}

enum drop_reason forward_to_host(struct worker *worker, struct frame *frame)
{
	struct port *host = worker->host;

	if (!host)
		return DROP_PORT_DOWN;
	forward_queue(worker, &worker->out[host->slot], host->slot, frame, frame->data, frame->len);
	return DROP_NONE;
}

/* For sendmsg: `control` says what the packet's source is, which the rules may ask for and the kernel does not read. */
static void raw_source_put(struct msghdr *message, bool v4, const uint8_t *source)
{
	struct cmsghdr *head = CMSG_FIRSTHDR(message);
	struct in6_pktinfo info6 = {0};
	struct in_pktinfo info4 = {0};

	if (v4) {
		memcpy(&info4.ipi_spec_dst, source, 4);
		*head = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(info4)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
		memcpy(CMSG_DATA(head), &info4, sizeof(info4));
	} else {
		memcpy(&info6.ipi6_addr, source, 16);
		*head = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(info6)), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO};
		memcpy(CMSG_DATA(head), &info6, sizeof(info6));
	}
	message->msg_controllen = head->cmsg_len;
}

/* A protected packet that leaves by an interface of the host: the kernel carries it, under the mark, so that it meets
 * no tunnel again. */
static enum drop_reason forward_raw(struct worker *worker, const struct frame *frame)
{
	char control[CMSG_SPACE(sizeof(struct in6_pktinfo))] __attribute__((aligned(8))) = {0};
	struct sockaddr_in to4 = {.sin_family = AF_INET};
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6};
	bool v4 = frame->data[0] >> 4 == 4;
	int fd = v4 ? worker->raw4 : worker->raw6;
	struct iovec packet = {frame->data, frame->len};
	struct msghdr message = {.msg_name = v4 ? (void *)&to4 : &to6,
		.msg_namelen = v4 ? sizeof(to4) : sizeof(to6),
		.msg_iov = &packet,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};

	if (v4)
		memcpy(&to4.sin_addr, frame->data + 16, 4);
	else
		memcpy(&to6.sin6_addr, frame->data + 24, 16);
	if (fd < 0)
		return DROP_PORT_DOWN;
	raw_source_put(&message, v4, frame->data + (v4 ? 12 : 8));
	if (sendmsg(fd, &message, MSG_DONTWAIT) < 0)
		return errno == EMSGSIZE ? DROP_TOO_BIG : errno == ENETUNREACH ? DROP_ROUTE_NONE : DROP_TX_FULL;
	worker->stat->tx_packets++;
	chunk_give(&worker->cache, frame->chunk);
	return DROP_NONE;
}

/* A plain packet waits under its destination; those of two that share a key only share their room. A protected one
 * waits under its SA. */
static uint64_t hold_key(const struct addr16 *destination)
{
	uint64_t words[2];

	memcpy(words, destination->bytes, sizeof(words));
	return (words[0] * UINT64_C(0x9e3779b97f4a7c15) ^ words[1]) & ~UINT64_C(1);
}

static uint64_t hold_key_sealed(const struct worker *worker, const struct sa_slot *slot)
{
	return (uint64_t)(slot->context.run - worker->shared->maps.run) << 1 | 1;
}

static enum drop_reason forward_hold(struct worker *worker, struct frame *frame, const struct sa_slot *sealed)
{
	struct addr16 destination;
	uint64_t key;

	if (!packet_destination(frame, &destination))
		return DROP_PACKET_MALFORMED;
	key = sealed ? hold_key_sealed(worker, sealed) : hold_key(&destination);
	return hold_add(&worker->waiting_neighbor, key, frame, worker->now_ns) ? DROP_NONE : DROP_NEIGHBOR_PENDING;
}

/* A packet out of a tunnel ends here, and is counted; its sender is told by the kernel, which finds the same (RFC 1812
 * 5.2.7.1, RFC 4443 3.1). */
static enum drop_reason forward_unreachable(
	struct worker *worker, struct frame *frame, const struct sa_slot *sealed, enum drop_reason reason)
{
	if (sealed || !worker->host)
		return reason;
	worker_count_lost(worker, reason, 1);
	return forward_to_host(worker, frame);
}

enum drop_reason forward_elsewhere(
	struct worker *worker, struct frame *frame, enum hop_kind kind, const struct sa_slot *sealed)
{
	switch (kind) {
	case HOP_HOST:
		return sealed ? forward_raw(worker, frame) : forward_to_host(worker, frame);
	case HOP_PENDING:
		return forward_hold(worker, frame, sealed);
	case HOP_FAILED:
		return forward_unreachable(worker, frame, sealed, DROP_NEIGHBOR_FAILED);
	case HOP_PORT:
	case HOP_NONE:
		break;
	}
	return forward_unreachable(worker, frame, sealed, DROP_ROUTE_NONE);
}

enum drop_reason forward_packet(struct worker *worker, struct frame *frame)
{
	struct addr16 destination;

	if (!packet_destination(frame, &destination))
		return DROP_PACKET_MALFORMED;
	return forward_to(worker, frame, nexthop_find(&worker->hops, &destination, worker->now_ns), NULL);
}

/* The SA of a held packet. NULL: it is gone, or was changed and leads elsewhere. */
static struct sa_slot *forward_held_slot(struct worker *worker, uint64_t key, const struct addr16 *destination)
{
	enum drop_reason reason;
	struct sa_slot *slot = sa_table_find(&worker->sas, (uint32_t)(key >> 1), SA_OUT, DROP_SA_MISSING, &reason);

	return slot && memcmp(&slot->context.sa.remote, destination, sizeof(*destination)) == 0 ? slot : NULL;
}

static enum held_fate forward_judge(void *context, uint64_t key, struct frame *frame, bool expired)
{
	struct worker *worker = context;
	struct sa_slot *sealed = NULL;
	const struct next_hop *hop;
	struct addr16 destination;
	enum drop_reason reason;

	packet_destination(frame, &destination);
	if (key & 1) {
		sealed = forward_held_slot(worker, key, &destination);
		if (!sealed) {
			worker_drop(worker, frame, DROP_SA_MISSING);
			return HELD_TAKEN;
		}
	}
	hop = sealed ? worker_outer_hop(worker, sealed) : nexthop_find(&worker->hops, &destination, worker->now_ns);
	if (hop->kind == HOP_PENDING && !expired)
		return HELD_KEEP;
	reason = hop->kind == HOP_PENDING ? DROP_NEIGHBOR_FAILED : forward_to(worker, frame, hop, sealed);
	if (reason)
		worker_drop(worker, frame, reason);
	return HELD_TAKEN;
}

void forward_sweep_held(struct worker *worker)
{
	if (worker->waiting_neighbor.count)
		hold_sweep(&worker->waiting_neighbor, worker->now_ns, forward_judge, worker);
}

void forward_flush(struct worker *worker)
{
	for (uint32_t pending = worker->out_pending; pending; pending &= pending - 1)
		forward_flush_port(worker, (uint32_t)__builtin_ctz(pending));
	for (uint32_t pending = worker->flush_pending; pending; pending &= pending - 1) {
		uint32_t slot = (uint32_t)__builtin_ctz(pending);
		struct port *port = worker->ports[slot];

		if (!port || !port_flush(port_send_queue(port, worker->index), &worker->cache))
			worker->flush_pending &= ~(1u << slot);
	}
}
