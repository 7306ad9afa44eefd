/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lifetime.h"

#include "agent/contract.h"

#include <string.h>

static bool over(uint64_t value, uint64_t limit)
{
	return limit && value >= limit;
}

unsigned lifetime_reached(const struct sa *sa, const struct sa_run *run, uint64_t now_ns)
{
	uint64_t packets = __atomic_load_n(&run->packets, __ATOMIC_RELAXED);
	uint64_t bytes = __atomic_load_n(&run->bytes, __ATOMIC_RELAXED);
	unsigned kinds = 0;

	if (over(packets, sa->soft_packets) || over(bytes, sa->soft_bytes) || over(now_ns, sa->soft_ns))
		kinds |= AGENT_EXPIRE_SOFT;
	if (over(packets, sa->hard_packets) || over(bytes, sa->hard_bytes) || over(now_ns, sa->hard_ns))
		kinds |= AGENT_EXPIRE_HARD;
	return kinds;
}

unsigned lifetime_tell(struct sa_run *run, unsigned kinds)
{
	if (!(kinds & ~__atomic_load_n(&run->expire_told, __ATOMIC_RELAXED)))
		return 0;
	return kinds & ~__atomic_fetch_or(&run->expire_told, kinds, __ATOMIC_RELAXED);
}

/* The limits of a live SA, without its keys. False: there is none, or it is being written; the next sweep comes. */
static bool read_limits(const volatile struct sa *slot, struct sa *limits)
{
	uint32_t generation = __atomic_load_n(&slot->generation, __ATOMIC_ACQUIRE);

	if (generation & 1 || slot->state != SA_LIVE)
		return false;
	limits->spi = slot->spi;
	limits->soft_bytes = slot->soft_bytes;
	limits->hard_bytes = slot->hard_bytes;
	limits->soft_packets = slot->soft_packets;
	limits->hard_packets = slot->hard_packets;
	limits->soft_ns = slot->soft_ns;
	limits->hard_ns = slot->hard_ns;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&slot->generation, __ATOMIC_RELAXED) == generation;
}

uint32_t lifetime_sweep(const struct sa_maps *maps, uint32_t from, uint64_t now_ns, lifetime_fn fn, void *context)
{
	uint32_t first = from < maps->sa_count ? from : 0;
	uint32_t end = maps->sa_count - first > LIFETIME_SWEEP_STEP ? first + LIFETIME_SWEEP_STEP : maps->sa_count;
	struct sa limits = {0};

	for (uint32_t i = first; i < end; i++) {
		unsigned kinds;

		if (!read_limits(&maps->sa[i], &limits))
			continue;
		kinds = lifetime_tell(&maps->run[i], lifetime_reached(&limits, &maps->run[i], now_ns));
		if (kinds)
			fn(context, i, limits.spi, kinds);
	}
	return end;
}

void lifetime_forget_told(const struct sa_maps *maps)
{
	for (uint32_t i = 0; i < maps->sa_count; i++)
		if (maps->sa[i].state == SA_LIVE)
			__atomic_store_n(&maps->run[i].expire_told, 0, __ATOMIC_RELAXED);
}
