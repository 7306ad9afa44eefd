/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a packet goes next: a worker's own cache over a resolver. The resolver asks the kernel (resolver.h); tests and
 * benchmarks put an own one. An answer holds until the kernel's routes, rules, links or its own neighbour change
 * (fib_news.h), or for a few seconds; then it is asked again, which also tells the kernel that the neighbour is in use.
 *
 * Each question costs some system calls, so their number is bounded: in a row, which is how long packets can be held up
 * in one turn, and per second. Beyond the bound an answer that is merely old goes on to hold. A plain packet whose
 * answer is unknown, or no longer true, is the host's, whose every way out the policies guard. A protected packet
 * waits if nothing is known, and else takes the way that was: it is sealed, a wrong way can lose it and no more.
 */
#ifndef ESPALIER_AGENT_NEXTHOP_H
#define ESPALIER_AGENT_NEXTHOP_H

#include "agent/base/clock.h"
#include "agent/fib_news.h"
#include "bpf/contract.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NEXTHOP_WAYS	   4u /* places that a destination may have */
#define NEXTHOP_SET_BITS   13u
#define NEXTHOP_SETS	   (1u << NEXTHOP_SET_BITS) /* the cache takes memory only for those in use */
#define NEXTHOP_CACHE_SIZE (NEXTHOP_WAYS * NEXTHOP_SETS)
#define NEXTHOP_LIFE_NS                                                                                                \
	(3 * NS_PER_S)	       /* well under the kernel's reachable time, so that a used neighbour stays fresh */
#define NEXTHOP_LIFE_STEPS 16u /* lives differ by up to a quarter, or what was asked at once is asked at once again */
#define NEXTHOP_RETRY_NS   (50 * NS_PER_MS) /* a pending answer; normally the neighbour's event comes first */
#define NEXTHOP_FAILED_NS  (1 * NS_PER_S)   /* a failed neighbour or a missing route is asked for again */
/* Questions of a worker about plain packets, and as many about protected ones: one takes 12 to 20 us. */
#define NEXTHOP_ASKS_PER_S 2000u
#define NEXTHOP_ASKS_RUN   32u			  /* in a row */
#define NEXTHOP_ASKS_KEPT  (NEXTHOP_ASKS_RUN / 2) /* not for answers that are merely old */

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
	uint16_t vlan_id;	/* the frame leaves with this 802.1Q tag; 0: with none */
	uint32_t mtu;		/* of the way out, 0: unknown */
	uint32_t neighbor_news; /* of the group, read before the neighbour was asked for */
	uint16_t neighbor;	/* its group in struct fib_news; 0: there is none */
};

/*
 * `source`: of a packet that is already protected; it takes the routes that AGENT_MARK sees, past the tunnel's own.
 * NULL: a plain one. `hop` is zeroed before. The answer is complete on every return; nothing blocks for longer than the
 * kernel takes to look it up.
 */
struct resolver {
	void (*resolve)(struct resolver *resolver, const struct addr16 *destination, const struct addr16 *source,
		struct next_hop *hop);
};

/* One answer and how long it holds. Zeroed: none. */
struct nexthop_place {
	uint64_t until_ns; /* 0: empty */
	uint32_t epoch;	   /* fib_news.all, read before the question */
	struct next_hop hop;
};

struct nexthop_entry {
	struct addr16 destination;
	struct nexthop_place place;
	uint64_t policies; /* as they were when `policed` was found out; 0: never */
	bool policed;	   /* a policy speaks of packets to the destination */
	uint32_t used;	   /* when it was last found, NEXTHOP_USED */
};
#define NEXTHOP_USED(now_ns) ((uint32_t)((now_ns) >> 20)) /* about a millisecond */

/* Questions that may still be asked. */
struct nexthop_allowance {
	uint32_t left;
	uint64_t filled_ns;
};

struct nexthop_cache {
	struct resolver *resolver;
	const struct fib_news *news;
	struct nexthop_entry *entries; /* NEXTHOP_CACHE_SIZE, a set's stand together */
	struct nexthop_allowance plain;
	struct nexthop_allowance sealed;
	uint32_t asked;
	struct nexthop_entry beyond; /* the answer where none may be asked for: HOP_HOST */
};

/* Plain packets' cache, and what the places of SAs are asked with. Both are borrowed. -ENOMEM. */
int nexthop_cache_init(struct nexthop_cache *cache, struct resolver *resolver, const struct fib_news *news);
/* Harmless on a zeroed or cleared cache. */
void nexthop_cache_clear(struct nexthop_cache *cache);

/* The entry behind an answer of nexthop_find. */
static inline struct nexthop_entry *nexthop_entry_of(const struct next_hop *hop)
{
	return (struct nexthop_entry *)((char *)hop - offsetof(struct nexthop_entry, place.hop));
}

/* Has nothing changed in the kernel since the answer? */
static inline bool nexthop_unchanged(const struct nexthop_place *place, const struct nexthop_cache *cache)
{
	const struct fib_news *news = cache->news;

	return place->epoch == atomic_load_explicit(&news->all, memory_order_acquire) &&
	       place->hop.neighbor_news ==
		       atomic_load_explicit(&news->neighbors[place->hop.neighbor], memory_order_acquire);
}

static inline bool nexthop_fresh(const struct nexthop_place *place, const struct nexthop_cache *cache, uint64_t now_ns)
{
	return now_ns < place->until_ns && nexthop_unchanged(place, cache);
}

/* For nexthop_at and nexthop_find: what they cannot answer at once. */
void nexthop_renew(struct nexthop_place *place, struct nexthop_cache *cache, const struct addr16 *destination,
	const struct addr16 *source, uint64_t now_ns);
const struct next_hop *nexthop_again(struct nexthop_cache *cache, struct nexthop_entry *entry, uint64_t now_ns);
const struct next_hop *nexthop_new(
	struct nexthop_cache *cache, struct nexthop_entry *set, const struct addr16 *destination, uint64_t now_ns);

/* The way of protected packets between two addresses, kept in `place`, which is always asked for the same ones. Valid
 * until it is asked again. */
static inline const struct next_hop *nexthop_at(struct nexthop_place *place, struct nexthop_cache *cache,
	const struct addr16 *destination, const struct addr16 *source, uint64_t now_ns)
{
	if (!nexthop_fresh(place, cache, now_ns))
		nexthop_renew(place, cache, destination, source, now_ns);
	return &place->hop;
}

/* The way of plain packets. Valid until the next call. Never NULL. */
static inline const struct next_hop *nexthop_find(
	struct nexthop_cache *cache, const struct addr16 *destination, uint64_t now_ns)
{
	struct nexthop_entry *set;
	uint64_t words[2], hash;

	memcpy(words, destination->bytes, sizeof(words));
	hash = (words[0] ^ words[1]) * UINT64_C(0x9e3779b97f4a7c15);
	/* The topmost bits alone depend on every bit of an address. */
	set = &cache->entries[(hash >> (64 - NEXTHOP_SET_BITS)) * NEXTHOP_WAYS];
	for (struct nexthop_entry *entry = set; entry < set + NEXTHOP_WAYS; entry++) {
		uint64_t known[2];

		memcpy(known, entry->destination.bytes, sizeof(known));
		if (known[0] != words[0] || known[1] != words[1])
			continue;
		entry->used = NEXTHOP_USED(now_ns);
		return nexthop_fresh(&entry->place, cache, now_ns) ? &entry->place.hop
								   : nexthop_again(cache, entry, now_ns);
	}
	return nexthop_new(cache, set, destination, now_ns);
}

#endif
