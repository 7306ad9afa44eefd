/* SPDX-License-Identifier: Apache-2.0 */
/* What the sender of a packet that cannot go on is told (icmp_error.h): how often, in whose name, and on which way. */
#include "agent/base/clock.h"
#include "agent/forward.h"
#include "agent/icmp_error.h"
#include "agent/out.h"

#include <netinet/in.h>
#include <string.h>

static bool error_allowed(struct worker *worker)
{
	if (worker->now_ns - worker->icmp_refilled_ns >= NS_PER_S) {
		worker->icmp_refilled_ns = worker->now_ns;
		worker->icmp_tokens = ICMP_ERRORS_PER_S;
	}
	if (!worker->icmp_tokens)
		return false;
	worker->icmp_tokens--;
	return true;
}

static bool addr_given(const struct addr16 *addr)
{
	static const struct addr16 none;

	return memcmp(addr, &none, sizeof(none)) != 0;
}

static const uint8_t *addr_bytes(const struct addr16 *addr, uint8_t family)
{
	return addr->bytes + (family == 4 ? 12 : 0);
}

/* Copy this gateway's own addresses of the family. False: there is none, or they are just being written. */
static bool own_addresses(struct worker_shared *shared, uint8_t family, struct addr16 own[OWN_ADDRESSES_MAX])
{
	uint32_t generation = atomic_load_explicit(&shared->own_generation, memory_order_acquire);

	memcpy(own, family == 4 ? shared->own_v4 : shared->own_v6, OWN_ADDRESSES_MAX * sizeof(*own));
	atomic_thread_fence(memory_order_acquire);
	return !(generation & 1) && generation == atomic_load_explicit(&shared->own_generation, memory_order_relaxed) &&
	       addr_given(own);
}

/* Do the policies send the error, if it comes from `source`, through a tunnel? */
static bool error_protected(struct host_policy *policy, struct inner *error, const uint8_t *source)
{
	uint32_t tunnel;

	error->source = source;
	return policy->ask(policy, error, &tunnel) == DROP_NONE;
}

/*
 * The source of the error about the packet `inner`, which the host has routed or sent. A router speaks by an address of
 * its own (RFC 1812 4.3.2.4, RFC 4443 2.2), the first one where no tunnel leads to the sender. Through a tunnel only
 * that passes which fits its selectors. RFC 4301 6.2 would have other errors go by the SA of the return traffic, but
 * then the peer must look into them, and not every peer does. So it is the first of the own addresses that the policies
 * send through the tunnel. A gateway that has none there, like a hub between its spokes, lends the address for which
 * the packet was: by that the return traffic comes, and so would the error of a router behind the tunnel. The sender
 * judges an error by what it quotes (RFC 1191 3, RFC 8201 4), not by its source.
 */
static const uint8_t *error_source(
	struct host_policy *policy, enum icmp_error kind, const struct inner *inner, const struct addr16 *own)
{
	uint16_t type = icmp_error_type(kind, inner->family);
	struct inner error = {.family = inner->family,
		.protocol = inner->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
		.ports_known = true,
		.source_port = type,
		.destination_port = type,
		.source = addr_bytes(own, inner->family),
		.destination = inner->source};

	if (!policy || !policy->covers(policy, &error))
		return addr_bytes(own, inner->family);
	for (uint32_t i = 0; i < OWN_ADDRESSES_MAX && addr_given(&own[i]); i++)
		if (error_protected(policy, &error, addr_bytes(&own[i], inner->family)))
			return error.source;
	if (error_protected(policy, &error, inner->destination))
		return error.source;
	return addr_bytes(own, inner->family);
}

void out_tell_sender(
	struct worker *worker, enum icmp_error kind, const struct frame *frame, const struct inner *inner, uint32_t mtu)
{
	bool from_host = frame->meta.flags & META_FROM_HOST;
	struct addr16 own[OWN_ADDRESSES_MAX];
	struct frame answer = {0};
	enum drop_reason reason;
	const uint8_t *source;

	if (inner->family == 6 && mtu < INNER_IPV6_MTU_MIN)
		mtu = INNER_IPV6_MTU_MIN; /* what is no longer goes whole (out_whole) */
	if (!error_allowed(worker) || !own_addresses(worker->shared, inner->family, own))
		return;
	if (!frame_alloc(&worker->cache, &answer, FRAME_DATA_MAX))
		return;
	/* What came by a port came in clear, and so does the error go. */
	source = error_source(from_host ? worker->shared->policy : NULL, kind, inner, own);
	if (!icmp_error_build(&answer, kind, frame->data, inner, source, mtu)) {
		chunk_give(&worker->cache, answer.chunk);
		return;
	}
	/* A packet of the host itself, or one that the host has routed: back the way it came. */
	reason = from_host ? forward_to_host(worker, &answer) : forward_packet(worker, &answer);
	if (reason)
		worker_drop(worker, &answer, reason);
}
