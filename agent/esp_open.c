/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/esp_open.h"

#include "agent/checksum.h"
#include "agent/replay.h"
#include "agent/selector.h"

#include <netinet/in.h>
#include <sched.h>
#include <string.h>

#define IPV4_LEN	  20u
#define IPV6_LEN	  40u
#define UDP_LEN		  8u
#define IPV4_FRAGMENT	  0x3fffu /* more fragments, or an offset */
#define ECN_MASK	  0x03u
#define ECN_NOT_ECT	  0u
#define ECN_ECT1	  1u
#define ECN_CE		  3u
#define NEXT_HEADER_DUMMY 59u /* RFC 4303 2.6 */

/* What is needed of the outer headers once the inner packet is there. */
struct outer {
	uint8_t traffic_class;
	struct addr16 source;
	uint16_t source_port; /* 0 without UDP */
	uint8_t *esp;	      /* at the SPI */
	uint32_t esp_len;
	uint64_t seq;
};

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

/* The outer IP header; `*end` is the offset behind the IP packet, which may be shorter than the frame (Ethernet
 * padding). */
static enum drop_reason read_ipv4(const struct frame *frame, struct outer *outer, uint32_t *end)
{
	const struct packet_meta *meta = &frame->meta;
	const uint8_t *ip = frame->data + meta->l3_off;
	uint32_t header_len;

	if (frame->len < meta->l3_off + IPV4_LEN || ip[0] >> 4 != 4)
		return DROP_PACKET_MALFORMED;
	header_len = (ip[0] & 0x0fu) * 4u;
	*end = (uint32_t)meta->l3_off + get16(ip + 2);
	if (header_len < IPV4_LEN || *end > frame->len || meta->payload_off < meta->l3_off + header_len)
		return DROP_PACKET_MALFORMED;
	if (get16(ip + 6) & IPV4_FRAGMENT)
		return DROP_ESP_FRAGMENT;
	outer->traffic_class = ip[1];
	memset(outer->source.bytes, 0, 10);
	memset(outer->source.bytes + 10, 0xff, 2);
	memcpy(outer->source.bytes + 12, ip + 12, 4);
	return DROP_NONE;
}

static enum drop_reason read_ipv6(const struct frame *frame, struct outer *outer, uint32_t *end)
{
	const struct packet_meta *meta = &frame->meta;
	const uint8_t *ip = frame->data + meta->l3_off;

	if (frame->len < meta->l3_off + IPV6_LEN || ip[0] >> 4 != 6)
		return DROP_PACKET_MALFORMED;
	*end = (uint32_t)meta->l3_off + IPV6_LEN + get16(ip + 4);
	if (*end > frame->len || meta->payload_off < meta->l3_off + IPV6_LEN)
		return DROP_PACKET_MALFORMED;
	outer->traffic_class = (uint8_t)(ip[0] << 4 | ip[1] >> 4);
	memcpy(outer->source.bytes, ip + 8, 16);
	return DROP_NONE;
}

/* The UDP header right before the SPI: port, and its own idea of where the packet ends. */
static enum drop_reason read_udp(const struct frame *frame, struct outer *outer, uint32_t *end)
{
	uint32_t udp_off = frame->meta.payload_off - UDP_LEN;
	const uint8_t *udp = frame->data + udp_off;
	uint32_t len;

	if (frame->meta.payload_off > *end ||
		udp_off < frame->meta.l3_off + (frame->meta.family == 4 ? IPV4_LEN : IPV6_LEN))
		return DROP_PACKET_MALFORMED;
	len = get16(udp + 4);
	if (len < UDP_LEN || udp_off + len > *end)
		return DROP_PACKET_MALFORMED;
	outer->source_port = get16(udp);
	*end = udp_off + len;
	return DROP_NONE;
}

/* Headers and lengths up to the ESP header; an SA takes one form of encapsulation only. */
static enum drop_reason read_outer(const struct sa_context *ctx, struct frame *frame, struct outer *outer)
{
	const struct packet_meta *meta = &frame->meta;
	bool udp = meta->flags & META_UDP_ENCAP;
	uint32_t end;
	enum drop_reason reason = meta->family == 4 ? read_ipv4(frame, outer, &end) : read_ipv6(frame, outer, &end);

