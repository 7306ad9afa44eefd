/* SPDX-License-Identifier: Apache-2.0 */
/* The interfaces of the configuration: served as they come and go. */
#include "agent/agent_private.h"

#include "agent/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Say it once: the same sentence about the same interface is not repeated. */
static void interface_say(struct interface *interface, enum log_level level, const char *sentence)
{
	if (strcmp(interface->said, sentence) == 0)
		return;
	snprintf(interface->said, sizeof(interface->said), "%s", sentence);
	log_write(level, "%s", sentence);
}

static void interface_say_served(struct interface *interface, const struct port *port)
{
	char sentence[256];

	snprintf(sentence, sizeof(sentence), "%s: served in %s mode%s, %u queue%s%s%.150s", port->name,
		port->mode == ATTACH_NATIVE ? "native" : "generic", port->zero_copy ? ", zero-copy" : "",
		port->queue_count, port->queue_count == 1 ? "" : "s", port->reason[0] ? "; " : "", port->reason);
	interface_say(interface, port->mode == ATTACH_NATIVE ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, sentence);
}

void agent_put_port(struct agent *agent, uint32_t slot, struct port *port)
{
	atomic_store_explicit(&agent->shared.ports.ports[slot], port, memory_order_release);
	atomic_fetch_add(&agent->shared.news.all, 1);
	workers_wait(&agent->shared, agent->workers, agent->worker_count);
}

static void interface_take_out(struct agent *agent, struct interface *interface)
{
	struct port *port = interface->port;

	interface->port = NULL;
	agent_put_port(agent, interface->slot, NULL);
	tx_engines_leave(&agent->tx, port);
	port_free(port);
}

static void interface_serve(struct agent *agent, struct interface *interface, const struct link_info *link)
{
	char error[256] = "", sentence[320];
	struct port *port;
	int err = interface_open(&agent->interface_options, link, interface->slot, &port, error);

	if (err) {
		snprintf(sentence, sizeof(sentence), "%s is not served: %s", interface->name, error);
		if (err != interface->failed)
			interface_say(interface, LOG_LEVEL_ERROR, sentence);
		interface->failed = err;
		return;
	}
	interface->failed = 0;
	interface->port = port;
	tx_engines_serve(&agent->tx, port);
	interface_say_served(interface, port);
	agent_put_port(agent, interface->slot, port);
}

/* Bring one interface's port in line with what the kernel has. */
static void interface_check(struct agent *agent, struct interface *interface)
{
	char sentence[64];
	struct link_info link;
	int err = netlink_link(&agent->netlink, interface->name, &link);

	if (err == -EAGAIN)
		return;
	/* The XDP program knows the link address: another one is another port. */
	if (interface->port && (err || link.ifindex != interface->port->ifindex ||
				       memcmp(link.mac, interface->port->mac, sizeof(link.mac)) != 0))
		interface_take_out(agent, interface);
	if (err) {
		snprintf(sentence, sizeof(sentence), "%s is not there; it is served when it appears", interface->name);
		interface_say(interface, LOG_LEVEL_WARN, sentence);
		return;
	}
	if (!interface->port) {
		interface_serve(agent, interface, &link);
		return;
	}
	atomic_store(&interface->port->mtu, link.mtu);
	atomic_store(&interface->port->up, link.up);
}

void agent_check_interfaces(struct agent *agent)
{
	bool captures = true;

	for (uint32_t i = 0; i < agent->interface_count; i++) {
		interface_check(agent, &agent->interfaces[i]);
		captures &= !agent->interfaces[i].port || agent->interfaces[i].port->captures;
	}
	routes_capture(&agent->routes, captures);
}

/* What an earlier agent served and this one is not to serve is the host's own again. What it only cannot serve stays
 * shut. */
void agent_detach_others(struct agent *agent)
{
	int ifindexes[INTERFACES_MAX];
	uint32_t count = 0;

	for (uint32_t i = 0; i < agent->interface_count; i++) {
		int ifindex = (int)if_nametoindex(agent->interfaces[i].name);

		if (ifindex)
			ifindexes[count++] = ifindex;
	}
	dataplane_keep_only(agent->dataplane, ifindexes, count);
	capture_keep_only(ifindexes, count);
}

bool agent_serves_any(const struct agent *agent)
{
	for (uint32_t i = 0; i < agent->interface_count; i++)
		if (agent->interfaces[i].port)
			return true;
	return false;
}
