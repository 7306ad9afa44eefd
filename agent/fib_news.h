/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What moved on in the kernel's routing, as counts: the control thread adds, workers compare with what they saw before
 * they asked. Of neighbours each group has a count of its own, so that one host's new link address makes the answers of
 * its group stale and no others.
 */
#ifndef ESPALIER_AGENT_FIB_NEWS_H
#define ESPALIER_AGENT_FIB_NEWS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FIB_NEIGHBORS 4096u /* groups, by interface and address (neighbor_group); group 0 is nobody's */

struct fib_news {
	_Atomic uint32_t all; /* routes, rules, links, addresses */
	_Atomic uint32_t neighbors[FIB_NEIGHBORS];
	/* Rules look at more of a plain packet than its destination (host_rules.h), by family: 0 IPv4, 1 IPv6. Written
	 * before `all` moves on. */
	_Atomic bool further[2];
};

#endif
