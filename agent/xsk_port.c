/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/xsk_port.h"

#include "agent/base/own.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_xdp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <xdp/xsk.h>

#ifndef SOL_XDP
#define SOL_XDP 283
#endif

#define SEND_BUFFER_BYTES (16 * 1024 * 1024)
#define KERNEL_SEND_BATCH 32u /* frames that one sendto() moves in copy mode */
#define REFILL_MIN	  32u

/*
 * Each socket registers the one packet area anew, instead of binding with XDP_SHARED_UMEM: a shared bind inherits copy
 * or zero-copy from the first socket, and a NIC with zero-copy could then not stand beside the host device, which has
 * none.
 */
struct xsk_queue {
	struct port_queue head;
	struct umem *umem;
	struct xsk_umem *registration;
	struct xsk_socket *socket;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons completion;
	struct xsk_ring_cons rx;
	struct xsk_ring_prod tx;
	uint32_t in_flight; /* sent, chunk not yet back */
	uint16_t holder;    /* mark of this socket in umem.holder */
	struct port_lost told;
};

/* Marks for umem.holder; 0 means the process. Wraps long after any socket that had the number is gone. */
static uint16_t holder_next(void)
{
	static _Atomic uint16_t last;
	uint16_t next = (uint16_t)(atomic_fetch_add(&last, 1) + 1);

	return next ? next : (uint16_t)(atomic_fetch_add(&last, 1) + 1);
}

static uint32_t xsk_queue_recv(struct port_queue *head, struct frame *frames, uint32_t max)
{
	struct xsk_queue *queue = (struct xsk_queue *)head;
	uint32_t at, count = xsk_ring_cons__peek(&queue->rx, max, &at);
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&queue->rx, at + i);
		struct frame *frame = &frames[kept++];
		uint8_t *start = queue->umem->area + desc->addr;
		uint32_t number = chunk_number(queue->umem, start);

		queue->umem->holder[number] = 0;
		frame->chunk = chunk_at(queue->umem, number);
		frame->data = start;
		frame->len = desc->len;
		frame->size = FRAME_SIZE;
		__builtin_prefetch(start);
		__builtin_prefetch(start + 64);
	}
	if (count)
		xsk_ring_cons__release(&queue->rx, count);
	for (uint32_t i = 0; i < kept; i++)
		frame_take_meta(&frames[i]);
	return kept;
}

