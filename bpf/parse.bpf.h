/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * From the frame to facts: link header, network header, extension headers, ports. Parsing decides nothing about the
 * packet's fate; it says what is there, or that the headers are broken.
 */
#ifndef ESPALIER_BPF_PARSE_BPF_H
#define ESPALIER_BPF_PARSE_BPF_H

#include "bpf/packet.bpf.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define VLAN_TAGS_MAX	3
#define LINK_HEADER_MAX (sizeof(struct ethhdr) + VLAN_TAGS_MAX * sizeof(struct vlan_tag))
/* Above every offset a header can have: Ethernet, three tags, IPv6, six extension headers of 2048 bytes. Bounds the
 * verifier's view. */
#define HEADER_OFF_MAX 0x3fffu

struct vlan_tag {
	__be16 control;
	__be16 ethertype;
};

/* `len` bytes of the frame at `off`, or NULL if they are not there (in the first buffer, of a frame of several). */
static __always_inline void *frame_at(struct xdp_md *ctx, __u32 off, __u32 len)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if (off > HEADER_OFF_MAX)
		return NULL;
	/* The comparison may have been made on another copy of `off`; Linux 6.1's verifier sees the bound only here. */
	asm volatile("%0 &= %1" : "+r"(off) : "i"(HEADER_OFF_MAX));
	data += off;
	return data + len > end ? NULL : data;
}

/* Bytes in the first buffer, which of most frames is the only one. */
static __always_inline __u32 linear_len(struct xdp_md *ctx)
{
	return ctx->data_end - ctx->data;
}

/* Does the frame end before `end`? Its length is asked for only if the first buffer does. */
static __always_inline int frame_ends_before(struct xdp_md *ctx, __u32 end)
{
	return end > linear_len(ctx) && end > bpf_xdp_get_buff_len(ctx);
}

/* The same, and inside the IP packet. */
static __always_inline void *packet_at(struct xdp_md *ctx, const struct packet *packet, __u32 off, __u32 len)
{
	return off + len > packet->end ? NULL : frame_at(ctx, off, len);
}

/* Steps over the Ethernet header and VLAN tags: the EtherType (host order) with l3_off set, or 0. */
static __always_inline __u16 parse_ethernet(struct xdp_md *ctx, struct packet *packet)
{
	struct ethhdr *eth = frame_at(ctx, 0, sizeof(*eth));
	__u32 off = sizeof(*eth);
	__u16 type;

	if (!eth)
		return 0;
	packet->group = eth->h_dest[0] & 1;
	type = bpf_ntohs(eth->h_proto);
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		struct vlan_tag *tag;

		if (type != ETH_P_8021Q && type != ETH_P_8021AD)
			break;
		tag = frame_at(ctx, off, sizeof(*tag));
		if (!tag)
			return 0;
		type = bpf_ntohs(tag->ethertype);
		off += sizeof(*tag);
	}
	packet->l3_off = off;
	return type;
}

static __always_inline enum parse_result parse_ipv4(struct xdp_md *ctx, struct packet *packet)
{
	struct iphdr *ip = frame_at(ctx, packet->l3_off, sizeof(*ip));
	__u32 header, total;
	__u16 fragment;

	if (!ip || ip->version != 4)
		return PARSE_MALFORMED;
	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (header < sizeof(*ip) || total < header || frame_ends_before(ctx, packet->l3_off + total))
		return PARSE_MALFORMED;
	fragment = bpf_ntohs(ip->frag_off);
	packet->family = 4;
	packet->protocol = ip->protocol;
	packet->fragment = !!(fragment & (IPV4_MF | IPV4_OFFSET));
	packet->later = !!(fragment & IPV4_OFFSET);
	packet->payload_off = packet->l3_off + header;
	packet->fragment_off = packet->payload_off;
	packet->fragment_id = ip->id;
	packet->end = packet->l3_off + total;
	addr16_from_v4(&packet->source, ip->saddr);
	addr16_from_v4(&packet->destination, ip->daddr);
	return PARSE_OK;
}

static __always_inline enum parse_result parse_ipv6_ext(struct xdp_md *ctx, struct packet *packet)
{
	for (int i = 0; i < EXT_HEADERS_MAX; i++) {
		struct ipv6_ext *ext;
		__u8 protocol = packet->protocol;

		if (!ipv6_ext_known(protocol))
			return PARSE_OK;
		ext = packet_at(ctx, packet, packet->payload_off, sizeof(*ext));
		if (!ext)
			return PARSE_MALFORMED;
		packet->protocol = ext->next;
		if (protocol != IPPROTO_FRAGMENT) {
			packet->payload_off += (ext->len + 1) * 8;
			continue;
		}
		packet->payload_off += sizeof(*ext);
		packet->fragment_off = packet->payload_off;
		packet->fragment_id = ext->id;
		if (ext->fragment & bpf_htons(IPV6_FRAG_OFFSET | IPV6_FRAG_MORE))
			packet->fragment = 1;
		if (ext->fragment & bpf_htons(IPV6_FRAG_OFFSET)) {
			packet->later = 1;
			return PARSE_OK;
		}
	}
	return ipv6_ext_known(packet->protocol) ? PARSE_MALFORMED : PARSE_OK;
}

static __always_inline enum parse_result parse_ipv6(struct xdp_md *ctx, struct packet *packet)
{
	struct ipv6hdr *ip = frame_at(ctx, packet->l3_off, sizeof(*ip));

	if (!ip || ip->version != 6)
		return PARSE_MALFORMED;
	packet->family = 6;
	packet->protocol = ip->nexthdr;
	packet->hop_limit = ip->hop_limit;
	packet->payload_off = packet->l3_off + sizeof(*ip);
	packet->end = packet->payload_off + bpf_ntohs(ip->payload_len);
	if (frame_ends_before(ctx, packet->end))
		return PARSE_MALFORMED;
	__builtin_memcpy(&packet->source, &ip->saddr, sizeof(packet->source));
	__builtin_memcpy(&packet->destination, &ip->daddr, sizeof(packet->destination));
	return parse_ipv6_ext(ctx, packet);
}

static __always_inline enum parse_result parse_ports(struct xdp_md *ctx, struct packet *packet)
{
	__u32 len = ports_len(packet->protocol);
	__u8 *bytes;

	if (packet->later || !len)
		return PARSE_OK;
	bytes = packet_at(ctx, packet, packet->payload_off, len);
	if (!bytes)
		return PARSE_MALFORMED;
	ports_set(packet, bytes, len);
	return PARSE_OK;
}

/* Not static: verified once, and what follows it not once for each shape that a header chain can have. */
__noinline int parse_packet(struct xdp_md *ctx, struct packet *packet)
{
	enum parse_result result;

	if (!packet)
		return PARSE_MALFORMED;
	switch (parse_ethernet(ctx, packet)) {
	case ETH_P_IP:
		result = parse_ipv4(ctx, packet);
		break;
	case ETH_P_IPV6:
		result = parse_ipv6(ctx, packet);
		break;
	default:
		return PARSE_NOT_IP;
	}
	return result == PARSE_OK ? parse_ports(ctx, packet) : result;
}

#endif
