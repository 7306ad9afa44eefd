/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/host_policy.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#define ND_FIRST     133u /* router solicitation (RFC 4861 4) */
#define ND_LAST	     137u /* redirect */
#define ND_HOP_LIMIT 255u /* RFC 4861 7.1: else it is no neighbour's */

/* Multicast, limited broadcast, IPv6 link-local: never forwarded, so never ours to protect. */
static bool destination_special(const struct inner *inner)
{
	const uint8_t *to = inner->destination;

	if (inner->family == 4)
		return to[0] >= 224 && (to[0] < 240 || (to[0] & to[1] & to[2] & to[3]) == 255);
	return to[0] == 0xff || (to[0] == 0xfe && (to[1] & 0xc0) == 0x80);
}

static bool neighbor_discovery(const struct inner *inner)
{
	uint32_t type = inner->source_port >> 8;

	return inner->family == 6 && inner->protocol == IPPROTO_ICMPV6 && inner->ports_known &&
	       inner->ttl == ND_HOP_LIMIT && type >= ND_FIRST && type <= ND_LAST;
}

static void flow_addr(const struct inner *inner, const uint8_t *bytes, struct addr16 *out)
{
	if (inner->family == 6) {
		memcpy(out->bytes, bytes, 16);
		return;
	}
	out->bytes[10] = out->bytes[11] = 0xff;
	memcpy(out->bytes + 12, bytes, 4);
}

static struct host_flow flow_of(const struct inner *inner)
{
	struct host_flow flow = {.source_port = inner->source_port,
		.destination_port = inner->destination_port,
		.protocol = inner->protocol};

	flow_addr(inner, inner->source, &flow.source);
	flow_addr(inner, inner->destination, &flow.destination);
	return flow;
}

static uint32_t flow_slot(const struct host_flow *flow)
{
	uint64_t words[4], hash;

	memcpy(words, &flow->source, sizeof(words));
	hash = (uint64_t)flow->source_port << 24 | (uint64_t)flow->destination_port << 8 | flow->protocol;
	for (unsigned i = 0; i < 4; i++)
		hash = (hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(hash >> 40) % HOST_FLOWS;
}

static bool flow_same(const struct host_flow *a, const struct host_flow *b)
{
	return memcmp(&a->source, &b->source, sizeof(a->source)) == 0 &&
	       memcmp(&a->destination, &b->destination, sizeof(a->destination)) == 0 &&
	       a->source_port == b->source_port && a->destination_port == b->destination_port &&
	       a->protocol == b->protocol;
}

enum drop_reason host_flows_ask(struct host_flows *flows, const struct inner *inner, uint32_t *tunnel)
{
	uint64_t generation = flows->policy->generation(flows->policy);
	struct host_flow flow, *known;

	if (inner->later_fragment) /* of whatever ports: each by itself */
		return flows->policy->ask(flows->policy, inner, tunnel);
	flow = flow_of(inner);
	known = &flows->flows[flow_slot(&flow)];
	if (!known->generation || known->generation != generation || !flow_same(known, &flow)) {
		flow.reason = (uint8_t)flows->policy->ask(flows->policy, inner, &flow.tunnel);
		flow.generation = generation;
		*known = flow;
	}
	*tunnel = known->tunnel;
	return (enum drop_reason)known->reason;
}

enum drop_reason host_flows_judge(struct host_flows *flows, const struct inner *inner, uint32_t *tunnel)
{
	if (destination_special(inner) || neighbor_discovery(inner))
		return DROP_POLICY_NONE;
	return host_flows_ask(flows, inner, tunnel);
}

bool host_fragment_needs_whole(struct host_policy *policy, const struct inner *fragment)
{
	struct inner later = *fragment;
	uint32_t tunnel;

	later.later_fragment = true;
	later.ports_known = false;
	later.source_port = later.destination_port = 0;
	return policy->ask(policy, &later, &tunnel) == DROP_FRAGMENT_PORTS;
}
