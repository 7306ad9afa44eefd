/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a packet fit a tunnel's traffic selectors (RFC 4301 5.2 step 4, RFC 7296 3.13.1)? Some local selector and some
 * remote selector must both contain it. A later fragment, which has no ports, fits only selectors with any port or
 * OPAQUE (first > last).
 */
#ifndef ESPALIER_AGENT_SELECTOR_H
#define ESPALIER_AGENT_SELECTOR_H

#include "agent/inner.h"
#include "bpf/contract.h"

#include <stdbool.h>

/* A packet that came out of the tunnel: destination is local, source is remote. */
bool selector_match_in(const struct tunnel *tunnel, const struct inner *inner);
/* A packet that is to go into it: source is local, destination is remote. */
bool selector_match_out(const struct tunnel *tunnel, const struct inner *inner);

#endif
