/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-net header of ten bytes and a packet: whatever they say, cutting stays inside the packet and the pieces hold
 * its payload, each byte once. The pieces, or else the packet itself in slices, then go the other way.
 */
#include "agent/gro.h"
#include "agent/gso.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_MAX 4000u

static void check(bool condition)
{
	if (!condition)
		abort();
}

/* Each frame stands in one packet, and what is written of it is as long as the packet says. */
static void gather(struct frame *frames, uint32_t count)
{
	struct virtio_net_hdr header;
	struct gro gro;
	uint32_t seen = 0;

	gro_sort(&gro, frames, count);
	for (uint32_t i = 0; i < gro.count; i++) {
		const struct gro_packet *packet = &gro.packets[i];
		uint32_t len = 0;

		for (uint8_t f = packet->first; f != GRO_NONE; f = gro.next[f], seen++)
			len += frames[f].len - (f == packet->first ? 0 : packet->header_len);
		check(len == packet->len && (packet->count == 1 || len <= GRO_LEN_MAX));
		gro_finish(packet, frames, &header);
	}
	check(seen == count);
}

static void frames_clear(struct frame *frames, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		free(frames[i].chunk);
}

static void frame_make(struct frame *frame, const uint8_t *bytes, uint32_t len)
{
	*frame = (struct frame){.chunk = malloc(len ? len : 1), .len = len};
	frame->data = frame->chunk;
	memcpy(frame->data, bytes, len);
}

static void cut(struct gso *gso)
{
	struct frame frames[GRO_FRAMES_MAX];
	uint32_t count = 0, payload = 0;

	while (gso_pending(gso)) {
		uint32_t max = gso_piece_max(gso), len;
		uint8_t *out = malloc(max ? max : 1);

		len = gso_next(gso, out);
		check(len <= max && len >= gso->header_len);
		payload += len - gso->header_len;
		if (count < GRO_FRAMES_MAX)
			frame_make(&frames[count++], out, len);
		free(out);
	}
	check(payload == gso->payload_len);
	gather(frames, count);
	frames_clear(frames, count);
}

static void slice(const uint8_t *data, size_t len)
{
	struct frame frames[GRO_FRAMES_MAX];
	uint32_t count = 0;

	while (len > 1 && count < GRO_FRAMES_MAX) {
		size_t take = data[0] < len - 1 ? data[0] : len - 1;

		frame_make(&frames[count++], data + 1, (uint32_t)take);
		data += take + 1;
		len -= take + 1;
	}
	gather(frames, count);
	frames_clear(frames, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct virtio_net_hdr header;
	struct inner inner;
	uint8_t *packet;
	struct gso gso;

	if (len < sizeof(header) || len > GSO_PACKET_MAX)
		return 0;
	memcpy(&header, data, sizeof(header));
	slice(data + sizeof(header), len - sizeof(header));
	len -= sizeof(header);
	packet = malloc(len ? len : 1);
	memcpy(packet, data + sizeof(header), len);
	if (inner_parse(packet, (uint32_t)len, &inner) && gso_begin(&gso, &header, packet, &inner) &&
		gso_piece_max(&gso) <= PIECE_MAX)
		cut(&gso);
	free(packet);
	return 0;
}
