/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the room: the XDP dispatcher of libxdp, which runs several programs on one interface one after the other. Our
 * program in it is an extension program of its own, over the same pinned maps; it is known by them. libxdp keeps the
 * dispatchers' state pinned under xdp/ of the bpffs, so the programs stay when the agent dies, as a pinned link does.
 */
#ifndef ESPALIER_BPF_DISPATCHER_H
#define ESPALIER_BPF_DISPATCHER_H

#include "bpf/dataplane.h"

enum xdp_occupant {
	OCCUPANT_NONE,
	OCCUPANT_DISPATCHER,
	OCCUPANT_OTHER, /* a single program, ours or not */
};

enum xdp_occupant dispatcher_query(int ifindex);

/*
 * Put our program among those of the interface's dispatcher, or make one if the interface is free. An earlier agent's
 * program leaves only after ours has come: at no moment packets pass unseen. 0: result->mode tells the dispatcher's
 * mode. -EOPNOTSUPP: the kernel refuses ours as an extension program, nothing has changed. Other -errno: result->reason
 * has a sentence.
 */
int dispatcher_join(
	struct dataplane *dp, int ifindex, const char *ifname, bool allow_native, struct attach_result *result);

/* Take every program that uses the maps of `pin_dir` out of the interface's dispatcher; the others stay. -ENOENT: there
 * is none. */
int dispatcher_leave(const char *pin_dir, int ifindex);
/* The same on every interface that the maps know as a port: `espalier-agent --detach`. */
int dispatcher_leave_all(const char *pin_dir);

#endif
