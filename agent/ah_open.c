/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ah_open.h"

#include "agent/ah.h"
#include "agent/base/secret.h"
#include "agent/outer.h"
#include "agent/replay.h"
#include "agent/selector.h"
#include "agent/sequence.h"
#include "agent/transport.h"
#include "agent/wire.h"

#include <netinet/in.h>
#include <string.h>

/* A packet whose headers have been read. Offsets and lengths count from the IP header. */
struct ah_packet {
	uint8_t *ip;
	uint32_t len;
	uint32_t ah_off;
	uint32_t ah_len;
	uint64_t seq;
	struct transport_place place;
};

/* Linux pads AH to 8 bytes in IPv4 as well, unless told otherwise (XFRM_STATE_ALIGN4): taken, never sent. */
static bool len_fits(const struct sa_context *ctx, uint8_t family, uint32_t len)
{
	return len == ah_len(ctx->suite, family) || len == ah_len(ctx->suite, 6);
}

/* RFC 4302 A2: a fragment header that was left in place is not seen by AH. */
static void skip_fragment(struct ah_packet *packet)
{
	uint32_t skipped = transport_skip_fragment(packet->ip, &packet->place);

	if (!skipped)
		return;
	packet->ip += skipped;
	packet->len -= skipped;
	packet->ah_off -= skipped;
	wire_put16(packet->ip + 4, packet->len - WIRE_IPV6_LEN);
}

static enum drop_reason read_packet(const struct sa_context *ctx, const struct frame *frame, struct ah_packet *packet)
{
	const struct packet_meta *meta = &frame->meta;
	enum drop_reason reason;
	const uint8_t *ah;
	uint32_t end;

	reason = outer_check(frame, &end);
	if (reason != DROP_NONE)
		return reason;
	if (end < meta->payload_off + AH_FIXED_LEN)
		return DROP_AH_MALFORMED;
	ah = frame->data + meta->payload_off;
	/* The slot may have got another SA since XDP looked it up. */
	if (ctx->sa.protocol != IPPROTO_AH || memcmp(ah + AH_SPI_OFF, &ctx->sa.spi, 4) != 0)
		return DROP_SPI_UNKNOWN;
	packet->ip = frame->data + meta->l3_off;
	packet->len = end - meta->l3_off;
	packet->ah_off = (uint32_t)meta->payload_off - meta->l3_off;
	packet->ah_len = (ah[AH_LEN_OFF] + 2u) * 4u;
	if (!len_fits(ctx, meta->family, packet->ah_len) || packet->ah_off + packet->ah_len > packet->len)
		return DROP_AH_MALFORMED;
	if (!transport_place_in(packet->ip, packet->len, packet->ah_off, &packet->place))
		return DROP_AH_MALFORMED;
	if (ctx->sa.flags & SA_ESN && frame->data + end + AH_ESN_LEN > frame->chunk + frame->size)
		return DROP_TOO_BIG;
	return sequence_check(ctx, wire_get32(ah + AH_SEQ_OFF), &packet->seq);
}

static enum drop_reason verify(struct sa_context *ctx, struct ah_packet *packet)
{
	const struct esp_suite *suite = ctx->suite;
	uint8_t received[ESP_IV_MAX + ESP_ICV_MAX], icv[ESP_ICV_MAX], *field;
	enum drop_reason failed;

	skip_fragment(packet);
	field = packet->ip + packet->ah_off + AH_FIXED_LEN;
	memcpy(received, field, suite->iv_len + suite->icv_len);
	memset(field, 0, suite->iv_len + suite->icv_len);
	if (!ah_icv(ctx, packet->ip, packet->len, packet->ah_off, packet->seq, suite->iv_len ? received : NULL, icv,
		    &failed))
		return failed == DROP_CRYPTO_ERROR ? DROP_ICV_BAD : failed;
	return secret_equal(icv, received + suite->iv_len, suite->icv_len) ? DROP_NONE : DROP_ICV_BAD;
}

static enum drop_reason mark(struct sa_context *ctx, uint64_t seq)
{
	enum drop_reason reason;
	bool newest;

	sequence_lock(ctx);
	reason = replay_mark(ctx->run, ctx->sa.replay_bits, seq, &newest);
	sequence_unlock(ctx);
	return reason;
}

static enum drop_reason take(
	struct sa_context *ctx, struct frame *frame, struct inner *inner, const struct ah_packet *packet)
{
	uint8_t next_header = packet->ip[packet->ah_off + AH_NEXT_OFF], traffic_class = outer_class(frame);
	uint32_t before = packet->ah_off + packet->ah_len;
	enum drop_reason reason = DROP_NONE;

	if (next_header == WIRE_NEXT_DUMMY)
		return DROP_DUMMY;
	frame->data = packet->ip + before;
	frame->len = packet->len - before;
	if (ctx->sa.mode == SA_TUNNEL) {
		reason = outer_take_inner(frame, next_header, inner);
	} else {
		transport_join(frame, packet->ip, &packet->place, next_header);
		if (!inner_parse(frame->data, frame->len, inner))
			reason = DROP_INNER_MALFORMED;
	}
	if (reason == DROP_NONE && !selector_match_in(&ctx->tunnel, inner))
		reason = DROP_SELECTOR_MISMATCH;
	if (reason == DROP_NONE && ctx->sa.mode == SA_TUNNEL && ctx->tunnel.options.ecn == ECN_NORMAL)
		reason = outer_merge_ecn(frame->data, inner, traffic_class);
	return reason;
}

static enum drop_reason open_packet(struct sa_context *ctx, struct frame *frame, struct inner *inner, uint64_t now_ns)
{
	struct ah_packet packet;
	enum drop_reason reason;

	if (sa_context_expired(ctx, now_ns))
		return DROP_SA_EXPIRED;
	reason = read_packet(ctx, frame, &packet);
	if (reason == DROP_NONE)
		reason = verify(ctx, &packet);
	if (reason == DROP_NONE)
		reason = mark(ctx, packet.seq);
	return reason == DROP_NONE ? take(ctx, frame, inner, &packet) : reason;
}

enum drop_reason ah_open(struct sa_context *ctx, struct frame *frame, struct inner *inner, uint64_t now_ns)
{
	enum drop_reason reason = open_packet(ctx, frame, inner, now_ns);

	if (reason != DROP_NONE) {
		sa_context_count_drop(ctx, reason);
		return reason;
	}
	ctx->packets++;
	ctx->bytes += inner->len;
	ctx->last_use_ns = now_ns;
	return DROP_NONE;
}
