/* SPDX-License-Identifier: Apache-2.0 */
/* One ESP packet, from the network to the host behind us: its begin and its end (turn.h). */
#ifndef ESPALIER_AGENT_IN_H
#define ESPALIER_AGENT_IN_H

#include "agent/worker.h"

/* META_ESP_IN: frame->data is the link header. On DROP_NONE it has joined the bundle of packets to open. */
enum drop_reason in_begin(struct worker *worker, struct frame *frame);
/* The same, where it is no matter of nanoseconds. */
enum drop_reason in_begin_any(struct worker *worker, struct frame *frame);
/* META_AH_IN: checked and sent on at once. Fate as in worker.h. */
enum drop_reason in_ah(struct worker *worker, struct frame *frame);
/* META_ICMP_IN: heeded if it can be believed (pmtu.h). */
enum drop_reason in_icmp(struct worker *worker, struct frame *frame);
/* META_FRAGMENT_IN: kept until its packet is whole, which then begins as if it had come so. */
enum drop_reason in_fragment(struct worker *worker, struct frame *frame);
/* `count` packets of one SA, in their order, whose jobs are done: marked in its window, taken out of the tunnel, and on
 * their way, or dropped. */
void in_end(
	struct worker *worker, struct sa_slot *slot, struct frame *frames, const struct esp_job *jobs, uint32_t count);

#endif
