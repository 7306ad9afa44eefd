/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending: by AF_XDP, or by the worker's live engine while it runs. Frames of one queue keep their order over a change:
 * the one is empty before the other begins. A frame that is no chunk is copied into chunks, as many as it takes.
 */
#include "agent/xsk_queue.h"

#include "agent/base/clock.h"
#include "bpf/transmit.h"

#include <errno.h>
#include <sys/socket.h>

#define SWITCH_NS (200 * NS_PER_US) /* the kernel frees what it sent within some microseconds */

/* ---- AF_XDP -------------------------------------------------------------------------------------------------- */

static uint32_t xsk_descriptors(const struct xsk_queue *queue, const struct frame *frame)
{
	return umem_is_jumbo(queue->umem, frame->chunk) ? (frame->len + FRAME_SIZE - 1) / FRAME_SIZE : 1;
}

static void xsk_describe(struct xsk_queue *queue, uint32_t at, const uint8_t *data, uint32_t len, bool more)
{
	struct xdp_desc *desc = xsk_ring_prod__tx_desc(&queue->tx, at);

	desc->addr = (uint64_t)(data - queue->umem->area);
	desc->len = len;
	desc->options = more ? XDP_PKT_CONTD : 0;
	queue->umem->holder[chunk_number(queue->umem, data)] = queue->holder;
}

/* A jumbo frame into chunks. False: too long for this socket, or no chunks; nothing was taken. */
static bool xsk_scatter(
	struct xsk_queue *queue, uint32_t at, const struct frame *frame, uint32_t count, struct chunk_cache *cache)
{
	uint8_t *chunks[JUMBO_SIZE / FRAME_SIZE];

	if (count > 1 && !queue->multi_buffer)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		chunks[i] = chunk_take(cache);
		if (chunks[i])
			continue;
		while (i--)
			chunk_give(cache, chunks[i]);
		return false;
	}
	for (uint32_t i = 0, done = 0; i < count; i++) {
		uint32_t len = frame->len - done < FRAME_SIZE ? frame->len - done : FRAME_SIZE;

		memcpy(chunks[i], frame->data + done, len);
		xsk_describe(queue, at + i, chunks[i], len, i + 1 < count);
		done += len;
	}
	return true;
}

static uint32_t xsk_send(struct xsk_queue *queue, const struct frame *frames, uint32_t count, struct chunk_cache *cache)
{
	/* Never more in flight than the completion ring holds, else the kernel stops sending. */
	uint32_t room = queue->ring_size - queue->in_flight;
	uint32_t wanted = 0, fit = 0, used = 0, at;

	for (uint32_t i = 0; i < count; i++)
		wanted += xsk_descriptors(queue, &frames[i]);
	wanted = wanted < room ? wanted : room;
	room = xsk_prod_nb_free(&queue->tx, wanted);
	wanted = wanted < room ? wanted : room;
	if (!wanted || xsk_ring_prod__reserve(&queue->tx, wanted, &at) != wanted)
		return 0;
	for (; fit < count; fit++) {
		const struct frame *frame = &frames[fit];
		uint32_t descriptors = xsk_descriptors(queue, frame);

		if (used + descriptors > wanted)
			break;
		if (!umem_is_jumbo(queue->umem, frame->chunk)) {
			xsk_describe(queue, at + used, frame->data, frame->len, false);
		} else {
			bool taken = xsk_scatter(queue, at + used, frame, descriptors, cache);

			chunk_give(cache, frame->chunk);
			if (!taken) {
				queue->tx_gone++;
				continue;
			}
		}
		used += descriptors;
	}
	xsk_ring_unreserve(&queue->tx, wanted - used);
	xsk_ring_prod__submit(&queue->tx, used);
	queue->in_flight += used;
	return fit;
}

static uint32_t xsk_unsent(const struct xsk_queue *queue)
{
	return *queue->tx.producer - __atomic_load_n(queue->tx.consumer, __ATOMIC_ACQUIRE);
}

