/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP errors about packets that this gateway has protected: the path to the peer is narrower than thought. */
#include "agent/base/clock.h"
#include "agent/in.h"
#include "agent/pmtu.h"

#include <string.h>

/* No map finds outbound SAs by their SPI: a search, bounded in number. */
static bool icmp_lookup_allowed(struct worker *worker)
{
	if (worker->now_ns - worker->pmtu_refilled_ns >= NS_PER_S) {
		worker->pmtu_refilled_ns = worker->now_ns;
		worker->pmtu_tokens = PMTU_LOOKUPS_PER_S;
	}
	if (!worker->pmtu_tokens)
		return false;
	worker->pmtu_tokens--;
	return true;
}

/* The next slot from `index` on that may be the quoted SA; sa_count if none is left. Read without the generation: what
 * is found is looked at again in its stable copy. */
static uint32_t icmp_candidate(const struct sa_maps *maps, const struct pmtu_quote *quote, uint32_t index)
{
	for (; index < maps->sa_count; index++) {
		const volatile struct sa *sa = &maps->sa[index];

		if (sa->spi == quote->spi && sa->direction == SA_OUT && sa->state == SA_LIVE)
			break;
	}
	return index;
}

static struct sa_slot *icmp_find_sa(struct worker *worker, const struct pmtu_quote *quote)
{
	const struct sa_maps *maps = &worker->sas.maps;

	for (uint32_t i = icmp_candidate(maps, quote, 0); i < maps->sa_count; i = icmp_candidate(maps, quote, i + 1)) {
		enum drop_reason reason;
		struct sa_slot *slot = sa_table_find(&worker->sas, i, SA_OUT, DROP_ICMP_UNBELIEVED, &reason);
		uint64_t out_seq = __atomic_load_n(&maps->run[i].out_seq, __ATOMIC_RELAXED);

		if (slot && pmtu_believe(quote, &slot->context.sa, out_seq))
			return slot;
	}
	return NULL;
}

/* Errors about packets sent before the last one was heeded say nothing new, and a larger size than is used is no
 * news. */
static void icmp_learn(struct worker *worker, struct sa_slot *slot, uint32_t mtu)
{
	struct sa_run *run = slot->context.run;
	uint32_t known = worker_outer_mtu(worker, slot);

	if (mtu > known || (mtu == known && mtu != run->path_mtu))
		return;
	__atomic_store_n(&run->path_mtu_until_ns, worker->now_ns + PMTU_KEEP_S * NS_PER_S, __ATOMIC_RELAXED);
	__atomic_store_n(&run->path_mtu, mtu, __ATOMIC_RELEASE);
}

enum drop_reason in_icmp(struct worker *worker, struct frame *frame)
{
	struct pmtu_quote quote;
	struct sa_slot *slot;

	if (!pmtu_read(frame, &quote) || !icmp_lookup_allowed(worker))
		return DROP_ICMP_UNBELIEVED;
	slot = icmp_find_sa(worker, &quote);
	if (!slot)
		return DROP_ICMP_UNBELIEVED;
	icmp_learn(worker, slot, quote.mtu);
	chunk_give(&worker->cache, frame->chunk); /* it has done what it was sent for */
	return DROP_NONE;
}
