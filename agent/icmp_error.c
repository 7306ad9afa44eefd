/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/icmp_error.h"

#include "agent/checksum.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define IPV4_LEN	20u
#define IPV6_LEN	40u
#define ICMP_HEADER_LEN 8u
#define ERROR4_LEN_MAX	576u  /* RFC 1812 4.3.2.3 */
#define ERROR6_LEN_MAX	1280u /* RFC 4443 2.4 (c) */
#define ERROR_TTL	64u
#define ERROR_TOS	0xc0u /* precedence 6 (RFC 1812 4.3.2.5) */

/* ICMP types that are not errors (RFC 1812 4.3.2.7 forbids errors about errors; unknown types count as errors). */
static bool icmp4_is_query(uint8_t type)
{
	switch (type) {
	case 0:	 /* echo reply */
	case 8:	 /* echo */
	case 9:	 /* router advertisement */
	case 10: /* router solicitation */
	case 13: /* timestamp */
	case 14:
	case 15: /* information */
	case 16:
	case 17: /* address mask */
	case 18:
	case 42: /* extended echo */
	case 43:
		return true;
	default:
		return false;
	}
}

/* A single host's address: no broadcast, multicast, loopback, class E or network 0 (RFC 1812 4.3.2.7). */
static bool ipv4_is_host(const uint8_t *address)
{
	return address[0] != 0 && address[0] != 127 && address[0] < 224;
}

static bool ipv6_is_host(const uint8_t *address)
{
	static const uint8_t unspecified[16], loopback[16] = {[15] = 1};

	return address[0] != 0xff && memcmp(address, unspecified, 16) != 0 && memcmp(address, loopback, 16) != 0;
}

static bool allowed4(const struct inner *inner)
{
	bool about_error = inner->protocol == IPPROTO_ICMP && !icmp4_is_query((uint8_t)(inner->source_port >> 8));

	return !inner->later_fragment && !about_error && ipv4_is_host(inner->source) &&
	       ipv4_is_host(inner->destination);
}

/* RFC 4443 2.4 (e). Packet Too Big may be about multicast, for path MTU discovery. A later fragment of ICMPv6 may be of
 * an error. */
static bool allowed6(const struct inner *inner, enum icmp_error kind)
{
	uint8_t type = (uint8_t)(inner->source_port >> 8);

	if (inner->protocol == IPPROTO_ICMPV6 && (inner->later_fragment || type < 128 || type == 137 /* redirect */))
		return false;
	return ipv6_is_host(inner->source) && (kind == ICMP_TOO_BIG || ipv6_is_host(inner->destination));
}

uint16_t icmp_error_type(enum icmp_error kind, uint8_t family)
{
	if (kind == ICMP_TTL_EXPIRED)
		return family == 4 ? 11 << 8 : 3 << 8;
	return family == 4 ? 3 << 8 | 4 /* unreachable, fragmentation needed */ : 2 << 8 /* packet too big */;
}

static void put_icmp(uint8_t *icmp, uint8_t family, enum icmp_error kind, uint32_t mtu)
{
	uint16_t type = htons(icmp_error_type(kind, family));
	uint32_t word = 0;

	/* In IPv4 the MTU stands in 16 bits (RFC 1191 4). */
	if (kind == ICMP_TOO_BIG)
		word = htonl(family == 4 && mtu > UINT16_MAX ? UINT16_MAX : mtu);
	memset(icmp, 0, ICMP_HEADER_LEN);
	memcpy(icmp, &type, 2);
	memcpy(icmp + 4, &word, 4);
}

static void put_check(uint8_t *icmp, uint64_t sum, uint32_t len)
{
	uint16_t check = (uint16_t)~checksum_fold(checksum_add(sum, icmp, len));

	memcpy(icmp + 2, &check, 2);
}

static void put_ipv4(uint8_t *ip, uint32_t len, const uint8_t *source, const uint8_t *destination)
{
	uint16_t total = htons((uint16_t)len), check;

	memset(ip, 0, IPV4_LEN);
	ip[0] = 0x45;
	ip[1] = ERROR_TOS;
	memcpy(ip + 2, &total, 2);
	ip[8] = ERROR_TTL;
	ip[9] = IPPROTO_ICMP;
	memcpy(ip + 12, source, 4);
	memcpy(ip + 16, destination, 4);
	check = (uint16_t)~checksum_fold(checksum_add(0, ip, IPV4_LEN));
	memcpy(ip + 10, &check, 2);
}

static void put_ipv6(uint8_t *ip, uint32_t len, const uint8_t *source, const uint8_t *destination)
{
	uint16_t payload_len = htons((uint16_t)(len - IPV6_LEN));

	memset(ip, 0, IPV6_LEN);
	ip[0] = 0x60;
	memcpy(ip + 4, &payload_len, 2);
	ip[6] = IPPROTO_ICMPV6;
	ip[7] = ERROR_TTL;
	memcpy(ip + 8, source, 16);
	memcpy(ip + 24, destination, 16);
}

bool icmp_error_build(struct frame *out, enum icmp_error kind, const uint8_t *packet, const struct inner *inner,
	const uint8_t *source, uint32_t mtu)
{
	bool ipv4 = inner->family == 4;
	uint32_t headers = (ipv4 ? IPV4_LEN : IPV6_LEN) + ICMP_HEADER_LEN;
	uint32_t room = (ipv4 ? ERROR4_LEN_MAX : ERROR6_LEN_MAX) - headers;
	uint32_t quoted = inner->len < room ? inner->len : room;
	uint8_t *ip = out->chunk + FRAME_HEADROOM, *icmp = ip + headers - ICMP_HEADER_LEN;
	uint64_t pseudo;

	if (ipv4 ? !allowed4(inner) : !allowed6(inner, kind))
		return false;
	out->data = ip;
	out->len = headers + quoted;
	put_icmp(icmp, inner->family, kind, mtu);
	memcpy(icmp + ICMP_HEADER_LEN, packet, quoted);
	if (ipv4) {
		put_check(icmp, 0, ICMP_HEADER_LEN + quoted);
		put_ipv4(ip, out->len, source, inner->source);
		return true;
	}
	put_ipv6(ip, out->len, source, inner->source);
	pseudo = checksum_add(0, ip + 8, 32) + htonl(ICMP_HEADER_LEN + quoted) + htons(IPPROTO_ICMPV6);
	put_check(icmp, pseudo, ICMP_HEADER_LEN + quoted);
	return true;
}