static void xsk_reap(struct xsk_queue *queue, struct chunk_cache *cache)
{
	uint32_t at, count = xsk_ring_cons__peek(&queue->completion, queue->ring_size, &at);

	for (uint32_t i = 0; i < count; i++) {
		uint64_t addr = *xsk_ring_cons__comp_addr(&queue->completion, at + i);
		uint8_t *start = queue->umem->area + addr;

		queue->umem->holder[chunk_number(queue->umem, start)] = 0;
		chunk_give(cache, start);
	}
	if (count)
		xsk_ring_cons__release(&queue->completion, count);
	queue->in_flight -= count;
}

/* Copy mode moves a bounded number a call; more calls only as long as they move something. */
static uint32_t xsk_kick(struct xsk_queue *queue, uint32_t unsent)
{
	while (unsent) {
		uint32_t before = unsent;

		if (sendto(queue->head.fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN && errno != EBUSY)
			break;
		unsent = xsk_unsent(queue);
		if (unsent >= before)
			break;
	}
	return unsent;
}

bool xsk_queue_flush(struct port_queue *head, struct chunk_cache *cache)
{
	struct xsk_queue *queue = (struct xsk_queue *)head;
	uint32_t unsent;

	if (!queue->in_flight)
		return false;
	unsent = xsk_unsent(queue);
	if (unsent && xsk_ring_prod__needs_wakeup(&queue->tx))
		unsent = xsk_kick(queue, unsent);
	xsk_reap(queue, cache);
	return unsent > 0;
}

/* ---- live frames --------------------------------------------------------------------------------------------- */

static uint32_t live_send(
	struct xsk_queue *queue, const struct frame *frames, uint32_t count, struct chunk_cache *cache)
{
	uint32_t done = 0;

	while (done < count) {
		uint32_t run = done, put;

		while (run < count && frames[run].len <= TRANSMIT_FRAME_MAX)
			run++;
		put = live_engine_put(queue->live, queue->port->slot, frames + done, run - done);
		for (uint32_t i = 0; i < put; i++)
			chunk_give(cache, frames[done + i].chunk);
		atomic_store_explicit(&queue->live_sent,
			atomic_load_explicit(&queue->live_sent, memory_order_relaxed) + put, memory_order_relaxed);
		done += put;
		if (done < run || run == count)
			break;
		queue->tx_gone++; /* the MTU grew a moment ago */
		chunk_give(cache, frames[done++].chunk);
	}
	return done;
}

static bool live_wanted(const struct xsk_queue *queue)
{
	return live_engine_ready(queue->live) &&
	       !atomic_load_explicit(&queue->port->live_refused, memory_order_relaxed) &&
	       atomic_load_explicit(&queue->port->mtu, memory_order_relaxed) <= LIVE_MTU_MAX;
}

/* Which way do the next frames go? False: neither yet. */
static bool xsk_choose(struct xsk_queue *queue, struct chunk_cache *cache)
{
	bool live = live_wanted(queue);
	uint64_t until_ns;

	if (live == queue->on_live)
		return true;
	if (!live) {
		queue->on_live = !live_engine_drain(queue->live);
		return !queue->on_live;
	}
	until_ns = clock_now_ns() + SWITCH_NS;
	while (queue->in_flight && clock_now_ns() < until_ns)
		xsk_queue_flush(&queue->head, cache);
	queue->on_live = !queue->in_flight;
	return true;
}

uint32_t xsk_queue_send(struct port_queue *head, const struct frame *frames, uint32_t count, struct chunk_cache *cache)
{
	struct xsk_queue *queue = (struct xsk_queue *)head;

	if (!queue->live)
		return xsk_send(queue, frames, count, cache);
	live_engine_note(queue->live, count);
	if (!xsk_choose(queue, cache))
		return 0;
	return queue->on_live ? live_send(queue, frames, count, cache) : xsk_send(queue, frames, count, cache);
}
