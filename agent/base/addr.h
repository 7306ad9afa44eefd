/* SPDX-License-Identifier: Apache-2.0 */
/* IP addresses and UDP endpoints of either family, in one 16-byte form. */
#ifndef ESPALIER_BASE_ADDR_H
#define ESPALIER_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum ip_family { IP_NONE = 0, IP_V4 = 4, IP_V6 = 6 };

/* IPv4 stands in `bytes[0..3]`, the rest is zero; network byte order. */
struct ip_addr {
	uint8_t family; /* enum ip_family; IP_NONE means "any" or "unset" */
	uint8_t bytes[16];
};

struct endpoint {
	struct ip_addr addr;
	uint16_t port; /* host byte order */
};

struct ip_prefix {
	struct ip_addr addr;
	uint8_t len;
};

#define ADDR_TEXT_LEN 64

static inline size_t addr_len(const struct ip_addr *addr)
{
	return addr->family == IP_V4 ? 4 : addr->family == IP_V6 ? 16 : 0;
}

bool addr_equal(const struct ip_addr *a, const struct ip_addr *b);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);

/* "192.0.2.1" or "2001:db8::1". False if the text is neither; `out` is then unset. */
bool addr_parse(const char *text, struct ip_addr *out);
/* "192.0.2.0/24"; without a length the whole address counts (/32, /128). Host bits must be zero. */
bool prefix_parse(const char *text, struct ip_prefix *out);

/* Text into the caller's buffer of ADDR_TEXT_LEN bytes, which is also returned. Endpoints: "192.0.2.1:500",
 * "[2001:db8::1]:500". */
const char *addr_format(const struct ip_addr *addr, char out[static ADDR_TEXT_LEN]);
const char *endpoint_format(const struct endpoint *endpoint, char out[static ADDR_TEXT_LEN]);

/* 16-byte v4-mapped form (::ffff:a.b.c.d), the key form of the BPF maps. */
void addr_to_mapped(const struct ip_addr *addr, uint8_t out[static 16]);
void addr_from_mapped(const uint8_t mapped[static 16], struct ip_addr *out);

/* Kernel socket addresses. `endpoint_to_sockaddr` gives the length. */
socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *out);
bool endpoint_from_sockaddr(const struct sockaddr_storage *from, struct endpoint *out);

#endif
