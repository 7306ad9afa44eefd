/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tun_port.h"

#include "agent/base/own.h"
#include "agent/gro.h"
#include "agent/gso.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define STASH_LOW PORT_BATCH	    /* free chunks to receive into, at least, after a refill */
#define DONE_MAX  (4u * PORT_BATCH) /* chunks that were written and not yet taken back */

_Static_assert(PORT_BATCH <= GRO_FRAMES_MAX, "a batch is sorted at once");

struct tun_queue {
	struct port_queue head;
	struct gso gso;		  /* what is left of the packet in `buffer` */
	struct packet_meta meta;  /* of its pieces */
	struct chunk_cache stash; /* to receive into */
	struct port_lost lost;	  /* since it was last asked for */
	uint32_t done_count;
	uint8_t *done[DONE_MAX];
	struct host_flows flows;
	uint8_t buffer[GSO_PACKET_MAX + 1];
};

/* ---- from the host ------------------------------------------------------------------------------------------- */

static void tun_refuse(struct tun_queue *queue, enum drop_reason reason)
{
	queue->gso.count = queue->gso.taken = 0;
	queue->meta = (struct packet_meta){.kind = META_REFUSED, .flags = META_FROM_HOST, .index = reason};
}

/* Is the fragment, judged by itself for `reason`, to be judged with the others of its packet? */
static bool tun_wants_whole(const struct tun_queue *queue, const struct inner *fragment, enum drop_reason reason)
{
	if (fragment->later_fragment)
		return reason == DROP_FRAGMENT_PORTS;
	return host_fragment_needs_whole(queue->flows.policy, fragment);
}

/* What becomes of the packet of `len` bytes in the buffer. */
static void tun_judge(struct tun_queue *queue, const struct virtio_net_hdr *header, uint32_t len)
{
	enum drop_reason reason;
	struct inner inner;
	uint32_t tunnel = TUNNEL_NONE;
	bool whole = true;

	if (!inner_parse(queue->buffer, len, &inner) || !gso_begin(&queue->gso, header, queue->buffer, &inner)) {
		tun_refuse(queue, DROP_PACKET_MALFORMED);
		return;
	}
	reason = host_flows_judge(&queue->flows, &inner, &tunnel);
	if (inner.fragment && tun_wants_whole(queue, &inner, reason)) {
		whole = false;
		reason = DROP_NONE;
	}
	if (!reason && gso_piece_max(&queue->gso) > JUMBO_DATA_MAX)
		reason = DROP_TOO_BIG;
	if (reason) {
		tun_refuse(queue, reason);
		return;
	}
	queue->meta = (struct packet_meta){
		.kind = whole ? META_PLAIN_OUT : META_HOST_FRAGMENT,
		.flags = (uint8_t)(META_FROM_HOST | (inner.fragment ? META_FRAGMENT : 0)),
		.family = inner.family,
		.protocol = inner.protocol,
		.payload_off = inner.payload_off,
		.index = tunnel,
	};
}

/* One packet from the device. False: there is none. */
static bool tun_read(struct tun_queue *queue)
{
	struct virtio_net_hdr header;
	const struct iovec parts[] = {{&header, sizeof(header)}, {queue->buffer, GSO_PACKET_MAX}};
	ssize_t got = readv(queue->head.fd, parts, 2);

	if (got < (ssize_t)sizeof(header))
		return false;
	tun_judge(queue, &header, (uint32_t)got - (uint32_t)sizeof(header));
	return true;
}

/* The next piece of what was read; of a refused packet a frame without bytes that says why. */
static bool tun_take(struct tun_queue *queue, struct frame *frame)
{
	uint32_t longest = gso_pending(&queue->gso) ? gso_piece_max(&queue->gso) : 0;

	if (!frame_alloc(&queue->stash, frame, longest)) {
		queue->lost.no_frame += longest ? queue->gso.count - queue->gso.taken : 1;
		queue->gso.count = queue->gso.taken;
		return false;
	}
	frame->len = longest ? gso_next(&queue->gso, frame->data) : 0;
	frame->meta = queue->meta;
	return true;
}

static uint32_t tun_queue_recv(struct port_queue *head, struct frame *frames, uint32_t max)
{
	struct tun_queue *queue = (struct tun_queue *)head;
	uint32_t count = 0;

	/* Without a buffer the turn goes on: what waits in the device keeps, the other queues are not to. */
	while (count < max && (gso_pending(&queue->gso) || tun_read(queue)) && tun_take(queue, &frames[count]))
		count++;
	return count;
}

