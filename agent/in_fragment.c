/* SPDX-License-Identifier: Apache-2.0 */
/* Fragments of protected packets: together, and then as if the packet had come whole. */
#include "agent/ah.h"
#include "agent/in.h"
#include "agent/inner.h"
#include "agent/join.h"
#include "agent/wire.h"

#include <netinet/in.h>
#include <string.h>

#define SPI_FIRST      256u /* RFC 4303 2.1 */
#define NON_ESP_MARKER 4u   /* RFC 3948 2.2 */

/* What XDP would have told of the packet, but for its SA. The SPI is at `*spi_off`. False: nothing of ours. */
static bool fragment_meta(struct frame *frame, const struct inner *packet, uint32_t *spi_off)
{
	struct packet_meta meta = {.kind = META_ESP_IN, .family = packet->family, .protocol = packet->protocol};

	meta.payload_off = packet->payload_off;
	*spi_off = packet->payload_off;
	switch (packet->protocol) {
	case IPPROTO_ESP:
		break;
	case IPPROTO_AH:
		meta.kind = META_AH_IN;
		*spi_off += AH_SPI_OFF;
		break;
	case IPPROTO_UDP:
		if (packet->destination_port != WIRE_PORT_ESP_UDP)
			return false;
		meta.flags = META_UDP_ENCAP;
		meta.payload_off = (uint16_t)(meta.payload_off + WIRE_UDP_LEN);
		*spi_off += WIRE_UDP_LEN;
		break;
	default:
		return false;
	}
	frame->meta = meta;
	return *spi_off + NON_ESP_MARKER <= packet->len;
}

/* The SA of a whole packet, which no XDP program has looked up. */
static enum drop_reason fragment_find_sa(struct worker *worker, struct frame *frame)
{
	const struct worker_shared *shared = worker->shared;
	struct spi_key key = {0};
	struct inner packet;
	uint32_t spi_off;

	if (!inner_parse(frame->data, frame->len, &packet) || !fragment_meta(frame, &packet, &spi_off))
		return DROP_REASSEMBLY_BAD;
	memcpy(&key.spi, frame->data + spi_off, 4);
	if (wire_get32(frame->data + spi_off) < SPI_FIRST)
		return DROP_SPI_RESERVED;
	key.protocol = frame->meta.kind == META_AH_IN ? IPPROTO_AH : IPPROTO_ESP;
	if (packet.family == 4)
		memset(key.destination.bytes + 10, 0xff, 2);
	memcpy(key.destination.bytes + (packet.family == 4 ? 12 : 0), packet.destination, inner_addr_len(&packet));
	frame->meta.index = shared->find_spi(shared->find_spi_context, &key);
	return frame->meta.index == SA_NONE ? DROP_SPI_UNKNOWN : DROP_NONE;
}

enum drop_reason in_fragment(struct worker *worker, struct frame *frame)
{
	struct reassembly *table = worker->shared->reassembly;
	enum drop_reason reason;
	bool whole;

	if (!table || !worker->shared->find_spi)
		return DROP_ESP_FRAGMENT;
	reason = join_fragment(worker, table, frame, &whole);
	if (reason || !whole)
		return reason;
	reason = fragment_find_sa(worker, frame);
	if (reason)
		return reason;
	return frame->meta.kind == META_AH_IN ? in_ah(worker, frame) : in_begin_any(worker, frame);
}
