/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other way round: consecutive TCP segments for the host become one large packet, which its stack takes in one go.
 * The rules are the Linux kernel's own for GRO: only what can be cut into the same segments again is put together
 * (but for identifications under don't-fragment, which mean nothing), and a segment with a wrong checksum never is.
 * Packets of one flow keep their order. No system call, no memory of its own.
 */
#ifndef ESPALIER_AGENT_GRO_H
#define ESPALIER_AGENT_GRO_H

#include "agent/frame.h"

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#define GRO_FRAMES_MAX 64u    /* of one batch */
#define GRO_LEN_MAX    65535u /* of one large packet */
#define GRO_NONE       0xffu

/* One packet to be written: one frame, or a chain of them. */
struct gro_packet {
	uint8_t first; /* index into the batch; go on with struct gro's `next` until GRO_NONE */
	uint8_t last;
	uint8_t count;
	uint8_t family;
	bool open;	     /* another segment may follow */
	bool verified;	     /* TCP, and every checksum in it is right */
	uint16_t header_len; /* IP and TCP header */
	uint16_t transport_off;
	uint16_t size;	/* TCP payload of the first segment */
	uint16_t ip_id; /* IPv4: of the last segment */
	uint32_t len;	/* of the whole */
	uint32_t next_sequence;
	uint32_t flow; /* hash of addresses and ports; 0: not TCP */
};

struct gro {
	uint32_t count;
	struct gro_packet packets[GRO_FRAMES_MAX]; /* in the order to write them */
	uint8_t next[GRO_FRAMES_MAX];
};

/* Sort a batch of IP packets (`data` at the network header, at most GRO_FRAMES_MAX) into `gro`. Frames are only read.
 */
void gro_sort(struct gro *gro, const struct frame *frames, uint32_t count);

/*
 * The virtio-net header (little-endian) of one packet of the batch. Where several frames stand behind it, the first
 * one's lengths, flags and checksums become those of the whole, the TCP checksum that of the pseudo header alone; the
 * payloads of the others follow at `header_len` of each.
 */
void gro_finish(const struct gro_packet *packet, struct frame *frames, struct virtio_net_hdr *header);

#endif
