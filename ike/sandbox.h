/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up rights: each of the two processes keeps what its task needs. */
#ifndef ESPALIER_IKE_SANDBOX_H
#define ESPALIER_IKE_SANDBOX_H

/*
 * The keeper: no capability but reading files, no core dumps, no new rights, and a seccomp filter that leaves reading
 * files, memory and its line to the daemon. 0 or -errno of the first thing that failed (the rest is done all the same).
 */
int sandbox_keeper(void);
/* The daemon, once its sockets are bound: CAP_BPF alone (the maps), no new rights, no core dumps (they would hold
 * keys). 0 or -errno. */
int sandbox_daemon(void);

#endif
