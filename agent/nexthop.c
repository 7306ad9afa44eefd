/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/nexthop.h"

#include <string.h>

static uint32_t nexthop_index(const struct addr16 *destination, bool outer)
{
	uint64_t words[2];
	uint64_t hash;

	memcpy(words, destination->bytes, sizeof(words));
	hash = (words[0] ^ words[1] ^ outer) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(hash >> 32) % NEXTHOP_CACHE_SIZE;
}

static uint64_t nexthop_life_ns(enum hop_kind kind)
{
	switch (kind) {
	case HOP_PENDING:
		return NEXTHOP_RETRY_NS;
	case HOP_FAILED:
	case HOP_NONE:
		return NEXTHOP_FAILED_NS;
	default:
		return NEXTHOP_LIFE_NS;
	}
}

void nexthop_ask(struct nexthop_place *place, struct nexthop_cache *cache, const struct addr16 *destination, bool outer,
	uint64_t now_ns)
{
	place->epoch = atomic_load_explicit(cache->epoch, memory_order_acquire); /* before the question */
	memset(&place->hop, 0, sizeof(place->hop));
	cache->resolver->resolve(cache->resolver, destination, outer, &place->hop);
	place->until_ns = now_ns + nexthop_life_ns(place->hop.kind);
}

const struct next_hop *nexthop_find(
	struct nexthop_cache *cache, const struct addr16 *destination, bool outer, uint64_t now_ns)
{
	struct nexthop_entry *entry = &cache->entries[nexthop_index(destination, outer)];

	if (entry->outer != outer || memcmp(&entry->destination, destination, sizeof(*destination)) != 0) {
		entry->outer = outer;
		entry->destination = *destination;
		entry->policies = 0;
		entry->place.until_ns = 0;
	}
	return nexthop_at(&entry->place, cache, destination, outer, now_ns);
}