static void xsk_queue_refill(struct port_queue *head, struct chunk_cache *cache)
{
	struct xsk_queue *queue = (struct xsk_queue *)head;
	uint32_t space = xsk_prod_nb_free(&queue->fill, XSK_FILL_RING);
	uint32_t at, count = 0;

	if (space < REFILL_MIN)
		return;
	if (space > XSK_FILL_RING)
		space = XSK_FILL_RING;
	while (count < space) {
		uint8_t *chunk = chunk_take(cache);

		if (!chunk || xsk_ring_prod__reserve(&queue->fill, 1, &at) != 1) {
			if (chunk)
				chunk_give(cache, chunk);
			break;
		}
		queue->umem->holder[chunk_number(queue->umem, chunk)] = queue->holder;
		*xsk_ring_prod__fill_addr(&queue->fill, at) = (uint64_t)(chunk - queue->umem->area);
		count++;
	}
	if (!count)
		return;
	xsk_ring_prod__submit(&queue->fill, count);
	if (xsk_ring_prod__needs_wakeup(&queue->fill))
		recvfrom(queue->head.fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

static uint32_t xsk_queue_send(struct port_queue *head, const struct frame *frames, uint32_t count)
{
	struct xsk_queue *queue = (struct xsk_queue *)head;
	uint32_t space = xsk_prod_nb_free(&queue->tx, count);
	uint32_t room = XSK_COMPLETION_RING - queue->in_flight;
	uint32_t at;

	/* Never more in flight than the completion ring holds, else the kernel stops sending. */
	if (space > room)
		space = room;
	if (count > space)
		count = space;
	if (!count || xsk_ring_prod__reserve(&queue->tx, count, &at) != count)
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		struct xdp_desc *desc = xsk_ring_prod__tx_desc(&queue->tx, at + i);

		desc->addr = (uint64_t)(frames[i].data - queue->umem->area);
		desc->len = frames[i].len;
		desc->options = 0;
		queue->umem->holder[chunk_number(queue->umem, frames[i].chunk)] = queue->holder;
	}
	xsk_ring_prod__submit(&queue->tx, count);
	queue->in_flight += count;
	return count;
}

static uint32_t xsk_queue_unsent(const struct xsk_queue *queue)
{
	return *queue->tx.producer - __atomic_load_n(queue->tx.consumer, __ATOMIC_ACQUIRE);
}

static void xsk_queue_reap(struct xsk_queue *queue, struct chunk_cache *cache)
{
	uint32_t at, count = xsk_ring_cons__peek(&queue->completion, XSK_COMPLETION_RING, &at);

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

static bool xsk_queue_flush(struct port_queue *head, struct chunk_cache *cache)
{
	struct xsk_queue *queue = (struct xsk_queue *)head;
	uint32_t unsent;

	if (!queue->in_flight)
		return false;
	unsent = xsk_queue_unsent(queue);
	if (unsent && xsk_ring_prod__needs_wakeup(&queue->tx)) {
		/* Copy mode moves a bounded number a call; more calls only as long as they move something. */
		for (uint32_t calls = unsent / KERNEL_SEND_BATCH + 1; calls && unsent; calls--) {
			if (sendto(queue->head.fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN &&
				errno != EBUSY)
				break;
			unsent = xsk_queue_unsent(queue);
		}
	}
	xsk_queue_reap(queue, cache);
	return unsent > 0;
}

static void xsk_queue_lost(struct port_queue *head, struct port_lost *lost)
{
	struct xsk_queue *queue = (struct xsk_queue *)head;
	struct xdp_statistics now = {0};
	socklen_t len = sizeof(now);

	memset(lost, 0, sizeof(*lost));
	if (getsockopt(queue->head.fd, SOL_XDP, XDP_STATISTICS, &now, &len))
		return;
	lost->rx_full = now.rx_ring_full - queue->told.rx_full;
	lost->no_frame = now.rx_dropped - queue->told.no_frame;
	queue->told = (struct port_lost){.rx_full = now.rx_ring_full, .no_frame = now.rx_dropped};
}

static void xsk_queue_free(struct port_queue *head)
{
	struct xsk_queue *queue = (struct xsk_queue *)head;

	if (queue->socket)
		xsk_socket__delete(queue->socket);
	if (queue->registration)
		xsk_umem__delete(queue->registration);
	umem_reclaim(queue->umem, queue->holder);
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

static int xsk_queue_bind(struct xsk_queue *queue, const struct port *port, uint32_t number, uint16_t bind_flags)
{
	const struct xsk_umem_config umem_config = {
		.fill_size = XSK_FILL_RING,
		.comp_size = XSK_COMPLETION_RING,
		.frame_size = FRAME_SIZE,
		.frame_headroom = 0,
	};
	const struct xsk_socket_config config = {
		.rx_size = XSK_RX_RING,
		.tx_size = XSK_TX_RING,
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
		&queue->socket, port->name, number, queue->registration, &queue->rx, &queue->tx, &config);
	if (err) {
		queue->socket = NULL;
		xsk_umem__delete(queue->registration);
		queue->registration = NULL;
	}
	return err;
}

int xsk_queue_open(const struct port *port, uint32_t number, struct umem *umem, int xsks_fd, bool *zero_copy,
	struct port_queue **out)
{
	OWN_PTR struct xsk_queue *queue = calloc(1, sizeof(*queue));
	uint32_t key = port->slot * QUEUES_MAX + number;
	int send_buffer = SEND_BUFFER_BYTES;
	int fd, err = -ENOTSUP;

	if (!queue)
		return -ENOMEM;
	queue->umem = umem;
	queue->holder = holder_next();
	if (*zero_copy)
		err = xsk_queue_bind(queue, port, number, XDP_ZEROCOPY);
	if (err) {
		*zero_copy = false;
		err = xsk_queue_bind(queue, port, number, XDP_COPY);
	}
	if (err)
		return err;
	fd = xsk_socket__fd(queue->socket);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_buffer, sizeof(send_buffer));
	port_queue_init(&queue->head, &xsk_ops, fd);
	if (bpf_map_update_elem(xsks_fd, &key, &fd, BPF_ANY)) {
		err = -errno;
		xsk_queue_free(&TAKE_PTR(queue)->head);
		return err;
	}
	*out = &TAKE_PTR(queue)->head;
	return 0;
}
