/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's parts and what they share: one file each, called by the control thread alone. */
#ifndef ESPALIER_AGENT_AGENT_PRIVATE_H
#define ESPALIER_AGENT_AGENT_PRIVATE_H

#include "agent/agent.h"
#include "agent/contract.h"
#include "agent/control.h"
#include "agent/hostdev.h"
#include "agent/interface.h"
#include "agent/mailbox.h"
#include "agent/netlink.h"
#include "agent/resolver.h"
#include "agent/routes.h"
#include "agent/tx_engine.h"
#include "agent/watch.h"
#include "agent/worker.h"
#include "bpf/capture.h"
#include "bpf/dataplane.h"
#include "bpf/sadb.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#define HOST_SLOT 0u

struct interface {
	char name[IF_NAMESIZE];
	uint32_t slot;
	struct port *port; /* NULL: not served */
	int failed;	   /* why it could not be served when last tried; said once */
	char said[320];	   /* the last thing the log said about it */
};

struct agent {
	struct dataplane *dataplane;
	struct capture *capture;
	struct sadb *sadb;
	struct netlink netlink;
	struct watch watch;
	struct umem umem;
	struct mailbox mailbox;
	struct dummy_queue dummies;
	uint32_t lifetimes_swept; /* SA slots, in this round */
	struct sent sent;
	struct worker_shared shared;
	uint32_t worker_count;
	uint32_t workers_wished; /* 0: no matter */
	bool lends;		 /* workers do ciphers for each other */
	struct worker *workers[WORKERS_MAX];
	struct route_resolver resolvers[WORKERS_MAX];
	struct interface_options interface_options;
	struct link_info host;
	struct host_policy *host_policy;
	struct interface interfaces[INTERFACES_MAX];
	uint32_t interface_count;
	struct tx_engines tx;
	struct routes routes;
	struct control control;
	sd_event *event;
};

/* agent_interfaces.c */
/* From now on the workers see `port` (NULL: none) in the slot; what was there before is no longer used by any. */
void agent_put_port(struct agent *agent, uint32_t slot, struct port *port);
/* Bring the ports in line with what the kernel has. */
void agent_check_interfaces(struct agent *agent);
/* What an earlier agent served and this one does not is the host's own again. */
void agent_detach_others(struct agent *agent);
bool agent_serves_any(const struct agent *agent);

/* agent_addresses.c */
/* This host's addresses, for all who need them: XDP, routes, ICMP errors, and what its rules make of them. */
void agent_read_addresses(struct agent *agent);

/* agent_messages.c */
/* All ports, to one who asked or, without `client`, to everybody. */
void agent_send_ports(struct agent *agent, struct control_client *client);
/* lifetime_sweep's and control.h's callbacks; `context` is the agent. */
void agent_tell_expired(void *context, uint32_t index, __be32 spi, unsigned kinds);
void agent_on_message(void *context, struct control_client *client, const struct agent_message *message);

/* agent_events.c */
/* SIGINT and SIGTERM are the event loop's. Before the first thread is made: it inherits the mask, and one that does not
 * have it would take the signal and end the process on the spot. */
void agent_block_signals(void);
/* The event loop, the control socket, timers and signals. -errno with a sentence in `error`. */
int agent_make_events(struct agent *agent, const struct agent_options *options, char error[static 256]);

#endif
