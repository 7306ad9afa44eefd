/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host device: a veth pair, `ipsec0` for the host and `ipsec0p` for the agent. The kernel's routes of protected
 * networks (table AGENT_ROUTE_TABLE, asked for all but AGENT_MARK) point to ipsec0; what the agent sends by ipsec0p
 * arrives in the host's stack.
 */
#ifndef ESPALIER_AGENT_HOSTDEV_H
#define ESPALIER_AGENT_HOSTDEV_H

#include "agent/netlink.h"

#include <stdbool.h>
#include <stdint.h>

/* The link itself takes what a tunnel may bring (the largest MTU that native XDP on veth allows for frames of one page
 * is about 3500); the routes carry HOST_DEVICE_MTU, so that the host's own packets fit. */
#define HOST_DEVICE_LINK_MTU 3440u

/*
 * Make the pair with `queues` queues, or adopt it if it is there (routes on it are kept), and bring it up. `host` and
 * `peer` tell what it became. -EEXIST: the name is taken by something else. On failure `error` gets a sentence.
 */
int hostdev_make(struct netlink *netlink, uint32_t queues, struct link_info *host, struct link_info *peer,
	char error[static 256]);
/* The rules that send all but marked packets to the table; harmless if they are there. */
int hostdev_rules_add(struct netlink *netlink);
/* The pair (and with it its routes) and the rules go. */
int hostdev_remove(struct netlink *netlink);

struct hostdev_route {
	struct ip_prefix prefix;
	struct ip_addr source; /* preferred source address; IP_NONE: the kernel's choice */
};

int hostdev_route_add(struct netlink *netlink, uint32_t ifindex, const struct hostdev_route *route);
int hostdev_route_delete(struct netlink *netlink, const struct ip_prefix *prefix);
/* Call `fn` for every prefix of the table: after a restart of the agent the kernel still has them. */
int hostdev_routes_each(
	struct netlink *netlink, void (*fn)(const struct ip_prefix *prefix, void *context), void *context);

#endif
