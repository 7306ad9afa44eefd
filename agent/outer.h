/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header around the inner packet in tunnel mode, of ESP and AH alike: written from the inner one by the tunnel's
 * options (RFC 4301 5.1.2, RFC 6040 4.1), read, and its marks carried over to the inner packet (RFC 6040 4.2).
 */
#ifndef ESPALIER_AGENT_OUTER_H
#define ESPALIER_AGENT_OUTER_H

#include "agent/checksum.h"
#include "agent/frame.h"
#include "agent/inner.h"
#include "agent/sa_context.h"
#include "agent/wire.h"

#include <endian.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#define ECN_MASK 0x03u

/* For outer_put. */
void outer_put6(
	const struct sa_context *ctx, uint8_t *ip, uint32_t len, const struct inner *inner, const uint8_t *packet);
/* The UDP header behind an IP header, `len` bytes with what it carries; its checksum is missing. */
static inline void outer_put_udp(const struct sa_context *ctx, uint8_t *udp, uint32_t len)
{
	memcpy(udp, ctx->outer + ctx->outer_len - WIRE_UDP_LEN, 4);
	wire_put32(udp + 4, len << 16);
}

/*
 * An IPv4 header around a packet of this traffic class, which must not be fragmented or may be. IPv6 counts as the
 * former: its sender is told, not the fragments sealed. What may be cut on its way has an identification of its own
 * among all of the worker's packets to that address; what may not has one only so that it looks like any other (RFC
 * 6864 4.1).
 */
__attribute__((always_inline)) static inline void outer_put4(const struct sa_context *ctx, uint8_t *ip, uint32_t len,
	uint8_t traffic_class, bool dont_fragment, uint64_t seq)
{
	uint8_t class = (uint8_t)((traffic_class & ctx->class_keep) | ctx->class_set);
	bool df = (dont_fragment && ctx->df_keep) || ctx->df_set;
	uint16_t id = df || !ctx->ids ? (uint16_t)seq : ++*ctx->ids, check;
	uint32_t first = (uint32_t)WIRE_IPV4_PLAIN << 24 | (uint32_t) class << 16 | (uint16_t)len;
	uint32_t second = (uint32_t)id << 16 | (df ? WIRE_IPV4_DF : 0);
	uint64_t head = htobe64((uint64_t)first << 32 | second);

	check = (uint16_t)~checksum_fold(sum_around(head, ctx->outer_sum));
	memcpy(ip, &head, sizeof(head));
	memcpy(ip + 8, ctx->outer + 8, WIRE_IPV4_LEN - 8);
	memcpy(ip + 10, &check, sizeof(check));
}

/*
 * Write the SA's outer headers at `ip`, of a packet of `len` bytes with them and with number `seq`, around the packet
 * at `packet`. In UDP the checksum is missing, which stays 0 in IPv4 (RFC 3948 2.1).
 */
static inline void outer_put(const struct sa_context *ctx, uint8_t *ip, uint32_t len, const struct inner *inner,
	const uint8_t *packet, uint64_t seq)
{
	if (ctx->outer_family == 4)
		outer_put4(ctx, ip, len, inner->traffic_class, inner->dont_fragment, seq);
	else
		outer_put6(ctx, ip, len, inner, packet);
	if (ctx->meta_flags)
		outer_put_udp(ctx, ip + ctx->outer_len - WIRE_UDP_LEN, len + WIRE_UDP_LEN - ctx->outer_len);
}

/*
 * The IP header that frame->meta tells of: whole, no fragment, and ending before payload_off. `*end` is the offset
 * behind the IP packet, which may be shorter than the frame (Ethernet padding).
 */
__attribute__((noinline)) enum drop_reason outer_check(const struct frame *frame, uint32_t *end);
/* The same for most: IPv4 without options. False: look closer. */
static inline bool outer_check_plain(const struct frame *frame, uint32_t *end)
{
	const struct packet_meta *meta = &frame->meta;
	const uint8_t *ip = frame->data + meta->l3_off;

	if (meta->family != 4 || frame->len < meta->l3_off + WIRE_IPV4_LEN || ip[0] != 0x45 ||
		meta->payload_off < meta->l3_off + WIRE_IPV4_LEN ||
		wire_get16(ip + 6) & (WIRE_IPV4_MF | WIRE_IPV4_OFFSET))
		return false;
	*end = (uint32_t)meta->l3_off + wire_get16(ip + 2);
	return *end <= frame->len;
}
/* After either. */
void outer_source(const struct frame *frame, struct addr16 *source);
static inline uint8_t outer_class(const struct frame *frame)
{
	const uint8_t *ip = frame->data + frame->meta.l3_off;

	if (frame->meta.family == 4)
		return ip[1];
	return (uint8_t)(ip[0] << 4 | ip[1] >> 4);
}

/* frame->data is what the tunnel carried, as `next_header` says: parse it, and cut off what was put behind it to hide
 * its length (RFC 4303 2.7). */
__attribute__((always_inline)) static inline enum drop_reason outer_take_inner(
	struct frame *frame, uint8_t next_header, struct inner *inner)
{
	if (next_header != IPPROTO_IPIP && next_header != IPPROTO_IPV6)
		return DROP_NEXT_HEADER_BAD;
	if (!inner_parse(frame->data, frame->len, inner) || inner->family != (next_header == IPPROTO_IPIP ? 4 : 6))
		return DROP_INNER_MALFORMED;
	frame->len = inner->len;
	return DROP_NONE;
}
/* RFC 6040 4.2, figure 4. */
__attribute__((noinline)) enum drop_reason outer_merge_ecn_any(
	uint8_t *packet, struct inner *inner, uint8_t outer_class);
static inline enum drop_reason outer_merge_ecn(uint8_t *packet, struct inner *inner, uint8_t outer_class)
{
	/* Not-ECT both, as most packets are: nothing to be done. */
	return (outer_class | inner->traffic_class) & ECN_MASK ? outer_merge_ecn_any(packet, inner, outer_class)
							       : DROP_NONE;
}

#endif
