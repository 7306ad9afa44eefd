/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/out.h"

#include "agent/ah_seal.h"
#include "agent/base/clock.h"
#include "agent/checksum.h"
#include "agent/contract.h"
#include "agent/esp_seal.h"
#include "agent/forward.h"
#include "agent/fragment.h"
#include "agent/mss.h"
#include "agent/selector.h"
#include "agent/turn.h"

#include <netinet/in.h>
#include <string.h>

#define ACQUIRE_TELL_NS (1 * NS_PER_S)

static void selector_of_packet(struct selector *selector, const struct inner *inner, const uint8_t *addr, uint16_t port)
{
	uint32_t len = inner_addr_len(inner);

	selector->family = inner->family;
	selector->protocol = inner->protocol;
	selector->port_first = inner->ports_known ? port : 0;
	selector->port_last = inner->ports_known ? port : UINT16_MAX;
	memcpy(selector->first, addr, len);
	memcpy(selector->last, addr, len);
}

/* The tunnel has no SA: tell the IKE daemon, once a second and tunnel whatever the number of workers, and wait a
 * little. */
static enum drop_reason out_hold(struct worker *worker, struct frame *frame, const struct inner *inner)
{
	struct agent_message message = {.version = AGENT_MESSAGE_VERSION, .kind = AGENT_ACQUIRE};
	uint32_t tunnel = frame->meta.index;
	_Atomic uint64_t *told = &worker->shared->acquire_told_ns[tunnel];
	uint64_t last = atomic_load_explicit(told, memory_order_relaxed);

	if (worker->shared->mailbox && (!last || worker->now_ns - last >= ACQUIRE_TELL_NS) &&
		atomic_compare_exchange_strong(told, &last, worker->now_ns)) {
		message.acquire.tunnel = tunnel;
		selector_of_packet(&message.acquire.local, inner, inner->source, inner->source_port);
		selector_of_packet(&message.acquire.remote, inner, inner->destination, inner->destination_port);
		mailbox_put(worker->shared->mailbox, &message);
	}
	return hold_add(&worker->waiting_sa, tunnel, frame, worker->now_ns) ? DROP_NONE : DROP_HELD_OVERFLOW;
}

/* Empty frames for `count` pieces of at most `mtu` bytes. False: not enough are left, and none is taken. */
static bool out_pieces(struct worker *worker, struct frame *pieces, unsigned count, uint32_t mtu)
{
	memset(pieces, 0, count * sizeof(*pieces));
	for (unsigned i = 0; i < count; i++) {
		if (frame_alloc(&worker->cache, &pieces[i], mtu))
			continue;
		while (i--)
			chunk_give(&worker->cache, pieces[i].chunk);
		return false;
	}
	return true;
}

/* Would later fragments of the packet fit the tunnel? Where its selectors name ports they must not be sent (RFC
 * 4301 7.3). */
static bool out_divisible(const struct sa_context *ctx, const struct inner *inner)
{
	struct inner later = *inner;

	later.later_fragment = true;
	later.ports_known = false;
	return selector_match_out(&ctx->tunnel, &later);
}

/* May a packet that is too big be sealed whole, and the outer one be cut (RFC 4303 3.3.4)? In transport mode there is
 * no other way; of IPv6 that is for what the host itself had cut. In a tunnel it is for what must not be cut itself, if
 * the tunnel clears don't-fragment; for what every IPv6 sender may count on (RFC 2473 7.1); and for what the tunnel
 * does not take in pieces. */
static bool out_whole(const struct sa_context *ctx, const struct frame *frame, const struct inner *inner)
{
	if (inner->family == 6 && inner->len <= INNER_IPV6_MTU_MIN)
		return ctx->outer_family == 6 || ctx->tunnel.options.df != DF_SET;
	if (ctx->sa.mode == SA_TRANSPORT)
		return inner->family == 4 ? !inner->dont_fragment : frame->meta.flags & META_FRAGMENT;
	if (inner->dont_fragment)
		return ctx->tunnel.options.df == DF_CLEAR;
	return ctx->tunnel.options.df != DF_SET && !out_divisible(ctx, inner);
}

