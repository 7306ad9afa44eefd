/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/own.h"
#include "agent/contract.h"
#include "agent/control.h"
#include "agent/cpu.h"
#include "agent/hostdev.h"
#include "agent/interface.h"
#include "agent/lifetime.h"
#include "agent/privilege.h"
#include "agent/reassembly.h"
#include "agent/resolver.h"
#include "agent/routes.h"
#include "agent/suite_choice.h"
#include "agent/tun_port.h"
#include "agent/tx_engine.h"
#include "agent/watch.h"
#include "agent/worker.h"
#include "agent/xsk_port.h"
#include "bpf/capture.h"
#include "bpf/dataplane.h"
#include "bpf/sadb.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>

#define HOST_SLOT	  0u
#define CHUNKS_PER_WORKER 1024u
#define COMPARE_US	  (TX_COMPARE_SECONDS * UINT64_C(1000000))
#define SPARE_SOCKETS	  2u /* an interface that comes later */

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

/* ---- interfaces ---------------------------------------------------------------------------------------------- */

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

static void agent_put_port(struct agent *agent, uint32_t slot, struct port *port)
{
	atomic_store_explicit(&agent->shared.ports.ports[slot], port, memory_order_release);
	atomic_fetch_add(&agent->shared.fib_epoch, 1);
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

static void agent_check_interfaces(struct agent *agent)
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
static void agent_detach_others(struct agent *agent)
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

static bool agent_serves_any(const struct agent *agent)
{
	for (uint32_t i = 0; i < agent->interface_count; i++)
		if (agent->interfaces[i].port)
			return true;
	return false;
}

/* ---- addresses ----------------------------------------------------------------------------------------------- */

/* The source of our ICMP errors: an address on a served interface, else any that is not the loopback's. */
static void agent_choose_own(struct agent *agent, const struct local_addr *list, uint32_t count)
{
	struct addr16 own[2] = {0};
	uint32_t rank[2] = {0};

	for (uint32_t i = 0; i < count; i++) {
		bool v6 = list[i].addr.family == IP_V6;
		uint32_t worth = port_table_by_ifindex(&agent->shared.ports, list[i].ifindex) ? 2 : 1;

		if (list[i].scope != RT_SCOPE_UNIVERSE || worth <= rank[v6])
			continue;
		rank[v6] = worth;
		addr_to_mapped(&list[i].addr, own[v6].bytes);
	}
	atomic_fetch_add(&agent->shared.own_generation, 1); /* odd: being written */
	agent->shared.own_v4 = own[0];
	agent->shared.own_v6 = own[1];
	atomic_fetch_add(&agent->shared.own_generation, 1);
}

static void agent_read_addresses(struct agent *agent)
{
	struct addr16 mapped[LOCAL_ADDR_COUNT];
	uint32_t ifindexes[LOCAL_ADDR_COUNT];
	struct local_addr *list;
	uint32_t count;
	int err = netlink_addresses(&agent->netlink, &list, &count);

	if (err) {
		log_error("this host's addresses cannot be read: %s", strerror(-err));
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		addr_to_mapped(&list[i].addr, mapped[i].bytes);
		ifindexes[i] = list[i].ifindex;
	}
	err = dataplane_local_addr_set(agent->dataplane, mapped, ifindexes, count);
	if (err)
		log_error("this host's addresses cannot be told to the XDP program: %s", strerror(-err));
	agent_choose_own(agent, list, count);
	routes_addresses(&agent->routes, list, count);
}

/* ---- events of the control thread ---------------------------------------------------------------------------- */

static void agent_wake_workers(struct agent *agent)
{
	for (uint32_t i = 0; i < agent->worker_count; i++)
		worker_wake(agent->workers[i]);
}

static int agent_on_watch(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct agent *agent = context;
	struct watch_news news = watch_read(&agent->watch);

	(void)source;
	(void)fd;
	(void)events;
	if (news.links)
		agent_check_interfaces(agent);
	if (news.addresses || news.links)
		agent_read_addresses(agent);
	if (news.any) {
		atomic_fetch_add(&agent->shared.fib_epoch, 1);
		agent_wake_workers(agent);
	}
	return 0;
}

static int agent_on_mail(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct agent *agent = context;
	struct agent_message message;
	uint64_t wakes;

	(void)source;
	(void)events;
	if (read(fd, &wakes, sizeof(wakes)) < 0 && errno != EAGAIN)
		return -errno;
	while (mailbox_take(&agent->mailbox, &message))
		control_broadcast(&agent->control, &message);
	return 0;
}

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

/* All ports, to one who asked or, without `client`, to everybody. */
static void agent_send_ports(struct agent *agent, struct control_client *client)
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

static void agent_tell_expired(void *context, uint32_t index, __be32 spi, unsigned kinds)
{
	struct agent *agent = context;
	struct agent_message message = {.version = AGENT_MESSAGE_VERSION, .kind = AGENT_EXPIRE};

	message.expire.sa = index;
	message.expire.spi = spi;
	message.expire.kind = kinds & AGENT_EXPIRE_HARD ? AGENT_EXPIRE_HARD : AGENT_EXPIRE_SOFT;
	control_broadcast(&agent->control, &message);
}

static int agent_on_lifetimes(sd_event_source *source, uint64_t usec, void *context)
{
	struct agent *agent = context;

	agent->lifetimes_swept =
		lifetime_sweep(&agent->shared.maps, agent->lifetimes_swept, clock_now_ns(), agent_tell_expired, agent);
	sd_event_source_set_time(source, usec + LIFETIME_SWEEP_US);
	return 0;
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

static void agent_on_message(void *context, struct control_client *client, const struct agent_message *message)
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

/* Does the port send by another engine now? */
static bool agent_compare(struct agent *agent, struct port *port)
{
	char reason[TX_REASON_BYTES];
	uint8_t before = tx_engines_of(&agent->tx, port, reason);

	tx_engines_compare(&agent->tx, &agent->netlink, port);
	return tx_engines_of(&agent->tx, port, reason) != before;
}

static int agent_on_compare(sd_event_source *source, uint64_t usec, void *context)
{
	struct agent *agent = context;
	bool changed = false;

	for (uint32_t i = 0; i < agent->interface_count; i++)
		if (agent->interfaces[i].port)
			changed |= agent_compare(agent, agent->interfaces[i].port);
	if (changed)
		agent_send_ports(agent, NULL);
	sd_event_source_set_time(source, usec + COMPARE_US);
	return 0;
}

static int agent_on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
	(void)context;
	log_info("stopped by signal %u; the XDP programs stay attached: protected traffic is dropped, not sent in "
		 "clear, until "
		 "an agent runs again (or `espalier-agent --detach`)",
		info->ssi_signo);
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* ---- start --------------------------------------------------------------------------------------------------- */

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
	agent->shared.workers = agent->workers;
	agent->shared.reassembly = reassembly_new();
	agent->shared.host_fragments = reassembly_new();
	agent->shared.find_spi = agent_find_spi;
	agent->shared.find_spi_context = agent->sadb;
	agent->shared.acquire_told_ns = calloc(tunnel_count, sizeof(*agent->shared.acquire_told_ns));
	if (agent->shared.replay_locks && agent->shared.owners && agent->shared.acquire_told_ns &&
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
		int err = route_resolver_init(&agent->resolvers[i], &agent->shared.ports);

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

/* Again and again: the callback sets its next time. The timer is the event loop's. */
static int agent_make_timer(struct agent *agent, uint64_t usec, sd_event_time_handler_t callback)
{
	sd_event_source *timer;
	int err = sd_event_add_time_relative(agent->event, &timer, CLOCK_MONOTONIC, usec, 0, callback, agent);

	if (err >= 0)
		err = sd_event_source_set_enabled(timer, SD_EVENT_ON);
	if (err >= 0)
		err = sd_event_source_set_floating(timer, 1);
	if (err >= 0)
		sd_event_source_unref(timer);
	return err;
}

static int agent_make_events(struct agent *agent, const struct agent_options *options, char error[static 256])
{
	sigset_t signals;
	int err = sd_event_new(&agent->event);

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before the workers start: they inherit it */
	if (err >= 0)
		err = sd_event_add_signal(agent->event, NULL, SIGINT, agent_on_signal, agent);
	if (err >= 0)
		err = sd_event_add_signal(agent->event, NULL, SIGTERM, agent_on_signal, agent);
	if (err >= 0)
		err = sd_event_add_io(agent->event, NULL, agent->mailbox.fd, EPOLLIN, agent_on_mail, agent);
	if (err >= 0)
		err = sd_event_add_io(agent->event, NULL, watch_fd(&agent->watch), EPOLLIN, agent_on_watch, agent);
	if (err >= 0 && agent->tx.count)
		err = agent_make_timer(agent, COMPARE_US, agent_on_compare);
	if (err >= 0)
		err = agent_make_timer(agent, LIFETIME_SWEEP_US, agent_on_lifetimes);
	if (err < 0) {
		snprintf(error, 256, "the event loop cannot be made: %s", strerror(-err));
		return err;
	}
	agent->control.on_message = agent_on_message;
	agent->control.context = agent;
	err = control_open(&agent->control, agent->event, options->socket_path);
	if (err)
		snprintf(
			error, 256, "the control socket %s cannot be opened: %s", options->socket_path, strerror(-err));
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
	free(agent->shared.board);
	free(agent->shared.acquire_told_ns);
	reassembly_free(agent->shared.reassembly);
	reassembly_free(agent->shared.host_fragments);
	sadb_close(agent->sadb);
	capture_close(agent->capture);
	dataplane_close(agent->dataplane);
	free(agent);
}
