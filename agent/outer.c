/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/outer.h"

#include "agent/checksum.h"
#include "agent/wire.h"

#include <netinet/in.h>
#include <string.h>

#define IPV4_FRAGMENT (WIRE_IPV4_MF | WIRE_IPV4_OFFSET)
#define ECN_NOT_ECT   0u
#define ECN_ECT1      1u
#define ECN_CE	      3u

/* ---- written ------------------------------------------------------------------------------------------------- */

void outer_put6(
	const struct sa_context *ctx, uint8_t *ip, uint32_t len, const struct inner *inner, const uint8_t *packet)
{
	uint8_t traffic_class = (uint8_t)((inner->traffic_class & ctx->class_keep) | ctx->class_set);
	uint8_t label[3] = {0};

	if (inner->family == 6 && ctx->tunnel.options.flow_label == FLOW_LABEL_COPY)
		memcpy(label, packet + 1, sizeof(label));
	memcpy(ip, ctx->outer, WIRE_IPV6_LEN);
	ip[0] = (uint8_t)(0x60 | traffic_class >> 4);
	ip[1] = (uint8_t)(traffic_class << 4 | (label[0] & 0x0f));
	memcpy(ip + 2, label + 1, 2);
	wire_put16(ip + 4, len - WIRE_IPV6_LEN);
}

/* ---- read ---------------------------------------------------------------------------------------------------- */

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

enum drop_reason outer_check(const struct frame *frame, uint32_t *end)
{
	return frame->meta.family == 4 ? check_ipv4(frame, end) : check_ipv6(frame, end);
}

void outer_source(const struct frame *frame, struct addr16 *source)
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

/* ---- and what becomes of the inner packet --------------------------------------------------------------------- */

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

enum drop_reason outer_merge_ecn_any(uint8_t *packet, struct inner *inner, uint8_t outer_class)
{
	uint8_t outer = outer_class & ECN_MASK, ecn = inner->traffic_class & ECN_MASK;

	if (ecn == ECN_NOT_ECT)
		return outer == ECN_CE ? DROP_ECN_MISMATCH : DROP_NONE;
	if (ecn != ECN_CE && (outer == ECN_CE || outer == ECN_ECT1) && ecn != outer)
		set_ecn(packet, inner, outer);
	return DROP_NONE;
}