	outer->source_port = 0;
	if (reason == DROP_NONE && udp != !!(ctx->sa.flags & SA_UDP_ENCAP))
		reason = DROP_OUTER_MISMATCH;
	if (reason == DROP_NONE && udp)
		reason = read_udp(frame, outer, &end);
	if (reason != DROP_NONE)
		return reason;
	if (end < meta->payload_off + ESP_HEADER_LEN)
		return DROP_ESP_SHORT;
	outer->esp = frame->data + meta->payload_off;
	outer->esp_len = end - meta->payload_off;
	if (memcmp(outer->esp, &ctx->sa.spi, 4) != 0) /* the slot got another SA since XDP looked it up */
		return DROP_SPI_UNKNOWN;
	return DROP_NONE;
}

static void lock(const struct sa_context *ctx)
{
	if (!ctx->replay_lock)
		return;
	while (atomic_flag_test_and_set_explicit(ctx->replay_lock, memory_order_acquire))
		sched_yield(); /* held for some tens of instructions, unless its holder was preempted */
}

static void unlock(const struct sa_context *ctx)
{
	if (ctx->replay_lock)
		atomic_flag_clear_explicit(ctx->replay_lock, memory_order_release);
}

/* The whole sequence number, and whether it could be accepted (RFC 4303 3.4.3). */
static enum drop_reason check_sequence(const struct sa_context *ctx, struct outer *outer)
{
	uint32_t low = get32(outer->esp + 4);
	enum drop_reason reason;

	lock(ctx);
	outer->seq = ctx->sa.flags & SA_ESN ? replay_extend(ctx->run->replay_top, ctx->sa.replay_bits, low) : low;
	reason = outer->seq == UINT64_MAX ? DROP_REPLAY_OLD : replay_check(ctx->run, ctx->sa.replay_bits, outer->seq);
	unlock(ctx);
	return reason;
}

/* A NAT in the path may have changed its mapping, or the peer its address: tell, by the newest authenticated packet
 * (RFC 7296 2.23). */
static void note_source(const struct sa_context *ctx, const struct outer *outer)
{
	const struct sa *sa = &ctx->sa;
	struct sa_run *run = ctx->run;
	bool moved =
		memcmp(&outer->source, &sa->remote, sizeof(sa->remote)) != 0 || outer->source_port != sa->remote_port;

	if (!moved) {
		if (run->seen_remote_port)
			__atomic_store_n(&run->seen_remote_port, 0, __ATOMIC_RELEASE);
		return;
	}
	if (run->seen_remote_port == outer->source_port &&
		memcmp(&run->seen_remote, &outer->source, sizeof(outer->source)) == 0)
		return;
	__atomic_store_n(
		&run->seen_remote_port, 0, __ATOMIC_RELEASE); /* while the address is being written it says nothing */
	run->seen_remote = outer->source;
	__atomic_store_n(&run->seen_remote_port, outer->source_port, __ATOMIC_RELEASE);
}

static enum drop_reason mark_sequence(const struct sa_context *ctx, const struct outer *outer)
{
	bool newest;
	enum drop_reason reason;

	lock(ctx);
	reason = replay_mark(ctx->run, ctx->sa.replay_bits, outer->seq, &newest);
	if (newest && ctx->sa.flags & SA_UDP_ENCAP)
		note_source(ctx, outer);
	unlock(ctx);
	return reason;
}

/* Decrypt and verify. The frame then begins at the plaintext and ends with its trailer. */
static enum drop_reason open_payload(struct sa_context *ctx, struct frame *frame, const struct outer *outer)
{
	const struct esp_suite *suite = ctx->suite;
	uint32_t before = ESP_HEADER_LEN + suite->iv_len;
	struct esp_job job;
	uint32_t cipher_len;

	if (outer->esp_len < before + suite->block + suite->icv_len)
		return DROP_ESP_SHORT;
	cipher_len = outer->esp_len - before - suite->icv_len;
	if (cipher_len % suite->block)
		return DROP_ESP_SHORT;
	job = (struct esp_job){.cipher = &ctx->cipher, .esp = outer->esp, .seq = outer->seq, .text_len = cipher_len};
	esp_jobs_open(&job, 1);
	if (!job.good)
		return DROP_ICV_BAD;
	frame->data = outer->esp + before;
	frame->len = cipher_len;
	return DROP_NONE;
}

