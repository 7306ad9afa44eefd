/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, addr_len(a)) == 0;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && addr_equal(&a->addr, &b->addr);
}

bool addr_parse(const char *text, struct ip_addr *out)
{
	struct ip_addr addr = {.family = IP_V4};

	if (inet_pton(AF_INET, text, addr.bytes) != 1) {
		addr.family = IP_V6;
		if (inet_pton(AF_INET6, text, addr.bytes) != 1)
			return false;
	}
	*out = addr;
	return true;
}

/* Are all bits of the address behind the first `len` zero? */
static bool host_bits_zero(const struct ip_addr *addr, unsigned len)
{
	for (unsigned bit = len; bit < addr_len(addr) * 8; bit++)
		if (addr->bytes[bit / 8] & (0x80 >> bit % 8))
			return false;
	return true;
}

bool prefix_parse(const char *text, struct ip_prefix *out)
{
	char copy[ADDR_TEXT_LEN];
	char *slash, *rest;
	struct ip_prefix prefix;
	unsigned long len;

	if (strlen(text) >= sizeof(copy))
		return false;
	memcpy(copy, text, strlen(text) + 1);
	slash = strchr(copy, '/');
	if (slash)
		*slash = '\0';
	if (!addr_parse(copy, &prefix.addr))
		return false;
	len = addr_len(&prefix.addr) * 8;
	if (slash) {
		unsigned long given = strtoul(slash + 1, &rest, 10);

		if (slash[1] < '0' || slash[1] > '9' || *rest || given > len)
			return false;
		len = given;
	}
	if (!host_bits_zero(&prefix.addr, (unsigned)len))
		return false;
	prefix.len = (uint8_t)len;
	*out = prefix;
	return true;
}

const char *addr_format(const struct ip_addr *addr, char out[static ADDR_TEXT_LEN])
{
	int family = addr->family == IP_V4 ? AF_INET : AF_INET6;

	if (addr->family == IP_NONE || !inet_ntop(family, addr->bytes, out, ADDR_TEXT_LEN))
		snprintf(out, ADDR_TEXT_LEN, "any");
	return out;
}

const char *endpoint_format(const struct endpoint *endpoint, char out[static ADDR_TEXT_LEN])
{
	char text[ADDR_TEXT_LEN];

	addr_format(&endpoint->addr, text);
	snprintf(out, ADDR_TEXT_LEN, endpoint->addr.family == IP_V6 ? "[%.48s]:%u" : "%.48s:%u", text, endpoint->port);
	return out;
}

void addr_to_mapped(const struct ip_addr *addr, uint8_t out[static 16])
{
	memset(out, 0, 16);
	if (addr->family == IP_V4) {
		memcpy(out, mapped_prefix, sizeof(mapped_prefix));
		memcpy(out + 12, addr->bytes, 4);
	} else if (addr->family == IP_V6) {
		memcpy(out, addr->bytes, 16);
	}
}

void addr_from_mapped(const uint8_t mapped[static 16], struct ip_addr *out)
{
	memset(out, 0, sizeof(*out));
	if (memcmp(mapped, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		out->family = IP_V4;
		memcpy(out->bytes, mapped + 12, 4);
	} else {
		out->family = IP_V6;
		memcpy(out->bytes, mapped, 16);
	}
}

socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (endpoint->addr.family == IP_V4) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(endpoint->port);
		memcpy(&in->sin_addr, endpoint->addr.bytes, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(endpoint->port);
	memcpy(&in6->sin6_addr, endpoint->addr.bytes, 16);
	return sizeof(*in6);
}

bool endpoint_from_sockaddr(const struct sockaddr_storage *from, struct endpoint *out)
{
	memset(out, 0, sizeof(*out));
	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)from;

		out->addr.family = IP_V4;
		memcpy(out->addr.bytes, &in->sin_addr, 4);
		out->port = ntohs(in->sin_port);
		return true;
	}
	if (from->ss_family != AF_INET6)
		return false;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;

	out->addr.family = IP_V6;
	memcpy(out->addr.bytes, &in6->sin6_addr, 16);
	out->port = ntohs(in6->sin6_port);
	return true;
}
