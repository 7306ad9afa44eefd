/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ah_seal.h"

#include "agent/ah.h"
#include "agent/outer.h"
#include "agent/sequence.h"
#include "agent/transport.h"
#include "agent/wire.h"

#include <netinet/in.h>
#include <string.h>

/* Where AH stands in the frame once its headers are there. */
struct ah_place {
	uint32_t off;
	uint32_t len;
	uint64_t seq;
};

static bool fits(const struct sa_context *ctx, const struct frame *frame, uint32_t before)
{
	return frame_headroom(frame) >= before && (!(ctx->sa.flags & SA_ESN) || frame_tailroom(frame) >= AH_ESN_LEN);
}

/* All of it but the ICV, which is zero, as is the IV's field for now. */
static void put_ah(uint8_t *ah, const struct sa_context *ctx, uint32_t len, uint8_t next_header)
{
	memset(ah, 0, len);
	ah[AH_NEXT_OFF] = next_header;
	ah[AH_LEN_OFF] = (uint8_t)(len / 4 - 2);
	memcpy(ah + AH_SPI_OFF, &ctx->sa.spi, 4);
}

static enum drop_reason tunnel_begin(
	struct sa_context *ctx, struct frame *frame, const struct inner *inner, struct ah_place *place)
{
	uint8_t next_header = inner->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6, *packet = frame->data;

	place->len = ah_len(ctx->suite, ctx->outer_family);
	place->off = ctx->outer_len;
	if (!fits(ctx, frame, place->len + place->off))
		return DROP_TOO_BIG;
	if (!sequence_take(ctx, &place->seq))
		return DROP_SEQ_EXHAUSTED;
	put_ah(frame_push(frame, place->len), ctx, place->len, next_header);
	frame_push(frame, ctx->outer_len);
	outer_put(ctx, frame->data, frame->len, inner, packet, place->seq);
	return DROP_NONE;
}

static enum drop_reason transport_begin(
	struct sa_context *ctx, struct frame *frame, const struct inner *inner, struct ah_place *place)
{
	struct transport_place between;
	uint32_t skipped;

	if (inner->fragment)
		return DROP_FRAGMENT_TRANSPORT;
	if (transport_source_routed(frame->data, inner))
		return DROP_SOURCE_ROUTE;
	if (!sa_context_is_peer(ctx, inner->family, inner->destination))
		return DROP_SELECTOR_MISMATCH;
	if (!transport_place_out(frame->data, inner, &between))
		return DROP_PACKET_MALFORMED;
	place->len = ah_len(ctx->suite, inner->family);
	if (!fits(ctx, frame, place->len))
		return DROP_TOO_BIG;
	if (!sequence_take(ctx, &place->seq))
		return DROP_SEQ_EXHAUSTED;
	skipped = transport_skip_fragment(frame->data, &between);
	frame_pull(frame, skipped);
	place->off = between.header_len;
	frame_push(frame, place->len);
	memmove(frame->data, frame->data + place->len, place->off);
	put_ah(frame->data + place->off, ctx, place->len, between.protocol);
	transport_set_header(frame->data, &between, IPPROTO_AH, frame->len);
	return DROP_NONE;
}

/* With its number: the last thing that changes before the ICV is computed. */
static enum drop_reason finish(struct sa_context *ctx, struct frame *frame, const struct ah_place *place)
{
	const struct esp_suite *suite = ctx->suite;
	uint8_t icv[ESP_ICV_MAX], iv[ESP_IV_MAX], *ah = frame->data + place->off;
	enum drop_reason failed;

	wire_put32(ah + AH_SEQ_OFF, (uint32_t)place->seq);
	esp_cipher_mac_iv(&ctx->cipher, place->seq, iv);
	if (!ah_icv(ctx, frame->data, frame->len, place->off, place->seq, suite->iv_len ? iv : NULL, icv, &failed))
		return failed;
	memcpy(ah + AH_FIXED_LEN, iv, suite->iv_len);
	memcpy(ah + AH_FIXED_LEN + suite->iv_len, icv, suite->icv_len);
	return DROP_NONE;
}

static enum drop_reason seal(struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns)
{
	uint32_t inner_len = inner->len;
	struct ah_place place;
	enum drop_reason reason;

	frame->len = inner_len;
	if (sa_context_expired(ctx, now_ns))
		return DROP_SA_EXPIRED;
	reason = ctx->sa.mode == SA_TUNNEL ? tunnel_begin(ctx, frame, inner, &place)
					   : transport_begin(ctx, frame, inner, &place);
	if (reason == DROP_NONE)
		reason = finish(ctx, frame, &place);
	if (reason != DROP_NONE)
		return reason;
	ctx->packets++;
	ctx->bytes += inner_len;
	ctx->last_use_ns = now_ns;
	return DROP_NONE;
}

enum drop_reason ah_seal(struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns)
{
	enum drop_reason reason = seal(ctx, frame, inner, now_ns);

	sa_context_count_drop(ctx, reason);
	return reason;
}
