/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes traffic go into a tunnel: policies for XDP, routes for the host's own traffic. One protection covers one
 * set of traffic selectors. With the SADB not open yet, or the agent away, it is remembered by whoever calls again.
 */
#ifndef ESPALIER_IKE_PROTECT_H
#define ESPALIER_IKE_PROTECT_H

#include "bpf/policy.h"
#include "ike/agent_link.h"
#include "ike/policies.h"

/* Put policies and routes in force for `tunnel` (TUNNEL_NONE: bypass, discard) and the selectors that stand in
 * `protection`. -errno, then nothing is in force. */
int protection_start(struct protection *protection, struct policy_set *set, struct agent_link *link, uint32_t tunnel);
void protection_stop(struct protection *protection, struct policy_set *set, struct agent_link *link);

#endif
