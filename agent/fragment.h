/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fragmentation: of an inner IPv4 packet before it is sealed, of an outer one of either family after that (RFC 4301 7,
 * RFC 4303 3.3.4).
 */
#ifndef ESPALIER_AGENT_FRAGMENT_H
#define ESPALIER_AGENT_FRAGMENT_H

#include "agent/frame.h"
#include "agent/inner.h"

#include <stdbool.h>
#include <stdint.h>

#define FRAGMENTS_MAX 16u

/* How many fragments of at most `mtu` bytes does it take (RFC 791 3.2)? 0: must not or cannot be fragmented (IPv6,
 * don't-fragment, mtu too small). */
unsigned fragment_count(const uint8_t *packet, const struct inner *inner, uint32_t mtu);
/*
 * Split into `count` frames (from fragment_count) with buffers of the caller's that hold `mtu` bytes of packet
 * (frame_alloc), other than the packet's. Each out[i].data is an IPv4 packet with FRAME_HEADROOM before it; `meta` is
 * left alone.
 */
void fragment_split(const uint8_t *packet, const struct inner *inner, uint32_t mtu, struct frame *out, unsigned count);

/*
 * The same for an IPv6 packet of `len` bytes, by its source alone, which this gateway is of outer packets (RFC 8200
 * 4.5): every fragment begins with the headers up to and with hop-by-hop and routing header. `packet` is whole and its
 * extension headers are well-formed as far as the first other one. 0: it has a fragment header already, `mtu` is less
 * than IPv6 allows, or it takes too many.
 */
unsigned fragment6_count(const uint8_t *packet, uint32_t len, uint32_t mtu);
/* `id` is to be new between these two addresses for as long as fragments may be on their way. */
void fragment6_split(const uint8_t *packet, uint32_t len, uint32_t mtu, uint32_t id, struct frame *out, unsigned count);

#endif
