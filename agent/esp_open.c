/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/esp_open.h"

#include "agent/checksum.h"
#include "agent/replay.h"
#include "agent/selector.h"
#include "agent/transport.h"
#include "agent/wire.h"

#include <netinet/in.h>
#include <sched.h>
#include <string.h>

#define IPV4_FRAGMENT 0x3fffu /* more fragments, or an offset */
#define ECN_MASK      0x03u
#define ECN_NOT_ECT   0u
#define ECN_ECT1      1u
#define ECN_CE	      3u

/* The outer IP header; `*end` is the offset behind the IP packet, which may be shorter than the frame (Ethernet
 * padding). */
static enum drop_reason check_ipv4(const struct frame *frame, uint32_t *end)
{
	const struct packet_meta *meta = &frame->meta;
	const uint8_t *ip = frame->data + meta->l3_off;
	uint32_t header_len;

	if (frame->len < meta->l3_off + WIRE_IPV4_LEN || ip[0] >> 4 != 4)
		return DROP_PACKET_MALFORMED;
	header_len = (ip[0] & 0x0fu) * 4u;
	*end = (uint32_t)meta->l3_off + wire_get16(ip + 2);
	if (header_len < WIRE_IPV4_LEN || *end > frame->len || meta->payload_off < meta->l3_off + header_len)
		return DROP_PACKET_MALFORMED;
	if (wire_get16(ip + 6) & IPV4_FRAGMENT)
		return DROP_ESP_FRAGMENT;
	return DROP_NONE;
}

static enum drop_reason check_ipv6(const struct frame *frame, uint32_t *end)
{
	const struct packet_meta *meta = &frame->meta;
	const uint8_t *ip = frame->data + meta->l3_off;

	if (frame->len < meta->l3_off + WIRE_IPV6_LEN || ip[0] >> 4 != 6)
		return DROP_PACKET_MALFORMED;
	*end = (uint32_t)meta->l3_off + WIRE_IPV6_LEN + wire_get16(ip + 4);
	if (*end > frame->len || meta->payload_off < meta->l3_off + WIRE_IPV6_LEN)
		return DROP_PACKET_MALFORMED;
	return DROP_NONE;
}

/* The UDP header right before the SPI has its own idea of where the packet ends. */
static enum drop_reason check_udp(const struct frame *frame, uint32_t *end)
{
	uint32_t udp_off = frame->meta.payload_off - WIRE_UDP_LEN;
	uint32_t len;

	if (frame->meta.payload_off > *end ||
		udp_off < frame->meta.l3_off + (frame->meta.family == 4 ? WIRE_IPV4_LEN : WIRE_IPV6_LEN))
		return DROP_PACKET_MALFORMED;
	len = wire_get16(frame->data + udp_off + 4);
	if (len < WIRE_UDP_LEN || udp_off + len > *end)
		return DROP_PACKET_MALFORMED;
	*end = udp_off + len;
	return DROP_NONE;
}

/* Headers and lengths up to the ESP header; an SA takes one form of encapsulation only. `*esp_len` counts from the SPI
 * to the end of the ICV. */
static enum drop_reason check_outer(const struct sa_context *ctx, const struct frame *frame, uint32_t *esp_len)
{
	const struct packet_meta *meta = &frame->meta;
	bool udp = meta->flags & META_UDP_ENCAP;
	uint32_t end;
	enum drop_reason reason = meta->family == 4 ? check_ipv4(frame, &end) : check_ipv6(frame, &end);

	if (reason == DROP_NONE && udp != !!(ctx->sa.flags & SA_UDP_ENCAP))
		reason = DROP_OUTER_MISMATCH;
	if (reason == DROP_NONE && udp)
		reason = check_udp(frame, &end);
	if (reason != DROP_NONE)
		return reason;
	if (end < meta->payload_off + ESP_HEADER_LEN)
		return DROP_ESP_SHORT;
	*esp_len = end - meta->payload_off;
	/* The slot may have got another SA since XDP looked it up. */
	if (memcmp(frame->data + meta->payload_off, &ctx->sa.spi, 4) != 0)
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

/*
 * The whole sequence number, and whether it could be accepted (RFC 4303 3.4.3). Without the lock: what is decided here
 * is decided again, under it, when the packet is authentic. Another worker that moves the window meanwhile can only
 * make a number look seen that has just become too old.
 */
static enum drop_reason check_sequence(const struct sa_context *ctx, const uint8_t *esp, uint64_t *seq)
{
	uint32_t low = wire_get32(esp + 4), bits = ctx->sa.replay_bits;
	const struct sa_run *run = ctx->run;

