/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending: by AF_XDP, or by the worker's live engine while it runs. Frames of one queue keep their order over a change:
 * the one is empty before the other begins, and what comes meanwhile waits in the queue, for which nobody spins. A
 * frame that is no chunk is copied into chunks, as many as it takes.
 */
#include "agent/xsk_queue.h"

#include "agent/base/clock.h"
#include "bpf/transmit.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SWITCH_NS (2 * NS_PER_MS) /* for AF_XDP to come to rest: the kernel frees what it sent within microseconds */
#define AGAIN_NS  LIVE_TICK_NS	  /* after it did not */

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

/* True: descriptors are still unsent. */
static bool xsk_flush(struct xsk_queue *queue, struct chunk_cache *cache)
{
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

/* ---- from one to the other ----------------------------------------------------------------------------------- */

static bool live_wanted(const struct xsk_queue *queue)
{
	return live_engine_ready(queue->live) &&
	       !atomic_load_explicit(&queue->port->live_refused, memory_order_relaxed) &&
	       atomic_load_explicit(&queue->port->mtu, memory_order_relaxed) <= LIVE_MTU_MAX;
}

/* Has the engine by which the last frames went sent all of them? */
static bool change_at_rest(struct xsk_queue *queue, struct chunk_cache *cache)
{
	if (queue->on_live)
		return live_engine_drained(queue->live, &queue->drain);
	xsk_flush(queue, cache);
	return !queue->in_flight;
}

/* False: frames can go by neither engine for a moment. */
static bool change_done(struct xsk_queue *queue, struct chunk_cache *cache)
{
	bool live = live_wanted(queue);
	uint64_t now_ns;

	if (live == queue->on_live) {
		queue->changing_ns = 0;
		return true;
	}
	now_ns = clock_now_ns();
	if (live && now_ns < queue->not_before_ns)
		return true;
	if (!queue->changing_ns) {
		queue->changing_ns = now_ns;
		queue->drain = (struct live_drain){0};
	}
	if (change_at_rest(queue, cache)) {
		queue->on_live = live;
	} else if (live && now_ns - queue->changing_ns >= SWITCH_NS) {
		queue->not_before_ns = now_ns + AGAIN_NS;
	} else {
		return false;
	}
	queue->changing_ns = 0;
	return true;
}

static uint32_t xsk_send_by_either(
	struct xsk_queue *queue, const struct frame *frames, uint32_t count, struct chunk_cache *cache)
{
	return queue->on_live ? live_send(queue, frames, count, cache) : xsk_send(queue, frames, count, cache);
}

/* As many as there is room for. */
static uint32_t waiting_put(struct xsk_queue *queue, const struct frame *frames, uint32_t count)
{
	uint32_t room = queue->ring_size - queue->waiting_count;

	count = count < room ? count : room;
	for (uint32_t i = 0; i < count; i++)
		queue->waiting[(queue->waiting_first + queue->waiting_count++) % queue->ring_size] = frames[i];
	return count;
}

static void waiting_tell(struct xsk_queue *queue)
{
	atomic_store_explicit(&queue->head.choked, queue->waiting_count >= queue->ring_size / 2, memory_order_relaxed);
}

/* What waits goes on, if it can. True: nothing waits any more, and frames may go. */
static bool waiting_send(struct xsk_queue *queue, struct chunk_cache *cache)
{
	bool done = change_done(queue, cache), waited = queue->waiting_count;

	while (done && queue->waiting_count) {
		uint32_t first = queue->waiting_first, run = queue->ring_size - first, sent;

		run = run < queue->waiting_count ? run : queue->waiting_count;
		sent = xsk_send_by_either(queue, &queue->waiting[first], run, cache);
		queue->waiting_first = (first + sent) % queue->ring_size;
		queue->waiting_count -= sent;
		done = sent == run;
	}
	if (waited)
		waiting_tell(queue);
	return done;
}

uint32_t xsk_queue_send(struct port_queue *head, const struct frame *frames, uint32_t count, struct chunk_cache *cache)
{
	struct xsk_queue *queue = (struct xsk_queue *)head;

	if (!queue->live)
		return xsk_send(queue, frames, count, cache);
	live_engine_note(queue->live, count);
	if (waiting_send(queue, cache))
		return xsk_send_by_either(queue, frames, count, cache);
	count = waiting_put(queue, frames, count);
	waiting_tell(queue);
	return count;
}

bool xsk_queue_flush(struct port_queue *head, struct chunk_cache *cache)
{
	struct xsk_queue *queue = (struct xsk_queue *)head;

	if (queue->waiting_count)
		waiting_send(queue, cache);
	return xsk_flush(queue, cache) || queue->waiting_count;
}

void xsk_queue_drop_waiting(struct xsk_queue *queue)
{
	for (; queue->waiting_count; queue->waiting_count--) {
		chunk_give(&queue->spare, queue->waiting[queue->waiting_first].chunk);
		queue->waiting_first = (queue->waiting_first + 1) % queue->ring_size;
	}
	free(queue->waiting);
	queue->waiting = NULL;
}
