/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/gso.h"

#include "agent/checksum.h"

#include <arpa/inet.h>
#include <endian.h>
#include <netinet/in.h>
#include <string.h>

#define IPV4_LEN_OFF	2u
#define IPV4_ID_OFF	4u
#define IPV4_CHECK_OFF	10u
#define IPV6_LEN_OFF	4u
#define IPV6_HEADER_LEN 40u
#define TCP_SEQ_OFF	4u
#define TCP_DATA_OFF	12u
#define TCP_FLAGS_OFF	13u
#define TCP_CHECK_OFF	16u
#define TCP_HEADER_MIN	20u
#define TCP_FIN		0x01u
#define TCP_SYN		0x02u
#define TCP_RST		0x04u
#define TCP_PSH		0x08u
#define TCP_URG		0x20u
#define TCP_CWR		0x80u
#define UDP_LEN_OFF	4u
#define UDP_CHECK_OFF	6u
#define UDP_HEADER_LEN	8u

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* ---- beginning ----------------------------------------------------------------------------------------------- */

/* The checksum from `start` to the packet's end, into the field at start + offset (virtio 1.2, 5.1.6.2). */
static bool complete_checksum(const struct virtio_net_hdr *header, uint8_t *packet, uint32_t len)
{
	uint32_t start = le16toh(header->csum_start), offset = le16toh(header->csum_offset);
	uint16_t check;

	if (start + offset + sizeof(check) > len)
		return false;
	check = (uint16_t)~checksum_fold(checksum_add(0, packet + start, len - start));
	if (!check && offset == UDP_CHECK_OFF)
		check = 0xffff; /* 0 would say "none" (RFC 768) */
	memcpy(packet + start + offset, &check, sizeof(check));
	return true;
}

/* What the header's type says the packet is: IPPROTO_TCP, IPPROTO_UDP, or 0 if the packet is something else. */
static uint8_t gso_protocol(uint8_t type, const struct inner *inner)
{
	switch (type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return inner->family == 4 && inner->protocol == IPPROTO_TCP ? IPPROTO_TCP : 0;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return inner->family == 6 && inner->protocol == IPPROTO_TCP ? IPPROTO_TCP : 0;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return inner->protocol == IPPROTO_UDP ? IPPROTO_UDP : 0;
	default:
		return 0;
	}
}

/* Length of the transport header, 0 if it is not whole. A packet that opens or resets a connection is never large. */
static uint32_t transport_len(const uint8_t *transport, uint32_t left, uint8_t protocol)
{
	uint32_t len;

	if (protocol == IPPROTO_UDP)
		return left >= UDP_HEADER_LEN ? UDP_HEADER_LEN : 0;
	if (left < TCP_HEADER_MIN || transport[TCP_FLAGS_OFF] & (TCP_SYN | TCP_RST | TCP_URG))
		return 0;
	len = (transport[TCP_DATA_OFF] >> 4) * 4u;
	return len >= TCP_HEADER_MIN && len <= left ? len : 0;
}

static bool begin_pieces(
	struct gso *gso, const struct virtio_net_hdr *header, const uint8_t *packet, const struct inner *inner)
{
	uint32_t len;

	gso->protocol = gso_protocol(header->gso_type, inner);
	gso->size = le16toh(header->gso_size);
	if (!gso->protocol || !gso->size || inner->fragment)
		return false;
	len = transport_len(packet + inner->payload_off, inner->len - inner->payload_off, gso->protocol);
	if (!len)
		return false;
	gso->header_len = inner->payload_off + len;
	gso->payload_len = inner->len - gso->header_len;
	gso->count = gso->payload_len ? (gso->payload_len + gso->size - 1) / gso->size : 1;
	gso->pseudo = checksum_pseudo(inner, gso->protocol, 0);
	return true;
}

bool gso_begin(struct gso *gso, const struct virtio_net_hdr *header, uint8_t *packet, const struct inner *inner)
{
	*gso = (struct gso){.packet = packet, .family = inner->family, .transport_off = inner->payload_off};
	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return begin_pieces(gso, header, packet, inner);
	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && !complete_checksum(header, packet, inner->len))
		return false;
	gso->header_len = inner->len;
	gso->count = 1;
	return true;
}

/* ---- one piece ----------------------------------------------------------------------------------------------- */

static void piece_ip(const struct gso *gso, uint8_t *out, uint32_t len)
{
	uint32_t ip_len = gso->family == 4 ? (out[0] & 0x0fu) * 4u : 0;
	uint16_t check;

	if (gso->family == 6) {
		put16(out + IPV6_LEN_OFF, len - IPV6_HEADER_LEN);
		return;
	}
	put16(out + IPV4_LEN_OFF, len);
	put16(out + IPV4_ID_OFF, get16(out + IPV4_ID_OFF) + gso->taken);
	put16(out + IPV4_CHECK_OFF, 0);
	check = (uint16_t)~checksum_fold(checksum_add(0, out, ip_len));
	memcpy(out + IPV4_CHECK_OFF, &check, sizeof(check));
}

/* FIN and PSH speak of the end of the data, CWR of its beginning (RFC 3168 6.1.2). */
static void piece_tcp(const struct gso *gso, uint8_t *tcp)
{
	uint32_t sequence;

	memcpy(&sequence, tcp + TCP_SEQ_OFF, sizeof(sequence));
	sequence = htonl(ntohl(sequence) + gso->offset);
	memcpy(tcp + TCP_SEQ_OFF, &sequence, sizeof(sequence));
	if (gso->taken + 1 < gso->count)
		tcp[TCP_FLAGS_OFF] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (gso->taken)
		tcp[TCP_FLAGS_OFF] &= (uint8_t)~TCP_CWR;
}

static void piece_checksum(const struct gso *gso, uint8_t *transport, uint32_t len)
{
	uint8_t *field = transport + (gso->protocol == IPPROTO_TCP ? TCP_CHECK_OFF : UDP_CHECK_OFF);
	uint16_t check;

	put16(field, 0);
	check = (uint16_t)~checksum_fold(checksum_add(gso->pseudo + htonl(len), transport, len));
	if (!check && gso->protocol == IPPROTO_UDP)
		check = 0xffff;
	memcpy(field, &check, sizeof(check));
}

uint32_t gso_next(struct gso *gso, uint8_t *out)
{
	uint32_t left = gso->payload_len - gso->offset;
	uint32_t payload = left < gso->size ? left : gso->size;
	uint32_t len = gso->header_len + payload;
	uint8_t *transport = out + gso->transport_off;

	memcpy(out, gso->packet, gso->header_len);
	memcpy(out + gso->header_len, gso->packet + gso->header_len + gso->offset, payload);
	if (gso->protocol) {
		piece_ip(gso, out, len);
		if (gso->protocol == IPPROTO_TCP)
			piece_tcp(gso, transport);
		else
			put16(transport + UDP_LEN_OFF, len - gso->transport_off);
		piece_checksum(gso, transport, len - gso->transport_off);
	}
	gso->offset += payload;
	gso->taken++;
	return len;
}