/* A sealed packet, longer than the way to the peer carries: in pieces. */
static enum drop_reason out_cut(struct worker *worker, struct frame *frame, struct sa_slot *slot)
{
	struct frame pieces[FRAGMENTS_MAX];
	uint32_t mtu = slot->mtu_outer;
	bool ipv4 = frame->data[0] >> 4 == 4;
	struct inner outer;
	unsigned count;

	if (!inner_parse(frame->data, frame->len, &outer))
		return DROP_PACKET_MALFORMED;
	count = ipv4 ? fragment_count(frame->data, &outer, mtu) : fragment6_count(frame->data, frame->len, mtu);
	if (!count)
		return DROP_TOO_BIG;
	if (!out_pieces(worker, pieces, count, mtu))
		return DROP_NO_FRAME;
	if (ipv4)
		fragment_split(frame->data, &outer, mtu, pieces, count);
	else
		fragment6_split(frame->data, frame->len, mtu, worker->fragment_id += WORKERS_MAX, pieces, count);
	for (unsigned i = 0; i < count; i++) {
		enum drop_reason reason = forward_to(worker, &pieces[i], worker_outer_hop(worker, slot), slot);

		if (reason)
			worker_drop(worker, &pieces[i], reason);
	}
	chunk_give(&worker->cache, frame->chunk);
	return DROP_NONE;
}

/* Sealed: on its way to the peer. */
static enum drop_reason out_send(struct worker *worker, struct frame *frame, struct sa_slot *slot)
{
	if (__builtin_expect(frame->len > slot->mtu_outer, 0) && (frame->data[0] >> 4 == 6 || !(frame->data[6] & 0x40)))
		return out_cut(worker, frame, slot);
	return forward_to(worker, frame, worker_outer_hop(worker, slot), slot);
}

/* AH is done at once: what it costs is one pass over the packet by one function. */
static enum drop_reason out_ah(
	struct worker *worker, struct sa_slot *slot, struct frame *frame, const struct inner *inner)
{
	enum drop_reason reason = ah_seal(&slot->context, frame, inner, worker->now_ns);

	if (reason)
		return reason;
	worker->stat->sealed++;
	return out_send(worker, frame, slot);
}

/* Ready to be sealed: into the bundle. */
static enum drop_reason out_seal(
	struct worker *worker, struct sa_slot *slot, struct frame *frame, const struct inner *inner)
{
	enum drop_reason reason;
	struct bundle *bundle;

	if (slot->context.sa.protocol == IPPROTO_AH)
		return out_ah(worker, slot, frame, inner);
	bundle = turn_sealing(worker);
	reason = esp_seal_begin(&slot->context, frame, inner, worker->now_ns, &bundle->jobs[bundle->count]);
	if (!reason)
		bundle_add(bundle, frame, slot);
	return reason;
}

/* Larger than the tunnel carries: in pieces if the sender allows it (RFC 4301 7), else the sender learns the size (RFC
 * 1191, RFC 8201). */
static enum drop_reason out_too_big(
	struct worker *worker, struct sa_slot *slot, struct frame *frame, struct inner *inner, uint32_t mtu)
{
	struct frame pieces[FRAGMENTS_MAX];
	unsigned count = out_divisible(&slot->context, inner) ? fragment_count(frame->data, inner, mtu) : 0;

	if (!count || count > FRAGMENTS_MAX) {
		out_tell_sender(worker, ICMP_TOO_BIG, frame, inner, mtu);
		return DROP_TOO_BIG;
	}
	if (!out_pieces(worker, pieces, count, mtu))
		return DROP_NO_FRAME;
	fragment_split(frame->data, inner, mtu, pieces, count);
	for (unsigned i = 0; i < count; i++) {
		enum drop_reason reason = DROP_PACKET_MALFORMED;
		struct inner piece;

		if (inner_parse(pieces[i].data, pieces[i].len, &piece))
			reason = out_seal(worker, slot, &pieces[i], &piece);
		if (reason)
			worker_drop(worker, &pieces[i], reason);
	}
	chunk_give(&worker->cache, frame->chunk);
	return DROP_NONE;
}

