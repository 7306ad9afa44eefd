/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One packet in a worker's hands. The bytes live in a buffer of `size` bytes: a UMEM chunk of FRAME_SIZE, a jumbo
 * buffer of JUMBO_SIZE (umem.h), or test memory. `data` moves inside it as headers come and go: before it at least
 * FRAME_HEADROOM bytes are free when a frame comes from a port, behind it FRAME_TAILROOM for padding and ICV if the
 * packet is no longer than FRAME_DATA_MAX in a chunk, JUMBO_DATA_MAX in a jumbo buffer.
 */
#ifndef ESPALIER_AGENT_FRAME_H
#define ESPALIER_AGENT_FRAME_H

#include "bpf/contract.h"

#include <stdint.h>
#include <string.h>

#define FRAME_SIZE     4096u
#define FRAME_HEADROOM 256u /* XDP_PACKET_HEADROOM */
#define FRAME_TAILROOM 64u
#define FRAME_DATA_MAX (FRAME_SIZE - FRAME_HEADROOM - FRAME_TAILROOM)
#define JUMBO_SIZE     16384u
#define JUMBO_DATA_MAX (JUMBO_SIZE - FRAME_HEADROOM - FRAME_TAILROOM)

/* A packet_meta.kind that comes from a port and not from XDP: refused, `index` is the enum drop_reason. */
#define META_REFUSED 0xffu
/* One that comes from the worker itself: a dummy packet for tunnel `index`. */
#define META_DUMMY_OUT 0xfeu
/* One that comes from the host device: a fragment whose packet is to be judged as a whole. */
#define META_HOST_FRAGMENT 0xfdu

/* A packet_meta.flags that comes from another worker, which does not number the packet's SA. */
#define META_HANDED 0x80u

struct frame {
	uint8_t *chunk; /* start of the buffer */
	uint8_t *data;	/* first byte of the packet as it stands: link header, or network header after frame_pull */
	uint32_t len;
	uint32_t size;		 /* bytes of the buffer */
	struct packet_meta meta; /* copied out of the 16 bytes that XDP puts before the frame (bpf/contract.h) */
};

static inline uint32_t frame_headroom(const struct frame *frame)
{
	return (uint32_t)(frame->data - frame->chunk);
}

static inline uint32_t frame_tailroom(const struct frame *frame)
{
	return (uint32_t)(frame->chunk + frame->size - (frame->data + frame->len));
}

/*
 * A copy whose packet is the `len` bytes at `data`, field by field. A frame is copied when `data` and `len` have just
 * been changed, and a wider load that spans them would wait until those stores have left the processor's store buffer.
 */
static inline void frame_copy_as(struct frame *to, const struct frame *from, uint8_t *data, uint32_t len)
{
	uint8_t *chunk = from->chunk;
	uint32_t size = from->size;

	__asm__("" : "+r"(chunk), "+r"(data), "+r"(len), "+r"(size)); /* keeps the compiler from joining the loads */
	to->chunk = chunk;
	to->data = data;
	to->len = len;
	to->size = size;
	to->meta = from->meta;
}

/* Take `len` bytes off the front; the caller has checked that they are there. */
static inline void frame_pull(struct frame *frame, uint32_t len)
{
	frame->data += len;
	frame->len -= len;
}

/* Put `len` bytes, to be filled by the caller, before the front; the caller has checked the headroom. */
static inline uint8_t *frame_push(struct frame *frame, uint32_t len)
{
	frame->data -= len;
	frame->len += len;
	return frame->data;
}

/* On receive: copy the metadata out and skip it. A frame too short for any gets kind 0, which no path takes. */
static inline void frame_take_meta(struct frame *frame)
{
	if (frame->len < sizeof(frame->meta)) {
		memset(&frame->meta, 0, sizeof(frame->meta));
		return;
	}
	memcpy(&frame->meta, frame->data, sizeof(frame->meta));
	frame_pull(frame, sizeof(frame->meta));
}

#endif
