/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/mailbox.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int mailbox_init(struct mailbox *mailbox)
{
	memset(mailbox, 0, sizeof(*mailbox));
	mailbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mailbox->fd < 0)
		return -errno;
	pthread_mutex_init(&mailbox->lock, NULL);
	return 0;
}

void mailbox_clear(struct mailbox *mailbox)
{
	if (mailbox->fd >= 0)
		close(mailbox->fd);
	mailbox->fd = -1;
}

bool mailbox_put(struct mailbox *mailbox, const struct agent_message *message)
{
	uint64_t one = 1;
	bool room;

	pthread_mutex_lock(&mailbox->lock);
	room = mailbox->count < MAILBOX_MAX;
	if (room)
		mailbox->messages[(mailbox->first + mailbox->count++) % MAILBOX_MAX] = *message;
	pthread_mutex_unlock(&mailbox->lock);
	if (room && write(mailbox->fd, &one, sizeof(one)) < 0)
		return errno == EAGAIN; /* the counter is full of wake-ups: it is awake */
	return room;
}

bool mailbox_take(struct mailbox *mailbox, struct agent_message *message)
{
	bool found;

	pthread_mutex_lock(&mailbox->lock);
	found = mailbox->count > 0;
	if (found) {
		*message = mailbox->messages[mailbox->first];
		mailbox->first = (mailbox->first + 1) % MAILBOX_MAX;
		mailbox->count--;
	}
	pthread_mutex_unlock(&mailbox->lock);
	return found;
}
