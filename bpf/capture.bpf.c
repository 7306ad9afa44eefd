/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What leaves this host by a served interface, at the tc egress hook. What a policy protects goes to the host device
 * instead, and through it to the agent; what a policy discards is dropped; all else goes on to the next filter. Routes
 * cannot do this where the protected addresses are the outer ones themselves: transport mode, and tunnels between two
 * hosts.
 *
 * The agent's own packets do not come by here: AF_XDP and the XDP transmit path leave the driver's queues below tc.
 * Large segments stay whole; only headers are read.
 */
#include "bpf/drop.bpf.h"
#include "bpf/maps.bpf.h"
#include "bpf/packet.bpf.h"
#include "bpf/policy.bpf.h"

#include <linux/pkt_cls.h>

/* What a step says: VERDICT_PASS, VERDICT_CAPTURE, or the reason of the drop. */
#define VERDICT_PASS	(-1)
#define VERDICT_CAPTURE DROP_NONE

#define FRAGMENTS_MAX	1024u
#define FRAGMENT_AGE_NS 1000000000ull /* this host sends the rest of a packet at once */

struct fragment_verdict {
	__u64 since_ns;
	__s32 verdict;
	__u32 reserved;
};

/* Private to this program: what became of the first fragments of packets, which alone have ports. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAGMENTS_MAX);
	__type(key, struct fragment_key);
	__type(value, struct fragment_verdict);
} fragments SEC(".maps");

/* `len` bytes at `off` behind the start of the network header. */
static __always_inline int packet_load(struct __sk_buff *skb, __u32 off, void *out, __u32 len)
{
	return bpf_skb_load_bytes_relative(skb, off, out, len, BPF_HDR_START_NET);
}

static __always_inline int parse_ipv4(struct __sk_buff *skb, struct packet *packet)
{
	struct iphdr ip;

	if (packet_load(skb, 0, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return PARSE_MALFORMED;
	packet->family = 4;
	packet->protocol = ip.protocol;
	packet->fragment = !!(ip.frag_off & bpf_htons(IPV4_MF | IPV4_OFFSET));
	packet->later = !!(ip.frag_off & bpf_htons(IPV4_OFFSET));
	packet->fragment_id = ip.id;
	packet->payload_off = ip.ihl * 4;
	addr16_from_v4(&packet->source, ip.saddr);
	addr16_from_v4(&packet->destination, ip.daddr);
	return PARSE_OK;
}

static __always_inline int parse_ipv6_ext(struct __sk_buff *skb, struct packet *packet)
{
	for (int i = 0; i < EXT_HEADERS_MAX; i++) {
		__u8 protocol = packet->protocol;
		struct ipv6_ext ext;

		if (!ipv6_ext_known(protocol))
			return PARSE_OK;
		if (packet_load(skb, packet->payload_off, &ext, sizeof(ext)))
			return PARSE_MALFORMED;
		packet->protocol = ext.next;
		packet->payload_off += protocol == IPPROTO_FRAGMENT ? sizeof(ext) : (ext.len + 1) * 8;
		if (protocol != IPPROTO_FRAGMENT)
			continue;
		packet->fragment = !!(ext.fragment & bpf_htons(IPV6_FRAG_OFFSET | IPV6_FRAG_MORE));
		packet->fragment_id = ext.id;
		if (ext.fragment & bpf_htons(IPV6_FRAG_OFFSET)) {
			packet->later = 1;
			return PARSE_OK;
		}
	}
	return ipv6_ext_known(packet->protocol) ? PARSE_MALFORMED : PARSE_OK;
}

static __always_inline int parse_ipv6(struct __sk_buff *skb, struct packet *packet)
{
	struct ipv6hdr ip;

	if (packet_load(skb, 0, &ip, sizeof(ip)) || ip.version != 6)
		return PARSE_MALFORMED;
	packet->family = 6;
	packet->protocol = ip.nexthdr;
	packet->hop_limit = ip.hop_limit;
	packet->payload_off = sizeof(ip);
	__builtin_memcpy(&packet->source, &ip.saddr, sizeof(packet->source));
	__builtin_memcpy(&packet->destination, &ip.daddr, sizeof(packet->destination));
	return parse_ipv6_ext(skb, packet);
}

/* Ports as in parse.bpf.h. */
static __always_inline int parse_ports(struct __sk_buff *skb, struct packet *packet)
{
	__u8 bytes[4] = {};
	__u32 len;

	if (packet->later)
		return PARSE_OK;
	len = ports_len(packet->protocol);
	if (!len)
		return PARSE_OK;
	/* The helper wants a length that it can see. */
	if (len == 4	   ? packet_load(skb, packet->payload_off, bytes, 4)
		: len == 3 ? packet_load(skb, packet->payload_off, bytes, 3)
			   : packet_load(skb, packet->payload_off, bytes, 2))
		return PARSE_MALFORMED;
	ports_set(packet, bytes, len);
	return PARSE_OK;
}

/* Not static: verified once. */
__noinline int parse_skb(struct __sk_buff *skb, struct packet *packet)
{
	__u8 first;
	int result;

	if (!packet)
		return PARSE_MALFORMED;
	/* A VLAN interface above this one may have put its tag in front. */
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6) &&
		skb->protocol != bpf_htons(ETH_P_8021Q) && skb->protocol != bpf_htons(ETH_P_8021AD))
		return PARSE_NOT_IP;
	if (packet_load(skb, 0, &first, sizeof(first)))
		return PARSE_NOT_IP;
	if (first >> 4 == 4)
		result = parse_ipv4(skb, packet);
	else if (first >> 4 == 6)
		result = parse_ipv6(skb, packet);
	else
		return PARSE_NOT_IP;
	return result == PARSE_OK ? parse_ports(skb, packet) : result;
}

