/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/sent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int sent_init(struct sent *sent, uint32_t sa_count)
{
	*sent = (struct sent){.sets = 1};
	while (sent->sets * SENT_WAYS < 2 * sa_count) /* half empty at the fullest */
		sent->sets *= 2;
	sent->places = calloc((size_t)sent->sets * SENT_WAYS, sizeof(*sent->places));
	sent->marks = calloc(sa_count, sizeof(*sent->marks));
	if (sent->places && sent->marks)
		return 0;
	sent_clear(sent);
	return -ENOMEM;
}

void sent_clear(struct sent *sent)
{
	free(sent->places);
	free(sent->marks);
	*sent = (struct sent){0};
}

/* ---- the index ----------------------------------------------------------------------------------------------- */

static _Atomic uint64_t *sent_set(const struct sent *sent, __be32 spi, const struct addr16 *remote)
{
	uint64_t words[2], hash;

	memcpy(words, remote->bytes, sizeof(words));
	hash = (words[0] ^ words[1]) * UINT64_C(0x9e3779b97f4a7c15) ^ spi;
	hash *= UINT64_C(0x9e3779b97f4a7c15);
	return &sent->places[((hash >> 32) & (sent->sets - 1)) * SENT_WAYS];
}

/* Is the entry's SA what the key says? Another worker or the IKE daemon may be about to change it. */
static bool sent_holds(const struct sa_maps *maps, uint64_t entry, __be32 spi, const struct addr16 *remote)
{
	uint32_t index = (uint32_t)entry - 1;
	const volatile struct sa *sa = &maps->sa[index];

	return entry >> 32 == spi && index < maps->sa_count && sa->spi == spi && sa->direction == SA_OUT &&
	       sa->state == SA_LIVE && memcmp((const void *)&sa->remote, remote, sizeof(*remote)) == 0;
}

/* Is the entry of no use: empty, or its SA gone, changed, or another one's? */
static bool sent_idle(const struct sa_maps *maps, uint64_t entry)
{
	uint32_t index = (uint32_t)entry - 1;

	return !entry || index >= maps->sa_count || maps->sa[index].spi != (__be32)(entry >> 32) ||
	       maps->sa[index].direction != SA_OUT || maps->sa[index].state != SA_LIVE;
}

void sent_add(struct sent *sent, const struct sa_maps *maps, uint32_t index, const struct sa *sa)
{
	_Atomic uint64_t *set = sent_set(sent, sa->spi, &sa->remote);
	uint64_t entry = (uint64_t)sa->spi << 32 | (index + 1);

	for (uint32_t way = 0; way < SENT_WAYS; way++)
		if (atomic_load_explicit(&set[way], memory_order_relaxed) == entry)
			return;
	for (uint32_t way = 0; way < SENT_WAYS; way++) {
		uint64_t there = atomic_load_explicit(&set[way], memory_order_relaxed);

		if (sent_idle(maps, there) && atomic_compare_exchange_strong(&set[way], &there, entry))
			return;
	}
	/* A peer chose its SPIs so: one of them is not found. */
	atomic_store_explicit(&set[index % SENT_WAYS], entry, memory_order_relaxed);
}

uint32_t sent_find(const struct sent *sent, const struct sa_maps *maps, __be32 spi, const struct addr16 *remote)
{
	const _Atomic uint64_t *set = sent_set(sent, spi, remote);

	for (uint32_t way = 0; way < SENT_WAYS; way++) {
		uint64_t entry = atomic_load_explicit(&set[way], memory_order_relaxed);

		if (entry && sent_holds(maps, entry, spi, remote))
			return (uint32_t)entry - 1;
	}
	return SA_NONE;
}

/* ---- the marks ----------------------------------------------------------------------------------------------- */

/* Another SA's, of the same slot. Ticks of 0 are of the host's first second. */
static void marks_reset(struct sent_marks *marks, uint32_t generation)
{
	for (uint32_t i = 0; i < SENT_TICKS; i++)
		atomic_store_explicit(&marks->ticks[i], 0, memory_order_relaxed);
	atomic_store_explicit(&marks->generation, generation, memory_order_release);
}

void sent_mark(struct sent *sent, uint32_t index, uint32_t generation, uint64_t before, uint64_t now_ns)
{
	struct sent_marks *marks = &sent->marks[index];
	uint32_t tick = sent_tick(now_ns), i = tick % SENT_TICKS;

	if (atomic_load_explicit(&marks->generation, memory_order_relaxed) != generation)
		marks_reset(marks, generation);
	if (atomic_load_explicit(&marks->ticks[i], memory_order_relaxed) == tick)
		return;
	atomic_store_explicit(&marks->before[i], before, memory_order_relaxed);
	atomic_store_explicit(&marks->ticks[i], tick, memory_order_release);
}

uint64_t sent_before(const struct sent *sent, uint32_t index, uint32_t generation, uint64_t now_ns)
{
	const struct sent_marks *marks = &sent->marks[index];
	uint32_t tick = sent_tick(now_ns);
	uint64_t least = UINT64_MAX;

	if (atomic_load_explicit(&marks->generation, memory_order_acquire) != generation)
		return UINT64_MAX;
	for (uint32_t i = 0; i < SENT_TICKS; i++) {
		uint32_t marked = atomic_load_explicit(&marks->ticks[i], memory_order_acquire);
		uint64_t before = atomic_load_explicit(&marks->before[i], memory_order_relaxed);

		/* Another worker's clock may be a turn ahead of this one's. */
		if (marked && tick + 1 - marked <= SENT_TICKS && before < least)
			least = before;
	}
	return least;
}
