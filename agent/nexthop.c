/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/nexthop.h"

#include <errno.h>
#include <sys/mman.h>

#define ASK_NS	     (NS_PER_S / NEXTHOP_ASKS_PER_S)
#define CACHE_BYTES  (NEXTHOP_CACHE_SIZE * sizeof(struct nexthop_entry))
#define LIFE_STEP_NS (NEXTHOP_LIFE_NS / 4 / NEXTHOP_LIFE_STEPS)

int nexthop_cache_init(struct nexthop_cache *cache, struct resolver *resolver, const struct fib_news *news)
{
	void *entries = mmap(NULL, CACHE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*cache = (struct nexthop_cache){.resolver = resolver, .news = news};
	if (entries == MAP_FAILED)
		return -ENOMEM;
	cache->entries = entries;
	cache->beyond.place.hop.kind = HOP_HOST;
	return 0;
}

void nexthop_cache_clear(struct nexthop_cache *cache)
{
	if (cache->entries)
		munmap(cache->entries, CACHE_BYTES);
	cache->entries = NULL;
}

/* May one more be asked, such that `kept` are left for others? */
static bool nexthop_allowed(struct nexthop_allowance *allowance, uint32_t kept, uint64_t now_ns)
{
	uint64_t gained = (now_ns - allowance->filled_ns) / ASK_NS;

	allowance->filled_ns += gained * ASK_NS;
	gained += allowance->left;
	allowance->left = gained < NEXTHOP_ASKS_RUN ? (uint32_t)gained : NEXTHOP_ASKS_RUN;
	if (allowance->left <= kept)
		return false;
	allowance->left--;
	return true;
}

static uint64_t nexthop_life_ns(const struct nexthop_cache *cache, enum hop_kind kind)
{
	switch (kind) {
	case HOP_PENDING:
		return NEXTHOP_RETRY_NS;
	case HOP_FAILED:
	case HOP_NONE:
		return NEXTHOP_FAILED_NS;
	default:
		return NEXTHOP_LIFE_NS - cache->asked % NEXTHOP_LIFE_STEPS * LIFE_STEP_NS;
	}
}

static void nexthop_ask(struct nexthop_place *place, struct nexthop_cache *cache, const struct addr16 *destination,
	const struct addr16 *source, uint64_t now_ns)
{
	place->epoch = atomic_load_explicit(&cache->news->all, memory_order_acquire); /* before the question */
	memset(&place->hop, 0, sizeof(place->hop));
	cache->resolver->resolve(cache->resolver, destination, source, &place->hop);
	place->until_ns = now_ns + nexthop_life_ns(cache, place->hop.kind);
	cache->asked++;
}

/* How many questions are left for others after one about this place: old answers can wait, unknown ones cannot. */
static uint32_t nexthop_kept(const struct nexthop_place *place, const struct nexthop_cache *cache)
{
	return place->until_ns && nexthop_unchanged(place, cache) ? NEXTHOP_ASKS_KEPT : 0;
}

void nexthop_renew(struct nexthop_place *place, struct nexthop_cache *cache, const struct addr16 *destination,
	const struct addr16 *source, uint64_t now_ns)
{
	if (nexthop_allowed(&cache->sealed, nexthop_kept(place, cache), now_ns))
		nexthop_ask(place, cache, destination, source, now_ns);
	else if (!place->until_ns)
		place->hop.kind = HOP_PENDING;
}

const struct next_hop *nexthop_again(struct nexthop_cache *cache, struct nexthop_entry *entry, uint64_t now_ns)
{
	uint32_t kept = nexthop_kept(&entry->place, cache);

	if (nexthop_allowed(&cache->plain, kept, now_ns))
		nexthop_ask(&entry->place, cache, &entry->destination, NULL, now_ns);
	else if (!kept)
		return &cache->beyond.place.hop;
	return &entry->place.hop;
}

/* The set's entry that was not found for the longest time. */
static struct nexthop_entry *nexthop_oldest(struct nexthop_entry *set, uint64_t now_ns)
{
	struct nexthop_entry *oldest = set;

	for (struct nexthop_entry *entry = set; entry < set + NEXTHOP_WAYS; entry++) {
		if (!entry->place.until_ns)
			return entry;
		if (NEXTHOP_USED(now_ns) - entry->used > NEXTHOP_USED(now_ns) - oldest->used)
			oldest = entry;
	}
	return oldest;
}

const struct next_hop *nexthop_new(
	struct nexthop_cache *cache, struct nexthop_entry *set, const struct addr16 *destination, uint64_t now_ns)
{
	struct nexthop_entry *entry;

	if (!nexthop_allowed(&cache->plain, 0, now_ns))
		return &cache->beyond.place.hop;
	entry = nexthop_oldest(set, now_ns);
	*entry = (struct nexthop_entry){.destination = *destination, .used = NEXTHOP_USED(now_ns)};
	nexthop_ask(&entry->place, cache, &entry->destination, NULL, now_ns);
	return &entry->place.hop;
}
