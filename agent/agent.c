/* SPDX-License-Identifier: Apache-2.0 */
/* What is set up in which order, and its end. */
#include "agent/agent_private.h"

#include "agent/base/log.h"
#include "agent/base/own.h"
#include "agent/cpu.h"
#include "agent/privilege.h"
#include "agent/reassembly.h"
#include "agent/suite_choice.h"
#include "agent/tun_port.h"
#include "agent/xsk_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#define CHUNKS_PER_WORKER 1024u
#define SPARE_SOCKETS	  2u /* an interface that comes later */

static enum dispatcher_use dispatcher_use_of(const char *word)
{
	if (word && strcmp(word, "on") == 0)
		return DISPATCHER_ON;
	return word && strcmp(word, "off") == 0 ? DISPATCHER_OFF : DISPATCHER_AUTO;
}

/* One system call: for the few packets that XDP could not look up. */
static uint32_t agent_find_spi(void *context, const struct spi_key *key)
{
	return sadb_find_spi(context, key);
}

static int agent_open_maps(struct agent *agent, const struct agent_options *options, char error[static 256])
{
	const struct dataplane_options dataplane = {
		.pin_dir = options->pin_dir,
		.sa_count = options->sa_count ? options->sa_count : SA_COUNT_DEFAULT,
		.tunnel_count = options->tunnel_count ? options->tunnel_count : TUNNEL_COUNT_DEFAULT,
		.policy_count = options->policy_count ? options->policy_count : POLICY_COUNT_DEFAULT,
		.dispatcher = dispatcher_use_of(options->dispatcher),
	};
	uint32_t sa_count, tunnel_count;
	int err = dataplane_open(&dataplane, &agent->dataplane, error);

	if (err)
		return err;
	err = sadb_open(options->pin_dir, true, &agent->sadb);
	if (err) {
		snprintf(error, 256, "the maps under %s cannot be opened: %s", options->pin_dir, strerror(-err));
		return err;
	}
	err = host_policy_new(agent->sadb, &agent->host_policy);
	if (err) {
		snprintf(error, 256, "the policies cannot be read: %s", strerror(-err));
		return err;
	}
	agent->shared.policy = agent->host_policy;
	sa_count = sadb_sa_count(agent->sadb);
	tunnel_count = sadb_tunnel_count(agent->sadb);
	agent->shared.maps = (struct sa_maps){
		.sa = sadb_slot(agent->sadb, 0),
		.run = sadb_run(agent->sadb, 0),
		.tunnel = sadb_tunnel(agent->sadb, 0),
		.sa_count = sa_count,
		.tunnel_count = tunnel_count,
	};
	agent->shared.stats = sadb_worker(agent->sadb, 0);
	workers_settle(agent->shared.stats);
	agent->shared.replay_locks = calloc(sa_count, sizeof(*agent->shared.replay_locks));
	agent->shared.owners = calloc(sa_count, sizeof(*agent->shared.owners));
	agent->shared.sent = sent_init(&agent->sent, sa_count) ? NULL : &agent->sent;
	agent->shared.workers = agent->workers;
	agent->shared.reassembly = reassembly_new();
	agent->shared.host_fragments = reassembly_new();
	agent->shared.find_spi = agent_find_spi;
	agent->shared.find_spi_context = agent->sadb;
	agent->shared.acquire_told_ns = calloc(tunnel_count, sizeof(*agent->shared.acquire_told_ns));
	if (agent->shared.replay_locks && agent->shared.owners && agent->shared.sent && agent->shared.acquire_told_ns &&
		agent->shared.reassembly && agent->shared.host_fragments)
		return 0;
	snprintf(error, 256, "out of memory");
	return -ENOMEM;
}

/* As many workers as the widest interface has queues, or more if that is wished: those without a queue help the others.
 * But not more than there are CPUs. */
static uint32_t agent_count_workers(struct agent *agent, uint32_t *queues)
{
	uint32_t most = agent->workers_wished ? agent->workers_wished : 1, cpus;
	struct link_info link;

	*queues = 0;
	for (uint32_t i = 0; i < agent->interface_count; i++) {
		uint32_t count;

		if (netlink_link(&agent->netlink, agent->interfaces[i].name, &link))
			continue;
		count = link_queues(link.name);
		*queues += count;
		most = count > most ? count : most;
	}
	cpus = cpu_count();
	if (agent->workers_wished > cpus)
		log_warn("agent.workers is %u, but this process may use %u CPU%s: so many workers run",
			agent->workers_wished, cpus, cpus == 1 ? "" : "s");
	most = most < cpus ? most : cpus;
	return most < WORKERS_MAX ? most : WORKERS_MAX;
}

