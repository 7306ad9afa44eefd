/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/agent_lock.h"

#include "agent/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <time.h>

/* agent_lock_held holds the lock for a moment itself; taking it waits that moment out. */
#define TAKE_ATTEMPTS 20
#define TAKE_PAUSE_NS 10000000L

static int dir_open(const char *pin_dir)
{
	int fd = open(pin_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int agent_lock_take(const char *pin_dir)
{
	const struct timespec pause = {.tv_nsec = TAKE_PAUSE_NS};
	OWN_FD int fd = dir_open(pin_dir);

	if (fd < 0)
		return fd;
	for (int i = 0; i < TAKE_ATTEMPTS; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return TAKE_FD(fd);
		if (errno != EWOULDBLOCK)
			return -errno;
		nanosleep(&pause, NULL);
	}
	return -EBUSY;
}

bool agent_lock_held(const char *pin_dir)
{
	OWN_FD int fd = dir_open(pin_dir);

	return fd < 0 || flock(fd, LOCK_SH | LOCK_NB) != 0;
}
