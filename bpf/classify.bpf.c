/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The one classifier of every attached interface. It gives each frame one of three fates:
 *   - to the AF_XDP socket of its queue, with struct packet_meta in front: ESP and AH of an SA here, fragments of them,
 * ICMP errors about them, plaintext that a policy protects;
 *   - dropped, with a counted reason: never in clear what should be protected, never in what should have come
 * protected;
 *   - to the kernel as if nobody had looked: IKE, ARP, neighbour discovery, everything else.
 */
#include "bpf/drop.bpf.h"
#include "bpf/maps.bpf.h"
#include "bpf/parse.bpf.h"
#include "bpf/policy.bpf.h"
#include "bpf/replay.h"

#define SPI_FIRST	  256u /* RFC 4303 2.1: 0 is local, 1-255 are reserved */
#define ESP_HEADER	  8u   /* SPI and sequence number */
#define AH_HEADER	  12u  /* next header, length, reserved, then SPI and sequence number (RFC 4302 2) */
#define AH_SPI_OFF	  4u
#define ICMP_HEADER	  8u
#define ICMP_FRAG_NEEDED  0x0304u /* type 3, code 4 */
#define ICMPV6_TOO_BIG	  2
#define FRAGMENTS_MAX	  1024u
#define FRAGMENT_AGE_NS	  30000000000ull /* after this long the rest of a packet no longer comes */
#define NON_ESP_MARKER	  4u		 /* RFC 3948 2.2: four zero bytes stand before IKE on port 4500 */
#define EVENTS_PER_WINDOW 10u		 /* and CPU */
#define EVENT_WINDOW_NS	  1000000000ull

/* What a step says: VERDICT_PASS, VERDICT_REDIRECT, or the reason of the drop. */
#define VERDICT_PASS	 (-1)
#define VERDICT_REDIRECT DROP_NONE

struct event_gate {
	__u64 since_ns;
	__u32 count;
	__u32 reserved;
};

/* Private to this program: how many events this CPU sent in the current second. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct event_gate);
} event_gates SEC(".maps");

/* Private to this program: packets of ESP in UDP whose first fragment was seen, and when. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAGMENTS_MAX);
	__type(key, struct fragment_key);
	__type(value, __u64);
} fragments SEC(".maps");

static __always_inline int event_allowed(__u64 now_ns)
{
	__u32 zero = 0;
	struct event_gate *gate = bpf_map_lookup_elem(&event_gates, &zero);

	if (!gate)
		return 0;
	if (now_ns - gate->since_ns >= EVENT_WINDOW_NS) {
		gate->since_ns = now_ns;
		gate->count = 0;
	}
	return gate->count++ < EVENTS_PER_WINDOW;
}

static __always_inline void event_spi_unknown(const struct packet *packet, __be32 spi)
{
	__u64 now_ns = bpf_ktime_get_ns();
	struct event *event;

	if (!event_allowed(now_ns))
		return;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return;
	event->kind = EVENT_SPI_UNKNOWN;
	event->spi = spi;
	event->source = packet->source;
	event->destination = packet->destination;
	event->time_ns = now_ns;
	bpf_ringbuf_submit(event, 0);
}

/* Plaintext from outside: what a tunnel should have brought must not come in clear (RFC 4301 5.2 step 4). */
static __always_inline int plaintext_in(const struct packet *packet)
{
	struct policy_question q = {};

	switch (policy_ask_inbound(packet, &q)) {
	case POLICY_PROTECT:
		return DROP_PLAINTEXT_IN;
	case POLICY_DISCARD:
		return DROP_POLICY_DROP;
	case POLICY_ANSWER_BUSY:
		return DROP_XDP_ERROR;
	default:
		/* A later fragment is harmless without its first one, which has the ports and was judged by them. */
		return VERDICT_PASS;
	}
}

