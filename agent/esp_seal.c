/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/esp_seal.h"

#include "agent/checksum.h"
#include "agent/transport.h"
#include "agent/wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* Padding 1, 2, 3 ..., its length and the next header (RFC 4303 2.4-2.6) behind the inner packet. */
static void put_trailer(struct frame *frame, uint32_t padding, uint8_t next_header)
{
	uint8_t *at = frame->data + frame->len;

	for (uint32_t i = 1; i <= padding; i++)
		*at++ = (uint8_t)i;
	*at++ = (uint8_t)padding;
	*at = next_header;
	frame->len += padding + ESP_TRAILER_LEN;
}

static bool put_df(const struct sa_context *ctx, const struct inner *inner)
{
	switch ((enum df_mode)ctx->tunnel.options.df) {
	case DF_SET:
		return true;
	case DF_CLEAR:
		return false;
	case DF_COPY:
		break;
	}
	return inner->dont_fragment; /* IPv6 counts as such: the sender is told, not the fragments sealed */
}

/* All but identification and checksum. */
static void put_ipv4(const struct sa_context *ctx, uint8_t *ip, uint32_t len, const struct inner *inner)
{
	ip[1] = (uint8_t)((inner->traffic_class & ctx->class_keep) | ctx->class_set);
	wire_put16(ip + 2, len);
	wire_put16(ip + 6, put_df(ctx, inner) ? WIRE_IPV4_DF : 0);
}

static void put_ipv6(const struct sa_context *ctx, uint8_t *ip, uint32_t len, const struct inner *inner)
{
	uint8_t traffic_class = (uint8_t)((inner->traffic_class & ctx->class_keep) | ctx->class_set);

	ip[0] = (uint8_t)(0x60 | traffic_class >> 4);
	ip[1] = (uint8_t)(traffic_class << 4);
	wire_put16(ip + 4, len - WIRE_IPV6_LEN);
}

/* In IPv4 the UDP checksum stays 0 (RFC 3948 2.1). `label` is an inner IPv6 packet's flow label. */
static void put_outer(
	const struct sa_context *ctx, struct frame *frame, const struct inner *inner, const uint8_t label[3])
{
	uint8_t *ip = frame_push(frame, ctx->outer_len);
	uint32_t ip_len = ctx->outer_family == 4 ? WIRE_IPV4_LEN : WIRE_IPV6_LEN;

	memcpy(ip, ctx->outer, ctx->outer_len);
	if (ctx->outer_family == 4) {
		put_ipv4(ctx, ip, frame->len, inner);
	} else {
		put_ipv6(ctx, ip, frame->len, inner);
		if (inner->family == 6 && ctx->tunnel.options.flow_label == FLOW_LABEL_COPY) {
			ip[1] |= label[0] & 0x0f;
			memcpy(ip + 2, label + 1, 2);
		}
	}
	if (ctx->sa.flags & SA_UDP_ENCAP)
		wire_put16(ip + ip_len + 4, frame->len - ip_len);
}

/* Before and behind `len` bytes of plaintext; false: there is no room. `*padding` fills the last block. */
static bool fits(const struct sa_context *ctx, const struct frame *frame, uint32_t len, uint32_t before, uint32_t extra,
	uint32_t *padding)
{
	const struct esp_suite *suite = ctx->suite;

	*padding = (0u - len - extra - ESP_TRAILER_LEN) & (suite->block - 1u);
	return frame_headroom(frame) >= before &&
	       frame_tailroom(frame) >= extra + *padding + ESP_TRAILER_LEN + suite->icv_len;
}

/* Bytes behind the inner packet that hide its length, never more than the way carries (RFC 4303 2.7). */
static uint32_t tfc_len(const struct sa_context *ctx, uint32_t inner_len)
{
	uint32_t wanted = ctx->tunnel.options.tfc_pad;

	if (ctx->carries && wanted > ctx->carries)
		wanted = ctx->carries;
	return wanted > inner_len && wanted != TFC_PAD_MTU ? wanted - inner_len : 0;
}

