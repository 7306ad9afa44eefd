/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large packets of the host in pieces. A TUN device with virtio-net headers hands over what a sender's TCP (TSO) or UDP
 * (USO) wrote in one go, with headers as for one packet and the checksum left open; here it becomes the packets that a
 * network carries. Bytes in, bytes out: no system call, no memory of its own.
 */
#ifndef ESPALIER_AGENT_GSO_H
#define ESPALIER_AGENT_GSO_H

#include "agent/inner.h"

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* Linux 6.2: UDP datagrams of one size */
#endif

#define GSO_PACKET_MAX 65535u

/* One large packet and how far it has been cut. */
struct gso {
	const uint8_t *packet; /* borrowed, unchanged until the last piece is taken */
	uint32_t header_len;   /* IP and transport header; of a packet that is not to be cut, all of it */
	uint32_t payload_len;  /* behind the headers */
	uint32_t size;	       /* payload of every piece but the last */
	uint32_t offset;       /* payload taken so far */
	uint32_t taken;	       /* pieces taken so far */
	uint32_t count;	       /* pieces in all */
	uint16_t transport_off;
	uint8_t family;
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP; 0: not to be cut */
	uint64_t pseudo;  /* sum of addresses and protocol */
};

/*
 * Begin with the packet of `len` bytes that came with `header` (little-endian fields, as TUNSETVNETLE gives them);
 * `inner` is its parse (inner_parse). A packet that is not to be cut gets its checksum completed in place where the
 * header says so. False: the header says what the packet is not, or asks for what was not offered. The packet stays
 * borrowed until gso_next has given the last piece.
 */
bool gso_begin(struct gso *gso, const struct virtio_net_hdr *header, uint8_t *packet, const struct inner *inner);

static inline bool gso_pending(const struct gso *gso)
{
	return gso->taken < gso->count;
}

/* Bytes of the longest piece. */
static inline uint32_t gso_piece_max(const struct gso *gso)
{
	return gso->header_len + (gso->payload_len < gso->size ? gso->payload_len : gso->size);
}

/*
 * Write the next piece to `out`, which has room for gso_piece_max() bytes, and give its length. IP lengths and IPv4
 * identification (RFC 6864: distinct), TCP sequence number and flags, UDP length and the checksums are the piece's own.
 * Only while gso_pending().
 */
uint32_t gso_next(struct gso *gso, uint8_t *out);

#endif
