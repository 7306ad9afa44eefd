/* SPDX-License-Identifier: Apache-2.0 */
/* A worker and a table of fragments (reassembly.h): the frame that completes a packet becomes it. */
#ifndef ESPALIER_AGENT_JOIN_H
#define ESPALIER_AGENT_JOIN_H

#include "agent/reassembly.h"
#include "agent/worker.h"

/*
 * Put the fragment at `frame` (its IP header at meta.l3_off) to the others of its packet. On DROP_NONE the frame is the
 * whole packet if `*whole`, else it was kept and the frame has been freed. Other reasons are this fragment's; the frame
 * stays the caller's.
 */
enum drop_reason join_fragment(struct worker *worker, struct reassembly *table, struct frame *frame, bool *whole);

/* Give up what waited too long, and count what died since the last call. NULL: nothing to do. */
void join_sweep(struct worker *worker, struct reassembly *table);

#endif
