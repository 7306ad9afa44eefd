/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/agent_link.h"

#include "agent/base/log.h"
#include "agent/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define READ_BATCH 64u /* messages of one turn of the loop */

struct route_entry {
	struct agent_route route;
	unsigned users;
};

struct port_list {
	struct agent_message items[PORTS_MAX];
	unsigned count;
};

#define SUITES_KEPT 128u

struct suite_list {
	struct agent_message items[SUITES_KEPT];
	unsigned count;
	bool whole; /* the last one is there */
};

/* Where the repetition of all routes stands; the socket may fill up on the way. */
enum sync_step { SYNC_RESET, SYNC_ROUTES, SYNC_DONE, SYNC_PORTS, SYNC_SUITES, SYNC_IDLE };

struct agent_link {
	sd_event *event;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	agent_event_fn fn;
	void *context;
	int fd; /* -1: not connected */
	sd_event_source *io;
	sd_event_source *retry;
	uint64_t retry_us;
	bool told; /* that the agent is not there */
	struct route_entry *routes;
	unsigned route_count;
	unsigned route_room;
	enum sync_step sync;
	unsigned sync_route;
	struct port_list ports;
	struct port_list ports_coming;
	struct suite_list suites;
};

static void link_connect(struct agent_link *link);

/* ---- connection ------------------------------------------------------------------------------------------------ */
static int on_retry(sd_event_source *source, uint64_t usec, void *context)
{
	(void)source;
	(void)usec;
	link_connect(context);
	return 0;
}

static void link_retry_later(struct agent_link *link)
{
	sd_event_source_set_time_relative(link->retry, link->retry_us);
	sd_event_source_set_enabled(link->retry, SD_EVENT_ONESHOT);
	link->retry_us = link->retry_us * 2 < AGENT_RECONNECT_MAX_US ? link->retry_us * 2 : AGENT_RECONNECT_MAX_US;
}

static void link_drop(struct agent_link *link, const char *why)
{
	log_warn("connection to the agent is lost (%s); connecting again", why);
	link->io = sd_event_source_disable_unref(link->io);
	own_close_(&link->fd);
	link->ports.count = link->ports_coming.count = 0;
	link->suites.count = 0;
	link->suites.whole = false;
	link->told = true;
	link->retry_us = AGENT_RECONNECT_FIRST_US;
	link_retry_later(link);
}

/* ---- sending --------------------------------------------------------------------------------------------------- */
static void link_poll_for(struct agent_link *link, uint32_t events)
{
	sd_event_source_set_io_events(link->io, events);
}

