/* SPDX-License-Identifier: Apache-2.0 */
/* Fragmentation of an inner IPv4 packet before it is sealed (RFC 791 3.2; RFC 4301 7): only without don't-fragment. */
#ifndef ESPALIER_AGENT_FRAGMENT_H
#define ESPALIER_AGENT_FRAGMENT_H

#include "agent/frame.h"
#include "agent/inner.h"

#include <stdbool.h>
#include <stdint.h>

#define FRAGMENTS_MAX 16u

/* How many fragments of at most `mtu` bytes does it take? 0: must not or cannot be fragmented (IPv6, don't-fragment,
 * mtu too small). */
unsigned fragment_count(const uint8_t *packet, const struct inner *inner, uint32_t mtu);
/*
 * Split into `count` frames (from fragment_count) with buffers of the caller's that hold `mtu` bytes of packet
 * (frame_alloc), other than the packet's. Each out[i].data is an IPv4 packet with FRAME_HEADROOM before it; `meta` is
 * left alone.
 */
void fragment_split(const uint8_t *packet, const struct inner *inner, uint32_t mtu, struct frame *out, unsigned count);

#endif
