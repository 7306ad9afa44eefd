/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/in.h"

#include "agent/ah_open.h"
#include "agent/base/clock.h"
#include "agent/esp_open.h"
#include "agent/forward.h"
#include "agent/mss.h"
#include "agent/turn.h"

#include <endian.h>
#include <netinet/in.h>
#include <string.h>

#define MOVED_TELL_NS (1 * NS_PER_S) /* the IKE daemon is told again while packets keep coming from elsewhere */

static void addr16_of_inner(const struct inner *inner, const uint8_t *bytes, struct addr16 *out)
{
	uint64_t words[2] = {0, 0};
	uint32_t address;

	if (inner->family == 6) {
		memcpy(out->bytes, bytes, 16);
		return;
	}
	/* In whole words, as the cache reads it. */
	memcpy(&address, bytes, 4);
	words[1] = htobe64(UINT64_C(0xffff00000000) | be32toh(address));
	memcpy(out->bytes, words, sizeof(words));
}

/* The peer's packets come from another address or port than the SA says: the IKE daemon decides what that means (RFC
 * 7296 2.23). */
__attribute__((noinline)) static void in_tell_moved(struct worker *worker, struct sa_slot *slot)
{
	const struct sa_context *ctx = &slot->context;
	struct agent_message message = {.version = AGENT_MESSAGE_VERSION, .kind = AGENT_PEER_MOVED};

	if (!worker->shared->mailbox || worker->now_ns - slot->moved_told_ns < MOVED_TELL_NS ||
		!esp_moved(ctx, &message.moved.remote, &message.moved.remote_port))
		return;
	slot->moved_told_ns = worker->now_ns;
	message.moved.sa = (uint32_t)(ctx->run - worker->shared->maps.run);
	message.moved.spi = ctx->sa.spi;
	mailbox_put(worker->shared->mailbox, &message);
}

/* A SYN from the other side announces what this side may send: bound it by what our direction of the tunnel carries. */
__attribute__((noinline)) static void in_clamp_mss(
	struct worker *worker, struct sa_slot *slot, struct frame *frame, const struct inner *inner)
{
	if (slot->context.sa.flags & SA_MSS_CLAMP)
		mss_clamp(frame->data, inner, worker_inner_mtu(worker, slot));
}

enum drop_reason in_begin(struct worker *worker, struct frame *frame)
{
	struct bundle *bundle = turn_opening(worker);
	enum drop_reason reason;
	struct sa_slot *slot = worker->way_in.slot;

	if (!slot || worker->way_in.key != frame->meta.index) {
		slot = sa_table_find(&worker->sas, frame->meta.index, SA_IN, DROP_SPI_UNKNOWN, &reason);
		if (!slot)
			return reason;
		worker_touch(worker, slot);
		worker->way_in = (struct worker_way){.slot = slot, .key = frame->meta.index};
	}
	reason = esp_open_begin(&slot->context, frame, worker->now_ns, &bundle->jobs[bundle->count]);
	if (!reason)
		bundle_add(bundle, frame, slot);
	return reason;
}

/*
 * A packet out of a tunnel that is to leave by a port is outbound traffic too, and the policies have their say (RFC
 * 4301 5.2): a spoke's packet must not leave in clear because the routes know of no tunnel for it. What they protect
 * goes to the host, at whose every way out the policies stand. Most destinations no policy speaks of.
 */
__attribute__((noinline)) static enum drop_reason in_policed(
	struct worker *worker, const struct next_hop *hop, const struct inner *inner, bool *protect)
{
	struct nexthop_entry *entry = nexthop_entry_of(hop);
	enum drop_reason reason;
	uint32_t tunnel;

	*protect = false;
	if (entry->policies != worker->policies) {
		entry->policed = worker->shared->policy->covers(worker->shared->policy, inner);
		entry->policies = worker->policies;
	}
	if (!entry->policed)
		return DROP_NONE;
	reason = host_flows_ask(worker->transit, inner, &tunnel);
	*protect = reason == DROP_NONE;
	return reason == DROP_POLICY_NONE ? DROP_NONE : reason;
}

/* Is it known that no policy speaks of the destination? */
static inline bool in_unpoliced(const struct worker *worker, const struct next_hop *hop)
{
	const struct nexthop_entry *entry = nexthop_entry_of(hop);

	return !worker->transit || hop->kind == HOP_HOST || (entry->policies == worker->policies && !entry->policed);
}

/* Authentic, and out of its tunnel: from here on a packet like any other. */
__attribute__((always_inline)) static inline enum drop_reason in_forward(
	struct worker *worker, struct frame *frame, struct sa_slot *slot, struct inner *inner)
{
	struct addr16 destination;
	const struct next_hop *hop;
	enum drop_reason reason;
	bool protect;

	worker->stat->opened++;
	if (slot->context.run->seen_remote_port)
		in_tell_moved(worker, slot);
	if (inner->protocol == IPPROTO_TCP && (!inner->plain || mss_announced(frame->data, inner)))
		in_clamp_mss(worker, slot, frame, inner);

	addr16_of_inner(inner, inner->destination, &destination);
	hop = nexthop_find(&worker->hops, &destination, false, worker->now_ns);
	if (!in_unpoliced(worker, hop)) {
		reason = in_policed(worker, hop, inner, &protect);
		if (reason)
			return reason;
		if (protect)
			return forward_to_host(worker, frame);
	}
	/* What cannot simply go on by a port is the kernel's to answer: it fragments, or tells the sender, through the
	 * tunnel. */
	if (hop->kind == HOP_PORT && hop->mtu && inner->len > hop->mtu)
		return forward_to_host(worker, frame);
	if (hop->kind == HOP_PORT || hop->kind == HOP_PENDING)
		if (!inner_decrement_ttl(frame->data, inner))
			return worker->host ? forward_to_host(worker, frame) : DROP_TTL_EXPIRED;
	return forward_to(worker, frame, hop, false);
}

enum drop_reason in_end(struct worker *worker, struct frame *frame, struct sa_slot *slot, const struct esp_job *job)
{
	enum drop_reason reason;
	struct inner inner;

	reason = esp_open_end(&slot->context, frame, &inner, worker->now_ns, job);
	return reason ? reason : in_forward(worker, frame, slot, &inner);
}

enum drop_reason in_ah(struct worker *worker, struct frame *frame)
{
	enum drop_reason reason;
	struct sa_slot *slot;
	struct inner inner;

	slot = sa_table_find(&worker->sas, frame->meta.index, SA_IN, DROP_SPI_UNKNOWN, &reason);
	if (!slot)
		return reason;
	worker_touch(worker, slot);
	reason = ah_open(&slot->context, frame, &inner, worker->now_ns);
	return reason ? reason : in_forward(worker, frame, slot, &inner);
}
