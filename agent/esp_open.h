/* SPDX-License-Identifier: Apache-2.0 */
/* One packet out of ESP: RFC 4303 3.4, tunnel and transport mode; in UDP by RFC 3948. */
#ifndef ESPALIER_AGENT_ESP_OPEN_H
#define ESPALIER_AGENT_ESP_OPEN_H

#include "agent/frame.h"
#include "agent/inner.h"
#include "agent/sa_context.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A packet is opened in four steps, so that the ciphers of many packets are done at once (suite.h): begin, the job
 * itself (esp_jobs_open), mark, end. Packets of one SA are marked and ended in the order in which they began.
 *
 * begin: on entry the frame is as received: frame->meta (META_ESP_IN) holds the outer header's and the SPI's offsets
 * from frame->data. Nothing of metadata or bytes is trusted. On DROP_NONE `job` is filled and the frame is unchanged,
 * as it must stay but for the job's own work.
 */
enum drop_reason esp_open_begin(struct sa_context *ctx, struct frame *frame, uint64_t now_ns, struct esp_job *job);
/*
 * After the jobs of `count` packets of one SA: their fate by integrity check and replay window, into `reasons`; the
 * window is locked once for all. If an authenticated, newest packet of a UDP-encapsulated SA came from elsewhere than
 * sa.remote, run->seen_remote and seen_remote_port say so (RFC 7296 2.23); they are reset once packets come from
 * sa.remote again.
 */
void esp_open_mark(struct sa_context *ctx, const struct frame *frames, const struct esp_job *jobs,
	enum drop_reason *reasons, uint32_t count);
/*
 * On DROP_NONE frame->data is the inner IP header (in transport mode the packet's own), frame->len its length, `inner`
 * its parse; selectors and ECN are done, TTL and MSS are the worker's business. For packets that were marked well
 * alone.
 */
enum drop_reason esp_open_end(
	struct sa_context *ctx, struct frame *frame, struct inner *inner, uint64_t now_ns, const struct esp_job *job);
/* On any other reason of any of these the frame's bytes are undefined and the SA has counted it. */

/* All four for one packet. */
enum drop_reason esp_open(struct sa_context *ctx, struct frame *frame, struct inner *inner, uint64_t now_ns);

/* Where the peer was last seen, if not at sa.remote, as one whole whatever other workers write meanwhile. False: there.
 */
bool esp_moved(const struct sa_context *ctx, struct addr16 *remote, uint16_t *port);

#endif
