/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privilege.h"

#include "agent/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#ifndef CAP_BPF
#define CAP_BPF 39
#endif

/*
 * NET_ADMIN: routes, links, XDP; NET_RAW: AF_XDP and raw sockets; BPF: maps; IPC_LOCK: the packet memory of sockets on
 * an interface that comes later. Programs are loaded before.
 */
static const cap_value_t needed[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_IPC_LOCK};

static int cap_is_needed(cap_value_t cap)
{
	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (needed[i] == cap)
			return 1;
	return 0;
}

static void own_cap_(cap_t *caps)
{
	if (*caps)
		cap_free(*caps);
}

int privilege_drop(void)
{
	__attribute__((cleanup(own_cap_))) cap_t caps = cap_init();
	__attribute__((cleanup(own_cap_))) cap_t now = cap_get_proc();
	int count = (int)ARRAY_LEN(needed);

	if (!caps || !now)
		return -errno;
	/* Only what is there can be kept: an older kernel or a unit file may give less, and then the first use says so.
	 */
	for (int i = 0; i < count; i++) {
		cap_flag_value_t have = CAP_CLEAR;

		cap_get_flag(now, needed[i], CAP_PERMITTED, &have);
		if (have == CAP_SET && (cap_set_flag(caps, CAP_PERMITTED, 1, &needed[i], CAP_SET) ||
					       cap_set_flag(caps, CAP_EFFECTIVE, 1, &needed[i], CAP_SET)))
			return -errno;
	}
	for (cap_value_t cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (!cap_is_needed(cap))
			cap_drop_bound(cap);
	if (cap_set_proc(caps))
		return -errno;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

/* Make the folder of `path`. */
static void parent_make(const char *path)
{
	char folder[256];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash && slash != folder) {
		*slash = '\0';
		mkdir(folder, 0755);
	}
}

static pid_t lock_reader(int fd)
{
	char text[32] = "";
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

	return len > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

int instance_lock(const char *socket_path, pid_t *pid)
{
	OWN_FD int fd = -1;
	char path[256];

	*pid = 0;
	if (snprintf(path, sizeof(path), "%s.lock", socket_path) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	parent_make(path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		*pid = lock_reader(fd);
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	}
	if (ftruncate(fd, 0) || dprintf(fd, "%d\n", (int)getpid()) < 0)
		return -errno;
	return TAKE_FD(fd);
}
