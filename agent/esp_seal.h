/* SPDX-License-Identifier: Apache-2.0 */
/* One packet into ESP: RFC 4303 3.3, tunnel and transport mode; in UDP by RFC 3948. */
#ifndef ESPALIER_AGENT_ESP_SEAL_H
#define ESPALIER_AGENT_ESP_SEAL_H

#include "agent/frame.h"
#include "agent/inner.h"
#include "agent/outer.h"
#include "agent/sa_context.h"
#include "agent/sequence.h"
#include "agent/wire.h"

#include <endian.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#define ESP_TRAILER_WORD 8u

/*
 * A packet is sealed in three steps, so that the ciphers of many packets are done at once (suite.h): begin, the job
 * itself (esp_jobs_seal), end. Packets of one SA are ended in the order in which they began, which is that of their
 * numbers.
 *
 * begin: on entry frame->data is the inner IP header and `inner` its parse; bytes of the frame behind inner->len are
 * cut off. On DROP_NONE frame->data is the outer IP header, frame->len the whole packet (only the link header is
 * missing: >= FRAME_HEADROOM - 100 bytes are left for it if the frame began with FRAME_HEADROOM), the packet is counted
 * as the SA's, it has its sequence number (sequence.h) and `job` is filled. `inner` is dead then. On any other reason
 * the frame's bytes are undefined and the SA has counted it. TTL, MSS, partial checksums and MTU are the worker's
 * business, before; `now_ns` is for lifetimes. DROP_SA_EXPIRED, DROP_SEQ_EXHAUSTED (RFC 4303 3.3.3), DROP_TOO_BIG (no
 * room in the frame); in transport mode DROP_FRAGMENT_TRANSPORT, DROP_SOURCE_ROUTE and, for another destination than
 * the SA's peer,
 * DROP_SELECTOR_MISMATCH.
 */
static inline enum drop_reason esp_seal_begin(
	struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns, struct esp_job *job);
/*
 * begin of a dummy packet (RFC 4303 2.6) in either mode: frame->data are frame->len bytes of anything, to be sealed
 * with next header 59 behind a header of the SA's own addresses. All else as above.
 */
enum drop_reason esp_seal_dummy_begin(
	struct sa_context *ctx, struct frame *frame, uint64_t now_ns, struct esp_job *job);
/* After the job: what depends on its ciphertext. Not needed for a job that is good, of an SA that is plain (struct
 * sa_context). DROP_CRYPTO_ERROR. */
enum drop_reason esp_seal_end(struct sa_context *ctx, struct frame *frame, const struct esp_job *job);

/* All three for one packet. */
enum drop_reason esp_seal(struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns);

/* ---- for esp_seal_begin -------------------------------------------------------------------------------------- */

/* Any packet of any SA. Kept apart, as it would make the short way pay for its registers. */
__attribute__((noinline)) enum drop_reason esp_seal_begin_any(
	struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns, struct esp_job *job);

/* Padding 1, 2, 3 ..., its length and the next header (RFC 4303 2.4-2.6) of at most ESP_TRAILER_WORD bytes, in one
 * store: behind it there is room for the ICV. */
__attribute__((always_inline)) static inline void esp_seal_trailer(uint8_t *at, uint32_t padding, uint8_t next_header)
{
	static const uint64_t trailers[ESP_TRAILER_WORD - ESP_TRAILER_LEN + 1] = {/* little-endian */
		0, 0x0101, 0x020201, 0x03030201, UINT64_C(0x0404030201), UINT64_C(0x050504030201),
		UINT64_C(0x06060504030201)};
	uint64_t whole = htole64(trailers[padding] | (uint64_t)next_header << 8 * (padding + 1));

	memcpy(at, &whole, sizeof(whole));
}

static inline void esp_seal_job(struct sa_context *ctx, struct esp_job *job, uint8_t *esp, uint32_t text_len)
{
	job->cipher = &ctx->cipher;
	job->text_len = text_len;
	job->esp = esp;
	memcpy(esp, &ctx->sa.spi, 4);
	wire_put32(esp + 4, (uint32_t)job->seq);
}

/* Counted when the packet begins and not at the end, so that a hard limit holds within a bundle. */
static inline void esp_seal_count(struct sa_context *ctx, uint32_t inner_len, uint64_t now_ns)
{
	ctx->packets++;
	ctx->bytes += inner_len;
	ctx->last_use_ns = now_ns;
}

/*
 * begin for an SA that is plain (struct sa_context), of a packet with nothing to be asked about: `len` bytes at
 * `packet` in the frame. Gives the length of the whole packet, which then begins ctx->front_len bytes before `packet`;
 * frame->data and frame->len are the caller's to set. 0: ask esp_seal_begin_any; nothing was changed.
 */
__attribute__((always_inline)) static inline uint32_t esp_seal_begin_plain(struct sa_context *ctx,
	const struct frame *frame, uint8_t *packet, uint32_t len, uint8_t next_header, uint8_t traffic_class,
	bool dont_fragment, bool udp, uint64_t now_ns, struct esp_job *job)
{
	const struct esp_suite *suite = ctx->suite;
	uint32_t padding = (0u - len - ESP_TRAILER_LEN) & (suite->block - 1u), front_len = ctx->front_len;
	uint32_t text_len = len + padding + ESP_TRAILER_LEN, whole_len = front_len + text_len + suite->icv_len;
	uint64_t at = (uint64_t)(packet - frame->chunk);
	uint8_t *ip = packet - front_len;

	if (padding > ESP_TRAILER_WORD - ESP_TRAILER_LEN || at < front_len ||
		at - front_len + whole_len > frame->size || sa_context_expired(ctx, now_ns) ||
		!sequence_take(ctx, &job->seq))
		return 0;
	esp_seal_trailer(packet + len, padding, next_header);
	outer_put4(ctx, ip, whole_len, traffic_class, dont_fragment, job->seq);
	if (udp)
		outer_put_udp(ctx, ip + WIRE_IPV4_LEN, whole_len - WIRE_IPV4_LEN);
	esp_seal_job(ctx, job, ip + WIRE_IPV4_LEN + (udp ? WIRE_UDP_LEN : 0), text_len);
	esp_seal_count(ctx, len, now_ns);
	return whole_len;
}

static inline enum drop_reason esp_seal_begin(
	struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns, struct esp_job *job)
{
	uint32_t whole_len = 0;

	if (ctx->plain)
		whole_len = esp_seal_begin_plain(ctx, frame, frame->data, inner->len,
			inner->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6, inner->traffic_class, inner->dont_fragment,
			ctx->meta_flags, now_ns, job);
	if (!whole_len)
		return esp_seal_begin_any(ctx, frame, inner, now_ns, job);
	frame->data -= ctx->front_len;
	frame->len = whole_len;
	return DROP_NONE;
}

#endif
