/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What outbound SAs have sent lately, for ICMP errors that quote it: the SAs found by SPI and peer, and of each the
 * sequence numbers of the last seconds. The worker that numbers an SA's packets writes, any worker reads. In process
 * memory: after a restart nothing was sent lately until something is.
 *
 * An entry of the index is a hint: who finds one asks the SA itself. So none is ever taken out; one whose SA is gone or
 * changed gives way to the next that needs its place.
 */
#ifndef ESPALIER_AGENT_SENT_H
#define ESPALIER_AGENT_SENT_H

#include "agent/base/clock.h"
#include "agent/sa_table.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SENT_TICK_BITS 28u /* a tick is 2^28 ns: about a quarter of a second */
#define SENT_TICKS     16u /* "lately": so many ticks, 4 seconds; no path takes longer to answer */
#define SENT_WAYS      8u  /* places that an SA may have in the index */

/* One SA's: in slot t % SENT_TICKS, what was the last number before tick t's first. */
struct sent_marks {
	_Atomic uint32_t generation; /* of the SA that wrote them */
	_Atomic uint32_t ticks[SENT_TICKS];
	_Atomic uint64_t before[SENT_TICKS];
};

struct sent {
	uint32_t sets; /* a power of two */
	/* SENT_WAYS a set: the SPI << 32 | SA index + 1; 0: empty. */
	_Atomic uint64_t *places;
	struct sent_marks *marks; /* by SA index; memory is taken for those in use */
};

/* For SAs of the given number of slots. -ENOMEM. */
int sent_init(struct sent *sent, uint32_t sa_count);
/* Harmless on a zeroed or cleared one. */
void sent_clear(struct sent *sent);

/* The SA `index` sends: it is found from now on. `maps` tells which entries are of no use any more. */
void sent_add(struct sent *sent, const struct sa_maps *maps, uint32_t index, const struct sa *sa);
/* A live outbound SA with this SPI to this peer, as far as can be told without its generation; SA_NONE. */
uint32_t sent_find(const struct sent *sent, const struct sa_maps *maps, __be32 spi, const struct addr16 *remote);

/* The SA has taken numbers in this tick, up to now `before` of them (or a few less) before its first: the writer alone,
 * at least once in each tick in which it does. */
void sent_mark(struct sent *sent, uint32_t index, uint32_t generation, uint64_t before, uint64_t now_ns);
/* The last number that was not sent lately, UINT64_MAX if none was. */
uint64_t sent_before(const struct sent *sent, uint32_t index, uint32_t generation, uint64_t now_ns);

static inline uint32_t sent_tick(uint64_t now_ns)
{
	return (uint32_t)(now_ns >> SENT_TICK_BITS);
}

#endif