static void tun_queue_refill(struct port_queue *head, struct chunk_cache *cache)
{
	struct tun_queue *queue = (struct tun_queue *)head;
	const uint8_t *chunk;

	while (queue->stash.count < STASH_LOW && (chunk = chunk_take(cache)))
		chunk_give(&queue->stash, chunk);
}

/* ---- to the host --------------------------------------------------------------------------------------------- */

/* The frames of one packet in one write: the first whole, of the others what stands behind the headers. */
static bool tun_write(
	const struct tun_queue *queue, const struct gro *gro, const struct gro_packet *packet, struct frame *frames)
{
	struct iovec parts[1 + GRO_FRAMES_MAX];
	struct virtio_net_hdr header;
	int count = 0;

	gro_finish(packet, frames, &header);
	parts[count++] = (struct iovec){&header, sizeof(header)};
	for (uint8_t i = packet->first; i != GRO_NONE; i = gro->next[i]) {
		uint32_t skip = i == packet->first ? 0 : packet->header_len;

		parts[count++] = (struct iovec){frames[i].data + skip, frames[i].len - skip};
	}
	return writev(queue->head.fd, parts, count) >= 0;
}

static uint32_t tun_queue_send(
	struct port_queue *head, const struct frame *frames, uint32_t count, struct chunk_cache *cache)
{
	struct tun_queue *queue = (struct tun_queue *)head;
	struct frame batch[GRO_FRAMES_MAX];
	struct gro gro;

	(void)cache; /* buffers go back at the flush */
	if (count > DONE_MAX - queue->done_count)
		count = DONE_MAX - queue->done_count;
	if (count > GRO_FRAMES_MAX)
		count = GRO_FRAMES_MAX;
	memcpy(batch, frames, count * sizeof(*frames));
	gro_sort(&gro, batch, count);
	for (uint32_t i = 0; i < gro.count; i++)
		if (!tun_write(queue, &gro, &gro.packets[i], batch))
			queue->lost.tx_refused += gro.packets[i].count;
	for (uint32_t i = 0; i < count; i++)
		queue->done[queue->done_count++] = batch[i].chunk;
	return count;
}

static bool tun_queue_flush(struct port_queue *head, struct chunk_cache *cache)
{
	struct tun_queue *queue = (struct tun_queue *)head;

	while (queue->done_count)
		chunk_give(cache, queue->done[--queue->done_count]);
	return false;
}

/* ---- the queue ----------------------------------------------------------------------------------------------- */

static void tun_queue_lost(struct port_queue *head, struct port_lost *lost)
{
	struct tun_queue *queue = (struct tun_queue *)head;

	*lost = queue->lost;
	queue->lost = (struct port_lost){0};
}

static void tun_queue_free(struct port_queue *head)
{
	struct tun_queue *queue = (struct tun_queue *)head;

	tun_queue_flush(head, &queue->stash);
	chunk_cache_drain(&queue->stash);
	close(queue->head.fd);
	free(queue);
}

static const struct port_ops tun_ops = {
	.recv = tun_queue_recv,
	.refill = tun_queue_refill,
	.send = tun_queue_send,
	.flush = tun_queue_flush,
	.lost = tun_queue_lost,
	.free = tun_queue_free,
};

static struct port_queue *tun_queue_new(int fd, struct host_policy *policy, struct umem *umem)
{
	struct tun_queue *queue = calloc(1, sizeof(*queue));

	if (!queue) {
		close(fd);
		return NULL;
	}
	chunk_cache_init(&queue->stash, umem);
	queue->flows.policy = policy;
	port_queue_init(&queue->head, &tun_ops, fd);
	return &queue->head;
}

int tun_port_open(const struct link_info *link, uint32_t slot, const int *fds, uint32_t count,
	struct host_policy *policy, struct umem *umem, struct port **out)
{
	struct port *port = calloc(1, sizeof(*port));
	bool whole = port;

	for (uint32_t i = 0; i < count; i++) {
		struct port_queue *queue = tun_queue_new(fds[i], policy, umem);

		whole = whole && queue;
		if (port)
			port->queues[i] = queue;
		else if (queue)
			queue->ops->free(queue);
	}
	if (!whole) {
		if (port)
			port->queue_count = count;
		port_free(port);
		return -ENOMEM;
	}
	port->slot = slot;
	port->ifindex = link->ifindex;
	snprintf(port->name, sizeof(port->name), "%s", link->name);
	port->host = true;
	port->queue_count = count;
	port->mode = ATTACH_NONE;
	atomic_store(&port->mtu, link->mtu);
	atomic_store(&port->up, true);
	*out = port;
	return 0;
}
