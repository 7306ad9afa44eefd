/* SPDX-License-Identifier: Apache-2.0 */
/* What workers tell the control thread, and it the IKE daemon: rare events of the data path, bounded, never waited for.
 */
#ifndef ESPALIER_AGENT_MAILBOX_H
#define ESPALIER_AGENT_MAILBOX_H

#include "agent/contract.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define MAILBOX_MAX 256u

struct mailbox {
	pthread_mutex_t lock;
	int fd; /* eventfd, readable when there is mail; -1: none */
	uint32_t first;
	uint32_t count;
	struct agent_message messages[MAILBOX_MAX];
};

int mailbox_init(struct mailbox *mailbox);
void mailbox_clear(struct mailbox *mailbox);

/* Any thread. False: full, the message is lost; its sender will have cause to repeat it. */
bool mailbox_put(struct mailbox *mailbox, const struct agent_message *message);
/* The oldest message. False: empty. */
bool mailbox_take(struct mailbox *mailbox, struct agent_message *message);

#endif
