/* SPDX-License-Identifier: Apache-2.0 */
/* One packet into the tunnel: RFC 4303 3.3, tunnel mode; in UDP by RFC 3948. */
#ifndef ESPALIER_AGENT_ESP_SEAL_H
#define ESPALIER_AGENT_ESP_SEAL_H

#include "agent/frame.h"
#include "agent/inner.h"
#include "agent/sa_context.h"

#include <stdint.h>

/*
 * On entry frame->data is the inner IP header and `inner` its parse; bytes of the frame behind inner->len are cut off.
 * On DROP_NONE frame->data is the outer IP header and frame->len the whole packet: only the link header is missing (>=
 * FRAME_HEADROOM - 100 bytes are left for it if the frame began with FRAME_HEADROOM). `inner` is dead then. On any
 * other reason the frame's bytes are undefined. TTL, MSS, partial checksums and MTU are the worker's business, before;
 * `now_ns` is for lifetimes. The sequence number is taken in run->out_seq with an atomic add, so several workers may
 * seal for one SA (each with its own context). DROP_SA_EXPIRED, DROP_SEQ_EXHAUSTED, DROP_TOO_BIG (no room in the
 * frame), DROP_CRYPTO_ERROR.
 */
enum drop_reason esp_seal(struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns);

#endif
