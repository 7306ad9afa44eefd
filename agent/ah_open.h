/* SPDX-License-Identifier: Apache-2.0 */
/* One packet out of AH: RFC 4302 3.4, tunnel and transport mode. */
#ifndef ESPALIER_AGENT_AH_OPEN_H
#define ESPALIER_AGENT_AH_OPEN_H

#include "agent/frame.h"
#include "agent/inner.h"
#include "agent/sa_context.h"

#include <stdint.h>

/*
 * As esp_open (esp_open.h): on entry frame->meta (META_AH_IN) holds the outer header's and AH's offsets, and nothing of
 * it is trusted; on DROP_NONE frame->data is the inner IP header, in transport mode the packet's own. Bytes behind the
 * IP packet may be overwritten. DROP_AH_MALFORMED: lengths that do not fit the suite, headers that cannot be read.
 */
enum drop_reason ah_open(struct sa_context *ctx, struct frame *frame, struct inner *inner, uint64_t now_ns);

#endif
