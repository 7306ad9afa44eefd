/* SPDX-License-Identifier: Apache-2.0 */
/* Receiving: descriptors become frames; several descriptors of one packet are gathered into a jumbo buffer. */
#include "agent/xsk_queue.h"

#include <sys/socket.h>

#define REFILL_MIN 64u

static void gather_begin(struct xsk_queue *queue)
{
	struct xsk_gather *gather = &queue->gather;

	gather->open = true;
	gather->frame = (struct frame){.chunk = jumbo_take(queue->umem), .size = JUMBO_SIZE};
	gather->broken = !gather->frame.chunk;
	if (!gather->broken)
		gather->frame.data = gather->frame.chunk + FRAME_HEADROOM;
}

static void gather_add(struct xsk_queue *queue, const uint8_t *from, uint32_t len)
{
	struct xsk_gather *gather = &queue->gather;
	struct frame *frame = &gather->frame;

	if (gather->broken)
		return;
	if (frame->len + len > JUMBO_DATA_MAX) {
		jumbo_give(queue->umem, frame->chunk);
		gather->broken = true;
		return;
	}
	memcpy(frame->data + frame->len, from, len);
	frame->len += len;
}

/* One descriptor. True: `frame` is a whole packet. */
static bool xsk_take(struct xsk_queue *queue, const struct xdp_desc *desc, struct frame *frame)
{
	uint8_t *start = queue->umem->area + desc->addr;
	uint32_t number = chunk_number(queue->umem, start);
	bool more = desc->options & XDP_PKT_CONTD;

	queue->umem->holder[number] = 0;
	__builtin_prefetch(start);
	if (__builtin_expect(!queue->gather.open && !more, 1)) {
		__builtin_prefetch(start + 64);
		frame->chunk = chunk_at(queue->umem, number);
		frame->data = start;
		frame->len = desc->len;
		frame->size = FRAME_SIZE;
		return true;
	}
	if (!queue->gather.open)
		gather_begin(queue);
	gather_add(queue, start, desc->len);
	chunk_give(&queue->spare, start);
	if (more)
		return false;
	queue->gather.open = false;
	queue->rx_broken += queue->gather.broken;
	*frame = queue->gather.frame;
	return !queue->gather.broken;
}

uint32_t xsk_queue_recv(struct port_queue *head, struct frame *frames, uint32_t max)
{
	struct xsk_queue *queue = (struct xsk_queue *)head;
	uint32_t at, count = xsk_ring_cons__peek(&queue->rx, max, &at);
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++)
		kept += xsk_take(queue, xsk_ring_cons__rx_desc(&queue->rx, at + i), &frames[kept]);
	if (count)
		xsk_ring_cons__release(&queue->rx, count);
	for (uint32_t i = 0; i < kept; i++)
		frame_take_meta(&frames[i]);
	return kept;
}

static uint8_t *refill_chunk(struct xsk_queue *queue, struct chunk_cache *cache)
{
	return queue->spare.count ? chunk_take(&queue->spare) : chunk_take(cache);
}

void xsk_queue_refill(struct port_queue *head, struct chunk_cache *cache)
{
	struct xsk_queue *queue = (struct xsk_queue *)head;
	uint32_t space = xsk_prod_nb_free(&queue->fill, queue->ring_size);
	uint32_t at, count = 0;
	uint8_t *chunk;

	if (space > queue->ring_size)
		space = queue->ring_size;
	if (space >= REFILL_MIN && xsk_ring_prod__reserve(&queue->fill, space, &at) == space) {
		while (count < space && (chunk = refill_chunk(queue, cache))) {
			queue->umem->holder[chunk_number(queue->umem, chunk)] = queue->holder;
			*xsk_ring_prod__fill_addr(&queue->fill, at + count++) = (uint64_t)(chunk - queue->umem->area);
		}
		xsk_ring_unreserve(&queue->fill, space - count);
		xsk_ring_prod__submit(&queue->fill, count);
	}
	if (queue->busy_poll || (count && xsk_ring_prod__needs_wakeup(&queue->fill)))
		recvfrom(queue->head.fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}
