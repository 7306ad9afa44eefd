/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/esp_seal.h"

#include "agent/base/own.h"
#include "agent/checksum.h"
#include "agent/outer.h"
#include "agent/sequence.h"
#include "agent/transport.h"
#include "agent/wire.h"

#include <arpa/inet.h>
#include <endian.h>
#include <netinet/in.h>
#include <string.h>

#define ICV_LEN_MIN 8u /* of all suites */

_Static_assert(
	ESP_TRAILER_WORD <= ICV_LEN_MIN + ESP_TRAILER_LEN, "a trailer is stored as a word within the room for the ICV");

static void put_trailer(uint8_t *at, uint32_t padding, uint8_t next_header)
{
	if (padding <= ESP_TRAILER_WORD - ESP_TRAILER_LEN) {
		esp_seal_trailer(at, padding, next_header);
		return;
	}
	for (uint32_t i = 1; i <= padding; i++)
		*at++ = (uint8_t)i;
	*at++ = (uint8_t)padding;
	*at = next_header;
}

/* Before and behind `len` bytes of plaintext; false: there is no room. `*padding` fills the last block. */
static bool fits(const struct sa_context *ctx, const struct frame *frame, uint32_t len, uint32_t before, uint32_t extra,
	uint32_t *padding)
{
	const struct esp_suite *suite = ctx->suite;
	uint64_t at = frame_headroom(frame);

	*padding = (0u - len - extra - ESP_TRAILER_LEN) & (suite->block - 1u);
	return at >= before && at + frame->len + extra + *padding + ESP_TRAILER_LEN + suite->icv_len <= frame->size;
}

/* The longest text that the frame has room for behind `data`, whatever fills its last block; 0: none. */
static uint32_t text_room(const struct sa_context *ctx, const struct frame *frame)
{
	const struct esp_suite *suite = ctx->suite;
	uint32_t taken = frame_headroom(frame) + suite->block - 1u + ESP_TRAILER_LEN + suite->icv_len;

	return frame->size > taken ? frame->size - taken : 0;
}

/* Bytes behind the inner packet that hide its length: never more than the way carries, nor than there is room for, as
 * this padding is a sender's choice by the packet (RFC 4303 2.7). Packets of whatever length get the same one. */
static uint32_t tfc_len(const struct sa_context *ctx, const struct frame *frame, uint32_t inner_len)
{
	uint32_t wanted = ctx->tunnel.options.tfc_pad, room = text_room(ctx, frame);

	if (ctx->carries && wanted > ctx->carries)
		wanted = ctx->carries;
	if (wanted == TFC_PAD_MTU)
		return 0;
	if (wanted > room)
		wanted = room;
	return wanted > inner_len ? wanted - inner_len : 0;
}

static enum drop_reason tunnel_begin(struct sa_context *ctx, struct frame *frame, const struct inner *inner,
	uint8_t next_header, struct esp_job *job)
{
	const struct esp_suite *suite = ctx->suite;
	uint32_t before = ctx->front_len, len = inner->len;
	uint32_t padding, tfc = ctx->tunnel.options.tfc_pad ? tfc_len(ctx, frame, len) : 0;
	uint8_t *packet = frame->data;

	if (!fits(ctx, frame, len, before, tfc, &padding))
		return DROP_TOO_BIG;
	if (!sequence_take(ctx, &job->seq))
		return DROP_SEQ_EXHAUSTED;
	if (tfc) {
		memset(packet + len, 0, tfc);
		len += tfc;
	}
	put_trailer(packet + len, padding, next_header);
	len += padding + ESP_TRAILER_LEN;
	esp_seal_job(ctx, job, packet - ESP_HEADER_LEN - suite->iv_len, len);
	frame->data = packet - before;
	frame->len = before + len + suite->icv_len;
	outer_put(ctx, frame->data, frame->len, inner, packet, job->seq);
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
	if (transport_source_routed(frame->data, inner))
		return DROP_SOURCE_ROUTE;
	if (!sa_context_is_peer(ctx, inner->family, inner->destination))
		return DROP_SELECTOR_MISMATCH;
	if (!transport_place_out(frame->data, inner, &place))
		return DROP_PACKET_MALFORMED;
	payload_len = inner->len - place.header_len;
	if (!fits(ctx, frame, payload_len, before, 0, &padding))
		return DROP_TOO_BIG;
	if (!sequence_take(ctx, &job->seq))
		return DROP_SEQ_EXHAUSTED;
	put_trailer(frame->data + frame->len, padding, place.protocol);
	frame->len += padding + ESP_TRAILER_LEN;
	frame_push(frame, before);
	memmove(frame->data, frame->data + before, place.header_len);
	udp = frame->data + place.header_len;
	esp_seal_job(ctx, job, udp + udp_len, payload_len + padding + ESP_TRAILER_LEN);
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
	esp_seal_count(ctx, inner_len, now_ns);
	return DROP_NONE;
}

enum drop_reason esp_seal_begin_any(
	struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns, struct esp_job *job)
{
	enum drop_reason reason = seal_begin(ctx, frame, inner, now_ns, job);

	if (reason != DROP_NONE)
		sa_context_count_drop(ctx, reason);
	return reason;
}

enum drop_reason esp_seal_dummy_begin(struct sa_context *ctx, struct frame *frame, uint64_t now_ns, struct esp_job *job)
{
	struct inner none = {.len = frame->len, .dont_fragment = true};
	enum drop_reason reason = sa_context_expired(ctx, now_ns)
					  ? DROP_SA_EXPIRED
					  : tunnel_begin(ctx, frame, &none, WIRE_NEXT_DUMMY, job);

	if (reason != DROP_NONE) {
		sa_context_count_drop(ctx, reason);
		return reason;
	}
	esp_seal_count(ctx, none.len, now_ns);
	return DROP_NONE;
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
	if (ctx->outer_family == 6 && ctx->sa.flags & SA_UDP_ENCAP)
		finish_udp6(frame->data, udp, (uint32_t)(frame->data + frame->len - udp));
	return DROP_NONE;
}

enum drop_reason esp_seal(struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns)
{
	struct esp_job job;
	enum drop_reason reason = esp_seal_begin(ctx, frame, inner, now_ns, &job);

	if (reason != DROP_NONE)
		return reason;
	esp_jobs_seal(&job, 1);
	return esp_seal_end(ctx, frame, &job);
}
