/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a packet fit a tunnel's traffic selectors (RFC 4301 5.2 step 4, RFC 7296 3.13.1)? Some local selector and some
 * remote selector must both contain it. A later fragment, which has no ports, fits only selectors with any port or
 * OPAQUE (first > last).
 */
#ifndef ESPALIER_AGENT_SELECTOR_H
#define ESPALIER_AGENT_SELECTOR_H

#include "agent/inner.h"
#include "agent/wire.h"
#include "bpf/contract.h"

#include <stdbool.h>

/*
 * A tunnel's first local and remote selector, ready to be asked, if both are of IPv4 and name neither protocol nor
 * ports: most tunnels have no other. Zeroed: they are not.
 */
struct selector_pair {
	uint8_t family;	      /* 4; 0: matches nothing */
	uint32_t local_first; /* host order */
	uint32_t local_span;  /* last less first */
	uint32_t remote_first;
	uint32_t remote_span;
};

void selector_pair_init(struct selector_pair *pair, const struct tunnel *tunnel);

/* A packet that came out of the tunnel: destination is local, source is remote. */
bool selector_match_in(const struct tunnel *tunnel, const struct inner *inner);
/* Such an IPv4 packet, by what selector_pair_init made of the tunnel. False: perhaps, ask selector_match_in. */
static inline bool selector_pair_match4(const struct selector_pair *pair, const uint8_t *packet)
{
	return pair->family == 4 && wire_get32(packet + 16) - pair->local_first <= pair->local_span &&
	       wire_get32(packet + 12) - pair->remote_first <= pair->remote_span;
}
/* A packet that is to go into it: source is local, destination is remote. */
bool selector_match_out(const struct tunnel *tunnel, const struct inner *inner);

#endif