/* IKE, ESP and AH of this host carry the tunnels; no tunnel carries them. Of others they are traffic like any other. */
static __always_inline int carries_tunnels(const struct packet *packet)
{
	int udp = packet->protocol == IPPROTO_UDP && packet->has_ports &&
		  (packet->source_port == PORT_IKE || packet->source_port == PORT_IKE_NAT);

	if (!udp && packet->protocol != IPPROTO_ESP && packet->protocol != IPPROTO_AH)
		return 0;
	return bpf_map_lookup_elem(&local_addr, &packet->source) != NULL;
}

static __always_inline int judge(const struct packet *packet)
{
	struct policy_question q = {};

	switch (policy_ask_outbound(packet, &q)) {
	case POLICY_PROTECT:
		return VERDICT_CAPTURE;
	case POLICY_DISCARD:
		return DROP_POLICY_DROP;
	case POLICY_ANSWER_PORTS:
		return DROP_FRAGMENT_PORTS;
	case POLICY_ANSWER_BUSY:
		return DROP_XDP_ERROR;
	default:
		return VERDICT_PASS;
	}
}

/* A later fragment goes the way of the first one, which the kernel sends before it (RFC 4301 7.3). */
static __always_inline int judge_fragment(const struct packet *packet)
{
	struct fragment_verdict *known, now = {.since_ns = bpf_ktime_get_ns()};
	struct fragment_key key;

	fragment_key_of(packet, &key);
	if (packet->later) {
		known = bpf_map_lookup_elem(&fragments, &key);
		return known && now.since_ns - known->since_ns < FRAGMENT_AGE_NS ? known->verdict : judge(packet);
	}
	now.verdict = judge(packet);
	bpf_map_update_elem(&fragments, &key, &now, BPF_ANY);
	return now.verdict;
}

static __always_inline int decide(struct __sk_buff *skb)
{
	struct packet packet = {};
	int parsed = parse_skb(skb, &packet);

	if (parsed == PARSE_NOT_IP)
		return VERDICT_PASS;
	if (parsed == PARSE_MALFORMED)
		return DROP_PACKET_MALFORMED;
	if (destination_special(&packet) || neighbor_discovery(&packet) || carries_tunnels(&packet))
		return VERDICT_PASS;
	return packet.fragment ? judge_fragment(&packet) : judge(&packet);
}

SEC("tc")
int capture(struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u32 *to;
	int verdict;

	if (skb->mark == AGENT_MARK)
		return TC_ACT_UNSPEC;
	verdict = decide(skb);
	if (verdict == VERDICT_PASS)
		return TC_ACT_UNSPEC;
	if (verdict == VERDICT_CAPTURE) {
		to = bpf_map_lookup_elem(&capture_to, &zero);
		if (to && *to)
			return (int)bpf_redirect(*to, 0);
		verdict = DROP_AGENT_DOWN;
	}
	drop_count_add(verdict);
	return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "GPL";
