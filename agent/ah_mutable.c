/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ah_mutable.h"

#include "agent/inner.h"
#include "agent/wire.h"

#include <netinet/in.h>
#include <string.h>

/* Types of IPv4 options, copy bit and class included. */
#define OPTION_SECURITY	       130u
#define OPTION_EXT_SECURITY    133u
#define OPTION_CIPSO	       134u
#define OPTION_ROUTER_ALERT    148u
#define OPTION_SENDER_DIRECTED 149u
#define ROUTE_ADDRESS_OFF      3u /* behind type, length and pointer */

/* IPv6 options. */
#define OPTION6_PAD1   0u
#define OPTION6_CHANGE 0x20u /* the data may change on the way (RFC 8200 4.2) */
#define ROUTING_TYPE0  0u
#define ADDRESS6_LEN   16u

/* ---- IPv4 ---------------------------------------------------------------------------------------------------- */

static bool option_immutable(uint8_t type)
{
	return type == OPTION_SECURITY || type == OPTION_EXT_SECURITY || type == OPTION_CIPSO ||
	       type == OPTION_ROUTER_ALERT || type == OPTION_SENDER_DIRECTED;
}

/* The last address of a source route that has not been used up is where the packet will arrive. */
static void route_destination(const uint8_t *option, uint32_t option_len, uint8_t *ip)
{
	uint32_t pointer = option_len > 2 ? option[2] : 0; /* counts from 1 */

	if (option_len < ROUTE_ADDRESS_OFF + 4 || pointer < 4 || pointer > option_len)
		return;
	memcpy(ip + 16, option + option_len - 4, 4);
}

/* Appendix A1: an option is a unit; what is not listed as immutable is zero as a whole. */
static bool zero_options4(uint8_t *ip, uint32_t len, bool outbound)
{
	uint32_t at = WIRE_IPV4_LEN;

	while (at < len && ip[at] != WIRE_OPTION_END) {
		uint32_t option_len;

		if (ip[at] == WIRE_OPTION_NOP) {
			at++;
			continue;
		}
		if (len - at < 2)
			return false;
		option_len = ip[at + 1];
		if (option_len < 2 || option_len > len - at)
			return false;
		if (outbound && (ip[at] == WIRE_OPTION_LSRR || ip[at] == WIRE_OPTION_SSRR))
			route_destination(ip + at, option_len, ip);
		if (!option_immutable(ip[at]))
			memset(ip + at, 0, option_len);
		at += option_len;
	}
	return true;
}

static bool zero_ipv4(uint8_t *ip, uint32_t len, bool outbound)
{
	if (len < WIRE_IPV4_LEN || (ip[0] & 15u) * 4u != len)
		return false;
	ip[1] = 0;	       /* DSCP and ECN */
	memset(ip + 6, 0, 2);  /* flags, fragment offset */
	ip[8] = 0;	       /* TTL */
	memset(ip + 10, 0, 2); /* header checksum */
	return zero_options4(ip, len, outbound);
}

/* ---- IPv6 ---------------------------------------------------------------------------------------------------- */

/* The data of options that say so is zero; type and length stay (RFC 4302 3.3.3.1.2.2). */
static bool zero_options6(uint8_t *header, uint32_t header_len)
{
	uint32_t at = 2;

	while (at < header_len) {
		uint32_t data_len;

		if (header[at] == OPTION6_PAD1) {
			at++;
			continue;
		}
		if (header_len - at < 2)
			return false;
		data_len = header[at + 1];
		if (data_len > header_len - at - 2)
			return false;
		if (header[at] & OPTION6_CHANGE)
			memset(header + at + 2, 0, data_len);
		at += 2 + data_len;
	}
	return true;
}

/*
 * A routing header of type 0 as it arrives: no segment is left, the destination is the last address, and each address
 * that was visited stands in the place of the one it was replaced by (RFC 2460 4.4).
 */
static bool arrive_routing(uint8_t *header, uint32_t header_len, uint8_t *ip)
{
	uint32_t left = header[3], addresses = (header_len - WIRE_EXTENSION_LEN) / ADDRESS6_LEN;
	uint8_t last[ADDRESS6_LEN], *first_left;

	if (header[2] != ROUTING_TYPE0 || !left)
		return true;
	if (header[1] % 2 || left > addresses)
		return false;
	first_left = header + WIRE_EXTENSION_LEN + (addresses - left) * ADDRESS6_LEN;
	memcpy(last, first_left + (left - 1) * ADDRESS6_LEN, ADDRESS6_LEN);
	memmove(first_left + ADDRESS6_LEN, first_left, (left - 1) * ADDRESS6_LEN);
	memcpy(first_left, ip + 24, ADDRESS6_LEN);
	memcpy(ip + 24, last, ADDRESS6_LEN);
	header[3] = 0;
	return true;
}

static bool zero_extension(uint8_t *ip, uint8_t type, uint8_t *header, uint32_t header_len, bool outbound)
{
	switch (type) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_DSTOPTS:
		return zero_options6(header, header_len);
	case IPPROTO_ROUTING:
		return !outbound || arrive_routing(header, header_len, ip);
	default:
		return false; /* a fragment header, or what AH does not stand behind */
	}
}

static bool zero_ipv6(uint8_t *ip, uint32_t len, bool outbound)
{
	uint32_t at = WIRE_IPV6_LEN;
	uint8_t type;

	if (len < WIRE_IPV6_LEN)
		return false;
	type = ip[6];
	ip[0] = 0x60; /* traffic class and flow label */
	memset(ip + 1, 0, 3);
	ip[7] = 0; /* hop limit */
	for (unsigned i = 0; at < len; i++) {
		uint32_t header_len;

		if (i == INNER_EXTENSIONS_MAX || len - at < WIRE_EXTENSION_LEN)
			return false;
		header_len = (ip[at + 1] + 1u) * WIRE_EXTENSION_LEN;
		if (header_len > len - at || !zero_extension(ip, type, ip + at, header_len, outbound))
			return false;
		type = ip[at];
		at += header_len;
	}
	return true;
}

bool ah_zero_mutable(uint8_t *header, uint32_t len, bool outbound)
{
	if (!len)
		return false;
	switch (header[0] >> 4) {
	case 4:
		return zero_ipv4(header, len, outbound);
	case 6:
		return zero_ipv6(header, len, outbound);
	default:
		return false;
	}
}
