/* SPDX-License-Identifier: Apache-2.0 */
/* TCP MSS clamping: a SYN's announced segment size is lowered to what the tunnel carries, so that nothing depends on
 * ICMP. */
#ifndef ESPALIER_AGENT_MSS_H
#define ESPALIER_AGENT_MSS_H

#include "agent/inner.h"

#include <stdbool.h>
#include <stdint.h>

#define MSS_TCP_LEN 20u /* of a header without options */
#define MSS_TCP_SYN 0x02u

/*
 * If `packet` is a TCP SYN (or SYN-ACK) whose MSS option is larger than `mtu` (inner, of the tunnel) allows, lower it,
 * checksum by difference. Both directions of the tunnel are to be clamped. A SYN without the option is left alone. True
 * if something was changed.
 */
bool mss_clamp(uint8_t *packet, const struct inner *inner, uint32_t mtu);

/* Can a plain packet (struct inner) of `total` bytes be one that mss_clamp changes? */
static inline bool mss_announced(const uint8_t *packet, uint32_t total)
{
	return packet[9] == IPPROTO_TCP &&
	       (total < WIRE_IPV4_LEN + MSS_TCP_LEN || packet[WIRE_IPV4_LEN + 13] & MSS_TCP_SYN);
}

#endif
