/* SPDX-License-Identifier: Apache-2.0 */
/* One packet under AH: RFC 4302 3.3, tunnel and transport mode. */
#ifndef ESPALIER_AGENT_AH_SEAL_H
#define ESPALIER_AGENT_AH_SEAL_H

#include "agent/frame.h"
#include "agent/inner.h"
#include "agent/sa_context.h"

#include <stdint.h>

/*
 * As esp_seal (esp_seal.h): from the inner packet to the outer one in place, its reasons included, and
 * DROP_AH_MALFORMED for headers that cannot be read.
 */
enum drop_reason ah_seal(struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns);

#endif