	*seq = ctx->sa.flags & SA_ESN ? replay_extend(__atomic_load_n(&run->replay_top, __ATOMIC_RELAXED), bits, low)
				      : low;
	return *seq == UINT64_MAX ? DROP_REPLAY_OLD : replay_check(run, bits, *seq);
}

/* Where the text lies, and whether it is whole blocks. */
static enum drop_reason check_text(const struct sa_context *ctx, uint32_t esp_len, uint32_t *text_len)
{
	const struct esp_suite *suite = ctx->suite;
	uint32_t before = ESP_HEADER_LEN + suite->iv_len;

	if (esp_len < before + suite->block + suite->icv_len)
		return DROP_ESP_SHORT;
	*text_len = esp_len - before - suite->icv_len;
	return *text_len & (suite->block - 1u) ? DROP_ESP_SHORT : DROP_NONE;
}

static enum drop_reason open_begin(
	struct sa_context *ctx, const struct frame *frame, uint64_t now_ns, struct esp_job *job)
{
	enum drop_reason reason;
	uint32_t esp_len;

	if (sa_context_expired(ctx, now_ns))
		return DROP_SA_EXPIRED;
	reason = check_outer(ctx, frame, &esp_len);
	if (reason != DROP_NONE)
		return reason;
	job->cipher = &ctx->cipher;
	job->esp = frame->data + frame->meta.payload_off;
	reason = check_sequence(ctx, job->esp, &job->seq);
	return reason == DROP_NONE ? check_text(ctx, esp_len, &job->text_len) : reason;
}

enum drop_reason esp_open_begin(struct sa_context *ctx, struct frame *frame, uint64_t now_ns, struct esp_job *job)
{
	enum drop_reason reason = open_begin(ctx, frame, now_ns, job);

	sa_context_count_drop(ctx, reason);
	return reason;
}

static void outer_source(const struct frame *frame, struct addr16 *source)
{
	const uint8_t *ip = frame->data + frame->meta.l3_off;

	if (frame->meta.family == 6) {
		memcpy(source->bytes, ip + 8, 16);
		return;
	}
	memset(source->bytes, 0, 10);
	memset(source->bytes + 10, 0xff, 2);
	memcpy(source->bytes + 12, ip + 12, 4);
}

static uint8_t outer_class(const struct frame *frame)
{
	const uint8_t *ip = frame->data + frame->meta.l3_off;

	if (frame->meta.family == 4)
		return ip[1];
	return (uint8_t)(ip[0] << 4 | ip[1] >> 4);
}

/* A NAT in the path may have changed its mapping, or the peer its address: tell, by the newest authenticated packet
 * (RFC 7296 2.23). */
static void note_source(const struct sa_context *ctx, const struct frame *frame)
{
	const struct sa *sa = &ctx->sa;
	struct sa_run *run = ctx->run;
	struct addr16 source;
	uint16_t port = wire_get16(frame->data + frame->meta.payload_off - WIRE_UDP_LEN);

	outer_source(frame, &source);
	if (memcmp(&source, &sa->remote, sizeof(source)) == 0 && port == sa->remote_port) {
		if (run->seen_remote_port)
			__atomic_store_n(&run->seen_remote_port, 0, __ATOMIC_RELEASE);
		return;
	}
	if (run->seen_remote_port == port && memcmp(&run->seen_remote, &source, sizeof(source)) == 0)
		return;
	__atomic_store_n(
		&run->seen_remote_port, 0, __ATOMIC_RELEASE); /* while the address is being written it says nothing */
	run->seen_remote = source;
	__atomic_store_n(&run->seen_remote_port, port, __ATOMIC_RELEASE);
}

static enum drop_reason mark(const struct sa_context *ctx, const struct frame *frame, const struct esp_job *job)
{
	enum drop_reason reason;
	bool newest;