static int agent_make_workers(struct agent *agent)
{
	for (uint32_t i = 0; i < agent->worker_count; i++) {
		int err = route_resolver_init(&agent->resolvers[i], &agent->shared.ports, &agent->shared.news);

		if (err)
			return err;
		agent->workers[i] = calloc(1, sizeof(struct worker));
		if (!agent->workers[i])
			return -ENOMEM;
		err = worker_init(agent->workers[i], &agent->shared, i, &agent->resolvers[i].resolver);
		if (err) {
			free(TAKE_PTR(agent->workers[i]));
			return err;
		}
	}
	return 0;
}

static int agent_start_workers(struct agent *agent)
{
	for (uint32_t i = 0; i < agent->worker_count; i++) {
		int err = worker_start(agent->workers[i], agent->worker_count > 1 ? cpu_at(i) : -1);

		if (err)
			return err;
	}
	return 0;
}

static int agent_make_host_device(struct agent *agent, char error[static 256])
{
	int fds[WORKERS_MAX];
	struct port *port;
	int err = hostdev_make(&agent->netlink, agent->worker_count, fds, &agent->host, error);

	if (err)
		return err;
	err = tun_port_open(&agent->host, HOST_SLOT, fds, agent->worker_count, agent->host_policy, &agent->umem, &port);
	if (err)
		return err;
	agent_put_port(agent, HOST_SLOT, port);
	err = capture_open(agent->dataplane, agent->host.ifindex, &agent->capture, error);
	if (err)
		return err;
	agent->interface_options.capture = agent->capture;
	err = hostdev_rules_add(&agent->netlink);
	if (err)
		snprintf(error, 256, "the routing rule for table %u cannot be set: %s", AGENT_ROUTE_TABLE,
			strerror(-err));
	return err;
}

/* Memory, netlink and workers: what the kernel seldom refuses, and then for one reason each. */
static int agent_make_ground(struct agent *agent, char error[static 256])
{
	uint32_t queues, sockets;
	int err = netlink_init(&agent->netlink);

	err = err ? err : watch_init(&agent->watch);
	err = err ? err : mailbox_init(&agent->mailbox);
	if (err) {
		snprintf(error, 256, "the kernel refuses a netlink socket or an event descriptor: %s", strerror(-err));
		return err;
	}
	agent->shared.mailbox = &agent->mailbox;
	dummy_queue_init(&agent->dummies);
	agent->shared.dummies = &agent->dummies;
	agent->worker_count = agent_count_workers(agent, &queues);
	agent->shared.worker_count = agent->worker_count;
	if (agent->worker_count > 1 && agent->lends) {
		agent->shared.board = lend_board_new();
		if (!agent->shared.board)
			return -ENOMEM;
	}
	sockets = queues + SPARE_SOCKETS;
	err = umem_init(&agent->umem, sockets * xsk_chunks(agent->interface_options.xsk.ring_size) +
					      agent->worker_count * (CHUNKS_PER_WORKER + HANDOVER_MAX));
	if (err) {
		snprintf(error, 256, "no memory for %u sockets' packets: %s", sockets, strerror(-err));
		return err;
	}
	agent->shared.umem = &agent->umem;
	agent->interface_options.netlink = &agent->netlink;
	agent->interface_options.umem = &agent->umem;
	agent->interface_options.worker_count = agent->worker_count;
	err = agent_make_workers(agent);
	if (err)
		snprintf(error, 256, "the workers cannot be made: %s", strerror(-err));
	return err;
}

static void agent_make_engines(struct agent *agent, enum tx_choice choice)
{
	tx_engines_open(&agent->tx, choice, agent->worker_count, cpu_count());
	for (uint32_t i = 0; i < agent->tx.count; i++)
		agent->workers[i]->live = agent->tx.live[i];
}

static void agent_name_interfaces(struct agent *agent, const struct agent_options *options)
{
	agent->interface_count = options->interface_count;
	for (uint32_t i = 0; i < agent->interface_count; i++) {
		struct interface *interface = &agent->interfaces[i];

		snprintf(interface->name, sizeof(interface->name), "%s", options->interfaces[i]);
		interface->slot = HOST_SLOT + 1 + i;
	}
}

static int agent_check_rings(uint32_t ring_size, char error[static 256])
{
	if (!ring_size || (ring_size >= XSK_RING_SIZE_MIN && ring_size <= XSK_RING_SIZE_MAX &&
				  (ring_size & (ring_size - 1)) == 0))
		return 0;
	snprintf(error, 256, "agent.ring_size: a power of two from %u to %u was expected, not %u", XSK_RING_SIZE_MIN,
		XSK_RING_SIZE_MAX, ring_size);
	return -EINVAL;
}

