/* SPDX-License-Identifier: Apache-2.0 */
/* One packet out of the tunnel: RFC 4303 3.4, tunnel mode; in UDP by RFC 3948. */
#ifndef ESPALIER_AGENT_ESP_OPEN_H
#define ESPALIER_AGENT_ESP_OPEN_H

#include "agent/frame.h"
#include "agent/inner.h"
#include "agent/sa_context.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * On entry the frame is as received: frame->meta (META_ESP_IN) holds the outer header's and the SPI's offsets from
 * frame->data. Nothing of metadata or bytes is trusted. On DROP_NONE frame->data is the inner IP header, frame->len its
 * length, `inner` its parse; selectors and ECN are done, TTL and MSS are the worker's business. On any other reason the
 * frame's bytes are undefined and the SA has counted it. If an authenticated, newest packet of a UDP-encapsulated SA
 * came from elsewhere than sa.remote, run->seen_remote and seen_remote_port say so (RFC 7296 2.23); they are reset once
 * packets come from sa.remote again.
 */
enum drop_reason esp_open(struct sa_context *ctx, struct frame *frame, struct inner *inner, uint64_t now_ns);

/* Where the peer was last seen, if not at sa.remote, as one whole whatever other workers write meanwhile. False: there.
 */
bool esp_moved(const struct sa_context *ctx, struct addr16 *remote, uint16_t *port);

#endif
