/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolver over the kernel's routes and neighbours (rtnetlink, libmnl). One per worker: it has its own netlink
 * socket.
 *
 * Of several paths of equal cost the kernel chooses by the destination alone, as it is asked: all packets of an SA take
 * one path, in order, as long as the set of paths stands; when one goes, the change makes every cached answer stale and
 * the next packet asks again.
 */
#ifndef ESPALIER_AGENT_RESOLVER_H
#define ESPALIER_AGENT_RESOLVER_H

#include "agent/fib_news.h"
#include "agent/netlink.h"
#include "agent/nexthop.h"
#include "agent/port.h"

struct route_resolver {
	struct resolver resolver; /* first: what nexthop_cache holds */
	struct netlink netlink;
	struct port_table *ports;    /* borrowed */
	const struct fib_news *news; /* borrowed */
};

int route_resolver_init(struct route_resolver *resolver, struct port_table *ports, const struct fib_news *news);
void route_resolver_clear(struct route_resolver *resolver);

#endif
