/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/inner.h"

#include "agent/checksum.h"

#include <netinet/in.h>
#include <string.h>

#define IPV4_LEN      20u
#define IPV6_LEN      40u
#define IPV4_DF	      0x4000u
#define IPV4_MF	      0x2000u
#define IPV4_OFFSET   0x1fffu
#define OFFSET_UNIT   8u
#define IPV4_LEN_MAX  65535u
#define IPV6_MORE     0x0001u
#define IPV6_OFFSET   0xfff8u
#define EXTENSION_LEN 8u
#define PORTS_LEN     4u
#define PROTO_MH      135u

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* Ports, or what stands for them. False: the transport header is cut short in a packet that is no later fragment. */
static bool parse_ports(const uint8_t *packet, struct inner *inner)
{
	const uint8_t *transport = packet + inner->payload_off;
	uint32_t len = inner->len - inner->payload_off;

	if (inner->later_fragment)
		return true;
	inner->ports_known = true;
	switch (inner->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		if (len < PORTS_LEN)
			return false;
		inner->source_port = get16(transport);
		inner->destination_port = get16(transport + 2);
		return true;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (len < 2)
			return false;
		inner->source_port = inner->destination_port = get16(transport);
		return true;
	case PROTO_MH:
		if (len < 3)
			return false;
		inner->source_port = inner->destination_port = (uint16_t)(transport[2] << 8);
		return true;
	default:
		return true;
	}
}

static bool parse_ipv4(const uint8_t *packet, uint32_t len, struct inner *inner)
{
	uint32_t header_len;
	uint16_t flags;

	if (len < IPV4_LEN)
		return false;
	header_len = (packet[0] & 0x0fu) * 4u;
	inner->len = get16(packet + 2);
	if (header_len < IPV4_LEN || inner->len < header_len || inner->len > len)
		return false;
	if (checksum_fold(checksum_add(0, packet, header_len)) != 0xffff) /* RFC 1812 5.2.2 */
		return false;
	flags = get16(packet + 6);
	if ((flags & IPV4_OFFSET) * OFFSET_UNIT + inner->len >
		IPV4_LEN_MAX) /* would reassemble to more than a packet */
		return false;
	inner->family = 4;
	inner->protocol = packet[9];
	inner->traffic_class = packet[1];
	inner->ttl = packet[8];
	inner->dont_fragment = flags & IPV4_DF;
	inner->fragment = flags & (IPV4_MF | IPV4_OFFSET);
	inner->later_fragment = flags & IPV4_OFFSET;
	inner->payload_off = (uint16_t)header_len;
	inner->source = packet + 12;
	inner->destination = packet + 16;
	return parse_ports(packet, inner);
}

static bool is_extension(uint8_t header)
{
	return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_DSTOPTS ||
	       header == IPPROTO_FRAGMENT;
}

/* Step over one extension header. False: it does not fit. */
static bool skip_extension(const uint8_t *packet, struct inner *inner)
{
	const uint8_t *header = packet + inner->payload_off;
	uint32_t left = inner->len - inner->payload_off, header_len = EXTENSION_LEN;
	uint16_t offset;

	if (left < EXTENSION_LEN)
		return false;
	if (inner->protocol == IPPROTO_FRAGMENT) {
		offset = get16(header + 2);
		inner->fragment =
			inner->fragment || offset & (IPV6_OFFSET | IPV6_MORE); /* neither: atomic (RFC 6946) */
		inner->later_fragment = inner->later_fragment || offset & IPV6_OFFSET;
	} else {
		header_len = (header[1] + 1u) * EXTENSION_LEN;
	}
	if (left < header_len)
		return false;
	inner->protocol = header[0];
	inner->payload_off = (uint16_t)(inner->payload_off + header_len);
	return true;
}

static bool parse_ipv6(const uint8_t *packet, uint32_t len, struct inner *inner)
{
	if (len < IPV6_LEN)
		return false;
	inner->len = IPV6_LEN + get16(packet + 4);
	if (inner->len > len)
		return false;
	inner->family = 6;
	inner->protocol = packet[6];
	inner->traffic_class = (uint8_t)(packet[0] << 4 | packet[1] >> 4);
	inner->ttl = packet[7];
	inner->dont_fragment = true;
	inner->payload_off = IPV6_LEN;
	inner->source = packet + 8;
	inner->destination = packet + 24;
	for (unsigned i = 0; is_extension(inner->protocol) && !inner->later_fragment; i++) {
		if (i == INNER_EXTENSIONS_MAX || !skip_extension(packet, inner))
			return false;
	}
	return parse_ports(packet, inner);
}

bool inner_parse_any(const uint8_t *packet, uint32_t len, struct inner *inner)
{
	memset(inner, 0, sizeof(*inner));
	if (len == 0)
		return false;
	switch (packet[0] >> 4) {
	case 4:
		return parse_ipv4(packet, len, inner);
	case 6:
		return parse_ipv6(packet, len, inner);
	default:
		return false;
	}
}
