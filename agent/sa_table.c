/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/sa_table.h"

#include "agent/base/secret.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define READ_TRIES 1000u /* a writer holds a slot for well under a microsecond */

int sa_table_init(struct sa_table *table, const struct sa_maps *maps, atomic_flag *replay_locks)
{
	table->maps = *maps;
	table->replay_locks = replay_locks;
	table->used_end = 0;
	table->dropped = NULL;
	table->swept = 0;
	table->ids = 0;
	table->slots = calloc(maps->sa_count, sizeof(struct sa_slot *));
	return table->slots ? 0 : -ENOMEM;
}

static void sa_table_drop(struct sa_table *table, uint32_t index)
{
	struct sa_slot *slot = table->slots[index];

	if (!slot)
		return;
	slot->next = table->dropped;
	table->dropped = slot;
	table->slots[index] = NULL;
}

void sa_table_reap(struct sa_table *table)
{
	while (table->dropped) {
		struct sa_slot *slot = table->dropped;

		table->dropped = slot->next;
		sa_context_clear(&slot->context);
		free(slot);
	}
}

void sa_table_clear(struct sa_table *table)
{
	for (uint32_t i = 0; table->slots && i < table->used_end; i++)
		sa_table_drop(table, i);
	sa_table_reap(table);
	free(table->slots);
	table->slots = NULL;
}

/* Copy the slot under its generation (struct sa): even before and the same after. */
static bool sa_read(const volatile struct sa *slot, struct sa *copy)
{
	for (uint32_t i = 0; i < READ_TRIES; i++) {
		uint32_t generation = __atomic_load_n(&slot->generation, __ATOMIC_ACQUIRE);

		if (generation & 1)
			continue;
		memcpy(copy, (const void *)slot, sizeof(*copy));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&slot->generation, __ATOMIC_RELAXED) == generation) {
			copy->generation = generation;
			return copy->state == SA_LIVE;
		}
	}
	return false;
}

/* The same of a tunnel, whose selectors must be all of one writing. */
static bool tunnel_read(const volatile struct tunnel *slot, struct tunnel *copy)
{
	for (uint32_t i = 0; i < READ_TRIES; i++) {
		uint32_t generation = __atomic_load_n(&slot->generation, __ATOMIC_ACQUIRE);

		if (generation & 1)
			continue;
		memcpy(copy, (const void *)slot, sizeof(*copy));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&slot->generation, __ATOMIC_RELAXED) == generation) {
			copy->generation = generation;
			return true;
		}
	}
	return false;
}

/*
 * The tunnel of a living SA was written since the slot read it: its options and selectors come into force in the
 * context as it is, with the keys, counters and way that it has. Packets that have begun lose nothing by it: what their
 * ends ask of the tunnel is right by either writing, and helpers look at ciphers alone (loan.h). While the tunnel is
 * being written, what was read before holds.
 */
__attribute__((noinline)) static void sa_slot_renew(struct sa_slot *slot, const volatile struct tunnel *from)
{
	struct tunnel tunnel;

	if (__atomic_load_n(&from->generation, __ATOMIC_RELAXED) & 1 || !tunnel_read(from, &tunnel))
		return;
	slot->context.tunnel = tunnel;
	sa_context_derive(&slot->context);
}

/* A context that is in use names a tunnel of the map. */
static void sa_slot_follow(const struct sa_table *table, struct sa_slot *slot)
{
	const volatile struct tunnel *tunnel = &table->maps.tunnel[slot->context.sa.tunnel];

	if (slot->context.tunnel.generation != __atomic_load_n(&tunnel->generation, __ATOMIC_ACQUIRE))
		sa_slot_renew(slot, tunnel);
}

static struct sa_slot *sa_table_make(struct sa_table *table, uint32_t index)
{
	struct sa_slot *slot;
	struct tunnel tunnel;
	bool known;
	struct sa sa;

	if (!sa_read(&table->maps.sa[index], &sa))
		return NULL;
	known = sa.tunnel < table->maps.tunnel_count;
	slot = known && !tunnel_read(&table->maps.tunnel[sa.tunnel], &tunnel) ? NULL : calloc(1, sizeof(*slot));
	if (slot) {
		slot->generation = sa.generation;
		slot->broken = !known || sa_context_init(&slot->context, &sa, &tunnel, &table->maps.run[index]) != 0;
	}
	secret_wipe(&sa, sizeof(sa));
	if (!slot)
		return NULL;
	slot->context.ids = &table->ids;
	if (table->replay_locks)
		slot->context.replay_lock = &table->replay_locks[index];
	table->slots[index] = slot;
	if (index >= table->used_end)
		table->used_end = index + 1;
	return slot;
}

/* The slot moved on. Between the same addresses the way is the same. */
static struct sa_slot *sa_table_renew(struct sa_table *table, uint32_t index)
{
	struct sa_slot *before = table->slots[index], *slot;

	sa_table_drop(table, index);
	slot = sa_table_make(table, index);
	if (slot && before && !memcmp(&slot->context.sa.remote, &before->context.sa.remote, sizeof(struct addr16)) &&
		!memcmp(&slot->context.sa.local, &before->context.sa.local, sizeof(struct addr16)))
		slot->outer_hop = before->outer_hop;
	return slot;
}

struct sa_slot *sa_table_find(struct sa_table *table, uint32_t index, enum sa_direction direction,
	enum drop_reason gone, enum drop_reason *reason)
{
	struct sa_slot *slot;

	*reason = gone;
	if (index >= table->maps.sa_count)
		return NULL;
	slot = table->slots[index];
	if (!slot || slot->generation != __atomic_load_n(&table->maps.sa[index].generation, __ATOMIC_ACQUIRE))
		slot = sa_table_renew(table, index);
	if (!slot)
		return NULL;
	if (slot->broken || slot->context.sa.direction != direction) {
		*reason = DROP_SA_BROKEN;
		return NULL;
	}
	sa_slot_follow(table, slot);
	return slot;
}

void sa_table_sweep(struct sa_table *table, uint32_t max)
{
	for (uint32_t left = max < table->used_end ? max : table->used_end; left; left--) {
		uint32_t i = table->swept < table->used_end ? table->swept : 0;

		table->swept = i + 1;
		if (table->slots[i] &&
			table->slots[i]->generation != __atomic_load_n(&table->maps.sa[i].generation, __ATOMIC_ACQUIRE))
			sa_table_drop(table, i);
	}
	for (; max && table->used_end && !table->slots[table->used_end - 1]; max--)
		table->used_end--;
}

bool sa_table_tunnel(const struct sa_table *table, uint32_t id, uint32_t worker, uint32_t *out_sa)
{
	const volatile struct tunnel *tunnel;
	uint32_t more;

	if (id >= table->maps.tunnel_count)
		return false;
	tunnel = &table->maps.tunnel[id];
	if (tunnel->state != TUNNEL_LIVE)
		return false;
	*out_sa = SA_NONE;
	more = __atomic_load_n(&tunnel->out_more_count, __ATOMIC_ACQUIRE);
	if (more && more <= OUT_MORE_MAX && worker % (more + 1))
		*out_sa = __atomic_load_n(&tunnel->out_more[worker % (more + 1) - 1], __ATOMIC_ACQUIRE);
	if (*out_sa == SA_NONE)
		*out_sa = __atomic_load_n(&tunnel->out_sa, __ATOMIC_ACQUIRE);
	return true;
}
