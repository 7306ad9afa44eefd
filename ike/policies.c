/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/policies.h"

#include "ike/ts.h"

#include <string.h>

unsigned selector_common_bits(const struct selector *selector)
{
	unsigned bits = selector->family == 4 ? 32 : 128;

	for (unsigned bit = 0; bit < bits; bit++)
		if ((selector->first[bit / 8] ^ selector->last[bit / 8]) & (0x80 >> bit % 8))
			return bit;
	return bits;
}

bool selector_is_inside(const struct selector *local, const struct selector *remote)
{
	size_t len = local->family == 4 ? 4 : 16;
	int first = memcmp(local->first, remote->first, len);
	int last = memcmp(local->last, remote->last, len);

	return local->family == remote->family && first >= 0 && last <= 0 && (first || last);
}

uint32_t protection_priority(const struct selector *remote, bool any_protocol)
{
	unsigned bits = selector_common_bits(remote) + (remote->family == 4 ? 96 : 0);

	return PRIORITY_AUTO + 2 * (128 - bits) + any_protocol;
}

bool protection_of_child(
	const struct conn_config *conn, const struct child_config *child, struct protection *protection)
{
	*protection = (struct protection){
		.routed = !child->shunt,
		.hosts = !child->shunt && child->mode == SA_TRANSPORT,
		.action = child->shunt ? child->shunt : POLICY_PROTECT,
		.priority = child->priority,
		.local_count = child->local_count,
		.remote_count = child->remote_count,
	};
	memcpy(protection->local, child->local, sizeof(protection->local));
	memcpy(protection->remote, child->remote, sizeof(protection->remote));
	if (!protection->local_count && conn->local.family != IP_NONE) {
		ts_of_addr(&conn->local, &protection->local[0]);
		protection->local_count = 1;
	}
	if (!protection->remote_count && conn->remote.family != IP_NONE) {
		ts_of_addr(&conn->remote, &protection->remote[0]);
		protection->remote_count = 1;
	}
	return protection->local_count && protection->remote_count;
}

struct ts_pairs protection_pairs(const struct protection *protection)
{
	return (struct ts_pairs){
		.local = protection->local,
		.remote = protection->remote,
		.local_count = protection->local_count,
		.remote_count = protection->remote_count,
	};
}

bool protection_has_local(const struct protection *protection, uint8_t family)
{
	for (unsigned i = 0; i < protection->local_count; i++)
		if (protection->local[i].family == family)
			return true;
	return false;
}

static uint32_t priority_of(const struct protection *protection, const struct selector *remote, bool any_protocol)
{
	return protection->priority ? protection->priority : protection_priority(remote, any_protocol);
}

/*
 * What goes from this side to this side has no business in the tunnel, though its remote selector contains us: a host
 * of the local network talks to this gateway. Asked before the tunnel's policy, behind those of narrower tunnels.
 */
static struct policy local_bypass(
	const struct protection *protection, const struct selector *local, const struct selector *remote)
{
	struct policy policy = {
		.tunnel = TUNNEL_NONE,
		.action = POLICY_BYPASS,
		.local_count = 1,
		.remote_count = 1,
	};

	policy.local[0] = *local;
	policy.remote[0] = *remote;
	memcpy(policy.remote[0].first, local->first, sizeof(local->first));
	memcpy(policy.remote[0].last, local->last, sizeof(local->last));
	policy.priority = priority_of(protection, &policy.remote[0], true);
	return policy;
}

/* The policies to one remote selector. */
static unsigned remote_policies(
	const struct protection *protection, uint32_t tunnel, const struct selector *remote, struct policy *policies)
{
	unsigned count = 0;
	struct policy *own;

	for (unsigned i = 0; protection->action == POLICY_PROTECT && i < protection->local_count; i++)
		if (selector_is_inside(&protection->local[i], remote))
			policies[count++] = local_bypass(protection, &protection->local[i], remote);
	own = &policies[count++];
	*own = (struct policy){
		.tunnel = tunnel,
		.action = protection->action,
		.priority = priority_of(protection, remote, remote->protocol == 0),
		.local_count = protection->local_count,
		.remote_count = 1,
	};
	memcpy(own->local, protection->local, sizeof(own->local));
	own->remote[0] = *remote;
	return count;
}

unsigned protection_policies(
	const struct protection *protection, uint32_t tunnel, struct policy policies[static PROTECTION_POLICIES_MAX])
{
	unsigned count = 0;

	for (unsigned i = 0; i < protection->remote_count; i++)
		if (protection_has_local(protection, protection->remote[i].family))
			count += remote_policies(protection, tunnel, &protection->remote[i], &policies[count]);
	return count;
}
