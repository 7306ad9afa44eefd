/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line to the agent (agent/contract.h): routes go there, acquires, lifetimes and moved peers come from there. The
 * agent may restart at any time: the link connects again by itself and repeats all routes.
 */
#ifndef ESPALIER_IKE_AGENT_LINK_H
#define ESPALIER_IKE_AGENT_LINK_H

#include "agent/contract.h"

#include <stdbool.h>
#include <systemd/sd-event.h>

#define AGENT_RECONNECT_FIRST_US (200 * 1000)
#define AGENT_RECONNECT_MAX_US	 (5 * 1000 * 1000)

struct agent_link; /* opaque */

struct agent_route {
	struct addr16 prefix;
	uint8_t family; /* 4 or 6 */
	uint8_t len;
	uint8_t use;		    /* enum agent_route_use */
	struct addr16 source_first; /* the host's own address from this range is preferred as source */
	struct addr16 source_last;
};

/* An event of the agent: ACQUIRE, EXPIRE or PEER_MOVED. */
typedef void (*agent_event_fn)(void *context, const struct agent_message *message);

/* Connect (and keep trying) in `event`'s loop. -errno only for lack of memory or descriptors. */
int agent_link_new(sd_event *event, const char *path, agent_event_fn fn, void *context, struct agent_link **link);
void agent_link_free(struct agent_link *link);

bool agent_link_connected(const struct agent_link *link);

/* Counted by prefix and use: a prefix of two tunnels goes when both are gone. -ENOMEM. */
int agent_link_route_add(struct agent_link *link, const struct agent_route *route);
void agent_link_route_delete(struct agent_link *link, const struct agent_route *route);

/* `count` dummy packets of `bytes` by a tunnel (AGENT_DUMMY). -ENOTCONN; -EAGAIN: the line is full. */
int agent_link_dummy(struct agent_link *link, uint32_t tunnel, uint32_t count, uint32_t bytes);

/* Ask for the ports anew; the answer replaces what agent_link_ports gives. */
void agent_link_ports_query(struct agent_link *link);
/* What the agent last said of its ports (struct agent_message, kind AGENT_PORT); empty when it is not connected. */
const struct agent_message *agent_link_ports(const struct agent_link *link, unsigned *count);
/* The suites that the agent has and what serves them (AGENT_SUITE); asked once a connection, empty without one. */
const struct agent_message *agent_link_suites(const struct agent_link *link, unsigned *count);

#endif
