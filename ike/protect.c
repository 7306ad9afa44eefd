/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/protect.h"

#include "agent/base/addr.h"
#include "bpf/policy_table.h"

#include <string.h>

/* ---- routes ---------------------------------------------------------------------------------------------------- */
static void selector_addr(uint8_t family, const uint8_t bytes[static 16], struct addr16 *out)
{
	struct ip_addr addr = {.family = family};

	memcpy(addr.bytes, bytes, addr_len(&addr));
	addr_to_mapped(&addr, out->bytes);
}

/* The host's own address within the local selectors is the right source for traffic into the tunnel. */
static void route_source(const struct protection *protection, struct agent_route *route)
{
	for (unsigned i = 0; i < protection->local_count; i++) {
		const struct selector *local = &protection->local[i];

		if (local->family != route->family)
			continue;
		selector_addr(local->family, local->first, &route->source_first);
		selector_addr(local->family, local->last, &route->source_last);
		return;
	}
}

static void route_change(struct agent_link *link, const struct agent_route *route, bool add)
{
	if (add)
		agent_link_route_add(link, route);
	else
		agent_link_route_delete(link, route);
}

/* A rule cannot say "from anywhere" and be told from the others: that takes two, one a half. */
static void source_halves(struct agent_link *link, struct agent_route *route, bool add)
{
	unsigned first = route->family == 4 ? 12 : 0;

	route->len = 1;
	route_change(link, route, add);
	route->prefix.bytes[first] |= 0x80;
	route_change(link, route, add);
}

/* Every prefix of the selector's addresses, for `use`. True: they are all there are. */
static bool range_change(const struct protection *protection, struct agent_link *link, const struct selector *range,
	enum agent_route_use use, bool add)
{
	struct policy_prefix prefixes[RANGE_PREFIXES_MAX];
	uint32_t count = range_to_prefixes(range->family, range->first, range->last, prefixes);
	bool all = count && !prefixes[0].len;

	for (uint32_t i = 0; i < count; i++) {
		struct agent_route route = {.family = range->family, .len = prefixes[i].len, .use = (uint8_t)use};

		selector_addr(range->family, prefixes[i].bytes, &route.prefix);
		if (use == ROUTE_TUNNEL || use == ROUTE_CAPTURED)
			route_source(protection, &route);
		if (all && use == ROUTE_SOURCE)
			source_halves(link, &route, add);
		else
			route_change(link, &route, add);
	}
	return all;
}

static bool selector_is_whole(const struct selector *selector)
{
	return !selector->protocol && selector->port_first == 0 && selector->port_last == UINT16_MAX;
}

static bool selector_is_all(const struct selector *selector)
{
	return selector_common_bits(selector) == 0 && selector_is_whole(selector) && selector->first[0] == 0 &&
	       selector->last[0] == 0xff;
}

/* Between two hosts a route would take all that this one sends to the other. Where the selectors mean less, capturing
 * by policy takes just that. */
static enum agent_route_use route_use(const struct protection *protection, const struct selector *remote)
{
	if (!protection->hosts)
		return ROUTE_TUNNEL;
	for (unsigned i = 0; selector_is_whole(remote) && i < protection->local_count; i++)
		if (protection->local[i].family == remote->family && selector_is_whole(&protection->local[i]))
			return ROUTE_TUNNEL;
	return ROUTE_CAPTURED;
}

/* A bypass of everything between anyone and `remote`: the host's own packets keep out of the host device, too. One of
 * less must not change the routes, or what it does not name would leave in clear. */
static void bypass_routes_change(
	const struct protection *protection, struct agent_link *link, const struct selector *remote, bool add)
{
	for (unsigned i = 0;
		protection->action == POLICY_BYPASS && selector_is_whole(remote) && i < protection->local_count; i++)
		if (protection->local[i].family == remote->family && selector_is_all(&protection->local[i]))
			range_change(protection, link, remote, ROUTE_LOCAL, add);
}

static void routes_change(
	const struct protection *protection, struct agent_link *link, const struct selector *remote, bool add)
{
	bool all;

	if (!protection->routed) {
		bypass_routes_change(protection, link, remote, add);
		return;
	}
	all = range_change(protection, link, remote, route_use(protection, remote), add);
	for (unsigned i = 0; i < protection->local_count; i++) {
		const struct selector *local = &protection->local[i];

		if (all && local->family == remote->family)
			range_change(protection, link, local, ROUTE_SOURCE, add);
		if (selector_is_inside(local, remote))
			range_change(protection, link, local, ROUTE_LOCAL, add);
	}
}

/* ---- policies -------------------------------------------------------------------------------------------------- */
static void policies_stop(struct protection *protection, struct policy_set *set)
{
	while (protection->policy_count)
		policy_remove(set, protection->policies[--protection->policy_count]);
}

int protection_start(struct protection *protection, struct policy_set *set, struct agent_link *link, uint32_t tunnel)
{
	struct policy policies[PROTECTION_POLICIES_MAX];
	unsigned count = protection_policies(protection, tunnel, policies);

	for (unsigned i = 0; i < count; i++) {
		int rc = policy_add(set, &policies[i], &protection->policies[protection->policy_count]);

		if (rc) {
			policies_stop(protection, set);
			return rc;
		}
		protection->policy_count++;
	}
	for (unsigned i = 0; i < protection->remote_count; i++)
		if (protection_has_local(protection, protection->remote[i].family))
			routes_change(protection, link, &protection->remote[i], true);
	protection->on = true;
	return 0;
}

void protection_stop(struct protection *protection, struct policy_set *set, struct agent_link *link)
{
	if (!protection->on)
		return;
	for (unsigned i = 0; i < protection->remote_count; i++)
		if (protection_has_local(protection, protection->remote[i].family))
			routes_change(protection, link, &protection->remote[i], false);
	policies_stop(protection, set);
	protection->on = false;
}