/* Take padding and trailer off (RFC 4303 2.4). Padding is 1, 2, 3 ... */
static enum drop_reason take_trailer(struct frame *frame, uint8_t *next_header)
{
	const uint8_t *end = frame->data + frame->len;
	uint32_t padding = end[-2];
	const uint8_t *at;

	if (padding + ESP_TRAILER_LEN > frame->len)
		return DROP_PADDING_BAD;
	at = end - ESP_TRAILER_LEN - padding;
	for (uint32_t i = 0; i < padding; i++) {
		if (at[i] != i + 1)
			return DROP_PADDING_BAD;
	}
	*next_header = end[-1];
	frame->len -= padding + ESP_TRAILER_LEN;
	return DROP_NONE;
}

/* The inner packet, without what was put behind it to hide its length (RFC 4303 2.7). */
static enum drop_reason read_inner(struct frame *frame, uint8_t next_header, struct inner *inner)
{
	if (next_header == NEXT_HEADER_DUMMY)
		return DROP_DUMMY;
	if (next_header != IPPROTO_IPIP && next_header != IPPROTO_IPV6)
		return DROP_NEXT_HEADER_BAD;
	if (!inner_parse(frame->data, frame->len, inner) || inner->family != (next_header == IPPROTO_IPIP ? 4 : 6))
		return DROP_INNER_MALFORMED;
	frame->len = inner->len;
	return DROP_NONE;
}

static void set_ecn(uint8_t *packet, struct inner *inner, uint8_t ecn)
{
	uint8_t before[2];

	inner->traffic_class = (uint8_t)((inner->traffic_class & ~ECN_MASK) | ecn);
	if (inner->family == 6) {
		packet[1] = (uint8_t)((packet[1] & 0x0f) | inner->traffic_class << 4);
		return;
	}
	memcpy(before, packet, 2);
	packet[1] = inner->traffic_class;
	checksum_update16(packet + 10, before, packet);
}

/* RFC 6040 4.2, figure 4. */
static enum drop_reason merge_ecn(uint8_t *packet, struct inner *inner, uint8_t outer_class)
{
	uint8_t outer = outer_class & ECN_MASK, ecn = inner->traffic_class & ECN_MASK;

	if (ecn == ECN_NOT_ECT)
		return outer == ECN_CE ? DROP_ECN_MISMATCH : DROP_NONE;
	if (ecn != ECN_CE && (outer == ECN_CE || outer == ECN_ECT1) && ecn != outer)
		set_ecn(packet, inner, outer);
	return DROP_NONE;
}

static enum drop_reason open_packet(struct sa_context *ctx, struct frame *frame, struct inner *inner)
{
	struct outer outer;
	uint8_t next_header = 0;
	enum drop_reason reason = read_outer(ctx, frame, &outer);

	if (reason == DROP_NONE)
		reason = check_sequence(ctx, &outer);
	if (reason == DROP_NONE)
		reason = open_payload(ctx, frame, &outer);
	if (reason == DROP_NONE)
		reason = mark_sequence(ctx, &outer);
	if (reason == DROP_NONE)
		reason = take_trailer(frame, &next_header);
	if (reason == DROP_NONE)
		reason = read_inner(frame, next_header, inner);
	if (reason == DROP_NONE && !selector_match_in(&ctx->tunnel, inner))
		reason = DROP_SELECTOR_MISMATCH;
	if (reason == DROP_NONE)
		reason = merge_ecn(frame->data, inner, outer.traffic_class);
	return reason;
}

enum drop_reason esp_open(struct sa_context *ctx, struct frame *frame, struct inner *inner, uint64_t now_ns)
{
	enum drop_reason reason = sa_context_expired(ctx, now_ns) ? DROP_SA_EXPIRED : open_packet(ctx, frame, inner);

	sa_context_count_drop(ctx, reason);
	if (reason != DROP_NONE)
		return reason;
	ctx->packets++;
	ctx->bytes += inner->len;
	ctx->last_use_ns = now_ns;
	return DROP_NONE;
}

bool esp_moved(const struct sa_context *ctx, struct addr16 *remote, uint16_t *port)
{
	const struct sa_run *run = ctx->run;

	if (!__atomic_load_n(&run->seen_remote_port, __ATOMIC_RELAXED))
		return false;
	lock(ctx);
	*remote = run->seen_remote;
	*port = (uint16_t)run->seen_remote_port;
	unlock(ctx);
	return *port != 0;
}
