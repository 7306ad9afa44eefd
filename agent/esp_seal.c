/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/esp_seal.h"

#include "agent/checksum.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define IPV4_LEN 20u
#define IPV6_LEN 40u
#define IPV4_DF	 0x4000u

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

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* All but identification and checksum. DSCP by RFC 4301 5.1.2, ECN by RFC 6040 4.1 (normal mode). IPv6 inside counts as
 * don't-fragment: the sender is told, not the fragments sealed. */
static void put_ipv4(uint8_t *ip, uint32_t len, const struct inner *inner)
{
	ip[1] = inner->traffic_class;
	put16(ip + 2, len);
	put16(ip + 6, inner->dont_fragment ? IPV4_DF : 0);
}

static void put_ipv6(uint8_t *ip, uint32_t len, const struct inner *inner)
{
	ip[0] = (uint8_t)(0x60 | inner->traffic_class >> 4);
	ip[1] = (uint8_t)(inner->traffic_class << 4);
	put16(ip + 4, len - IPV6_LEN);
}

/* In IPv4 the UDP checksum stays 0 (RFC 3948 2.1). */
static void put_outer(const struct sa_context *ctx, struct frame *frame, const struct inner *inner)
{
	uint8_t *ip = frame_push(frame, ctx->outer_len);
	uint32_t ip_len = ctx->outer_family == 4 ? IPV4_LEN : IPV6_LEN;

	memcpy(ip, ctx->outer, ctx->outer_len);
	if (ctx->outer_family == 4)
		put_ipv4(ip, frame->len, inner);
	else
		put_ipv6(ip, frame->len, inner);
	if (ctx->sa.flags & SA_UDP_ENCAP)
		put16(ip + ip_len + 4, frame->len - ip_len);
}

static enum drop_reason seal_begin(
	struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns, struct esp_job *job)
{
	const struct esp_suite *suite = ctx->suite;
	uint32_t padding = (0u - inner->len - ESP_TRAILER_LEN) & (suite->block - 1u);
	uint32_t before = ctx->outer_len + ESP_HEADER_LEN + suite->iv_len;

	frame->len = inner->len;
	if (sa_context_expired(ctx, now_ns))
		return DROP_SA_EXPIRED;
	if (frame_headroom(frame) < before || frame_tailroom(frame) < padding + ESP_TRAILER_LEN + suite->icv_len)
		return DROP_TOO_BIG;
	/* Counted now and not at the end, so that a hard limit holds within a bundle. */
	ctx->packets++;
	ctx->bytes += inner->len;
	ctx->last_use_ns = now_ns;
	put_trailer(frame, padding, inner->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6);
	job->cipher = &ctx->cipher;
	job->text_len = frame->len;
	job->esp = frame_push(frame, ESP_HEADER_LEN + suite->iv_len);
	memcpy(job->esp, &ctx->sa.spi, 4);
	frame->len += suite->icv_len;
	put_outer(ctx, frame, inner);
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

	put16(ip + 4, (uint32_t)seq & 0xffff);
	check = (uint16_t)~checksum_fold(checksum_add(0, ip, IPV4_LEN));
	memcpy(ip + 10, &check, 2);
}

/* In IPv6 a receiver may refuse 0 (RFC 8200 8.1). */
static void finish_udp6(uint8_t *ip, uint32_t len)
{
	uint8_t *udp = ip + IPV6_LEN;
	uint64_t sum = checksum_add(0, ip + 8, 32) + htonl(len) + htons(IPPROTO_UDP);
	uint16_t check = (uint16_t)~checksum_fold(checksum_add(sum, udp, len));

	if (!check)
		check = 0xffff;
	memcpy(udp + 6, &check, 2);
}

enum drop_reason esp_seal_end(struct sa_context *ctx, struct frame *frame, const struct esp_job *job)
{
	if (!job->good) {
		sa_context_count_drop(ctx, DROP_CRYPTO_ERROR);
		return DROP_CRYPTO_ERROR;
	}
	if (ctx->outer_family == 4)
		finish_ipv4(frame->data, job->seq);
	else if (ctx->sa.flags & SA_UDP_ENCAP)
		finish_udp6(frame->data, frame->len - IPV6_LEN);
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
