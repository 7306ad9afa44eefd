/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/nexthop.h"

#include <string.h>

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
