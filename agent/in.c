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

/* As mapped, in whole words, as the cache reads it. `address` in network byte order. */
static void addr16_of_ipv4(uint32_t address, struct addr16 *out)
{
	uint64_t words[2] = {0, htobe64(UINT64_C(0xffff00000000) | be32toh(address))};

	memcpy(out->bytes, words, sizeof(words));
}

static void addr16_of_inner(const struct inner *inner, const uint8_t *bytes, struct addr16 *out)
{
	uint32_t address;

	if (inner->family == 6) {
		memcpy(out->bytes, bytes, 16);
		return;
	}
	memcpy(&address, bytes, sizeof(address));
	addr16_of_ipv4(address, out);
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
	if (slot->context.tunnel.flags & TUNNEL_MSS_CLAMP)
		mss_clamp(frame->data, inner, worker_inner_mtu(worker, slot));
}

/* The SA, known then for the packets behind. */
static struct sa_slot *in_slot(struct worker *worker, uint32_t index, enum drop_reason *reason)
{
	struct sa_slot *slot = worker->way_in.slot;

	if (slot && worker->way_in.key == index)
		return slot;
	slot = sa_table_find(&worker->sas, index, SA_IN, DROP_SPI_UNKNOWN, reason);
	if (!slot)
		return NULL;
	worker_touch(worker, slot);
	worker->way_in = (struct worker_way){.slot = slot, .plain = slot->context.plain, .key = index};
	return slot;
}

__attribute__((noinline)) enum drop_reason in_begin_any(struct worker *worker, struct frame *frame)
{
	struct bundle *bundle = turn_opening(worker);
	enum drop_reason reason;
	struct sa_slot *slot = in_slot(worker, frame->meta.index, &reason);

	if (!slot)
		return reason;
	reason = esp_open_begin(&slot->context, frame, worker->now_ns, &bundle->jobs[bundle->count]);
	if (!reason)
		bundle_add(bundle, frame, slot);
	return reason;
}

enum drop_reason in_begin(struct worker *worker, struct frame *frame)
{
	const struct worker_way *way = &worker->way_in;
	struct bundle *bundle = turn_opening(worker);

	if (!way->plain || way->key != frame->meta.index ||
		!esp_open_begin_plain(&way->slot->context, frame, worker->now_ns, &bundle->jobs[bundle->count]))
		return in_begin_any(worker, frame);
	bundle_add(bundle, frame, way->slot);
	return DROP_NONE;
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
static enum drop_reason in_forward(
	struct worker *worker, struct frame *frame, struct sa_slot *slot, struct inner *inner)
{
	struct addr16 destination;
	const struct next_hop *hop;
	enum drop_reason reason;
	bool protect;

	worker->stat->opened++;
	if (slot->context.run->seen_remote_port)
		in_tell_moved(worker, slot);
	if (inner->protocol == IPPROTO_TCP && (!inner->plain || mss_announced(frame->data, inner->len)))
		in_clamp_mss(worker, slot, frame, inner);

	addr16_of_inner(inner, inner->destination, &destination);
	hop = nexthop_find(&worker->hops, &destination, worker->now_ns);
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
	return forward_to(worker, frame, hop, NULL);
}

static enum drop_reason in_end_any(
	struct worker *worker, struct frame *frame, struct sa_slot *slot, const struct esp_job *job)
{
	enum drop_reason reason;
	struct inner inner;

	reason = esp_open_end(&slot->context, frame, &inner, worker->now_ns, job);
	return reason ? reason : in_forward(worker, frame, slot, &inner);
}

/* Where packets to one destination go, for as long as they come behind each other. */
struct in_onward {
	bool known;
	bool direct;	      /* simply out of a port */
	uint32_t destination; /* as in the packet */
	uint32_t mtu;
	struct forward_way way;
};

static void in_onward_find(struct worker *worker, struct in_onward *onward, uint32_t destination)
{
	const struct next_hop *hop;
	struct addr16 address;

	addr16_of_ipv4(destination, &address);
	hop = nexthop_find(&worker->hops, &address, worker->now_ns);
	onward->known = true;
	onward->destination = destination;
	onward->mtu = hop->mtu ? hop->mtu : UINT32_MAX;
	onward->direct = in_unpoliced(worker, hop) && forward_way_init(&onward->way, worker, hop);
}

/*
 * What in_end_any does, by few questions, for a plain packet (struct inner) out of a plain SA (struct sa_context), of
 * which nothing is to be changed but its hops. Nearly all are. False: ask; nothing was changed.
 */
static inline bool in_end_plain(struct worker *worker, struct frame *frame, struct sa_slot *slot,
	const struct esp_job *job, struct in_onward *onward)
{
	uint8_t *packet = esp_open_text(&slot->context, job);
	uint32_t total, destination;

	if (!esp_open_end_plain(&slot->context, frame, packet, job->text_len, worker->now_ns, &total) ||
		packet[8] <= 1 || mss_announced(packet, total))
		return false;
	memcpy(&destination, packet + 16, sizeof(destination));
	if (!onward->known || onward->destination != destination)
		in_onward_find(worker, onward, destination);
	if (!onward->direct || total > onward->mtu)
		return false;
	inner_decrement_ttl4(packet);
	esp_open_count(&slot->context, total, worker->now_ns);
	worker->stat->opened++;
	forward_by(worker, &onward->way, frame, packet, total);
	return true;
}

void in_end(
	struct worker *worker, struct sa_slot *slot, struct frame *frames, const struct esp_job *jobs, uint32_t count)
{
	struct in_onward onward = {.known = false};
	enum drop_reason reasons[BUNDLE_MAX];

	worker_touch(worker, slot); /* again, if the turn had so many SAs that they were flushed meanwhile */
	esp_open_mark(&slot->context, frames, jobs, reasons, count);
	for (uint32_t i = 0; i < count; i++) {
		enum drop_reason reason = reasons[i];

		if (!reason && slot->context.plain && in_end_plain(worker, &frames[i], slot, &jobs[i], &onward))
			continue;
		if (!reason)
			reason = in_end_any(worker, &frames[i], slot, &jobs[i]);
		if (reason)
			worker_drop(worker, &frames[i], reason);
	}
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
