/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/xsk_port.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/own.h"
#include "agent/xsk_queue.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Linux 5.11; older headers do not know them. */
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#define SO_BUSY_POLL_BUDGET 70
#endif
/* Linux 6.17 */
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

#define SEND_BUFFER_BYTES (16 * 1024 * 1024)
#define BUSY_POLL_US	  20
#define LET_GO_NS	  NS_PER_S /* for the kernel to take a closed socket from the driver: milliseconds as a rule */
#define LET_GO_US	  1000
#define LINK_HEADER_MAX	  26u /* Ethernet and three tags (bpf/parse.bpf.h) */

/* Marks for umem.holder; 0 means the process. Wraps long after any socket that had the number is gone. */
static uint16_t holder_next(void)
{
	static _Atomic uint16_t last;
	uint16_t next = (uint16_t)(atomic_fetch_add(&last, 1) + 1);

	return next ? next : (uint16_t)(atomic_fetch_add(&last, 1) + 1);
}

static void xsk_queue_lost(struct port_queue *head, struct port_lost *lost)
{
	struct xsk_queue *queue = (struct xsk_queue *)head;
	struct xdp_statistics now = {0};
	socklen_t len = sizeof(now);

	memset(lost, 0, sizeof(*lost));
	if (getsockopt(queue->head.fd, SOL_XDP, XDP_STATISTICS, &now, &len))
		return;
	lost->tx_gone = queue->tx_gone - queue->told.tx_gone;
	if (queue->live)
		lost->tx_gone += live_engine_lost(queue->live) + atomic_exchange(&queue->port->live_vanished, 0);
	lost->rx_full = now.rx_ring_full - queue->told.rx_full;
	lost->no_frame = now.rx_dropped + queue->rx_broken - queue->told.no_frame;
	queue->told = (struct port_lost){
		.rx_full = now.rx_ring_full, .no_frame = now.rx_dropped + queue->rx_broken, .tx_gone = queue->tx_gone};
}

static int xsk_queue_bind_once(struct xsk_queue *queue, uint16_t bind_flags)
{
	const struct xsk_umem_config umem_config = {
		.fill_size = queue->ring_size,
		.comp_size = queue->ring_size,
		.frame_size = FRAME_SIZE,
		.frame_headroom = 0,
	};
	const struct xsk_socket_config config = {
		.rx_size = queue->ring_size,
		.tx_size = queue->ring_size,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = (uint16_t)(bind_flags | XDP_USE_NEED_WAKEUP),
	};
	struct umem *umem = queue->umem;
	int err;

	err = xsk_umem__create(
		&queue->registration, umem->area, umem->bytes, &queue->fill, &queue->completion, &umem_config);
	if (err)
		return err;
	err = xsk_socket__create(
		&queue->socket, queue->port->name, queue->number, queue->registration, &queue->rx, &queue->tx, &config);
	if (err) {
		queue->socket = NULL;
		xsk_umem__delete(queue->registration);
		queue->registration = NULL;
	}
	return err;
}

/* The kernel takes a closed socket from the driver in a work item of its own; until then the queue is busy. -EBUSY: it
 * still is after LET_GO_NS. */
static int xsk_queue_bind(struct xsk_queue *queue, uint16_t bind_flags)
{
	uint64_t until_ns = clock_now_ns() + LET_GO_NS;
	int err;

	while ((err = xsk_queue_bind_once(queue, bind_flags)) == -EBUSY && clock_now_ns() < until_ns)
		usleep(LET_GO_US);
	return err;
}

static void xsk_queue_close(struct xsk_queue *queue)
{
	if (queue->socket)
		xsk_socket__delete(queue->socket);
	if (queue->registration)
		xsk_umem__delete(queue->registration);
	queue->socket = NULL;
	queue->registration = NULL;
}

/* A driver with zero-copy writes into the chunks until the kernel has taken the socket from it. It has when the queue
 * takes another one, of no consequence, in copy mode. */
static bool xsk_queue_let_go(struct xsk_queue *queue)
{
	int err;

	xsk_queue_close(queue);
	if (!queue->zero_copy)
		return true;
	err = xsk_queue_bind(queue, XDP_COPY);
	xsk_queue_close(queue);
	return err != -EBUSY;
}

