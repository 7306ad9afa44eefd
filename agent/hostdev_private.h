/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the host device share: the device, its routes, its rules. */
#ifndef ESPALIER_AGENT_HOSTDEV_PRIVATE_H
#define ESPALIER_AGENT_HOSTDEV_PRIVATE_H

#include "agent/hostdev.h"

#include <sys/socket.h>

#define ROUTE_PROTOCOL 145 /* marks our routes in `ip route` */
#define REQUEST_BUFFER uint8_t buffer[NETLINK_REQUEST_BYTES] __attribute__((aligned(8)))

static inline uint8_t family_of(const struct ip_addr *addr)
{
	return addr->family == IP_V4 ? AF_INET : AF_INET6;
}

/* Should the device be down, gone, or without carrier on a host that does not like that: nowhere, and not elsewhere. */
int hostdev_nowhere(struct netlink *netlink, uint16_t type, uint16_t flags, const struct ip_prefix *prefix);
/* All of our rules in a family (IP_V4, IP_V6). */
void hostdev_family_remove(struct netlink *netlink, uint8_t addr_family);

#endif
