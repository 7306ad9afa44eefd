/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/gro.h"

#include "agent/checksum.h"
#include "agent/inner.h"

#include <arpa/inet.h>
#include <endian.h>
#include <netinet/in.h>
#include <string.h>

#define IPV4_HEADER_LEN 20u
#define IPV4_LEN_OFF	2u
#define IPV4_ID_OFF	4u
#define IPV4_FLAGS_OFF	6u
#define IPV4_CHECK_OFF	10u
#define IPV4_DF		0x40u
#define IPV6_HEADER_LEN 40u
#define IPV6_LEN_OFF	4u
#define TCP_SEQ_OFF	4u
#define TCP_ACK_OFF	8u
#define TCP_DATA_OFF	12u
#define TCP_FLAGS_OFF	13u
#define TCP_CHECK_OFF	16u
#define TCP_HEADER_MIN	20u
#define TCP_FIN		0x01u
#define TCP_PSH		0x08u
#define TCP_ACK		0x10u
#define TCP_ECE		0x40u
#define TCP_CWR		0x80u

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* ---- one segment --------------------------------------------------------------------------------------------- */

static uint32_t flow_hash(const struct inner *inner)
{
	uint64_t hash = (uint64_t)inner->source_port << 16 | inner->destination_port;
	const uint8_t *addresses = inner->source; /* the destination follows at once in both families */

	for (uint32_t i = 0; i < 2 * inner_addr_len(inner); i += 4)
		hash = (hash ^ get32(addresses + i)) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(hash >> 32) | 1;
}

static bool checksum_right(const uint8_t *packet, const struct inner *inner)
{
	uint32_t len = inner->len - inner->payload_off;
	uint64_t sum = checksum_pseudo(inner, IPPROTO_TCP, len);

	return checksum_fold(checksum_add(sum, packet + inner->payload_off, len)) == 0xffff;
}

/* May others follow this segment: data and acknowledgement, no options of IP, nothing that speaks of the connection's
 * state. */
static bool segment_joins(const uint8_t *packet, const struct inner *inner, const struct gro_packet *made)
{
	uint8_t flags = packet[inner->payload_off + TCP_FLAGS_OFF];

	if (inner->payload_off != (inner->family == 4 ? IPV4_HEADER_LEN : IPV6_HEADER_LEN))
		return false;
	return made->size && flags & TCP_ACK && !(flags & ~(TCP_ACK | TCP_PSH | TCP_FIN | TCP_ECE | TCP_CWR));
}

/* The packet that this frame makes by itself. */
static struct gro_packet packet_make(const struct frame *frame, uint8_t index)
{
	struct gro_packet made = {.first = index, .last = index, .count = 1, .len = frame->len};
	const uint8_t *tcp;
	struct inner inner;
	uint32_t left, header;

	if (!inner_parse(frame->data, frame->len, &inner))
		return made; /* the host's stack has its own word on that */
	made.family = inner.family;
	made.transport_off = inner.payload_off;
	left = inner.len - inner.payload_off;
	if (inner.protocol != IPPROTO_TCP || inner.fragment || inner.len != frame->len || left < TCP_HEADER_MIN)
		return made;
	tcp = frame->data + inner.payload_off;
	header = (tcp[TCP_DATA_OFF] >> 4) * 4u;
	if (header < TCP_HEADER_MIN || header > left)
		return made;
	made.flow = flow_hash(&inner);
	made.header_len = (uint16_t)(inner.payload_off + header);
	made.size = (uint16_t)(left - header);
	made.ip_id = inner.family == 4 ? get16(frame->data + IPV4_ID_OFF) : 0;
	made.next_sequence = get32(tcp + TCP_SEQ_OFF) + made.size;
	made.verified = checksum_right(frame->data, &inner);
	made.open = made.verified && segment_joins(frame->data, &inner, &made) &&
		    !(tcp[TCP_FLAGS_OFF] & (TCP_FIN | TCP_PSH));
	return made;
}

/* ---- joining ------------------------------------------------------------------------------------------------- */

static bool ipv4_alike(
	const struct gro_packet *packet, const struct gro_packet *segment, const uint8_t *a, const uint8_t *b)
{
	uint16_t id = (uint16_t)(packet->ip_id + 1);

	/* Type of service, flags and offset, TTL and protocol, addresses. */
	if (a[1] != b[1] || memcmp(a + IPV4_FLAGS_OFF, b + IPV4_FLAGS_OFF, 4) != 0 || memcmp(a + 12, b + 12, 8) != 0)
		return false;
	/* Identifications count up. With don't-fragment they say nothing (RFC 6864 4.1) and may stand still. */
	return segment->ip_id == id || (a[IPV4_FLAGS_OFF] & IPV4_DF && segment->ip_id == packet->ip_id);
}

static bool ipv6_alike(const uint8_t *a, const uint8_t *b)
{
	/* Version, traffic class and flow label; next header, hop limit, addresses. */
	return memcmp(a, b, IPV6_LEN_OFF) == 0 && memcmp(a + 6, b + 6, IPV6_HEADER_LEN - 6) == 0;
}

