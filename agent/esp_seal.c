/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/esp_seal.h"

#include "agent/checksum.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define IPV4_LEN 20u
#define IPV6_LEN 40u
#define IPV4_DF	 0x4000u
#define UDP_LEN	 8u

/* What the outer header takes over from the inner one, which is ciphertext by then. */
struct taken_over {
	uint8_t traffic_class; /* DSCP (RFC 4301 5.1.2) and ECN (RFC 6040 4.1, normal mode) */
	bool dont_fragment;    /* IPv6 counts as don't-fragment: the sender is told, not the fragments sealed */
};

/* The number is used up even if the packet dies later: a gap is harmless, a repetition breaks the cipher. */
static bool take_sequence(struct sa_context *ctx, uint64_t *seq)
{
	uint64_t last = ctx->sa.flags & SA_ESN ? UINT64_MAX : UINT32_MAX;
	uint64_t taken = __atomic_load_n(&ctx->run->out_seq, __ATOMIC_RELAXED);

	if (taken >= last)
		return false;
	*seq = __atomic_fetch_add(&ctx->run->out_seq, 1, __ATOMIC_RELAXED) + 1;
	return *seq <= last && *seq != 0;
}

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

static void put_esp(uint8_t *esp, const struct sa_context *ctx, uint64_t seq)
{
	uint32_t low = htonl((uint32_t)seq);

	memcpy(esp, &ctx->sa.spi, 4);
	memcpy(esp + 4, &low, 4);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put_ipv4(uint8_t *ip, uint32_t len, uint64_t seq, struct taken_over taken)
{
	uint16_t check;

	ip[1] = taken.traffic_class;
	put16(ip + 2, len);
	put16(ip + 4, (uint32_t)seq & 0xffff); /* differs from packet to packet as long as RFC 6864 asks for it */
	put16(ip + 6, taken.dont_fragment ? IPV4_DF : 0);
	check = (uint16_t)~checksum_fold(checksum_add(0, ip, IPV4_LEN));
	memcpy(ip + 10, &check, 2);
}

static void put_ipv6(uint8_t *ip, uint32_t len, struct taken_over taken)
{
	ip[0] = (uint8_t)(0x60 | taken.traffic_class >> 4);
	ip[1] = (uint8_t)(taken.traffic_class << 4);
	put16(ip + 4, len - IPV6_LEN);
}

/* In IPv4 the checksum stays 0 (RFC 3948 2.1); in IPv6 a receiver may refuse 0 (RFC 8200 8.1), so there it is computed.
 */
static void put_udp(uint8_t *udp, uint32_t len, const uint8_t *ipv6)
{
	uint64_t sum;
	uint16_t check;

	put16(udp + 4, len);
	if (!ipv6)
		return;
	sum = checksum_add(0, ipv6 + 8, 32) + htonl(len) + htons(IPPROTO_UDP);
	check = (uint16_t)~checksum_fold(checksum_add(sum, udp, len));
	if (!check)
		check = 0xffff;
	memcpy(udp + 6, &check, 2);
}

static void put_outer(struct sa_context *ctx, struct frame *frame, uint64_t seq, struct taken_over taken)
{
	uint8_t *ip = frame_push(frame, ctx->outer_len);
	uint32_t ip_len = ctx->outer_family == 4 ? IPV4_LEN : IPV6_LEN;

	memcpy(ip, ctx->outer, ctx->outer_len);
	if (ctx->outer_family == 4)
		put_ipv4(ip, frame->len, seq, taken);
	else
		put_ipv6(ip, frame->len, taken);
	if (ctx->sa.flags & SA_UDP_ENCAP)
		put_udp(ip + ip_len, frame->len - ip_len, ctx->outer_family == 4 ? NULL : ip);
}

static enum drop_reason seal(struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns)
{
	const struct esp_suite *suite = ctx->suite;
	struct taken_over taken = {inner->traffic_class, inner->dont_fragment};
	uint32_t inner_len = inner->len;
	uint32_t padding = (0u - inner_len - ESP_TRAILER_LEN) & (suite->block - 1u);
	uint32_t before = ctx->outer_len + ESP_HEADER_LEN + suite->iv_len;
	struct esp_job job;
	uint64_t seq;

	frame->len = inner_len;
	if (sa_context_expired(ctx, now_ns))
		return DROP_SA_EXPIRED;
	if (frame_headroom(frame) < before || frame_tailroom(frame) < padding + ESP_TRAILER_LEN + suite->icv_len)
		return DROP_TOO_BIG;
	if (!take_sequence(ctx, &seq))
		return DROP_SEQ_EXHAUSTED;
	put_trailer(frame, padding, inner->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6);
	put_esp(frame_push(frame, ESP_HEADER_LEN + suite->iv_len), ctx, seq);
	job = (struct esp_job){.cipher = &ctx->cipher,
		.esp = frame->data,
		.seq = seq,
		.text_len = inner_len + padding + ESP_TRAILER_LEN};
	esp_jobs_seal(&job, 1);
	if (!job.good)
		return DROP_CRYPTO_ERROR;
	frame->len += suite->icv_len;
	put_outer(ctx, frame, seq, taken);
	ctx->packets++;
	ctx->bytes += inner_len;
	ctx->last_use_ns = now_ns;
	return DROP_NONE;
}

enum drop_reason esp_seal(struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns)
{
	enum drop_reason reason = seal(ctx, frame, inner, now_ns);

	sa_context_count_drop(ctx, reason);
	return reason;
}
