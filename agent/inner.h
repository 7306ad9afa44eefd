/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner IP packet: what of it decides about selectors, MTU and errors. Bounds-safe for any bytes; nothing is
 * copied, addresses are borrowed from the packet. IPv6 extension headers are walked (RFC 8200 4), at most
 * INNER_EXTENSIONS_MAX of them.
 */
#ifndef ESPALIER_AGENT_INNER_H
#define ESPALIER_AGENT_INNER_H

#include "bpf/contract.h"

#include <stdbool.h>
#include <stdint.h>

#define INNER_EXTENSIONS_MAX 8u
#define INNER_IPV4_MTU_MIN   68u   /* RFC 791 */
#define INNER_IPV6_MTU_MIN   1280u /* RFC 8200 5 */

struct inner {
	uint8_t family;	  /* 4 or 6 */
	uint8_t protocol; /* behind the IP header and extension headers; in a later fragment as the first fragment says
			   */
	uint8_t traffic_class; /* DSCP and ECN */
	uint8_t ttl;	       /* or hop limit */
	bool dont_fragment;    /* always in IPv6 */
	bool fragment;	       /* first, middle or last of several */
	bool later_fragment;   /* not the first: no transport header here */
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

/* False: not a whole IPv4 or IPv6 packet, or its headers contradict each other. `packet` has `len` bytes, at least
 * inner->len on success. */
bool inner_parse(const uint8_t *packet, uint32_t len, struct inner *inner);

/*
 * One hop (RFC 1812 5.3.1, RFC 8200 3): decrement TTL or hop limit in packet and `inner`, IPv4 checksum by difference.
 * False: it would reach 0, nothing is changed, the sender is to be told (icmp_error.h).
 */
bool inner_decrement_ttl(uint8_t *packet, struct inner *inner);

/* Length of an address of this family: 4 or 16. */
static inline uint32_t inner_addr_len(const struct inner *inner)
{
	return inner->family == 4 ? 4 : 16;
}

#endif
