/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's view of the SADB: the mapped slots, shared by all, and this worker's own contexts over them, made when a
 * packet first needs one and dropped when the slot's generation moves on. When the generation of the SA's tunnel moves
 * on, the context takes over the tunnel's options and selectors and stays.
 */
#ifndef ESPALIER_AGENT_SA_TABLE_H
#define ESPALIER_AGENT_SA_TABLE_H

#include "agent/nexthop.h"
#include "agent/sa_context.h"
#include "bpf/contract.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The maps' memory, or a test's. Borrowed. */
struct sa_maps {
	const volatile struct sa *sa;
	struct sa_run *run;
	const volatile struct tunnel *tunnel;
	uint32_t sa_count;
	uint32_t tunnel_count;
};

struct sa_slot {
	struct sa_context context;
	uint32_t generation; /* of the map's slot when `context` was made */
	bool broken;	     /* the slot holds what this agent cannot use; asked again when the generation moves */
	bool touched;	     /* has counters to flush */
	uint32_t mtu_outer;  /* what context.carries was found out for */
	uint64_t moved_told_ns;
	uint32_t marked_tick;		/* of sent_mark, 0: never */
	struct nexthop_place outer_hop; /* from the SA's local address to its remote one */
	struct sa_slot *next;		/* among those dropped in this turn */
};

struct sa_table {
	struct sa_maps maps;
	atomic_flag *replay_locks; /* one per slot, shared by all workers; NULL with one worker */
	struct sa_slot **slots;	   /* by SA index; NULL: no context yet */
	uint32_t swept;		   /* where the next sweep goes on */
	uint32_t used_end;	   /* no slot from here on was ever used */
	uint16_t ids;		   /* the last identification of an outer IPv4 packet (struct sa_context) */
	struct sa_slot *dropped;   /* no longer found, but packets that have begun may still need them */
};

/* -ENOMEM. `replay_locks` is borrowed: one flag per SA, in process memory, so that a crash leaves nothing locked
 * behind. */
int sa_table_init(struct sa_table *table, const struct sa_maps *maps, atomic_flag *replay_locks);
void sa_table_clear(struct sa_table *table);

/*
 * The context of SA `index` for this direction, by what its tunnel says now. NULL: *reason is DROP_SA_BROKEN, or `gone`
 * if there is no such live SA. Valid until the worker's turn ends.
 */
struct sa_slot *sa_table_find(struct sa_table *table, uint32_t index, enum sa_direction direction,
	enum drop_reason gone, enum drop_reason *reason);

/* At the end of a turn, when no packet is under way: wipe and free what was dropped in it. */
void sa_table_reap(struct sa_table *table);
/* Drop the contexts, keys included, of SAs that are no longer there. Looks at `max` slots at most, from where the last
 * call ended: with many SAs a whole sweep would hold up the packets. */
void sa_table_sweep(struct sa_table *table, uint32_t max);

/* The SA by which worker `worker` sends packets of tunnel `id` now (several a child: RFC 9611, struct tunnel), SA_NONE
 * if none does; false: there is no such tunnel. */
bool sa_table_tunnel(const struct sa_table *table, uint32_t id, uint32_t worker, uint32_t *out_sa);

#endif
