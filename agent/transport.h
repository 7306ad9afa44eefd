/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transport mode (RFC 4303 3.1.1, RFC 4302 3.1.1): the packet keeps its IP header, and ESP or AH stands behind it: in
 * IPv4 behind the options, in IPv6 behind hop-by-hop, routing and fragment headers and the destination options before
 * those. This file knows where, and what of the IP header changes. Bounds-safe for any bytes.
 */
#ifndef ESPALIER_AGENT_TRANSPORT_H
#define ESPALIER_AGENT_TRANSPORT_H

#include "agent/frame.h"
#include "agent/inner.h"

#include <stdbool.h>
#include <stdint.h>

/* A place between two headers of a packet. Offsets count from the IP header. */
struct transport_place {
	uint16_t header_len;	    /* bytes that stay in front */
	uint16_t next_off;	    /* the byte in them that names what comes behind them */
	uint16_t fragment_off;	    /* of a fragment header among them, 0: none */
	uint16_t fragment_next_off; /* the byte that names it */
	uint8_t protocol;	    /* what comes behind them, as named */
};

/*
 * Is the destination in the header only the next one of a source route, in an option (RFC 791 3.1) or a routing header
 * (RFC 8200 4.4)? Such a packet goes into no SA, although AH could (RFC 4302 3.3.3.1.1.1): the policies are asked with
 * the destination in the header, so a route through the peer would take the peer's SA to another host, and one to the
 * peer does not ask for its SA. Type 0 is deprecated anyway (RFC 5095). What cannot be read is no source route.
 */
bool transport_source_routed(const uint8_t *packet, const struct inner *inner);
/* Where ESP or AH goes into a packet that is sent. False: the chain of extension headers cannot be read. */
bool transport_place_out(const uint8_t *packet, const struct inner *inner, struct transport_place *place);
/* The place at offset `at` of a received packet of `len` bytes, where ESP, AH or UDP was found. False: there is none.
 */
bool transport_place_in(const uint8_t *packet, uint32_t len, uint32_t at, struct transport_place *place);

/*
 * Take an IPv6 fragment header out of `header` (the bytes of `place`), which AH must not see (RFC 4302 A2); what stands
 * before it moves up. Gives the bytes by which the packet now begins later: 0 or 8.
 */
uint32_t transport_skip_fragment(uint8_t *header, struct transport_place *place);

/* Name `protocol` as what follows the place, set the packet's length to `len` bytes, and in IPv4 the checksum. */
void transport_set_header(uint8_t *packet, const struct transport_place *place, uint8_t protocol, uint32_t len);

/* The frame begins with what ESP or AH carried: put the packet's header, `header` up to the place, before it again. */
void transport_join(
	struct frame *frame, const uint8_t *header, const struct transport_place *place, uint8_t next_header);

/*
 * A NAT between the peers changed the addresses that the transport checksum covers (RFC 3948 3.1.2, second way):
 * compute it anew for TCP, UDP and ICMPv6, of a packet whose bytes were authenticated. A UDP checksum of 0 in IPv4 says
 * "none" and stays.
 */
void transport_fix_checksum(uint8_t *packet, const struct inner *inner);

#endif
