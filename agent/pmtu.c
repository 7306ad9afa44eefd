/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pmtu.h"

#include "agent/checksum.h"
#include "agent/inner.h"
#include "agent/outer.h"
#include "agent/wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define ICMP_LEN	   8u
#define ICMP_UNREACHABLE   3u
#define ICMP_FRAGMENTATION 4u /* code: fragmentation needed and DF set */
#define ICMPV6_TOO_BIG	   2u
#define AH_SPI_OFF	   4u
#define SPI_SEQ_LEN	   8u

/* The quoted packet: as many bytes of it as there are. */
struct quoted {
	const uint8_t *ip;
	uint32_t len;
	uint32_t at; /* behind the IP header */
	uint8_t protocol;
};

static void mapped(const uint8_t *address, struct addr16 *out)
{
	memset(out, 0, sizeof(*out));
	memset(out->bytes + 10, 0xff, 2);
	memcpy(out->bytes + 12, address, 4);
}

/* A router of before RFC 1191 does not say the size: take the next smaller one that links have (RFC 1191 7.1). */
static uint32_t plateau(uint32_t quoted_len)
{
	static const uint16_t sizes[] = {17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68};

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (sizes[i] < quoted_len)
			return sizes[i];
	}
	return 0;
}

static bool read_ipv4(struct quoted *quoted, struct pmtu_quote *quote)
{
	const uint8_t *ip = quoted->ip;

	if (quoted->len < WIRE_IPV4_LEN || ip[0] >> 4 != 4)
		return false;
	quoted->at = (ip[0] & 15u) * 4u;
	if (quoted->at < WIRE_IPV4_LEN || wire_get16(ip + 6) & WIRE_IPV4_OFFSET)
		return false;
	quoted->protocol = ip[9];
	mapped(ip + 12, &quote->source);
	mapped(ip + 16, &quote->destination);
	if (!quote->mtu)
		quote->mtu = plateau(wire_get16(ip + 2));
	return true;
}

static bool is_extension(uint8_t header)
{
	return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_DSTOPTS ||
	       header == IPPROTO_FRAGMENT;
}

static bool read_ipv6(struct quoted *quoted, struct pmtu_quote *quote)
{
	const uint8_t *ip = quoted->ip;

	if (quoted->len < WIRE_IPV6_LEN || ip[0] >> 4 != 6)
		return false;
	quoted->at = WIRE_IPV6_LEN;
	quoted->protocol = ip[6];
	memcpy(quote->source.bytes, ip + 8, 16);
	memcpy(quote->destination.bytes, ip + 24, 16);
	for (unsigned i = 0; is_extension(quoted->protocol); i++) {
		const uint8_t *header = ip + quoted->at;
		bool fragment = quoted->protocol == IPPROTO_FRAGMENT;

		if (i == INNER_EXTENSIONS_MAX || quoted->at + WIRE_EXTENSION_LEN > quoted->len)
			return false;
		if (fragment && wire_get16(header + 2) & WIRE_IPV6_OFFSET)
			return false;
		quoted->protocol = header[0];
		quoted->at += fragment ? WIRE_EXTENSION_LEN : (header[1] + 1u) * WIRE_EXTENSION_LEN;
	}
	return true;
}

/* SPI and sequence number of what stands behind the quoted IP header. */
static bool read_protected(struct quoted *quoted, struct pmtu_quote *quote)
{
	uint32_t spi_off = quoted->protocol == IPPROTO_AH ? AH_SPI_OFF : 0;

	quote->protocol = quoted->protocol;
	if (quoted->protocol == IPPROTO_UDP) {
		if (quoted->at + WIRE_UDP_LEN > quoted->len)
			return false;
		quote->udp = true;
		quote->protocol = IPPROTO_ESP;
		quote->source_port = wire_get16(quoted->ip + quoted->at);
		quote->destination_port = wire_get16(quoted->ip + quoted->at + 2);
		quoted->at += WIRE_UDP_LEN;
	} else if (quoted->protocol != IPPROTO_ESP && quoted->protocol != IPPROTO_AH) {
		return false;
	}
	if (quoted->at + spi_off + SPI_SEQ_LEN > quoted->len)
		return false;
	memcpy(&quote->spi, quoted->ip + quoted->at + spi_off, 4);
	quote->seq_low = wire_get32(quoted->ip + quoted->at + spi_off + 4);
	return true;
}

/* The ICMP message: type, checksum, size. */
static bool read_icmp(const uint8_t *ip, const uint8_t *icmp, uint32_t len, struct pmtu_quote *quote)
{
	uint64_t sum = 0;

	if (quote->family == 4) {
		if (icmp[0] != ICMP_UNREACHABLE || icmp[1] != ICMP_FRAGMENTATION)
			return false;
		quote->mtu = wire_get16(icmp + 6);
	} else {
		if (icmp[0] != ICMPV6_TOO_BIG)
			return false;
		quote->mtu = wire_get32(icmp + 4);
		sum = checksum_add(0, ip + 8, 32) + htonl(len) + htons(IPPROTO_ICMPV6);
	}
	return checksum_fold(checksum_add(sum, icmp, len)) == 0xffff;
}

bool pmtu_read(const struct frame *frame, struct pmtu_quote *quote)
{
	const struct packet_meta *meta = &frame->meta;
	const uint8_t *icmp = frame->data + meta->payload_off;
	struct quoted quoted;
	uint32_t end;

	memset(quote, 0, sizeof(*quote));
	if (outer_check(frame, &end) != DROP_NONE || end < (uint32_t)meta->payload_off + ICMP_LEN)
		return false;
	quote->family = meta->family == 4 ? 4 : 6;
	if (!read_icmp(frame->data + meta->l3_off, icmp, end - meta->payload_off, quote))
		return false;
	quoted = (struct quoted){.ip = icmp + ICMP_LEN, .len = end - meta->payload_off - ICMP_LEN};
	if (quote->family == 4 ? !read_ipv4(&quoted, quote) : !read_ipv6(&quoted, quote))
		return false;
	return read_protected(&quoted, quote);
}

bool pmtu_believe(const struct pmtu_quote *quote, const struct sa *sa, uint64_t before, uint64_t out_seq)
{
	uint32_t ago = (uint32_t)out_seq - quote->seq_low; /* in packets, modulo 2^32 */
	bool udp = sa->flags & SA_UDP_ENCAP;

	return sa->direction == SA_OUT && sa->protocol == quote->protocol && sa->spi == quote->spi &&
	       memcmp(&sa->remote, &quote->destination, sizeof(sa->remote)) == 0 &&
	       memcmp(&sa->local, &quote->source, sizeof(sa->local)) == 0 && udp == quote->udp &&
	       (!udp || (sa->local_port == quote->source_port && sa->remote_port == quote->destination_port)) &&
	       before < out_seq && ago < out_seq - before &&
	       quote->mtu >= (quote->family == 4 ? PMTU_IPV4_MIN : PMTU_IPV6_MIN);
}
