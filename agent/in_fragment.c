/* SPDX-License-Identifier: Apache-2.0 */
/* Fragments of protected packets: together, and then as if the packet had come whole. */
#include "agent/ah.h"
#include "agent/in.h"
#include "agent/inner.h"
#include "agent/reassembly.h"
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

/* The packet into `frame`: its own buffer if that is long enough. */
static bool fragment_room(struct worker *worker, struct frame *frame, uint32_t len)
{
	struct frame larger = {0};

	if (FRAME_HEADROOM + len + FRAME_TAILROOM <= frame->size)
		return true;
	if (!frame_alloc(&worker->cache, &larger, len))
		return false;
	chunk_give(&worker->cache, frame->chunk);
	*frame = larger;
	return true;
}

/* Under the table's lock. On DROP_NONE `*whole` says whether the frame is now a whole packet; if not, it is no longer
 * needed. */
static enum drop_reason fragment_join(struct worker *worker, struct frame *frame, bool *whole)
{
	struct reassembly_packet *packet;
	enum drop_reason reason = reassembly_add(worker->shared->reassembly, frame, worker->now_ns, &packet);

	*whole = packet != NULL;
	if (!packet)
		return reason;
	if (fragment_room(worker, frame, reassembly_len(packet)))
		reassembly_write(packet, frame);
	else
		reason = DROP_NO_FRAME;
	reassembly_release(packet);
	return reason;
}

enum drop_reason in_fragment(struct worker *worker, struct frame *frame)
{
	struct reassembly *table = worker->shared->reassembly;
	enum drop_reason reason;
	bool whole;

	if (!table || !worker->shared->find_spi)
		return DROP_ESP_FRAGMENT;
	pthread_mutex_lock(&table->lock);
	reason = fragment_join(worker, frame, &whole);
	pthread_mutex_unlock(&table->lock);
	if (reason)
		return reason;
	if (!whole) {
		chunk_give(&worker->cache, frame->chunk);
		return DROP_NONE;
	}
	reason = fragment_find_sa(worker, frame);
	if (reason)
		return reason;
	return frame->meta.kind == META_AH_IN ? in_ah(worker, frame) : in_begin(worker, frame);
}

void in_sweep_fragments(struct worker *worker)
{
	struct reassembly *table = worker->shared->reassembly;
	struct reassembly_lost lost;

	if (!table)
		return;
	pthread_mutex_lock(&table->lock);
	reassembly_sweep(table, worker->now_ns, &lost);
	pthread_mutex_unlock(&table->lock);
	worker_count_lost(worker, DROP_REASSEMBLY_FULL, lost.full);
	worker_count_lost(worker, DROP_REASSEMBLY_TIMEOUT, lost.timeout);
	worker_count_lost(worker, DROP_REASSEMBLY_BAD, lost.bad);
}