/* frame->data is the inner IP header, its parse in `inner`; the SA carries packets of up to `mtu` bytes. */
static enum drop_reason out_protect(
	struct worker *worker, struct frame *frame, struct inner *inner, struct sa_slot *slot, uint32_t mtu)
{
	bool transit = !(frame->meta.flags & META_FROM_HOST), large = inner->len > mtu;
	bool whole = large && out_whole(&slot->context, frame, inner);

	if (inner->fragment && !transit && slot->context.sa.mode == SA_TRANSPORT)
		return out_join(worker, frame);
	if (transit && inner->ttl <= 1) {
		out_tell_sender(worker, ICMP_TTL_EXPIRED, frame, inner, 0);
		return DROP_TTL_EXPIRED;
	}
	if (large && !whole && inner->dont_fragment) {
		out_tell_sender(worker, ICMP_TOO_BIG, frame, inner, mtu);
		return DROP_TOO_BIG;
	}
	if (transit && !inner_decrement_ttl(frame->data, inner))
		return DROP_TTL_EXPIRED;
	if (checksum_partial(frame->data, inner))
		checksum_complete(frame->data, inner);
	if (inner->protocol == IPPROTO_TCP && slot->context.tunnel.flags & TUNNEL_MSS_CLAMP)
		mss_clamp(frame->data, inner, mtu);
	if (large && !whole)
		return out_too_big(worker, slot, frame, inner, mtu);
	if (whole)
		inner->dont_fragment = false; /* and so the outer packet's is not set by it */
	return out_seal(worker, slot, frame, inner);
}

/* Which SA carries the packet's tunnel now, and how much; known then for the packets behind it. */
enum drop_reason out_tunnel(struct worker *worker, struct frame *frame, struct inner *inner, uint32_t tunnel)
{
	enum drop_reason reason;
	struct sa_slot *slot;
	uint32_t index, owner, mtu;

	if (!sa_table_tunnel(&worker->sas, tunnel, worker->index, &index))
		return DROP_SA_MISSING;
	if (index == SA_NONE)
		return out_hold(worker, frame, inner);
	slot = sa_table_find(&worker->sas, index, SA_OUT, DROP_SA_MISSING, &reason);
	if (!slot)
		return reason;
	/* Whoever wrote the maps: no packet goes to the peer of another tunnel. */
	if (slot->context.sa.tunnel != tunnel)
		return DROP_SA_MISSING;
	if (!worker_owns(worker, slot, &owner))
		return worker_hand_over(worker, frame, owner);
	worker_touch(worker, slot);
	mtu = worker_inner_mtu(worker, slot);
	worker->way_out = (struct worker_way){.slot = slot,
		.plain = slot->context.plain,
		.udp = slot->context.meta_flags & META_UDP_ENCAP,
		.key = tunnel,
		.mtu = mtu};
	return out_protect(worker, frame, inner, slot, mtu);
}

__attribute__((noinline)) static enum drop_reason out_begin_any(struct worker *worker, struct frame *frame)
{
	const struct worker_way *way = &worker->way_out;
	struct inner inner;

	if (frame->meta.l3_off > frame->len)
		return DROP_PACKET_MALFORMED;
	frame_pull(frame, frame->meta.l3_off);
	if (!inner_parse(frame->data, frame->len, &inner))
		return DROP_PACKET_MALFORMED;
	if (!way->slot || way->key != frame->meta.index)
		return out_tunnel(worker, frame, &inner, frame->meta.index);
	return out_protect(worker, frame, &inner, way->slot, way->mtu);
}

