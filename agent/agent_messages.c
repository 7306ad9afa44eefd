/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent and the IKE daemon tell each other. */
#include "agent/agent_private.h"

#include "agent/base/log.h"
#include "agent/lifetime.h"
#include "agent/suite_choice.h"

#include <netinet/in.h>
#include <stdio.h>

static void agent_send_port(struct agent *agent, const struct port *port, const char *name, const char *reason,
	bool more, struct control_client *client)
{
	struct agent_message message = {.version = AGENT_MESSAGE_VERSION, .kind = AGENT_PORT};

	snprintf(message.port.ifname, sizeof(message.port.ifname), "%s", name);
	snprintf(message.port.reason, sizeof(message.port.reason), "%.255s", reason);
	message.port.more = more;
	if (port) {
		message.port.ifindex = port->ifindex;
		message.port.queues = port->queue_count;
		message.port.mode = (uint8_t)port->mode;
		message.port.zero_copy = port->zero_copy;
		message.port.multi_buffer = port->multi_buffer;
		message.port.tx_engine = tx_engines_of(&agent->tx, port, message.port.tx_reason);
		message.port.busy_poll = port->busy_poll;
		message.port.need_wakeup = port->need_wakeup;
		message.port.ring_size = port->ring_size;
		message.port.host = port->host;
	}
	if (client)
		control_send(client, &message);
	else
		control_broadcast(&agent->control, &message);
}

void agent_send_ports(struct agent *agent, struct control_client *client)
{
	for (uint32_t i = 0; i < agent->interface_count; i++) {
		const struct interface *interface = &agent->interfaces[i];

		agent_send_port(agent, interface->port, interface->name,
			interface->port ? interface->port->reason : interface->said, true, client);
	}
	agent_send_port(agent, port_table_host(&agent->shared.ports), HOST_DEVICE, "", false, client);
}

static void agent_send_suite(const struct esp_suite *suite, bool more, struct control_client *client)
{
	struct suite_figure figure = suite_figure(suite);
	struct agent_message message = {.version = AGENT_MESSAGE_VERSION, .kind = AGENT_SUITE};

	snprintf(message.suite.name, sizeof(message.suite.name), "%s", suite->name);
	snprintf(message.suite.engine, sizeof(message.suite.engine), "%s", figure.engine->name);
	message.suite.encr = suite->encr;
	message.suite.encr_key_bits = suite->encr_key_bits;
	message.suite.integ = suite->integ;
	message.suite.protocol = suite->mode == SUITE_AH ? IPPROTO_AH : IPPROTO_ESP;
	message.suite.more = more;
	message.suite.ns_small = figure.ns[SUITE_SIZE_SMALL];
	message.suite.ns_large = figure.ns[SUITE_SIZE_LARGE];
	control_send(client, &message);
}

static void agent_send_suites(struct control_client *client)
{
	for (unsigned i = 0; esp_suite_at(i); i++)
		agent_send_suite(esp_suite_at(i), true, client);
	for (unsigned i = 0; ah_suite_at(i); i++)
		agent_send_suite(ah_suite_at(i), ah_suite_at(i + 1) != NULL, client);
}

void agent_tell_expired(void *context, uint32_t index, __be32 spi, unsigned kinds)
{
	struct agent *agent = context;
	struct agent_message message = {.version = AGENT_MESSAGE_VERSION, .kind = AGENT_EXPIRE};

	message.expire.sa = index;
	message.expire.spi = spi;
	message.expire.kind = kinds & AGENT_EXPIRE_HARD ? AGENT_EXPIRE_HARD : AGENT_EXPIRE_SOFT;
	control_broadcast(&agent->control, &message);
}

static void agent_send_dummies(struct agent *agent, const struct agent_message *message)
{
	struct dummy_request request = {
		.tunnel = message->dummy.tunnel, .count = message->dummy.count, .len = message->dummy.bytes};

	if (request.tunnel >= agent->shared.maps.tunnel_count || request.count > AGENT_DUMMY_COUNT_MAX ||
		request.len > AGENT_DUMMY_BYTES_MAX || !dummy_put(&agent->dummies, &request)) {
		log_warn("%u dummy packets of %u bytes for tunnel %u were not taken: they make no sense, or too many "
			 "wait",
			request.count, request.len, request.tunnel);
		return;
	}
	worker_wake(agent->workers[0]);
}

void agent_on_message(void *context, struct control_client *client, const struct agent_message *message)
{
	struct agent *agent = context;

	switch (message->kind) {
	case AGENT_ROUTES_RESET:
		lifetime_forget_told(&agent->shared.maps); /* a daemon that has just connected */
		routes_message(&agent->routes, message);
		return;
	case AGENT_ROUTE_ADD:
	case AGENT_ROUTE_DELETE:
	case AGENT_ROUTES_DONE:
		routes_message(&agent->routes, message);
		return;
	case AGENT_DUMMY:
		agent_send_dummies(agent, message);
		return;
	case AGENT_PORTS_QUERY:
		agent_send_ports(agent, client);
		return;
	case AGENT_SUITES_QUERY:
		agent_send_suites(client);
		return;
	default:
		log_warn("a control message of unknown kind %u was ignored", message->kind);
	}
}
