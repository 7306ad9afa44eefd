/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ICMP errors about a packet that cannot be forwarded (RFC 792, RFC 1191, RFC 1812 4.3.2; RFC 4443, RFC 8201). Never
 * about ICMP errors, later fragments, or packets to or from other than single hosts. The rate limit is the worker's.
 */
#ifndef ESPALIER_AGENT_ICMP_ERROR_H
#define ESPALIER_AGENT_ICMP_ERROR_H

#include "agent/frame.h"
#include "agent/inner.h"

#include <stdbool.h>
#include <stdint.h>

enum icmp_error { ICMP_TOO_BIG, ICMP_TTL_EXPIRED };

/* type << 8 | code, as policies ask for it (struct inner). */
uint16_t icmp_error_type(enum icmp_error kind, uint8_t family);

/*
 * Build the error about `packet` (as received: before its TTL was decremented) into `out`, whose chunk the caller
 * gives; `out` must be another frame than the packet's. `source` is the error's, in the packet's family,
 * 4 or 16 bytes; `mtu` is told with ICMP_TOO_BIG. True: out->data is an IP packet to inner->source with FRAME_HEADROOM
 * before it. False: no error may be sent about this packet.
 */
bool icmp_error_build(struct frame *out, enum icmp_error kind, const uint8_t *packet, const struct inner *inner,
	const uint8_t *source, uint32_t mtu);

#endif
