/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket (contract.h): SOCK_SEQPACKET, served by the control thread's event loop. */
#ifndef ESPALIER_AGENT_CONTROL_H
#define ESPALIER_AGENT_CONTROL_H

#include "agent/contract.h"

#include <systemd/sd-event.h>

#define CONTROL_CLIENTS_MAX 8u

struct control;

struct control_client {
	struct control *control;
	int fd; /* -1: free */
	sd_event_source *source;
};

struct control {
	sd_event *event;
	char path[108];
	int fd;
	sd_event_source *source;
	struct control_client clients[CONTROL_CLIENTS_MAX];
	/* Called for each well-formed message. */
	void (*on_message)(void *context, struct control_client *client, const struct agent_message *message);
	void *context;
};

/* Listen at `path` (an old socket there is replaced: the caller holds the lock beside it). -errno. Set on_message and
 * context before. */
int control_open(struct control *control, sd_event *event, const char *path);
void control_close(struct control *control);

/* To one, or to all that are connected. Who does not read loses the message, and is disconnected when it is gone. */
void control_send(struct control_client *client, const struct agent_message *message);
void control_broadcast(struct control *control, const struct agent_message *message);

#endif