static void fill_job(struct sa_context *ctx, struct esp_job *job, uint8_t *esp, uint32_t text_len)
{
	job->cipher = &ctx->cipher;
	job->text_len = text_len;
	job->esp = esp;
	memcpy(esp, &ctx->sa.spi, 4);
}

static enum drop_reason tunnel_begin(struct sa_context *ctx, struct frame *frame, const struct inner *inner,
	uint8_t next_header, struct esp_job *job)
{
	const struct esp_suite *suite = ctx->suite;
	uint32_t before = ctx->outer_len + ESP_HEADER_LEN + suite->iv_len;
	uint32_t padding, tfc = ctx->tunnel.options.tfc_pad ? tfc_len(ctx, inner->len) : 0;
	uint8_t label[3] = {0};

	if (!fits(ctx, frame, inner->len, before, tfc, &padding))
		return DROP_TOO_BIG;
	if (inner->family == 6)
		memcpy(label, frame->data + 1, sizeof(label));
	memset(frame->data + frame->len, 0, tfc);
	frame->len += tfc;
	put_trailer(frame, padding, next_header);
	fill_job(ctx, job, frame->data - ESP_HEADER_LEN - suite->iv_len, frame->len);
	frame_push(frame, ESP_HEADER_LEN + suite->iv_len);
	frame->len += suite->icv_len;
	put_outer(ctx, frame, inner, label);
	return DROP_NONE;
}

/* The IP header moves to the front and ESP, in UDP perhaps, comes between it and what it carried. */
static enum drop_reason transport_begin(
	struct sa_context *ctx, struct frame *frame, const struct inner *inner, struct esp_job *job)
{
	const struct esp_suite *suite = ctx->suite;
	uint32_t udp_len = ctx->sa.flags & SA_UDP_ENCAP ? WIRE_UDP_LEN : 0;
	uint32_t before = udp_len + ESP_HEADER_LEN + suite->iv_len, padding, payload_len;
	struct transport_place place;
	uint8_t *udp;

	if (inner->fragment)
		return DROP_FRAGMENT_TRANSPORT;
	if (!sa_context_is_peer(ctx, inner->family, inner->destination))
		return DROP_SELECTOR_MISMATCH;
	if (!transport_place_out(frame->data, inner, &place))
		return DROP_PACKET_MALFORMED;
	payload_len = inner->len - place.header_len;
	if (!fits(ctx, frame, payload_len, before, 0, &padding))
		return DROP_TOO_BIG;
	put_trailer(frame, padding, place.protocol);
	frame_push(frame, before);
	memmove(frame->data, frame->data + before, place.header_len);
	udp = frame->data + place.header_len;
	fill_job(ctx, job, udp + udp_len, payload_len + padding + ESP_TRAILER_LEN);
	frame->len += suite->icv_len;
	transport_set_header(frame->data, &place, udp_len ? IPPROTO_UDP : IPPROTO_ESP, frame->len);
	if (udp_len) {
		memcpy(udp, ctx->outer + ctx->outer_len - WIRE_UDP_LEN, WIRE_UDP_LEN);
		wire_put16(udp + 4, frame->len - place.header_len);
	}
	return DROP_NONE;
}

static enum drop_reason seal_begin(
	struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns, struct esp_job *job)
{
	uint32_t inner_len = inner->len;
	enum drop_reason reason;

	frame->len = inner_len;
	if (sa_context_expired(ctx, now_ns))
		return DROP_SA_EXPIRED;
	reason = ctx->sa.mode == SA_TUNNEL
			 ? tunnel_begin(ctx, frame, inner, inner->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6, job)
			 : transport_begin(ctx, frame, inner, job);
	if (reason != DROP_NONE)
		return reason;
	/* Counted now and not at the end, so that a hard limit holds within a bundle. */
	ctx->packets++;
	ctx->bytes += inner_len;
	ctx->last_use_ns = now_ns;
	return DROP_NONE;
}

