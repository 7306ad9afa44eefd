/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner IP packet: what of it decides about selectors, MTU and errors. Bounds-safe for any bytes; nothing is
 * copied, addresses are borrowed from the packet. IPv6 extension headers are walked (RFC 8200 4), at most
 * INNER_EXTENSIONS_MAX of them.
 */
#ifndef ESPALIER_AGENT_INNER_H
#define ESPALIER_AGENT_INNER_H

#include "agent/sum.h"
#include "agent/wire.h"
#include "bpf/contract.h"

#include <endian.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define INNER_EXTENSIONS_MAX 8u
#define INNER_IPV4_MTU_MIN   68u		  /* RFC 791 */
#define INNER_IPV6_MTU_MIN   1280u		  /* RFC 8200 5 */
#define INNER_PLAIN_LEN	     (WIRE_IPV4_LEN + 4u) /* the header of a plain packet, and its ports */

struct inner {
	uint8_t family;	  /* 4 or 6 */
	uint8_t protocol; /* behind the IP header and extension headers; in a later fragment as the first fragment says
			   */
	uint8_t traffic_class; /* DSCP and ECN */
	uint8_t ttl;	       /* or hop limit */
	bool dont_fragment;    /* always in IPv6 */
	bool fragment;	       /* first, middle or last of several */
	bool later_fragment;   /* not the first: no transport header here */
	bool plain;	       /* IPv4 without options, whole, TCP or UDP: what nearly all packets are */
	bool ports_known;      /* ports below are valid; always true for protocols without ports (both 0) unless a later
				  fragment */
	uint16_t source_port;  /* host order; ICMP, ICMPv6: type << 8 | code; mobility header: type << 8; also in
				  destination_port */
	uint16_t destination_port;
	uint16_t payload_off;	    /* of the transport header */
	uint32_t len;		    /* the packet's own length; the buffer may hold more (padding) */
	const uint8_t *source;	    /* 4 or 16 bytes in the packet */
	const uint8_t *destination; /* 4 or 16 bytes in the packet */
};

/* For inner_parse: the packets that are not plain. */
__attribute__((noinline)) bool inner_parse_any(const uint8_t *packet, uint32_t len, struct inner *inner);

/* An IPv4 header without options, and no fragment behind it? Both are seen by one look at its first 8 bytes. */
static inline bool inner_ipv4_whole(const uint8_t *ip)
{
	static const uint8_t mask_bytes[8] = {0xff, 0, 0, 0, 0, 0, (WIRE_IPV4_MF | WIRE_IPV4_OFFSET) >> 8, 0xff};
	static const uint8_t want_bytes[8] = {WIRE_IPV4_PLAIN};
	uint64_t head, mask, want;

	memcpy(&head, ip, sizeof(head));
	memcpy(&mask, mask_bytes, sizeof(mask));
	memcpy(&want, want_bytes, sizeof(want));
	return (head & mask) == want;
}

/* Is it a plain packet (struct inner)? Of `len` bytes, some may be padding; *total are its own, 0 if it is none. */
__attribute__((always_inline)) static inline bool inner_is_plain(const uint8_t *packet, uint32_t len, uint32_t *total)
{
	*total = 0;
	if (len < INNER_PLAIN_LEN || !inner_ipv4_whole(packet) ||
		(packet[9] != IPPROTO_UDP && packet[9] != IPPROTO_TCP))
		return false;
	*total = wire_get16(packet + 2);
	return *total <= len && *total >= INNER_PLAIN_LEN &&
	       checksum_fold(checksum_add20(packet)) == 0xffff; /* RFC 1812 5.2.2 */
}

/* False: not a plain one, look closer. */
__attribute__((always_inline)) static inline bool inner_parse_plain(
	const uint8_t *packet, uint32_t len, struct inner *inner)
{
	uint32_t total;

	if (!inner_is_plain(packet, len, &total))
		return false;
	/* Field by field: as a whole it would be put together elsewhere and copied by loads that span these stores. */
	inner->family = 4;
	inner->protocol = packet[9];
	inner->traffic_class = packet[1];
	inner->ttl = packet[8];
	inner->dont_fragment = packet[6] & (WIRE_IPV4_DF >> 8);
	inner->fragment = false;
	inner->later_fragment = false;
	inner->plain = true;
	inner->ports_known = true;
	inner->source_port = wire_get16(packet + WIRE_IPV4_LEN);
	inner->destination_port = wire_get16(packet + WIRE_IPV4_LEN + 2);
	inner->payload_off = WIRE_IPV4_LEN;
	inner->len = total;
	inner->source = packet + 12;
	inner->destination = packet + 16;
	return true;
}

/* False: not a whole IPv4 or IPv6 packet, or its headers contradict each other. `packet` has `len` bytes, at least
 * inner->len on success. */
__attribute__((always_inline)) static inline bool inner_parse(const uint8_t *packet, uint32_t len, struct inner *inner)
{
	return inner_parse_plain(packet, len, inner) || inner_parse_any(packet, len, inner);
}

/* One hop of an IPv4 packet whose TTL is above 1. */
__attribute__((always_inline)) static inline void inner_decrement_ttl4(uint8_t *packet)
{
	uint16_t stored;
	uint32_t check;

	packet[8]--;
	/* One less in the high half of a word, so one more in the sum's complement (RFC 1624 3). */
	memcpy(&stored, packet + 10, 2);
	check = (uint32_t)stored + htobe16(0x100);
	stored = (uint16_t)(check + (check >= 0xffff));
	memcpy(packet + 10, &stored, 2);
}

/*
 * One hop (RFC 1812 5.3.1, RFC 8200 3): decrement TTL or hop limit in packet and `inner`, IPv4 checksum by difference.
 * False: it would reach 0, nothing is changed, the sender is to be told (icmp_error.h).
 */
static inline bool inner_decrement_ttl(uint8_t *packet, struct inner *inner)
{
	if (inner->ttl <= 1)
		return false;
	inner->ttl--;
	if (inner->family == 6)
		packet[7] = inner->ttl;
	else
		inner_decrement_ttl4(packet);
	return true;
}

/* Length of an address of this family: 4 or 16. */
static inline uint32_t inner_addr_len(const struct inner *inner)
{
	return inner->family == 4 ? 4 : 16;
}

#endif