static __always_inline void meta_set(
	struct packet_meta *meta, const struct packet *packet, __u8 kind, __u32 payload_off)
{
	meta->kind = kind;
	meta->family = packet->family;
	meta->protocol = packet->protocol;
	meta->l3_off = packet->l3_off;
	meta->payload_off = payload_off;
	if (packet->fragment)
		meta->flags |= META_FRAGMENT;
}

/*
 * A replay that is certain dies before it costs a copy. The agent may move the window meanwhile, only ever up: what is
 * left of an older top is left of a newer one, and a bit that is set while its number is inside the window stands for
 * that number. Bits are cleared before the top moves, so a set bit is read once more behind a barrier.
 */
__noinline int replay_certain(__u32 index, __u32 low)
{
	struct sa_run *run = bpf_map_lookup_elem(&sa_run, &index);
	__u32 bits;
	__u64 top, seq, fence = 0;
	int reason;

	if (!run)
		return DROP_NONE;
	bits = run->replay_bits;
	if (!replay_window_works(bits))
		return DROP_NONE;
	top = *(volatile __u64 *)&run->replay_top;
	seq = run->flags & SA_ESN ? replay_number(top, bits, low) : low;
	reason = replay_judge(run->replay_window, top, bits, seq);
	if (reason == DROP_REPLAY && !__sync_fetch_and_or(&fence, 1))
		reason = replay_judge(run->replay_window, top, bits, seq);
	if (reason != DROP_NONE)
		__sync_fetch_and_add(&run->dropped_replay, 1);
	return reason;
}

/* ESP or AH (as `kind` says), `header_off` its header: to the worker by its SPI. */
static __always_inline int sa_in(
	struct xdp_md *ctx, const struct packet *packet, __u8 kind, __u32 header_off, struct packet_meta *meta)
{
	struct spi_key key = {.destination = packet->destination};
	__be32 *spi = packet_at(ctx, packet, header_off + (kind == META_AH_IN ? AH_SPI_OFF : 0), ESP_HEADER);
	__u32 *index;
	int replay;

	if (!spi)
		return kind == META_AH_IN ? DROP_AH_MALFORMED : DROP_ESP_SHORT;
	key.protocol = kind == META_AH_IN ? IPPROTO_AH : IPPROTO_ESP;
	key.spi = spi[0];
	if (bpf_ntohl(key.spi) < SPI_FIRST)
		return DROP_SPI_RESERVED;
	index = bpf_map_lookup_elem(&spi_in, &key);
	if (!index) {
		event_spi_unknown(packet, key.spi);
		return DROP_SPI_UNKNOWN;
	}
	replay = replay_certain(*index, bpf_ntohl(spi[1]));
	if (replay != DROP_NONE)
		return replay;
	meta_set(meta, packet, kind, header_off);
	meta->index = *index;
	return VERDICT_REDIRECT;
}

/* A fragment of ESP, AH or ESP in UDP: the agent puts it together. Extension headers behind the fragment header would
 * have to be found in each fragment, and only the first has them. */
static __always_inline int fragment_in(const struct packet *packet, struct packet_meta *meta)
{
	if (packet->payload_off != packet->fragment_off)
		return DROP_ESP_FRAGMENT;
	meta_set(meta, packet, META_FRAGMENT_IN, packet->fragment_off);
	meta->index = SA_NONE;
	return VERDICT_REDIRECT;
}

/* The first fragment of a datagram to port 4500 says what the later ones are: they have no port. */
static __always_inline int fragment_first_udp(const struct packet *packet, int is_esp, struct packet_meta *meta)
{
	__u64 now_ns = bpf_ktime_get_ns();
	struct fragment_key key;

	fragment_key_of(packet, &key);
	if (!is_esp) {
		bpf_map_delete_elem(&fragments, &key);
		return VERDICT_PASS;
	}
	bpf_map_update_elem(&fragments, &key, &now_ns, BPF_ANY);
	return fragment_in(packet, meta);
}

/* Of a fragmented IKE message or of anything else to this host, it is the kernel's: the first fragment is judged by its
 * ports. */