static int agent_set_up(struct agent *agent, const struct agent_options *options, char error[static 256])
{
	int err;

	err = agent_check_rings(options->ring_size, error);
	if (err)
		return err;
	agent_block_signals();
	agent_name_interfaces(agent, options);
	agent->interface_options.xsk.ring_size = options->ring_size ? options->ring_size : XSK_RING_SIZE;
	agent->interface_options.xsk.busy_poll = options->busy_poll;
	agent->workers_wished = options->workers;
	agent->lends = !options->lend || strcmp(options->lend, "off") != 0;
	agent->interface_options.allow_native = !options->xdp_mode || strcmp(options->xdp_mode, "generic") != 0;
	agent->interface_options.allow_generic = !options->xdp_mode || strcmp(options->xdp_mode, "native") != 0;
	err = agent_open_maps(agent, options, error);
	if (err)
		return err;
	agent->interface_options.dataplane = agent->dataplane;
	suite_choice_measure(SUITE_CHOICE_BUDGET_NS);
	err = agent_make_ground(agent, error);
	if (!err)
		agent_make_engines(agent, tx_choice_named(options->tx_engine));
	err = err ? err : agent_make_events(agent, options, error);
	err = err ? err : agent_make_host_device(agent, error);
	if (err)
		return err;
	routes_init(&agent->routes, &agent->netlink, agent->host.ifindex);
	agent_check_interfaces(agent);
	if (!agent_serves_any(agent)) {
		snprintf(error, 256, "none of the %u configured interfaces can be served", agent->interface_count);
		return -ENODEV;
	}
	agent_detach_others(agent);
	agent_read_addresses(agent);
	err = privilege_drop();
	if (err)
		snprintf(error, 256, "privileges cannot be dropped: %s", strerror(-err));
	err = err ? err : agent_start_workers(agent);
	return err;
}

int agent_start(const struct agent_options *options, struct agent **out, char error[static 256])
{
	struct agent *agent = calloc(1, sizeof(*agent));
	int err;

	error[0] = '\0';
	if (!agent)
		return -ENOMEM;
	agent->control.fd = -1;
	agent->mailbox.fd = -1;
	for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		agent->control.clients[i].fd = -1;
	err = agent_set_up(agent, options, error);
	if (err) {
		if (!error[0])
			snprintf(error, 256, "%s", strerror(-err));
		agent_stop(agent);
		return err;
	}
	*out = agent;
	return 0;
}

int agent_run(struct agent *agent)
{
	int err;

	sd_event_set_watchdog(agent->event, true);
	sd_notifyf(0, "READY=1\nSTATUS=%u workers", agent->worker_count);
	log_info("ready: %u worker%s", agent->worker_count, agent->worker_count == 1 ? "" : "s");
	err = sd_event_loop(agent->event);
	sd_notify(0, "STOPPING=1");
	return err;
}

static void agent_stop_workers(struct agent *agent)
{
	atomic_store(&agent->shared.stop, true);
	for (uint32_t i = 0; i < agent->worker_count; i++) {
		if (!agent->workers[i])
			continue;
		worker_wake(agent->workers[i]);
		worker_join(agent->workers[i]);
	}
	/* All have ended: none gives another one frames any more. */
	for (uint32_t i = 0; i < agent->worker_count; i++) {
		if (!agent->workers[i])
			continue;
		worker_clear(agent->workers[i]);
		free(agent->workers[i]);
		route_resolver_clear(&agent->resolvers[i]);
	}
	agent->worker_count = 0;
}

void agent_stop(struct agent *agent)
{
	if (!agent)
		return;
	agent_stop_workers(agent);
	control_close(&agent->control);
	for (uint32_t slot = 0; slot < PORTS_MAX; slot++)
		port_free(port_table_find(&agent->shared.ports, slot));
	host_policy_free(agent->host_policy);
	tx_engines_close(&agent->tx);
	routes_clear(&agent->routes);
	sd_event_unref(agent->event);
	mailbox_clear(&agent->mailbox);
	watch_clear(&agent->watch);
	netlink_clear(&agent->netlink);
	umem_clear(&agent->umem);
	free(agent->shared.replay_locks);
	free(agent->shared.owners);
	sent_clear(&agent->sent);
	free(agent->shared.board);
	free(agent->shared.acquire_told_ns);
	reassembly_free(agent->shared.reassembly);
	reassembly_free(agent->shared.host_fragments);
	sadb_close(agent->sadb);
	capture_close(agent->capture);
	dataplane_close(agent->dataplane);
	free(agent);
}
