/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a packet goes next: a worker's own cache over a resolver. The resolver asks the kernel (resolver.h); tests and
 * benchmarks put an own one. An answer holds until the kernel's routes, rules, links or neighbours change (the FIB
 * epoch), or for a few seconds; then it is asked again, which also tells the kernel that the neighbour is in use.
 */
#ifndef ESPALIER_AGENT_NEXTHOP_H
#define ESPALIER_AGENT_NEXTHOP_H

#include "agent/base/clock.h"
#include "bpf/contract.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NEXTHOP_CACHE_SIZE 1024u
#define NEXTHOP_LIFE_NS                                                                                                \
	(3 * NS_PER_S) /* well under the kernel's reachable time, so that a used neighbour stays fresh */
#define NEXTHOP_RETRY_NS  (50 * NS_PER_MS) /* a pending answer; normally the neighbour's event comes first */
#define NEXTHOP_FAILED_NS (1 * NS_PER_S)   /* a failed neighbour or a missing route is asked for again */

enum hop_kind {
	HOP_NONE = 0, /* no route, or one that forbids */
	HOP_PORT,     /* out of `port` with these link addresses */
	HOP_HOST,     /* the host's own, or by an interface that is not ours */
	HOP_PENDING,  /* the link address is being resolved */
	HOP_FAILED,   /* the neighbour does not answer */
};

struct next_hop {
	uint8_t kind; /* enum hop_kind */
	uint8_t slot; /* of the port */
	uint8_t destination_mac[6];
	uint8_t source_mac[6];
	uint16_t vlan_id; /* the frame leaves with this 802.1Q tag; 0: with none */
	uint32_t mtu;	  /* of the way out, 0: unknown */
};

/*
 * `outer`: the packet is already protected; it takes the routes that AGENT_MARK sees, past the tunnel's own. The answer
 * is complete on every return; nothing blocks for longer than the kernel takes to look it up.
 */
struct resolver {
	void (*resolve)(struct resolver *resolver, const struct addr16 *destination, bool outer, struct next_hop *hop);
};

/* One answer and how long it holds. Zeroed: none. */
struct nexthop_place {
	uint64_t until_ns; /* 0: empty */
	uint32_t epoch;
	struct next_hop hop;
};

struct nexthop_entry {
	struct addr16 destination;
	bool outer;
	bool policed;	   /* a policy speaks of packets to the destination */
	uint64_t policies; /* as they were when that was found out; 0: never */
	struct nexthop_place place;
};

struct nexthop_cache {
	struct resolver *resolver;
	const _Atomic uint32_t *epoch; /* moved on with every change in the kernel */
	struct nexthop_entry entries[NEXTHOP_CACHE_SIZE];
};

/* The entry behind an answer of nexthop_find. */
static inline struct nexthop_entry *nexthop_entry_of(const struct next_hop *hop)
{
	return (struct nexthop_entry *)((char *)hop - offsetof(struct nexthop_entry, place.hop));
}
/* Fill the place anew. */
void nexthop_ask(struct nexthop_place *place, struct nexthop_cache *cache, const struct addr16 *destination, bool outer,
	uint64_t now_ns);

/* The same as nexthop_find with the answer kept in `place`, which is always asked for the same destination; valid until
 * it is asked again. */
static inline const struct next_hop *nexthop_at(struct nexthop_place *place, struct nexthop_cache *cache,
	const struct addr16 *destination, bool outer, uint64_t now_ns)
{
	if (now_ns >= place->until_ns || place->epoch != atomic_load_explicit(cache->epoch, memory_order_acquire))
		nexthop_ask(place, cache, destination, outer, now_ns);
	return &place->hop;
}

/* Valid until the next call. Never NULL. */
static inline const struct next_hop *nexthop_find(
	struct nexthop_cache *cache, const struct addr16 *destination, bool outer, uint64_t now_ns)
{
	struct nexthop_entry *entry;
	uint64_t words[2], known[2], hash;

	memcpy(words, destination->bytes, sizeof(words));
	hash = (words[0] ^ words[1] ^ outer) * UINT64_C(0x9e3779b97f4a7c15);
	entry = &cache->entries[(uint32_t)(hash >> 32) % NEXTHOP_CACHE_SIZE];
	memcpy(known, entry->destination.bytes, sizeof(known));
	if (entry->outer != outer || known[0] != words[0] || known[1] != words[1]) {
		entry->outer = outer;
		entry->destination = *destination;
		entry->policies = 0;
		entry->place.until_ns = 0;
	}
	return nexthop_at(&entry->place, cache, destination, outer, now_ns);
}

#endif