static void xsk_queue_free(struct port_queue *head)
{
	struct xsk_queue *queue = (struct xsk_queue *)head;

	if (xsk_queue_let_go(queue))
		umem_reclaim(queue->umem, queue->holder);
	else
		log_warn("%s: the driver does not let go of queue %u; its packet buffers are left to it",
			queue->port->name, queue->number);
	xsk_queue_drop_waiting(queue);
	chunk_cache_drain(&queue->spare);
	if (queue->gather.open && !queue->gather.broken)
		jumbo_give(queue->umem, queue->gather.frame.chunk);
	free(queue);
}

static const struct port_ops xsk_ops = {
	.recv = xsk_queue_recv,
	.refill = xsk_queue_refill,
	.send = xsk_queue_send,
	.flush = xsk_queue_flush,
	.lost = xsk_queue_lost,
	.free = xsk_queue_free,
};

/* A packet of the interface's MTU in one chunk: what one descriptor takes. */
static bool mtu_fits_chunk(const struct port *port)
{
	return atomic_load(&port->mtu) + LINK_HEADER_MAX <= FRAME_SIZE - FRAME_HEADROOM;
}

/* From the best to the least: what a driver or kernel refuses is left out, and zero-copy that loses the interface's
 * larger packets. */
static int xsk_queue_bind_best(struct xsk_queue *queue, struct xsk_outcome *outcome)
{
	for (unsigned i = outcome->zero_copy ? 0 : 2; i < 4; i++) {
		bool zero_copy = i < 2, multi_buffer = !(i & 1);
		int err;

		if (zero_copy && !multi_buffer && !mtu_fits_chunk(queue->port))
			continue;
		err = xsk_queue_bind(
			queue, (uint16_t)((zero_copy ? XDP_ZEROCOPY : XDP_COPY) | (multi_buffer ? XDP_USE_SG : 0)));

		outcome->zero_copy = queue->zero_copy = zero_copy;
		outcome->multi_buffer = queue->multi_buffer = multi_buffer;
		outcome->need_wakeup = !err; /* of every bind here; no kernel since 5.4 refuses that alone */
		if (!err)
			return 0;
		if (i == 3 || err == -EBUSY)
			return err;
	}
	return -ENOTSUP;
}

static void xsk_queue_tune(struct xsk_queue *queue, int fd, bool busy_poll)
{
	int send_buffer = SEND_BUFFER_BYTES, budget = PORT_BATCH, on = 1, wait_us = BUSY_POLL_US;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_buffer, sizeof(send_buffer));
	/* Copy mode: a batch a call. An older kernel refuses and moves 32. */
	setsockopt(fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
	queue->busy_poll = busy_poll && !setsockopt(fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof(on)) &&
			   !setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL, &wait_us, sizeof(wait_us)) &&
			   !setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget));
}

int xsk_queue_open(struct port *port, uint32_t number, struct umem *umem, int xsks_fd,
	const struct xsk_options *options, struct xsk_outcome *outcome, struct port_queue **out)
{
	OWN_PTR struct xsk_queue *queue = calloc(1, sizeof(*queue));
	uint32_t key = port->slot * QUEUES_MAX + number;
	int fd, err;

	if (!queue)
		return -ENOMEM;
	queue->port = port;
	queue->number = number;
	queue->umem = umem;
	queue->ring_size = options->ring_size ? options->ring_size : XSK_RING_SIZE;
	queue->holder = holder_next();
	chunk_cache_init(&queue->spare, umem);
	err = xsk_queue_bind_best(queue, outcome);
	if (err)
		return err;
	fd = xsk_socket__fd(queue->socket);
	xsk_queue_tune(queue, fd, options->busy_poll);
	outcome->busy_poll = queue->busy_poll;
	port_queue_init(&queue->head, &xsk_ops, fd);
	if (bpf_map_update_elem(xsks_fd, &key, &fd, BPF_ANY)) {
		err = -errno;
		xsk_queue_free(&TAKE_PTR(queue)->head);
		return err;
	}
	*out = &TAKE_PTR(queue)->head;
	return 0;
}

int xsk_queue_use_live(struct port_queue *head, struct live_engine *engine)
{
	struct xsk_queue *queue = (struct xsk_queue *)head;

	queue->waiting = calloc(queue->ring_size, sizeof(*queue->waiting));
	if (!queue->waiting)
		return -ENOMEM;
	queue->live = engine;
	return 0;
}

uint64_t xsk_queue_live_sent(const struct port_queue *head)
{
	return atomic_load_explicit(&((const struct xsk_queue *)head)->live_sent, memory_order_relaxed);
}