enum drop_reason esp_seal_begin(
	struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns, struct esp_job *job)
{
	enum drop_reason reason = seal_begin(ctx, frame, inner, now_ns, job);

	sa_context_count_drop(ctx, reason);
	return reason;
}

/* Gives the last number before those taken, in *count how many there were. Numbers are used up even if their packets
 * die later: a gap is harmless, a repetition breaks the cipher. */
static uint64_t take_sequence(struct sa_context *ctx, uint32_t *count)
{
	uint64_t last = ctx->sa.flags & SA_ESN ? UINT64_MAX : UINT32_MAX;
	uint64_t taken = __atomic_load_n(&ctx->run->out_seq, __ATOMIC_RELAXED);
	uint32_t wanted = *count;

	do {
		*count = taken >= last ? 0 : last - taken < wanted ? (uint32_t)(last - taken) : wanted;
		if (ctx->alone) {
			__atomic_store_n(&ctx->run->out_seq, taken + *count, __ATOMIC_RELAXED);
			return taken;
		}
	} while (!__atomic_compare_exchange_n(
		&ctx->run->out_seq, &taken, taken + *count, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return taken;
}

uint32_t esp_seal_number(struct sa_context *ctx, struct esp_job *jobs, uint32_t count)
{
	uint32_t numbered = count;
	uint64_t seq = take_sequence(ctx, &numbered);

	for (uint32_t i = 0; i < numbered; i++) {
		uint32_t low = htonl((uint32_t)++seq);

		jobs[i].seq = seq;
		memcpy(jobs[i].esp + 4, &low, 4);
	}
	for (uint32_t i = numbered; i < count; i++)
		sa_context_count_drop(ctx, DROP_SEQ_EXHAUSTED);
	return numbered;
}

/* The identification differs from packet to packet as long as RFC 6864 asks for it. */
static void finish_ipv4(uint8_t *ip, uint64_t seq)
{
	uint16_t check;

	wire_put16(ip + 4, (uint32_t)seq & 0xffff);
	check = (uint16_t)~checksum_fold(checksum_add(0, ip, WIRE_IPV4_LEN));
	memcpy(ip + 10, &check, 2);
}

/* In IPv6 a receiver may refuse 0 (RFC 8200 8.1). */
static void finish_udp6(const uint8_t *ip, uint8_t *udp, uint32_t len)
{
	uint64_t sum = checksum_add(0, ip + 8, 32) + htonl(len) + htons(IPPROTO_UDP);
	uint16_t check = (uint16_t)~checksum_fold(checksum_add(sum, udp, len));

	if (!check)
		check = 0xffff;
	memcpy(udp + 6, &check, 2);
}

enum drop_reason esp_seal_end(struct sa_context *ctx, struct frame *frame, const struct esp_job *job)
{
	uint8_t *udp = job->esp - WIRE_UDP_LEN;

	if (!job->good) {
		sa_context_count_drop(ctx, DROP_CRYPTO_ERROR);
		return DROP_CRYPTO_ERROR;
	}
	if (ctx->outer_family == 4 && ctx->sa.mode == SA_TUNNEL)
		finish_ipv4(frame->data, job->seq);
	else if (ctx->outer_family == 6 && ctx->sa.flags & SA_UDP_ENCAP)
		finish_udp6(frame->data, udp, (uint32_t)(frame->data + frame->len - udp));
	return DROP_NONE;
}

enum drop_reason esp_seal(struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns)
{
	struct esp_job job;
	enum drop_reason reason = esp_seal_begin(ctx, frame, inner, now_ns, &job);

	if (reason != DROP_NONE)
		return reason;
	if (!esp_seal_number(ctx, &job, 1))
		return DROP_SEQ_EXHAUSTED;
	esp_jobs_seal(&job, 1);
	return esp_seal_end(ctx, frame, &job);
}
