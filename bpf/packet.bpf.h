/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The facts of one packet, whoever read them: the XDP program from a frame (parse.bpf.h), the tc program from an skb.
 */
#ifndef ESPALIER_BPF_PACKET_BPF_H
#define ESPALIER_BPF_PACKET_BPF_H

#include "bpf/contract.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PORT_IKE	 500
#define PORT_IKE_NAT	 4500
#define ICMPV6_ND_FIRST	 133 /* router solicitation */
#define ICMPV6_ND_LAST	 137 /* redirect */
#define ND_HOP_LIMIT	 255 /* what came from farther is no neighbour's (RFC 4861 6.1, 7.1) */
#define EXT_HEADERS_MAX	 6
#define IPV4_MF		 0x2000
#define IPV4_OFFSET	 0x1fff
#define IPV6_FRAG_OFFSET 0xfff8
#define IPV6_FRAG_MORE	 0x0001
#define PROTO_SCTP	 132
#define PROTO_DCCP	 33
#define PROTO_MH	 135 /* Mobility Header (RFC 6275 6.1.1): the type is its third byte */
#define PROTO_UDPLITE	 136

struct ipv6_ext {
	__u8 next;
	__u8 len; /* in 8 bytes, without the first 8; of a fragment header: reserved */
	__be16 fragment;
	__be32 id;
};

enum parse_result {
	PARSE_OK,
	PARSE_NOT_IP,
	PARSE_MALFORMED,
};

/* Facts of one frame. Offsets count from its first byte. */
struct packet {
	__u8 family;
	__u8 protocol;
	__u8 fragment;	/* any fragment */
	__u8 later;	/* a fragment, but not the first: no transport header */
	__u8 has_ports; /* the two below are known */
	__u8 group;	/* sent to a link-layer group or broadcast address */
	__u8 hop_limit; /* IPv6 alone */
	__u16 source_port;
	__u16 destination_port;
	__u32 l3_off;
	__u32 payload_off;
	__u32 fragment_off; /* of a fragment: behind the IP and fragment headers */
	__be32 fragment_id;
	__u32 end; /* behind the last byte of the IP packet; a short Ethernet frame has padding after it */
	struct addr16 source;
	struct addr16 destination;
};

static __always_inline void addr16_from_v4(struct addr16 *out, __be32 addr)
{
	__u32 *words = (__u32 *)out->bytes;

	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xffff);
	words[3] = addr;
}

/* What the fragments of one packet have in common. */
struct fragment_key {
	struct addr16 source;
	struct addr16 destination;
	__be32 id;
	__u16 family;
	__u16 protocol; /* IPv4 alone, whose identifications are a protocol's (RFC 791 3.2) */
};

static __always_inline void fragment_key_of(const struct packet *packet, struct fragment_key *key)
{
	key->source = packet->source;
	key->destination = packet->destination;
	key->id = packet->fragment_id;
	key->family = packet->family;
	key->protocol = packet->family == 4 ? packet->protocol : 0;
}

/* The headers that RFC 4301 4.4.1.1 steps over to find the next layer protocol. AH and ESP are next layer protocols. */
static __always_inline int ipv6_ext_known(__u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_DSTOPTS ||
	       protocol == IPPROTO_FRAGMENT;
}

/* How many bytes of the transport header tell what stands for the ports; 0: the protocol has none. */
static __always_inline __u32 ports_len(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case PROTO_DCCP:
	case PROTO_SCTP:
	case PROTO_UDPLITE:
		return 4;
	case PROTO_MH:
		return 3;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 2;
	default:
		return 0;
	}
}

/* The ports from these bytes; of ICMP and ICMPv6 type << 8 | code, of the Mobility Header type << 8, for both
 * (contract.h: struct selector). */
static __always_inline void ports_set(struct packet *packet, const __u8 *bytes, __u32 len)
{
	packet->has_ports = 1;
	if (len == 4) {
		packet->source_port = (__u16)(bytes[0] << 8 | bytes[1]);
		packet->destination_port = (__u16)(bytes[2] << 8 | bytes[3]);
		return;
	}
	packet->source_port = (__u16)(len == 3 ? bytes[2] << 8 : bytes[0] << 8 | bytes[1]);
	packet->destination_port = packet->source_port;
}

/* Multicast, limited broadcast, IPv6 link-local: never forwarded, so never ours to protect. */
static __always_inline int destination_special(const struct packet *packet)
{
	const __u8 *to = packet->destination.bytes;

	if (packet->family == 4)
		return to[12] >= 224 && (to[12] < 240 || (to[12] & to[13] & to[14] & to[15]) == 255);
	return to[0] == 0xff || (to[0] == 0xfe && (to[1] & 0xc0) == 0x80);
}

static __always_inline int neighbor_discovery(const struct packet *packet)
{
	__u16 type = packet->source_port >> 8;

	return packet->family == 6 && packet->protocol == IPPROTO_ICMPV6 && packet->has_ports &&
	       packet->hop_limit == ND_HOP_LIMIT && type >= ICMPV6_ND_FIRST && type <= ICMPV6_ND_LAST;
}

#endif