	if (!job->good)
		return DROP_ICV_BAD;
	reason = replay_mark(ctx->run, ctx->sa.replay_bits, job->seq, &newest);
	if (newest && ctx->sa.flags & SA_UDP_ENCAP)
		note_source(ctx, frame);
	return reason;
}

void esp_open_mark(struct sa_context *ctx, const struct frame *frames, const struct esp_job *jobs,
	enum drop_reason *reasons, uint32_t count)
{
	lock(ctx);
	for (uint32_t i = 0; i < count; i++)
		reasons[i] = mark(ctx, &frames[i], &jobs[i]);
	unlock(ctx);
	for (uint32_t i = 0; i < count; i++)
		sa_context_count_drop(ctx, reasons[i]);
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
	if (next_header != IPPROTO_IPIP && next_header != IPPROTO_IPV6)
		return DROP_NEXT_HEADER_BAD;
	if (!inner_parse(frame->data, frame->len, inner) || inner->family != (next_header == IPPROTO_IPIP ? 4 : 6))
		return DROP_INNER_MALFORMED;
	frame->len = inner->len;
	return DROP_NONE;
}

/* In transport mode the packet's own header comes back to what it carried: `ip`, which ends where `place` is. */
static enum drop_reason join_header(struct sa_context *ctx, struct frame *frame, const uint8_t *ip,
	const struct transport_place *place, uint8_t next_header, struct inner *inner)
{
	memmove(frame_push(frame, place->header_len), ip, place->header_len);
	transport_set_header(frame->data, place, next_header, frame->len);
	if (!inner_parse(frame->data, frame->len, inner))
		return DROP_INNER_MALFORMED;
	if (ctx->sa.flags & SA_UDP_ENCAP)
		transport_fix_checksum(frame->data, inner);
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

/* Where in the packet ESP, or the UDP around it, begins. */
static bool find_place(const struct frame *frame, struct transport_place *place)
{
	const struct packet_meta *meta = &frame->meta;
	uint32_t at = (uint32_t)meta->payload_off - meta->l3_off - (meta->flags & META_UDP_ENCAP ? WIRE_UDP_LEN : 0);

	return transport_place_in(frame->data + meta->l3_off, frame->len - meta->l3_off, at, place);
}

static enum drop_reason open_end(
	struct sa_context *ctx, struct frame *frame, struct inner *inner, const struct esp_job *job)
{
	const uint8_t *ip = frame->data + frame->meta.l3_off;
	uint8_t traffic_class = outer_class(frame), next_header;
	bool transport = ctx->sa.mode == SA_TRANSPORT;
	struct transport_place place;
	enum drop_reason reason;

	if (transport && !find_place(frame, &place))
		return DROP_PACKET_MALFORMED;
	frame->data = job->esp + ESP_HEADER_LEN + ctx->suite->iv_len;
	frame->len = job->text_len;
	reason = take_trailer(frame, &next_header);
	if (reason == DROP_NONE && next_header == WIRE_NEXT_DUMMY)
		reason = DROP_DUMMY;
	if (reason == DROP_NONE)
		reason = transport ? join_header(ctx, frame, ip, &place, next_header, inner)
				   : read_inner(frame, next_header, inner);
	if (reason == DROP_NONE && !selector_match_in(&ctx->tunnel, inner))
		reason = DROP_SELECTOR_MISMATCH;
	if (reason == DROP_NONE && !transport && ctx->tunnel.options.ecn == ECN_NORMAL)
		reason = merge_ecn(frame->data, inner, traffic_class);
	return reason;
}

enum drop_reason esp_open_end(
	struct sa_context *ctx, struct frame *frame, struct inner *inner, uint64_t now_ns, const struct esp_job *job)
{
	/* Asked again: a limit may have been reached since the packet began. */
	enum drop_reason reason = sa_context_expired(ctx, now_ns) ? DROP_SA_EXPIRED : open_end(ctx, frame, inner, job);

	if (reason != DROP_NONE) {
		sa_context_count_drop(ctx, reason);
		return reason;
	}
	ctx->packets++;
	ctx->bytes += inner->len;
	ctx->last_use_ns = now_ns;
	return DROP_NONE;
}

enum drop_reason esp_open(struct sa_context *ctx, struct frame *frame, struct inner *inner, uint64_t now_ns)
{
	struct esp_job job;
	enum drop_reason reason = esp_open_begin(ctx, frame, now_ns, &job);

	if (reason != DROP_NONE)
		return reason;
	esp_jobs_open(&job, 1);
	esp_open_mark(ctx, frame, &job, &reason, 1);
	return reason == DROP_NONE ? esp_open_end(ctx, frame, inner, now_ns, &job) : reason;
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
