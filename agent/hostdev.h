/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host device: a veth pair, `ipsec0` for the host and `ipsec0p` for the agent. The kernel's routes of protected
 * networks (table AGENT_ROUTE_TABLE, asked for all but AGENT_MARK; full tunnels: contract.h) point to ipsec0; what the
 * agent sends by ipsec0p arrives in the host's stack.
 */
#ifndef ESPALIER_AGENT_HOSTDEV_H
#define ESPALIER_AGENT_HOSTDEV_H

#include "agent/contract.h"
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
/* "Not here, go on": what the table's wider prefixes do not mean. */
int hostdev_throw_add(struct netlink *netlink, const struct ip_prefix *prefix);
int hostdev_throw_delete(struct netlink *netlink, const struct ip_prefix *prefix);

/* The rules of a full tunnel in one family (IP_V4, IP_V6); harmless if they are there. `unbound`: also for packets of
 * the host whose source is not chosen yet; without an address that the tunnel takes they had better go elsewhere. */
int hostdev_full_add(struct netlink *netlink, uint8_t family, bool unbound);
void hostdev_full_remove(struct netlink *netlink, uint8_t family);
/* Packets from `prefix` may take the full tunnel. */
int hostdev_source_add(struct netlink *netlink, const struct ip_prefix *prefix);
int hostdev_source_delete(struct netlink *netlink, const struct ip_prefix *prefix);

typedef void (*hostdev_each_fn)(const struct ip_prefix *prefix, enum agent_route_use use, void *context);

/* Call `fn` for every prefix of the tables, of the rules for sources: after a restart the kernel still has them. `fn`
 * must not ask by the same netlink. */
int hostdev_routes_each(struct netlink *netlink, hostdev_each_fn fn, void *context);
int hostdev_sources_each(struct netlink *netlink, hostdev_each_fn fn, void *context);

#endif