static __always_inline int fragment_later_udp(const struct packet *packet, struct packet_meta *meta)
{
	struct fragment_key key;
	__u64 *seen_ns;

	fragment_key_of(packet, &key);
	seen_ns = bpf_map_lookup_elem(&fragments, &key);
	if (!seen_ns || bpf_ktime_get_ns() - *seen_ns > FRAGMENT_AGE_NS)
		return VERDICT_PASS;
	return fragment_in(packet, meta);
}

/* UDP to port 4500: ESP, IKE behind four zero bytes, or a keepalive of one byte (RFC 3948 2). */
static __always_inline int udp_encap_in(struct xdp_md *ctx, const struct packet *packet, struct packet_meta *meta)
{
	struct udphdr *udp = packet_at(ctx, packet, packet->payload_off, sizeof(*udp));
	__u32 payload_off = packet->payload_off + sizeof(*udp);
	__be32 *marker;
	__u32 len;

	if (!udp)
		return DROP_PACKET_MALFORMED;
	len = bpf_ntohs(udp->len);
	if (len < sizeof(*udp) || (!packet->fragment && packet->payload_off + len > packet->end))
		return DROP_PACKET_MALFORMED;
	if (len <= sizeof(*udp) + NON_ESP_MARKER)
		return VERDICT_PASS;
	marker = packet_at(ctx, packet, payload_off, NON_ESP_MARKER);
	if (!marker)
		return DROP_PACKET_MALFORMED;
	if (packet->fragment)
		return fragment_first_udp(packet, *marker != 0, meta);
	if (!*marker)
		return VERDICT_PASS;
	meta->flags = META_UDP_ENCAP;
	return len < sizeof(*udp) + ESP_HEADER ? DROP_ESP_SHORT : sa_in(ctx, packet, META_ESP_IN, payload_off, meta);
}

/* The quoted datagram comes from port 4500, and as far as one can see does not carry IKE (RFC 3948 2.2). */
static __always_inline int quote_is_udp_encap(struct xdp_md *ctx, const struct packet *packet, __u32 off)
{
	struct udphdr *udp = packet_at(ctx, packet, off, sizeof(*udp));
	__be32 *marker;

	if (!udp || udp->source != bpf_htons(PORT_IKE_NAT))
		return 0;
	marker = packet_at(ctx, packet, off + sizeof(*udp), NON_ESP_MARKER);
	return !marker || *marker;
}

/* Steps over the header that an ICMP error quotes: protocol behind it and `*off` there; `*source` is who sent it. 0: a
 * later fragment, or too short. */
static __always_inline __u8 quote_parse(
	struct xdp_md *ctx, const struct packet *packet, __u32 *off, struct addr16 *source)
{
	struct ipv6_ext *fragment;
	struct ipv6hdr *ip6;
	struct iphdr *ip;

	if (packet->family == 4) {
		ip = packet_at(ctx, packet, *off, sizeof(*ip));
		if (!ip || ip->version != 4 || ip->frag_off & bpf_htons(IPV4_OFFSET))
			return 0;
		addr16_from_v4(source, ip->saddr);
		*off += ip->ihl * 4;
		return ip->protocol;
	}
	ip6 = packet_at(ctx, packet, *off, sizeof(*ip6));
	if (!ip6 || ip6->version != 6)
		return 0;
	__builtin_memcpy(source, &ip6->saddr, sizeof(*source));
	*off += sizeof(*ip6);
	if (ip6->nexthdr != IPPROTO_FRAGMENT)
		return ip6->nexthdr;
	fragment = packet_at(ctx, packet, *off, sizeof(*fragment));
	if (!fragment || fragment->fragment & bpf_htons(IPV6_FRAG_OFFSET))
		return 0;
	*off += sizeof(*fragment);
	return fragment->next;
}

