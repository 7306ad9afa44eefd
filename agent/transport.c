/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/transport.h"

#include "agent/checksum.h"
#include "agent/wire.h"

#include <netinet/in.h>
#include <string.h>

#define IPV4_PROTOCOL_OFF 9u
#define IPV6_NEXT_OFF	  6u
#define ROUTE_LEN_MIN	  7u /* of a source route: type, length, pointer and one address */
#define SEGMENTS_LEFT_OFF 3u /* of a routing header */

/* Where a walk along the extension headers stands. */
struct walk {
	uint32_t at; /* of the header that `next_off` names */
	uint32_t next_off;
	uint32_t fragment_off;
	uint32_t fragment_next_off;
};

static bool is_extension(uint8_t header)
{
	return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_DSTOPTS ||
	       header == IPPROTO_FRAGMENT;
}

/* Over the extension header at walk->at. False: there is none, or it does not fit. */
static bool walk_step(const uint8_t *packet, uint32_t len, struct walk *walk)
{
	uint8_t header = packet[walk->next_off];
	uint32_t header_len = WIRE_EXTENSION_LEN;

	if (!is_extension(header) || len - walk->at < WIRE_EXTENSION_LEN)
		return false;
	if (header == IPPROTO_FRAGMENT) {
		walk->fragment_off = walk->at;
		walk->fragment_next_off = walk->next_off;
	} else {
		header_len = (packet[walk->at + 1] + 1u) * WIRE_EXTENSION_LEN;
	}
	if (len - walk->at < header_len)
		return false;
	walk->next_off = walk->at;
	walk->at += header_len;
	return true;
}

static void place_set(const uint8_t *packet, const struct walk *walk, struct transport_place *place)
{
	place->header_len = (uint16_t)walk->at;
	place->next_off = (uint16_t)walk->next_off;
	place->fragment_off = (uint16_t)walk->fragment_off;
	place->fragment_next_off = (uint16_t)walk->fragment_next_off;
	place->protocol = packet[walk->next_off];
}

/* Its pointer counts from 1. */
static bool route_unfinished(const uint8_t *option, uint32_t option_len)
{
	return (option[0] == WIRE_OPTION_LSRR || option[0] == WIRE_OPTION_SSRR) && option_len >= ROUTE_LEN_MIN &&
	       option[2] <= option_len;
}

/* `len` bytes of IPv4 header, options included. */
static bool source_routed4(const uint8_t *ip, uint32_t len)
{
	uint32_t at = WIRE_IPV4_LEN;

	while (at < len && ip[at] != WIRE_OPTION_END) {
		if (ip[at] == WIRE_OPTION_NOP) {
			at++;
			continue;
		}
		if (len - at < 2 || ip[at + 1] < 2 || ip[at + 1] > len - at)
			return false;
		if (route_unfinished(ip + at, ip[at + 1]))
			return true;
		at += ip[at + 1];
	}
	return false;
}

static bool source_routed6(const uint8_t *packet, uint32_t len)
{
	struct walk walk = {.at = WIRE_IPV6_LEN, .next_off = IPV6_NEXT_OFF};

	for (unsigned i = 0; i < INNER_EXTENSIONS_MAX && is_extension(packet[walk.next_off]); i++) {
		bool routing = packet[walk.next_off] == IPPROTO_ROUTING;

		if (!walk_step(packet, len, &walk))
			return false;
		if (routing && packet[walk.next_off + SEGMENTS_LEFT_OFF])
			return true;
	}
	return false;
}

bool transport_source_routed(const uint8_t *packet, const struct inner *inner)
{
	return inner->family == 4 ? source_routed4(packet, inner->payload_off) : source_routed6(packet, inner->len);
}

bool transport_place_out(const uint8_t *packet, const struct inner *inner, struct transport_place *place)
{
	struct walk walk = {.at = WIRE_IPV6_LEN, .next_off = IPV6_NEXT_OFF}, behind = walk;

	if (inner->family == 4) {
		walk = (struct walk){.at = inner->payload_off, .next_off = IPV4_PROTOCOL_OFF};
		place_set(packet, &walk, place);
		return true;
	}
	for (unsigned i = 0; is_extension(packet[walk.next_off]); i++) {
		uint8_t header = packet[walk.next_off];

		if (i == INNER_EXTENSIONS_MAX || !walk_step(packet, inner->len, &walk))
			return false;
		/* Destination options behind all of these are the receiver's alone, and protected. */
		if (header != IPPROTO_DSTOPTS)
			behind = walk;
	}
	place_set(packet, &behind, place);
	return true;
}

