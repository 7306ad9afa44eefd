/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host device `ipsec0`: a TUN device whose queues are the agent's. The kernel's routes of protected networks (table
 * AGENT_ROUTE_TABLE, asked for all but AGENT_MARK; full tunnels: contract.h) point to it; what the agent writes to it
 * arrives in the host's stack. It stays when the agent dies, with its addresses and routes: its packets are dropped
 * then.
 */
#ifndef ESPALIER_AGENT_HOSTDEV_H
#define ESPALIER_AGENT_HOSTDEV_H

#include "agent/contract.h"
#include "agent/netlink.h"

#include <stdbool.h>
#include <stdint.h>

/* The link itself takes what the largest tunnel carries; the routes have HOST_DEVICE_MTU, so that the host's own
 * packets fit every one. */
#define HOST_DEVICE_LINK_MTU 9001u
#define HOST_DEVICE_TX_QUEUE 1000u /* packets that wait for the agent, large ones too, per queue */

/*
 * Make the device, or adopt it if it is there (addresses and routes on it are kept), attach `queues` queues, whose
 * descriptors the caller closes (tun.h), and bring it up. `host` tells what it became. The veth pair of an older agent
 * is replaced, without a moment in which its networks had another way. On failure no queue is attached and `error` gets
 * a sentence; -EINVAL, -EBUSY: the name is taken by something else.
 */
int hostdev_make(struct netlink *netlink, uint32_t queues, int *fds, struct link_info *host, char error[static 256]);
/* The rules that send all but marked packets to the table; harmless if they are there. */
int hostdev_rules_add(struct netlink *netlink);
/* The device (and with it its routes) and the rules go. */
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