/* An ICMP error that says that a protected packet of this host was too big (RFC 4301 8.2.1). The agent judges it. */
__noinline int icmp_about_ours(struct xdp_md *ctx, const struct packet *packet)
{
	struct addr16 source;
	__u8 protocol;
	__u32 off;

	if (!packet || packet->fragment || !packet->has_ports)
		return 0;
	if (packet->family == 4 ? packet->protocol != IPPROTO_ICMP || packet->source_port != ICMP_FRAG_NEEDED
				: packet->protocol != IPPROTO_ICMPV6 || packet->source_port >> 8 != ICMPV6_TOO_BIG)
		return 0;
	off = packet->payload_off + ICMP_HEADER;
	protocol = quote_parse(ctx, packet, &off, &source);
	if (protocol == IPPROTO_UDP ? !quote_is_udp_encap(ctx, packet, off)
				    : protocol != IPPROTO_ESP && protocol != IPPROTO_AH)
		return 0;
	return bpf_map_lookup_elem(&local_addr, &source) != NULL;
}

static __always_inline int udp_in(struct xdp_md *ctx, const struct packet *packet, struct packet_meta *meta)
{
	if (packet->later)
		return fragment_later_udp(packet, meta);
	if (packet->destination_port == PORT_IKE)
		return VERDICT_PASS;
	if (packet->destination_port == PORT_IKE_NAT)
		return udp_encap_in(ctx, packet, meta);
	return plaintext_in(packet);
}

/* Addressed to this host. */
static __always_inline int local_in(struct xdp_md *ctx, const struct packet *packet, struct packet_meta *meta)
{
	if (packet->protocol == IPPROTO_ESP || packet->protocol == IPPROTO_AH) {
		__u8 kind = packet->protocol == IPPROTO_AH ? META_AH_IN : META_ESP_IN;

		return packet->fragment ? fragment_in(packet, meta)
					: sa_in(ctx, packet, kind, packet->payload_off, meta);
	}
	if (packet->protocol == IPPROTO_UDP)
		return udp_in(ctx, packet, meta);
	if (icmp_about_ours(ctx, packet)) {
		meta_set(meta, packet, META_ICMP_IN, packet->payload_off);
		meta->index = SA_NONE;
		return VERDICT_REDIRECT;
	}
	return plaintext_in(packet);
}

static __always_inline int protect(
	const struct packet *packet, const struct policy_question *q, struct packet_meta *meta)
{
	meta->index = q->tunnel;
	meta_set(meta, packet, META_PLAIN_OUT, packet->payload_off);
	return VERDICT_REDIRECT;
}

/* Its sender is behind another tunnel than `own` and should not be heard in clear, whatever its destination: a hub
 * would seal the packet for its next spoke as if the first one had sent it. */
static __always_inline int sender_forged(const struct packet *packet, __u32 own)
{
	struct policy_question q = {};

	switch (policy_ask_inbound(packet, &q)) {
	case POLICY_PROTECT:
		return q.tunnel == own ? DROP_NONE : DROP_PLAINTEXT_IN;
	case POLICY_ANSWER_BUSY:
		return DROP_XDP_ERROR;
	default:
		return DROP_NONE;
	}
}

/* Passing through this gateway. */
static __always_inline int transit(const struct packet *packet, struct packet_meta *meta)
{
	struct policy_question q = {};
	int answer = policy_ask_outbound(packet, &q), forged;

	switch (answer) {
	case POLICY_PROTECT:
	case POLICY_BYPASS:
		forged = sender_forged(packet, answer == POLICY_PROTECT ? q.tunnel : TUNNEL_NONE);
		if (forged != DROP_NONE)
			return forged;
		return answer == POLICY_PROTECT ? protect(packet, &q, meta) : VERDICT_PASS;
	case POLICY_DISCARD:
		return DROP_POLICY_DROP;
	case POLICY_ANSWER_PORTS:
		return DROP_FRAGMENT_PORTS;
	case POLICY_ANSWER_BUSY:
		return DROP_XDP_ERROR;
	default:
		return plaintext_in(packet);
	}
}

