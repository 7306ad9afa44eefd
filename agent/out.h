/* SPDX-License-Identifier: Apache-2.0 */
/* One plaintext packet, into its tunnel. */
#ifndef ESPALIER_AGENT_OUT_H
#define ESPALIER_AGENT_OUT_H

#include "agent/worker.h"

/* META_PLAIN_OUT: frame->data is the link header. Fate as in worker.h. */
enum drop_reason out_packet(struct worker *worker, struct frame *frame);
/* Packets whose tunnel now has an SA, or whose time is over. */
void out_sweep_held(struct worker *worker);

#endif