/* False: not now (the socket is full and will be polled), or the connection is gone. */
static bool message_send(struct agent_link *link, const struct agent_message *message)
{
	if (send(link->fd, message, sizeof(*message), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return true;
	if (errno == EAGAIN || errno == ENOBUFS) {
		link_poll_for(link, EPOLLIN | EPOLLOUT);
		return false;
	}
	link_drop(link, strerror(errno));
	return false;
}

static bool kind_send(struct agent_link *link, enum agent_message_kind kind)
{
	struct agent_message message = {.version = AGENT_MESSAGE_VERSION, .kind = kind};

	return message_send(link, &message);
}

static bool route_send(struct agent_link *link, enum agent_message_kind kind, const struct agent_route *route)
{
	struct agent_message message = {.version = AGENT_MESSAGE_VERSION, .kind = kind};

	message.route.prefix = route->prefix;
	message.route.len = route->len;
	message.route.family = route->family;
	message.route.use = route->use;
	message.route.source_first = route->source_first;
	message.route.source_last = route->source_last;
	return message_send(link, &message);
}

/* Goes on with the repetition as far as the socket takes it. */
static void sync_go_on(struct agent_link *link)
{
	if (link->sync == SYNC_RESET) {
		if (!kind_send(link, AGENT_ROUTES_RESET))
			return;
		link->sync_route = 0;
		link->sync = SYNC_ROUTES;
	}
	while (link->sync == SYNC_ROUTES) {
		if (link->sync_route >= link->route_count) {
			link->sync = SYNC_DONE;
			break;
		}
		if (!route_send(link, AGENT_ROUTE_ADD, &link->routes[link->sync_route].route))
			return;
		link->sync_route++;
	}
	if (link->sync == SYNC_DONE) {
		if (!kind_send(link, AGENT_ROUTES_DONE))
			return;
		link->sync = SYNC_PORTS;
	}
	if (link->sync == SYNC_PORTS) {
		if (!kind_send(link, AGENT_PORTS_QUERY))
			return;
		link->sync = SYNC_SUITES;
	}
	if (link->sync == SYNC_SUITES) {
		if (!link->suites.whole && !kind_send(link, AGENT_SUITES_QUERY))
			return;
		link->sync = SYNC_IDLE;
	}
	link_poll_for(link, EPOLLIN);
}

/* A change that cannot be sent at once makes all be repeated: simple, and rare. */
static void route_change_send(struct agent_link *link, enum agent_message_kind kind, const struct agent_route *route)
{
	if (link->fd < 0)
		return;
	if (link->sync != SYNC_IDLE)
		link->sync = SYNC_RESET; /* it is under way and may have passed this route */
	else if (!route_send(link, kind, route))
		link->sync = SYNC_RESET;
}

/* ---- receiving ------------------------------------------------------------------------------------------------- */
static void port_recv(struct agent_link *link, const struct agent_message *message)
{
	struct port_list *coming = &link->ports_coming;

	if (coming->count < PORTS_MAX && message->port.ifname[0]) {
		struct agent_message *port = &coming->items[coming->count++];

		*port = *message;
		port->port.ifname[sizeof(port->port.ifname) - 1] = '\0';
		port->port.reason[sizeof(port->port.reason) - 1] = '\0';
		port->port.tx_reason[sizeof(port->port.tx_reason) - 1] = '\0';
	}
	if (message->port.more)
		return;
	link->ports = *coming;
	coming->count = 0;
}

static void suite_recv(struct agent_link *link, const struct agent_message *message)
{
	struct suite_list *list = &link->suites;

	if (list->whole) { /* asked again before the first answer was whole */
		list->count = 0;
		list->whole = false;
	}
	if (list->count < SUITES_KEPT && message->suite.name[0]) {
		struct agent_message *suite = &list->items[list->count++];

		*suite = *message;
		suite->suite.name[sizeof(suite->suite.name) - 1] = '\0';
		suite->suite.engine[sizeof(suite->suite.engine) - 1] = '\0';
	}
	list->whole = !message->suite.more;
}

static void message_recv(struct agent_link *link, const struct agent_message *message, size_t len)
{
	if (len < sizeof(*message) || message->version != AGENT_MESSAGE_VERSION) {
		log_warn("a message of the agent of %zu bytes, version %u, is ignored (expected %zu bytes, version %u)",
			len, len >= 4 ? message->version : 0, sizeof(*message), AGENT_MESSAGE_VERSION);
		return;
	}
	switch (message->kind) {
	case AGENT_PORT:
		port_recv(link, message);
		break;
	case AGENT_SUITE:
		suite_recv(link, message);
		break;
	case AGENT_ACQUIRE:
	case AGENT_EXPIRE:
	case AGENT_PEER_MOVED:
		link->fn(link->context, message);
		break;
	default:
		log_warn("a message of the agent of kind %u is not known here and ignored", message->kind);
	}
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct agent_link *link = context;

	(void)source;
	for (unsigned i = 0; (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && i < READ_BATCH; i++) {
		struct agent_message message;
		ssize_t len = recv(fd, &message, sizeof(message), MSG_DONTWAIT);

		if (len < 0 && errno == EAGAIN)
			break;
		if (len <= 0) {
			link_drop(link, len ? strerror(errno) : "it has ended");
			return 0;
		}
		message_recv(link, &message, (size_t)len);
		if (link->fd != fd)
			return 0; /* what the message caused has lost the connection */
	}
	if (events & EPOLLOUT)
		sync_go_on(link);
	return 0;
}

static int socket_connect(const char *path)
{
	OWN_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un name = {.sun_family = AF_UNIX};

	if (fd < 0)
		return -errno;
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static void link_connect(struct agent_link *link)
{
	int fd = socket_connect(link->path);

	if (fd < 0 || sd_event_add_io(link->event, &link->io, fd, EPOLLIN | EPOLLOUT, on_io, link) < 0) {
		if (!link->told)
			log_warn("the agent does not answer on %s (%s); connecting until it does", link->path,
				strerror(fd < 0 ? -fd : ENOMEM));
		link->told = true;
		if (fd >= 0)
			close(fd);
		link_retry_later(link);
		return;
	}
	log_info("connected to the agent on %s", link->path);
	link->fd = fd;
	link->told = false;
	link->retry_us = AGENT_RECONNECT_FIRST_US;
	link->sync = SYNC_RESET;
}

/* ---- outside --------------------------------------------------------------------------------------------------- */
int agent_link_new(sd_event *event, const char *path, agent_event_fn fn, void *context, struct agent_link **out)
{
	struct agent_link *link = calloc(1, sizeof(*link));
	int rc;

	if (!link)
		return -ENOMEM;
	link->event = event;
	link->fn = fn;
	link->context = context;
	link->fd = -1;
	link->retry_us = AGENT_RECONNECT_FIRST_US;
	snprintf(link->path, sizeof(link->path), "%s", path);
	rc = sd_event_add_time_relative(event, &link->retry, CLOCK_MONOTONIC, 0, 0, on_retry, link);
	if (rc < 0) {
		free(link);
		return rc;
	}
	*out = link;
	return 0;
}

void agent_link_free(struct agent_link *link)
{
	if (!link)
		return;
	sd_event_source_disable_unref(link->io);
	sd_event_source_disable_unref(link->retry);
	own_close_(&link->fd);
	free(link->routes);
	free(link);
}

bool agent_link_connected(const struct agent_link *link)
{
	return link->fd >= 0;
}

static struct route_entry *route_find(struct agent_link *link, const struct agent_route *route)
{
	for (unsigned i = 0; i < link->route_count; i++) {
		const struct agent_route *known = &link->routes[i].route;

		if (known->family == route->family && known->len == route->len && known->use == route->use &&
			memcmp(&known->prefix, &route->prefix, sizeof(route->prefix)) == 0)
			return &link->routes[i];
	}
	return NULL;
}

static bool routes_grow(struct agent_link *link)
{
	unsigned room = link->route_room ? 2 * link->route_room : 16;
	struct route_entry *grown;

	if (link->route_count < link->route_room)
		return true;
	grown = realloc(link->routes, room * sizeof(*grown));
	if (!grown)
		return false;
	link->routes = grown;
	link->route_room = room;
	return true;
}

int agent_link_route_add(struct agent_link *link, const struct agent_route *route)
{
	struct route_entry *entry = route_find(link, route);

	if (entry) {
		entry->users++;
		return 0;
	}
	if (!routes_grow(link))
		return -ENOMEM;
	link->routes[link->route_count++] = (struct route_entry){.route = *route, .users = 1};
	route_change_send(link, AGENT_ROUTE_ADD, route);
	return 0;
}

void agent_link_route_delete(struct agent_link *link, const struct agent_route *route)
{
	struct route_entry *entry = route_find(link, route);
	struct agent_route gone;

	if (!entry || --entry->users)
		return;
	gone = entry->route;
	*entry = link->routes[--link->route_count];
	route_change_send(link, AGENT_ROUTE_DELETE, &gone);
}

int agent_link_dummy(struct agent_link *link, uint32_t tunnel, uint32_t count, uint32_t bytes)
{
	struct agent_message message = {.version = AGENT_MESSAGE_VERSION, .kind = AGENT_DUMMY};

	message.dummy.tunnel = tunnel;
	message.dummy.count = count;
	message.dummy.bytes = bytes;
	if (link->fd < 0)
		return -ENOTCONN;
	return message_send(link, &message) ? 0 : -EAGAIN;
}

void agent_link_ports_query(struct agent_link *link)
{
	if (link->fd < 0 || link->sync != SYNC_IDLE)
		return;
	link->ports_coming.count = 0;
	if (!kind_send(link, AGENT_PORTS_QUERY) && link->fd >= 0)
		link->sync = SYNC_PORTS;
}

const struct agent_message *agent_link_suites(const struct agent_link *link, unsigned *count)
{
	*count = link->suites.whole ? link->suites.count : 0;
	return link->suites.items;
}

const struct agent_message *agent_link_ports(const struct agent_link *link, unsigned *count)
{
	*count = link->ports.count;
	return link->ports.items;
}