static __always_inline int mac_is_own(struct xdp_md *ctx, const struct port_info *info)
{
	struct ethhdr *eth = frame_at(ctx, 0, sizeof(*eth));

	if (!eth)
		return 0;
	for (int i = 0; i < ETH_ALEN; i++) {
		if (eth->h_dest[i] != info->mac[i])
			return 0;
	}
	return 1;
}

static __always_inline int nic_in(struct xdp_md *ctx, const struct packet *packet, struct packet_meta *meta)
{
	if (destination_special(packet) || neighbor_discovery(packet))
		return VERDICT_PASS;
	/* The kernel does not forward from a link-layer broadcast, but it delivers to itself. */
	if (packet->group)
		return plaintext_in(packet);
	if (bpf_map_lookup_elem(&local_addr, &packet->destination))
		return local_in(ctx, packet, meta);
	return transit(packet, meta);
}

static __always_inline int decide(struct xdp_md *ctx, const struct port_info *info, struct packet_meta *meta)
{
	struct packet packet = {};
	int parsed = parse_packet(ctx, &packet);

	if (parsed == PARSE_NOT_IP)
		return VERDICT_PASS;
	if (!packet.group && !mac_is_own(ctx, info))
		return VERDICT_PASS;
	if (parsed == PARSE_MALFORMED)
		return DROP_PACKET_MALFORMED;
	return nic_in(ctx, &packet, meta);
}

/* To the AF_XDP socket of this queue, `meta` in front. Gives VERDICT_REDIRECT, or why it could not be. */
static __always_inline int redirect(struct xdp_md *ctx, const struct port_info *info, const struct packet_meta *meta)
{
	__u32 queue = ctx->rx_queue_index;
	struct packet_meta *front;

	if (queue >= QUEUES_MAX)
		return DROP_AGENT_DOWN;
	if (bpf_redirect_map(&xsks, info->slot * QUEUES_MAX + queue, XDP_DROP) != XDP_REDIRECT)
		return DROP_AGENT_DOWN;
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*meta)))
		return DROP_XDP_ERROR;
	front = frame_at(ctx, 0, sizeof(*front));
	if (!front)
		return DROP_XDP_ERROR;
	*front = *meta;
	return VERDICT_REDIRECT;
}

static __always_inline int classify_frame(struct xdp_md *ctx)
{
	__u32 ifindex = ctx->ingress_ifindex;
	struct port_info *info = bpf_map_lookup_elem(&port, &ifindex);
	struct packet_meta meta = {};
	int verdict;

	if (!info)
		return XDP_PASS;
	verdict = decide(ctx, info, &meta);
	if (verdict == VERDICT_REDIRECT)
		verdict = redirect(ctx, info, &meta);
	/* Without an agent a fragment to port 4500 is but a datagram to this host. */
	if (verdict == DROP_AGENT_DOWN && meta.kind == META_FRAGMENT_IN && meta.protocol == IPPROTO_UDP)
		verdict = VERDICT_PASS;
	if (verdict == VERDICT_REDIRECT)
		return XDP_REDIRECT;
	if (verdict == VERDICT_PASS)
		return XDP_PASS;
	drop_count_add(verdict);
	return XDP_DROP;
}

SEC("xdp")
int classify(struct xdp_md *ctx)
{
	return classify_frame(ctx);
}

/*
 * The same where the driver gives a frame in several buffers: native mode at an MTU above one of them. `data` to
 * `data_end` is the first buffer, and all headers are to be in it; a driver that leaves it without the link header
 * would show no packet to protect at all, so such a frame dies.
 */
SEC("xdp.frags")
int classify_fragments(struct xdp_md *ctx)
{
	if (frame_at(ctx, 0, LINK_HEADER_MAX) || bpf_xdp_get_buff_len(ctx) == linear_len(ctx))
		return classify_frame(ctx);
	drop_count_add(DROP_XDP_ERROR);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
