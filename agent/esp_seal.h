/* SPDX-License-Identifier: Apache-2.0 */
/* One packet into ESP: RFC 4303 3.3, tunnel and transport mode; in UDP by RFC 3948. */
#ifndef ESPALIER_AGENT_ESP_SEAL_H
#define ESPALIER_AGENT_ESP_SEAL_H

#include "agent/frame.h"
#include "agent/inner.h"
#include "agent/sa_context.h"

#include <stdint.h>

/*
 * A packet is sealed in four steps, so that the ciphers of many packets are done at once (suite.h): begin, number, the
 * job itself (esp_jobs_seal), end. Begun packets of one SA are numbered and ended in the order in which they began.
 *
 * begin: on entry frame->data is the inner IP header and `inner` its parse; bytes of the frame behind inner->len are
 * cut off. On DROP_NONE frame->data is the outer IP header, frame->len the whole packet (only the link header is
 * missing: >= FRAME_HEADROOM - 100 bytes are left for it if the frame began with FRAME_HEADROOM), the packet is counted
 * as the SA's and `job` is filled but for its number. `inner` is dead then. On any other reason the frame's bytes are
 * undefined and the SA has counted it. TTL, MSS, partial checksums and MTU are the worker's business, before; `now_ns`
 * is for lifetimes. DROP_SA_EXPIRED, DROP_TOO_BIG (no room in the frame); in transport mode DROP_FRAGMENT_TRANSPORT
 * and, for another destination than the SA's peer, DROP_SELECTOR_MISMATCH.
 */
enum drop_reason esp_seal_begin(
	struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns, struct esp_job *job);
/*
 * begin of a dummy packet (RFC 4303 2.6) in either mode: frame->data are frame->len bytes of anything, to be sealed
 * with next header 59 behind a header of the SA's own addresses. All else as above.
 */
enum drop_reason esp_seal_dummy_begin(
	struct sa_context *ctx, struct frame *frame, uint64_t now_ns, struct esp_job *job);
/*
 * Take the next `count` sequence numbers of the SA for these jobs, with one operation on run->out_seq, so several
 * workers may seal for one SA (each with its own context). Gives how many jobs got one, from the first on; the others
 * must not be sealed and are counted as DROP_SEQ_EXHAUSTED (RFC 4303 3.3.3).
 */
uint32_t esp_seal_number(struct sa_context *ctx, struct esp_job *jobs, uint32_t count);
/* After the job: what depends on its number and its ciphertext. DROP_CRYPTO_ERROR. */
enum drop_reason esp_seal_end(struct sa_context *ctx, struct frame *frame, const struct esp_job *job);

/* All four for one packet. */
enum drop_reason esp_seal(struct sa_context *ctx, struct frame *frame, const struct inner *inner, uint64_t now_ns);

#endif
