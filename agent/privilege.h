/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent may do once it runs, and that it runs once. */
#ifndef ESPALIER_AGENT_PRIVILEGE_H
#define ESPALIER_AGENT_PRIVILEGE_H

#include <stdint.h>
#include <sys/types.h>

/* Keep the capabilities that sockets, routes, attachments and maps need, drop all others for good. -errno. */
int privilege_drop(void);

/*
 * Take the lock file beside the control socket. The descriptor, to be kept open; -EBUSY: another agent has it, *pid is
 * its process id (0: unknown); other -errno.
 */
int instance_lock(const char *socket_path, pid_t *pid);

#endif
