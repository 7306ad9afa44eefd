/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's turn, from the queues to the queues:
 *
 *   receive a batch -> begin every packet -> all jobs of a bundle -> end every packet, in order -> send the batches
 *
 * A packet that needs no cipher (it is held, answered, or dies) leaves at its begin. Everything else of the path stands
 * in in.c, out.c and forward.c.
 */
#ifndef ESPALIER_AGENT_TURN_H
#define ESPALIER_AGENT_TURN_H

#include "agent/worker.h"

/* One turn over all ports. Gives the number of packets received. */
uint32_t worker_turn(struct worker *worker, uint64_t now_ns);

/* The bundle that the next packet to seal (or to open) joins, with room for one. What filled it is sealed (opened) and
 * has left. */
struct bundle *turn_sealing(struct worker *worker);
struct bundle *turn_opening(struct worker *worker);

#endif
