/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/nexthop.h"

#include <string.h>

static uint32_t nexthop_place(const struct addr16 *destination, bool outer)
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

const struct next_hop *nexthop_find(
	struct nexthop_cache *cache, const struct addr16 *destination, bool outer, uint64_t now_ns)
{
	struct nexthop_entry *entry = &cache->entries[nexthop_place(destination, outer)];
	uint32_t epoch = atomic_load_explicit(cache->epoch, memory_order_acquire);

	if (entry->used && entry->epoch == epoch && entry->outer == outer && now_ns < entry->until_ns &&
		memcmp(&entry->destination, destination, sizeof(*destination)) == 0)
		return &entry->hop;
	entry->used = true;
	entry->epoch = epoch;
	entry->outer = outer;
	entry->destination = *destination;
	memset(&entry->hop, 0, sizeof(entry->hop));
	cache->resolver->resolve(cache->resolver, destination, outer, &entry->hop);
	entry->until_ns = now_ns + nexthop_life_ns(entry->hop.kind);
	return &entry->hop;
}