/* Ports, acknowledgement, options, and the flags but for those that may stand at the end. */
static bool tcp_alike(const uint8_t *a, const uint8_t *b, uint32_t header_len)
{
	const uint8_t flags = (uint8_t) ~(TCP_FIN | TCP_PSH | TCP_CWR);

	if (memcmp(a, b, 4) != 0 || memcmp(a + TCP_ACK_OFF, b + TCP_ACK_OFF, 5) != 0)
		return false;
	return (a[TCP_FLAGS_OFF] & flags) == (b[TCP_FLAGS_OFF] & flags) && !(b[TCP_FLAGS_OFF] & TCP_CWR) &&
	       memcmp(a + TCP_HEADER_MIN, b + TCP_HEADER_MIN, header_len - TCP_HEADER_MIN) == 0;
}

static bool packet_takes(const struct gro_packet *packet, const struct gro_packet *segment, const struct frame *first,
	const struct frame *frame)
{
	const uint8_t *a = first->data, *b = frame->data;
	uint32_t sequence = segment->next_sequence - segment->size;

	if (!packet->open || !segment->verified || segment->family != packet->family ||
		segment->header_len != packet->header_len || segment->transport_off != packet->transport_off)
		return false;
	if (sequence != packet->next_sequence || !segment->size || segment->size > packet->size ||
		packet->len + segment->size > GRO_LEN_MAX)
		return false;
	if (!tcp_alike(a + packet->transport_off, b + packet->transport_off,
		    (uint32_t)packet->header_len - packet->transport_off))
		return false;
	return packet->family == 4 ? ipv4_alike(packet, segment, a, b) : ipv6_alike(a, b);
}

static void packet_join(struct gro *gro, struct gro_packet *packet, const struct gro_packet *segment)
{
	gro->next[packet->last] = segment->first;
	packet->last = segment->first;
	packet->count++;
	packet->len += segment->size;
	packet->next_sequence = segment->next_sequence;
	packet->ip_id = segment->ip_id;
	/* A short one is the last, and so is one that says so. */
	packet->open = segment->open && segment->size == packet->size;
}

/* The newest packet of the same flow that still takes segments. */
static struct gro_packet *flow_find(struct gro *gro, uint32_t flow)
{
	for (uint32_t i = gro->count; flow && i--;)
		if (gro->packets[i].flow == flow && gro->packets[i].open)
			return &gro->packets[i];
	return NULL;
}

void gro_sort(struct gro *gro, const struct frame *frames, uint32_t count)
{
	gro->count = 0;
	for (uint32_t i = 0; i < count && i < GRO_FRAMES_MAX; i++) {
		struct gro_packet segment = packet_make(&frames[i], (uint8_t)i);
		struct gro_packet *packet = flow_find(gro, segment.flow);

		gro->next[i] = GRO_NONE;
		if (packet && packet_takes(packet, &segment, &frames[packet->first], &frames[i])) {
			packet_join(gro, packet, &segment);
			continue;
		}
		if (packet)
			packet->open = false; /* what comes later in the flow must not overtake this one */
		gro->packets[gro->count++] = segment;
	}
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

static void whole_ip(const struct gro_packet *packet, uint8_t *data)
{
	uint16_t check;

	if (packet->family == 6) {
		put16(data + IPV6_LEN_OFF, packet->len - IPV6_HEADER_LEN);
		return;
	}
	put16(data + IPV4_LEN_OFF, packet->len);
	put16(data + IPV4_CHECK_OFF, 0);
	check = (uint16_t)~checksum_fold(checksum_add(0, data, IPV4_HEADER_LEN));
	memcpy(data + IPV4_CHECK_OFF, &check, sizeof(check));
}

static void whole_tcp(const struct gro_packet *packet, uint8_t *data, const uint8_t *last)
{
	uint8_t *tcp = data + packet->transport_off;
	uint32_t addresses = packet->family == 4 ? 8 : 32;
	uint64_t sum = checksum_add(0, tcp - addresses, addresses);
	uint16_t check;

	tcp[TCP_FLAGS_OFF] |= last[packet->transport_off + TCP_FLAGS_OFF] & (TCP_FIN | TCP_PSH);
	check = checksum_fold(sum + htonl(packet->len - packet->transport_off) + htons(IPPROTO_TCP));
	memcpy(tcp + TCP_CHECK_OFF, &check, sizeof(check));
}

void gro_finish(const struct gro_packet *packet, struct frame *frames, struct virtio_net_hdr *header)
{
	struct frame *first = &frames[packet->first];
	uint8_t type = packet->family == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;

	memset(header, 0, sizeof(*header));
	if (packet->verified)
		header->flags = VIRTIO_NET_HDR_F_DATA_VALID;
	if (packet->count == 1)
		return;
	whole_ip(packet, first->data);
	whole_tcp(packet, first->data, frames[packet->last].data);
	header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->gso_type = type;
	if (first->data[packet->transport_off + TCP_FLAGS_OFF] & TCP_CWR)
		header->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	header->hdr_len = htole16(packet->header_len);
	header->gso_size = htole16(packet->size);
	header->csum_start = htole16(packet->transport_off);
	header->csum_offset = htole16(TCP_CHECK_OFF);
}
