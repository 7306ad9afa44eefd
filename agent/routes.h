/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The routes that the IKE daemon wants into the host device, counted per prefix (several tunnels may share one). After
 * RESET those not repeated before DONE go; that also takes away what an earlier agent left in the kernel. Without an
 * IKE daemon routes stay: fail closed.
 */
#ifndef ESPALIER_AGENT_ROUTES_H
#define ESPALIER_AGENT_ROUTES_H

#include "agent/contract.h"
#include "agent/hostdev.h"
#include "agent/netlink.h"

#define ROUTES_MAX 8192u

struct route_want {
	struct ip_prefix prefix;
	enum agent_route_use use;
	struct ip_addr source_first; /* IP_NONE: no wish */
	struct ip_addr source_last;
	uint32_t wanted;
	bool in_kernel;
};

struct routes {
	struct netlink *netlink;      /* borrowed */
	uint32_t ifindex;	      /* of the host device */
	struct local_addr *addresses; /* owned: this host's, for the preferred source */
	uint32_t address_count;
	struct route_want *items;
	uint32_t count;
	uint32_t room;
	bool full_v4; /* the rules of a full tunnel stand */
	bool full_v6;
	bool resetting; /* between RESET and DONE nothing is taken away */
	bool captures;	/* ROUTE_CAPTURED needs no route */
};

/* Adopts what the kernel's table holds. */
void routes_init(struct routes *routes, struct netlink *netlink, uint32_t ifindex);
void routes_clear(struct routes *routes);

/* AGENT_ROUTE_ADD, AGENT_ROUTE_DELETE, AGENT_ROUTES_RESET, AGENT_ROUTES_DONE. */
void routes_message(struct routes *routes, const struct agent_message *message);
/* Whether every interface captures by policy: else ROUTE_CAPTURED is a route like ROUTE_TUNNEL. */
void routes_capture(struct routes *routes, bool captures);
/* This host's addresses changed; takes `addresses` over. Preferred sources are chosen anew. */
void routes_addresses(struct routes *routes, struct local_addr *addresses, uint32_t count);

#endif
