/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lifetimes of SAs (RFC 4301 4.4.2.1): soft ones are told to the IKE daemon, so that it makes a new SA in time; hard
 * ones end the SA here, daemon or not, and are told too. A worker finds out by the packets that it counts; the sweep
 * finds out about SAs that carry none.
 */
#ifndef ESPALIER_AGENT_LIFETIME_H
#define ESPALIER_AGENT_LIFETIME_H

#include "agent/sa_table.h"

#include <stdint.h>

#define LIFETIME_SWEEP_US   (250 * UINT64_C(1000))
#define LIFETIME_SWEEP_STEP 4096u /* slots: some hundred microseconds if all are in use */

/* What of the SA's lifetime is over: AGENT_EXPIRE_SOFT | AGENT_EXPIRE_HARD. */
unsigned lifetime_reached(const struct sa *sa, const struct sa_run *run, uint64_t now_ns);
/* The part of `kinds` that nobody has told before; from now on it counts as told. */
unsigned lifetime_tell(struct sa_run *run, unsigned kinds);

/* SA `index` has reached what was not told before. */
typedef void (*lifetime_fn)(void *context, uint32_t index, __be32 spi, unsigned kinds);

/* Look at up to LIFETIME_SWEEP_STEP slots from `from` on; gives where to go on. Any thread. */
uint32_t lifetime_sweep(const struct sa_maps *maps, uint32_t from, uint64_t now_ns, lifetime_fn fn, void *context);
/* An IKE daemon has come that may have heard nothing: all is told anew. */
void lifetime_forget_told(const struct sa_maps *maps);

#endif