/*
 * What out_begin_any does, by few questions: for a plain packet (struct inner) of the network's, of which nothing is to
 * be changed but its hops, and a plain SA (struct sa_context). Nearly all are. False: ask; nothing was changed.
 */
__attribute__((always_inline)) static inline bool out_begin_plain(
	struct worker *worker, const struct frame *frame, bool udp)
{
	const struct worker_way *way = &worker->way_out;
	uint32_t l3_off = frame->meta.l3_off, len, whole_len;
	uint8_t *packet = frame->data + l3_off;
	struct bundle *bundle;

	if (!way->plain || way->udp != udp || way->key != frame->meta.index || frame->meta.flags & META_FROM_HOST ||
		l3_off > frame->len || !inner_is_plain(packet, frame->len - l3_off, &len) || len > way->mtu ||
		packet[8] <= 1 || checksum_partial_plain(packet, len) || mss_announced(packet, len))
		return false;
	bundle = turn_sealing(worker);
	whole_len = esp_seal_begin_plain(&way->slot->context, frame, packet, len, IPPROTO_IPIP, packet[1],
		packet[6] & (WIRE_IPV4_DF >> 8), udp, worker->now_ns, &bundle->jobs[bundle->count]);
	if (!whole_len)
		return false;
	inner_decrement_ttl4(packet);
	bundle_add_as(bundle, frame, packet - way->slot->context.front_len, whole_len, way->slot);
	return true;
}

/* The same code for SAs in UDP, by itself: one for both is some nanoseconds slower. */
__attribute__((noinline)) static bool out_begin_udp(struct worker *worker, const struct frame *frame)
{
	return out_begin_plain(worker, frame, true);
}

enum drop_reason out_begin(struct worker *worker, struct frame *frame)
{
	if (out_begin_plain(worker, frame, false))
		return DROP_NONE;
	if (worker->way_out.udp && out_begin_udp(worker, frame))
		return DROP_NONE;
	return out_begin_any(worker, frame);
}

static enum drop_reason out_end_any(
	struct worker *worker, struct frame *frame, struct sa_slot *slot, const struct esp_job *job)
{
	enum drop_reason reason = esp_seal_end(&slot->context, frame, job);

	if (reason)
		return reason;
	worker->stat->sealed++;
	return out_send(worker, frame, slot);
}

void out_end(
	struct worker *worker, struct sa_slot *slot, struct frame *frames, const struct esp_job *jobs, uint32_t count)
{
	struct forward_way way;
	bool direct = slot->context.plain && forward_way_init(&way, worker, worker_outer_hop(worker, slot));

	for (uint32_t i = 0; i < count; i++) {
		struct frame *frame = &frames[i];
		enum drop_reason reason;

		if (direct && jobs[i].good && frame->len <= slot->mtu_outer &&
			frame_headroom(frame) >= FORWARD_LINK_MAX) {
			worker->stat->sealed++;
			forward_by(worker, &way, frame, frame->data, frame->len);
			continue;
		}
		reason = out_end_any(worker, frame, slot, &jobs[i]);
		if (reason)
			worker_drop(worker, frame, reason);
	}
}

static enum held_fate out_judge(void *context, uint64_t key, struct frame *frame, bool expired)
{
	struct worker *worker = context;
	enum drop_reason reason = DROP_SA_MISSING;
	struct inner inner;
	uint32_t index;

	if (sa_table_tunnel(&worker->sas, (uint32_t)key, worker->index, &index)) {
		if (index == SA_NONE && !expired)
			return HELD_KEEP;
		if (index != SA_NONE && inner_parse(frame->data, frame->len, &inner))
			reason = out_tunnel(worker, frame, &inner, (uint32_t)key);
	}
	if (reason)
		worker_drop(worker, frame, reason);
	return HELD_TAKEN;
}

void out_sweep_held(struct worker *worker)
{
	if (worker->waiting_sa.count)
		hold_sweep(&worker->waiting_sa, worker->now_ns, out_judge, worker);
}
