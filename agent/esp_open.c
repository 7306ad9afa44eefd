/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/esp_open.h"

#include "agent/base/own.h"
#include "agent/outer.h"
#include "agent/replay.h"
#include "agent/selector.h"
#include "agent/sequence.h"
#include "agent/transport.h"
#include "agent/wire.h"

#include <endian.h>
#include <netinet/in.h>
#include <string.h>

/* The UDP header right before the SPI has its own idea of where the packet ends. */
__attribute__((noinline)) static enum drop_reason check_udp(const struct frame *frame, uint32_t *end)
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
	enum drop_reason reason = outer_check_plain(frame, &end) ? DROP_NONE : outer_check(frame, &end);

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
	if (ctx->sa.protocol != IPPROTO_ESP || memcmp(frame->data + meta->payload_off, &ctx->sa.spi, 4) != 0)
		return DROP_SPI_UNKNOWN;
	return DROP_NONE;
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
	reason = sequence_check(ctx, wire_get32(job->esp + 4), &job->seq);
	return reason == DROP_NONE ? check_text(ctx, esp_len, &job->text_len) : reason;
}

enum drop_reason esp_open_begin(struct sa_context *ctx, struct frame *frame, uint64_t now_ns, struct esp_job *job)
{
	enum drop_reason reason = open_begin(ctx, frame, now_ns, job);

	if (reason != DROP_NONE)
		sa_context_count_drop(ctx, reason);
	return reason;
}

/* A NAT in the path may have changed its mapping, or the peer its address: tell, by the newest authenticated packet
 * (RFC 7296 2.23). */
__attribute__((noinline)) static void note_source(const struct sa_context *ctx, const struct frame *frame)
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
	sequence_lock(ctx);
	for (uint32_t i = 0; i < count; i++) {
		reasons[i] = mark(ctx, &frames[i], &jobs[i]);
		if (reasons[i] != DROP_NONE)
			sa_context_count_drop(ctx, reasons[i]);
	}
	sequence_unlock(ctx);
}

/* Padding is 1, 2, 3 ... (RFC 4303 2.4). */
static bool padding_good(const uint8_t *end, uint32_t padding)
{
	const uint8_t *at = end - ESP_TRAILER_LEN - padding;

	for (uint32_t i = 0; i < padding; i++)
		if (at[i] != i + 1)
			return false;
	return true;
}

/* Take padding and trailer off. */
static enum drop_reason take_trailer(struct frame *frame, uint8_t *next_header)
{
	const uint8_t *end = frame->data + frame->len;
	uint32_t padding = end[-2];

	if (padding + ESP_TRAILER_LEN > frame->len || !padding_good(end, padding))
		return DROP_PADDING_BAD;
	*next_header = end[-1];
	frame->len -= padding + ESP_TRAILER_LEN;
	return DROP_NONE;
}

/* In transport mode the packet's own header comes back to what it carried: `ip`, which ends where `place` is. */
__attribute__((noinline)) static enum drop_reason join_header(struct sa_context *ctx, struct frame *frame,
	const uint8_t *ip, const struct transport_place *place, uint8_t next_header, struct inner *inner)
{
	transport_join(frame, ip, place, next_header);
	if (!inner_parse(frame->data, frame->len, inner))
		return DROP_INNER_MALFORMED;
	if (ctx->sa.flags & SA_UDP_ENCAP)
		transport_fix_checksum(frame->data, inner);
	return DROP_NONE;
}

/* Where in the packet ESP, or the UDP around it, begins. */
__attribute__((noinline)) static bool find_place(const struct frame *frame, struct transport_place *place)
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
	frame->data = esp_open_text(ctx, job);
	frame->len = job->text_len;
	reason = take_trailer(frame, &next_header);
	if (reason == DROP_NONE && next_header == WIRE_NEXT_DUMMY)
		reason = DROP_DUMMY;
	if (reason == DROP_NONE)
		reason = transport ? join_header(ctx, frame, ip, &place, next_header, inner)
				   : outer_take_inner(frame, next_header, inner);
	if (reason == DROP_NONE && !selector_match_in(&ctx->tunnel, inner))
		reason = DROP_SELECTOR_MISMATCH;
	if (reason == DROP_NONE && !transport && ctx->tunnel.options.ecn == ECN_NORMAL)
		reason = outer_merge_ecn(frame->data, inner, traffic_class);
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
	esp_open_count(ctx, inner->len, now_ns);
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
	sequence_lock(ctx);
	*remote = run->seen_remote;
	*port = (uint16_t)run->seen_remote_port;
	sequence_unlock(ctx);
	return *port != 0;
}
