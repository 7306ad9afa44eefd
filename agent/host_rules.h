/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's policy routing (ip rule) and the cache of next hops, which knows packets out of tunnels by their
 * destination alone: which rules look at more of them than that.
 */
#ifndef ESPALIER_AGENT_HOST_RULES_H
#define ESPALIER_AGENT_HOST_RULES_H

#include "agent/netlink.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * May the rule that RTM_NEWRULE tells of send a packet out of a tunnel elsewhere than a question without its source
 * says? Not the agent's own rules (contract.h), which the policies answer for; nor one for an address of this host as
 * the source, which such a packet never has; nor for a mark, which it does not have either.
 */
bool host_rule_matters(const struct nlmsghdr *message, const struct local_addr *own, uint32_t count);

/* Is there such a rule of this family (AF_*)? When the kernel cannot be asked: yes. */
bool host_rules_matter(struct netlink *netlink, uint8_t family, const struct local_addr *own, uint32_t count);

#endif
