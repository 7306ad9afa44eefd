/* SPDX-License-Identifier: Apache-2.0 */
/* One packet out of ESP: RFC 4303 3.4, tunnel and transport mode; in UDP by RFC 3948. */
#ifndef ESPALIER_AGENT_ESP_OPEN_H
#define ESPALIER_AGENT_ESP_OPEN_H

#include "agent/base/own.h"
#include "agent/frame.h"
#include "agent/inner.h"
#include "agent/outer.h"
#include "agent/sa_context.h"
#include "agent/sequence.h"

#include <endian.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ESP_OPEN_TRAILER_WORD 8u

/*
 * A packet is opened in four steps, so that the ciphers of many packets are done at once (suite.h): begin, the job
 * itself (esp_jobs_open), mark, end. Packets of one SA are marked and ended in the order in which they began.
 *
 * begin: on entry the frame is as received: frame->meta (META_ESP_IN) holds the outer header's and the SPI's offsets
 * from frame->data. Nothing of metadata or bytes is trusted. On DROP_NONE `job` is filled and the frame is unchanged,
 * as it must stay but for the job's own work.
 */
enum drop_reason esp_open_begin(struct sa_context *ctx, struct frame *frame, uint64_t now_ns, struct esp_job *job);
/*
 * After the jobs of `count` packets of one SA: their fate by integrity check and replay window, into `reasons`; the
 * window is locked once for all. If an authenticated, newest packet of a UDP-encapsulated SA came from elsewhere than
 * sa.remote, run->seen_remote and seen_remote_port say so (RFC 7296 2.23); they are reset once packets come from
 * sa.remote again.
 */
void esp_open_mark(struct sa_context *ctx, const struct frame *frames, const struct esp_job *jobs,
	enum drop_reason *reasons, uint32_t count);
/*
 * On DROP_NONE frame->data is the inner IP header (in transport mode the packet's own), frame->len its length, `inner`
 * its parse; selectors and ECN are done, TTL and MSS are the worker's business. For packets that were marked well
 * alone.
 */
enum drop_reason esp_open_end(
	struct sa_context *ctx, struct frame *frame, struct inner *inner, uint64_t now_ns, const struct esp_job *job);
/* On any other reason of any of these the frame's bytes are undefined and the SA has counted it. */

/* All four for one packet. */
enum drop_reason esp_open(struct sa_context *ctx, struct frame *frame, struct inner *inner, uint64_t now_ns);

/* Where the peer was last seen, if not at sa.remote, as one whole whatever other workers write meanwhile. False: there.
 */
bool esp_moved(const struct sa_context *ctx, struct addr16 *remote, uint16_t *port);

/* ---- the short way --------------------------------------------------------------------------------------------
 * begin and end for an SA that is plain (struct sa_context), of packets with nothing to be asked about. False: ask the
 * functions above; nothing was changed. Neither counts the packet as the SA's: esp_open_count. */

/* What was encrypted. */
static inline uint8_t *esp_open_text(const struct sa_context *ctx, const struct esp_job *job)
{
	return job->esp + ESP_HEADER_LEN + ctx->suite->iv_len;
}

static inline void esp_open_count(struct sa_context *ctx, uint32_t inner_len, uint64_t now_ns)
{
	ctx->packets++;
	ctx->bytes += inner_len;
	ctx->last_use_ns = now_ns;
}

static inline bool esp_open_begin_plain(
	struct sa_context *ctx, const struct frame *frame, uint64_t now_ns, struct esp_job *job)
{
	const struct packet_meta *meta = &frame->meta;
	uint8_t *ip = frame->data + meta->l3_off, *esp = ip + ctx->outer_len;
	const struct esp_suite *suite = ctx->suite;
	uint32_t around_len = ctx->front_len + suite->icv_len, total;

	if (meta->family != 4 || (meta->flags & META_UDP_ENCAP) != ctx->meta_flags ||
		meta->payload_off != meta->l3_off + ctx->outer_len ||
		frame->len < meta->l3_off + ctx->outer_len + ESP_HEADER_LEN || !inner_ipv4_whole(ip))
		return false;
	total = wire_get16(ip + 2);
	if (meta->l3_off + total > frame->len || total < around_len + suite->block ||
		(total - around_len) & (suite->block - 1u) ||
		(ctx->meta_flags && wire_get16(ip + WIRE_IPV4_LEN + 4) != total - WIRE_IPV4_LEN))
		return false;
	if (memcmp(esp, &ctx->sa.spi, 4) != 0 || sa_context_expired(ctx, now_ns) ||
		sequence_check(ctx, wire_get32(esp + 4), &job->seq) != DROP_NONE)
		return false;
	job->cipher = &ctx->cipher;
	job->esp = esp;
	job->text_len = total - around_len;
	return true;
}

/* Padding of at most ESP_OPEN_TRAILER_WORD bytes with the trailer, seen at one look. `end` is behind the trailer. */
static inline bool esp_open_padding_short(const uint8_t *end)
{
	static const struct {
		uint64_t bytes, mask; /* little-endian, with the trailer at the top */
	} known[ESP_OPEN_TRAILER_WORD - ESP_TRAILER_LEN + 1] = {
		{0, 0},
		{UINT64_C(0x010000000000), UINT64_C(0xff0000000000)},
		{UINT64_C(0x020100000000), UINT64_C(0xffff00000000)},
		{UINT64_C(0x030201000000), UINT64_C(0xffffff000000)},
		{UINT64_C(0x040302010000), UINT64_C(0xffffffff0000)},
		{UINT64_C(0x050403020100), UINT64_C(0xffffffffff00)},
		{UINT64_C(0x060504030201), UINT64_C(0xffffffffffff)},
	};
	uint32_t padding = end[-2];
	uint64_t last;

	if (padding >= ARRAY_LEN(known))
		return false;
	memcpy(&last, end - ESP_OPEN_TRAILER_WORD, sizeof(last));
	return ((le64toh(last) ^ known[padding].bytes) & known[padding].mask) == 0;
}

/* `packet` is what was encrypted, `len` bytes with padding and trailer; *total are those of the packet in it. */
static inline bool esp_open_end_plain(const struct sa_context *ctx, const struct frame *frame, const uint8_t *packet,
	uint32_t len, uint64_t now_ns, uint32_t *total)
{
	const uint8_t *end = packet + len;

	return len >= INNER_PLAIN_LEN + ESP_OPEN_TRAILER_WORD && end[-1] == IPPROTO_IPIP &&
	       esp_open_padding_short(end) && inner_is_plain(packet, len - ESP_TRAILER_LEN - end[-2], total) &&
	       selector_pair_match4(&ctx->selectors, packet) &&
	       /* Not-ECT both: nothing to be merged (outer_merge_ecn). */
	       !((frame->data[frame->meta.l3_off + 1] | packet[1]) & ECN_MASK) &&
	       /* Its time was asked at the begin, and it is still the same. */
	       !(ctx->counted && sa_context_reached(ctx, now_ns));
}

#endif
