/* SPDX-License-Identifier: Apache-2.0 */
/* What the tunnel's headers, padding and ICV cost: from the outer MTU to the inner one, and lengths on the wire. */
#ifndef ESPALIER_AGENT_OVERHEAD_H
#define ESPALIER_AGENT_OVERHEAD_H

#include "agent/sa_context.h"
#include "agent/suite.h"

#include <stdbool.h>
#include <stdint.h>

/* Length of the outer packet (IP header to ICV) around an inner packet of `inner_len` bytes. */
uint32_t overhead_outer_len(const struct esp_suite *suite, uint8_t outer_family, bool udp_encap, uint32_t inner_len);
/*
 * The longest inner packet whose outer packet fits `outer_mtu`; 0 if none does. For an SA: sa.mtu if it is set and
 * smaller than the interface's MTU, else the interface's.
 */
uint32_t overhead_inner_mtu(const struct esp_suite *suite, uint8_t outer_family, bool udp_encap, uint32_t outer_mtu);

/*
 * The same in transport mode, where the packet's own header is the outer one: the longest packet, header included, that
 * fits whatever options or extension headers it has.
 */
uint32_t overhead_transport_mtu(const struct esp_suite *suite, uint8_t family, bool udp_encap, uint32_t outer_mtu);
/* The longest packet that this SA carries, in its mode, under `outer_mtu`. */
uint32_t overhead_carries(const struct sa_context *ctx, uint32_t outer_mtu);

#endif
