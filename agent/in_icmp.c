/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP errors about packets that this gateway has protected: the path to the peer is narrower than thought. */
#include "agent/base/clock.h"
#include "agent/in.h"
#include "agent/pmtu.h"
#include "agent/sent.h"

/* Whoever guesses no SPI of ours takes nothing away from those who know one. */
static bool icmp_judging_allowed(struct worker *worker)
{
	if (worker->now_ns - worker->pmtu_refilled_ns >= NS_PER_S) {
		worker->pmtu_refilled_ns = worker->now_ns;
		worker->pmtu_tokens = PMTU_JUDGED_PER_S;
	}
	if (!worker->pmtu_tokens)
		return false;
	worker->pmtu_tokens--;
	return true;
}

/* The SA that has sent the quoted packet; NULL if the error is not believed. */
static struct sa_slot *icmp_find_sa(struct worker *worker, const struct pmtu_quote *quote)
{
	const struct sa_maps *maps = &worker->sas.maps;
	const struct sent *sent = worker->shared->sent;
	uint32_t index = sent ? sent_find(sent, maps, quote->spi, &quote->destination) : SA_NONE;
	enum drop_reason reason;
	struct sa_slot *slot;
	uint64_t before, out_seq;

	if (index == SA_NONE || !icmp_judging_allowed(worker))
		return NULL;
	slot = sa_table_find(&worker->sas, index, SA_OUT, DROP_ICMP_UNBELIEVED, &reason);
	if (!slot)
		return NULL;
	before = sent_before(sent, index, slot->generation, worker->now_ns);
	out_seq = __atomic_load_n(&maps->run[index].out_seq, __ATOMIC_RELAXED);
	return pmtu_believe(quote, &slot->context.sa, before, out_seq) ? slot : NULL;
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

	if (!pmtu_read(frame, &quote))
		return DROP_ICMP_UNBELIEVED;
	slot = icmp_find_sa(worker, &quote);
	if (!slot)
		return DROP_ICMP_UNBELIEVED;
	icmp_learn(worker, slot, quote.mtu);
	chunk_give(&worker->cache, frame->chunk); /* it has done what it was sent for */
	return DROP_NONE;
}
