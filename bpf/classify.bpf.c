/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The one classifier of every attached interface. It gives each frame one of three fates:
 *   - to the AF_XDP socket of its queue, with struct packet_meta in front: ESP of an SA here, plaintext that a policy
 * protects;
 *   - dropped, with a counted reason: never in clear what should be protected, never in what should have come
 * protected;
 *   - to the kernel as if nobody had looked: IKE, ARP, neighbour discovery, everything else.
 */
#include "bpf/maps.bpf.h"
#include "bpf/parse.bpf.h"
#include "bpf/policy.bpf.h"

#define PORT_IKE	  500
#define PORT_IKE_NAT	  4500
#define SPI_FIRST	  256u /* RFC 4303 2.1: 0 is local, 1-255 are reserved */
#define ESP_HEADER	  8u   /* SPI and sequence number */
#define NON_ESP_MARKER	  4u   /* RFC 3948 2.2: four zero bytes stand before IKE on port 4500 */
#define EVENTS_PER_WINDOW 10u  /* and CPU */
#define EVENT_WINDOW_NS	  1000000000ull
#define ICMPV6_ND_FIRST	  133 /* router solicitation */
#define ICMPV6_ND_LAST	  137 /* redirect */

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

static __always_inline void drop_count_add(__u32 reason)
{
	struct drop_count *count = bpf_map_lookup_elem(&xdp_drops, &reason);

	if (!count)
		return;
	count->packets++;
	count->last_ns = bpf_ktime_get_ns();
}

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
	       type >= ICMPV6_ND_FIRST && type <= ICMPV6_ND_LAST;
}

/* The question but for whose side is which. */
static __always_inline void question_init(struct policy_question *q, const struct packet *packet)
{
	q->protocol = packet->protocol;
	q->has_ports = packet->has_ports;
	q->later = packet->later;
	q->family = packet->family;
}

/* As it leaves here: source is local, destination remote. */
static __always_inline int policy_ask_outbound(const struct packet *packet, struct policy_question *q)
{
	question_init(q, packet);
	__builtin_memcpy(q->local, &packet->source, sizeof(q->local));
	__builtin_memcpy(q->remote, &packet->destination, sizeof(q->remote));
	q->local_port = packet->source_port;
	q->remote_port = packet->destination_port;
	return policy_ask(q);
}

/* As it arrives from outside: destination is local, source remote. */
static __always_inline int policy_ask_inbound(const struct packet *packet, struct policy_question *q)
{
	question_init(q, packet);
	__builtin_memcpy(q->local, &packet->destination, sizeof(q->local));
	__builtin_memcpy(q->remote, &packet->source, sizeof(q->remote));
	q->local_port = packet->destination_port;
	q->remote_port = packet->source_port;
	return policy_ask(q);
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

static __always_inline int esp_in(
	struct xdp_md *ctx, const struct packet *packet, __u32 spi_off, struct packet_meta *meta)
{
	struct spi_key key = {.destination = packet->destination, .protocol = IPPROTO_ESP};
	__be32 *spi = packet_at(ctx, packet, spi_off, ESP_HEADER);
	__u32 *index;

	if (!spi)
		return DROP_ESP_SHORT;
	key.spi = *spi;
	if (bpf_ntohl(key.spi) < SPI_FIRST)
		return DROP_SPI_RESERVED;
	index = bpf_map_lookup_elem(&spi_in, &key);
	if (!index) {
		event_spi_unknown(packet, key.spi);
		return DROP_SPI_UNKNOWN;
	}
	meta_set(meta, packet, META_ESP_IN, spi_off);
	meta->index = *index;
	return VERDICT_REDIRECT;
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
	if (!*marker)
		return VERDICT_PASS;
	if (packet->fragment)
		return DROP_ESP_FRAGMENT;
	meta->flags = META_UDP_ENCAP;
	return len < sizeof(*udp) + ESP_HEADER ? DROP_ESP_SHORT : esp_in(ctx, packet, payload_off, meta);
}

/* Addressed to this host. */
static __always_inline int local_in(struct xdp_md *ctx, const struct packet *packet, struct packet_meta *meta)
{
	if (packet->protocol == IPPROTO_ESP)
		return packet->fragment ? DROP_ESP_FRAGMENT : esp_in(ctx, packet, packet->payload_off, meta);
	if (packet->protocol == IPPROTO_UDP) {
		/* Of a fragmented IKE message; its first fragment is judged by its ports. */
		if (packet->later)
			return VERDICT_PASS;
		if (packet->destination_port == PORT_IKE)
			return VERDICT_PASS;
		if (packet->destination_port == PORT_IKE_NAT)
			return udp_encap_in(ctx, packet, meta);
	}
	return plaintext_in(packet);
}

static __always_inline int protect(
	const struct packet *packet, const struct policy_question *q, __u8 flags, struct packet_meta *meta)
{
	meta->flags = flags;
	meta->index = q->tunnel;
	meta_set(meta, packet, META_PLAIN_OUT, packet->payload_off);
	return VERDICT_REDIRECT;
}

/* From the host through the IPsec device: the kernel already chose it, so what no policy covers has no other way. */
static __always_inline int host_out(const struct packet *packet, struct packet_meta *meta)
{
	struct policy_question q = {};

	if (destination_special(packet) || neighbor_discovery(packet))
		return DROP_POLICY_NONE;
	switch (policy_ask_outbound(packet, &q)) {
	case POLICY_PROTECT:
		return protect(packet, &q, META_FROM_HOST, meta);
	case POLICY_DISCARD:
		return DROP_POLICY_DROP;
	case POLICY_ANSWER_PORTS:
		return DROP_FRAGMENT_PORTS;
	case POLICY_ANSWER_BUSY:
		return DROP_XDP_ERROR;
	default:
		return DROP_POLICY_NONE;
	}
}

/* Passing through this gateway. */
static __always_inline int transit(const struct packet *packet, struct packet_meta *meta)
{
	struct policy_question q = {};

	switch (policy_ask_outbound(packet, &q)) {
	case POLICY_PROTECT:
		return protect(packet, &q, 0, meta);
	case POLICY_DISCARD:
		return DROP_POLICY_DROP;
	case POLICY_ANSWER_PORTS:
		return DROP_FRAGMENT_PORTS;
	case POLICY_ANSWER_BUSY:
		return DROP_XDP_ERROR;
	case POLICY_BYPASS:
		return VERDICT_PASS;
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
	enum parse_result parsed = parse_packet(ctx, &packet);

	if (parsed == PARSE_NOT_IP)
		return VERDICT_PASS;
	if (!(info->flags & PORT_HOST) && !packet.group && !mac_is_own(ctx, info))
		return VERDICT_PASS;
	if (parsed == PARSE_MALFORMED)
		return DROP_PACKET_MALFORMED;
	return info->flags & PORT_HOST ? host_out(&packet, meta) : nic_in(ctx, &packet, meta);
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

SEC("xdp")
int classify(struct xdp_md *ctx)
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
	if (verdict == VERDICT_REDIRECT)
		return XDP_REDIRECT;
	if (verdict == VERDICT_PASS)
		return XDP_PASS;
	drop_count_add(verdict);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