bool transport_place_in(const uint8_t *packet, uint32_t len, uint32_t at, struct transport_place *place)
{
	struct walk walk = {.at = WIRE_IPV6_LEN, .next_off = IPV6_NEXT_OFF};

	if (len < WIRE_IPV4_LEN || at > len)
		return false;
	if (packet[0] >> 4 == 4) {
		walk = (struct walk){.at = (packet[0] & 15u) * 4u, .next_off = IPV4_PROTOCOL_OFF};
	} else {
		if (len < WIRE_IPV6_LEN)
			return false;
		for (unsigned i = 0; walk.at < at; i++) {
			if (i == INNER_EXTENSIONS_MAX || !walk_step(packet, len, &walk))
				return false;
		}
	}
	if (walk.at != at || at < WIRE_IPV4_LEN)
		return false;
	place_set(packet, &walk, place);
	return true;
}

uint32_t transport_skip_fragment(uint8_t *header, struct transport_place *place)
{
	uint32_t at = place->fragment_off;

	if (!at)
		return 0;
	header[place->fragment_next_off] = header[at];
	memmove(header + WIRE_EXTENSION_LEN, header, at);
	/* What named the next header may have been the fragment header itself. */
	place->next_off = place->next_off == at
				  ? place->fragment_next_off
				  : (uint16_t)(place->next_off - (place->next_off > at ? WIRE_EXTENSION_LEN : 0));
	place->header_len = (uint16_t)(place->header_len - WIRE_EXTENSION_LEN);
	place->fragment_off = place->fragment_next_off = 0;
	return WIRE_EXTENSION_LEN;
}

void transport_set_header(uint8_t *packet, const struct transport_place *place, uint8_t protocol, uint32_t len)
{
	uint16_t check;

	packet[place->next_off] = protocol;
	if (packet[0] >> 4 == 6) {
		wire_put16(packet + 4, len - WIRE_IPV6_LEN);
		return;
	}
	wire_put16(packet + 2, len);
	memset(packet + 10, 0, 2);
	check = (uint16_t)~checksum_fold(checksum_add(0, packet, place->header_len));
	memcpy(packet + 10, &check, 2);
}

void transport_join(
	struct frame *frame, const uint8_t *header, const struct transport_place *place, uint8_t next_header)
{
	memmove(frame_push(frame, place->header_len), header, place->header_len);
	transport_set_header(frame->data, place, next_header, frame->len);
}

/* Where the protocol's checksum stands, and how much of the packet it covers. False: nothing to fix. */
static bool checksum_place(const uint8_t *transport, const struct inner *inner, uint32_t *check_off, uint32_t *len)
{
	uint32_t udp_len;

	*len = inner->len - inner->payload_off;
	switch (inner->protocol) {
	case IPPROTO_TCP:
		*check_off = 16;
		return *len >= 20;
	case IPPROTO_UDP:
		*check_off = 6;
		if (*len < WIRE_UDP_LEN || (inner->family == 4 && !transport[6] && !transport[7]))
			return false;
		udp_len = wire_get16(transport + 4);
		if (udp_len < WIRE_UDP_LEN || udp_len > *len)
			return false;
		*len = udp_len; /* padding may stand behind it (RFC 4303 2.7) */
		return true;
	case IPPROTO_ICMPV6:
		*check_off = 2;
		return inner->family == 6 && *len >= 4;
	default:
		return false;
	}
}

void transport_fix_checksum(uint8_t *packet, const struct inner *inner)
{
	uint8_t *transport = packet + inner->payload_off;
	uint32_t check_off, len;
	uint16_t check;

	if (inner->fragment || !checksum_place(transport, inner, &check_off, &len))
		return;
	memset(transport + check_off, 0, 2);
	check = (uint16_t)~checksum_fold(checksum_add(checksum_pseudo(inner, inner->protocol, len), transport, len));
	if (inner->protocol == IPPROTO_UDP && !check)
		check = 0xffff;
	memcpy(transport + check_off, &check, 2);
}
