/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes traffic go into a tunnel: policies for XDP, routes for the host's own traffic. One protection covers one
 * set of traffic selectors. With the SADB not open yet, or the agent away, it is remembered by whoever calls again.
 */
#ifndef ESPALIER_IKE_PROTECT_H
#define ESPALIER_IKE_PROTECT_H

#include "bpf/policy.h"
#include "ike/agent_link.h"

#include <stdbool.h>

struct protection {
	bool on;
	bool routed;	   /* the host's own traffic goes by the host device */
	bool hosts;	   /* transport mode: the selectors' addresses are the two hosts' own */
	uint8_t action;	   /* enum policy_action */
	uint32_t priority; /* of the configuration; 0: by the selectors' sizes */
	uint8_t local_count;
	uint8_t remote_count;
	struct selector local[SELECTORS_MAX];
	struct selector remote[SELECTORS_MAX];
	/* One a remote selector, so that each has the priority of its own prefix, and one a pair of which the remote
	 * selector contains the local one: what is on this side stays there. */
	uint32_t policies[SELECTORS_MAX + SELECTORS_MAX * SELECTORS_MAX];
	uint32_t policy_count;
};

/* Put policies and routes in force for `tunnel` (TUNNEL_NONE: bypass, discard) and the selectors that stand in
 * `protection`. -errno, then nothing is in force. */
int protection_start(struct protection *protection, struct policy_set *set, struct agent_link *link, uint32_t tunnel);
void protection_stop(struct protection *protection, struct policy_set *set, struct agent_link *link);

/*
 * Of policies without a priority of their own, which stand behind all that have one (1 to PRIORITY_AUTO - 1). Lower is
 * asked first: the order of prefixes, longest first, and selectors of one protocol before those of any.
 * Without it a policy that covers a narrower one could hide it.
 */
#define PRIORITY_AUTO 100000u
uint32_t protection_priority(const struct selector *remote, bool any_protocol);

#endif
