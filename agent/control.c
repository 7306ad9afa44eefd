/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/control.h"

#include "agent/base/log.h"
#include "agent/base/own.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define CONTROL_BACKLOG 4

static void client_close(struct control_client *client)
{
	client->source = sd_event_source_unref(client->source);
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

/* One message, or the end of the connection. */
static int client_ready(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct control_client *client = context;
	struct agent_message message;
	ssize_t len = recv(fd, &message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC);

	(void)source;
	(void)events;
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (len <= 0) {
		client_close(client);
		return 0;
	}
	if (len != sizeof(message) || message.version != AGENT_MESSAGE_VERSION) {
		log_warn("a control message of %zd bytes, version %u, was ignored: this agent speaks version %u", len,
			len >= 4 ? message.version : 0, AGENT_MESSAGE_VERSION);
		return 0;
	}
	client->control->on_message(client->control->context, client, &message);
	return 0;
}

static int control_ready(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct control *control = context;
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)source;
	(void)events;
	if (peer < 0)
		return 0;
	for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_client *client = &control->clients[i];

		if (client->fd >= 0)
			continue;
		if (sd_event_add_io(control->event, &client->source, peer, EPOLLIN, client_ready, client) < 0)
			break;
		client->fd = peer;
		return 0;
	}
	log_warn("more than %u connections to the control socket: refused", CONTROL_CLIENTS_MAX);
	close(peer);
	return 0;
}

int control_open(struct control *control, sd_event *event, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	mode_t mask;
	int err;

	control->event = event;
	control->fd = -1;
	for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		control->clients[i] = (struct control_client){.control = control, .fd = -1};
	if (snprintf(control->path, sizeof(control->path), "%s", path) >= (int)sizeof(control->path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, control->path, sizeof(addr.sun_path));
	control->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->fd < 0)
		return -errno;
	unlink(path);
	mask = umask(0117);
	err = bind(control->fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(control->fd, CONTROL_BACKLOG) ? -errno
														: 0;
	umask(mask);
	if (!err)
		err = sd_event_add_io(event, &control->source, control->fd, EPOLLIN, control_ready, control);
	if (err < 0)
		control_close(control);
	return err < 0 ? err : 0;
}

void control_close(struct control *control)
{
	for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		client_close(&control->clients[i]);
	control->source = sd_event_source_unref(control->source);
	if (control->fd < 0)
		return;
	close(control->fd);
	control->fd = -1;
	unlink(control->path);
}

void control_send(struct control_client *client, const struct agent_message *message)
{
	if (client->fd >= 0 && send(client->fd, message, sizeof(*message), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("a control message was not taken: %s", strerror(errno));
}

void control_broadcast(struct control *control, const struct agent_message *message)
{
	for (uint32_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		control_send(&control->clients[i], message);
}
