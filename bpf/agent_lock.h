/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One agent per pin folder: it holds an flock on the folder as long as it lives, and the kernel lets go of it however
 * the agent ends. So anyone can tell a resting agent from a dead one.
 */
#ifndef ESPALIER_BPF_AGENT_LOCK_H
#define ESPALIER_BPF_AGENT_LOCK_H

#include <stdbool.h>

/* Take the lock: a descriptor to keep open. -EBUSY: another agent runs on this folder. */
int agent_lock_take(const char *pin_dir);
/* Does an agent run on this folder? When that cannot be told: true. */
bool agent_lock_held(const char *pin_dir);

#endif
