/* SPDX-License-Identifier: Apache-2.0 */
/* Load the classifier, make or adopt the pinned maps, attach to interfaces. Used by the agent alone. */
#ifndef ESPALIER_BPF_DATAPLANE_H
#define ESPALIER_BPF_DATAPLANE_H

#include "bpf/contract.h"

#include <stdbool.h>
#include <stdint.h>

struct dataplane; /* opaque */

/* Whether other XDP programs may be on a served interface, by libxdp's dispatcher. */
enum dispatcher_use {
	DISPATCHER_AUTO = 0, /* where the interface has one; else the program stands alone */
	DISPATCHER_ON,	     /* always, where the kernel has extension programs: others may come later */
	DISPATCHER_OFF,	     /* never */
};

struct dataplane_options {
	const char *pin_dir; /* made (0700) if missing; on no bpffs: one is mounted on /sys/fs/bpf if it is below it,
				else on itself */
	uint32_t sa_count;   /* 0: default. Pinned maps of other sizes keep theirs, with a warning in the log. */
	uint32_t tunnel_count;
	uint32_t policy_count;
	enum dispatcher_use dispatcher;
};

enum attach_mode { ATTACH_NONE = 0, ATTACH_NATIVE, ATTACH_GENERIC };

/* What became of an interface: the mode, and a sentence for a person when it is not native or failed. */
struct attach_result {
	enum attach_mode mode;
	char reason[256];
};

/*
 * Load and verify the programs; adopt pinned maps of this layout version (their content is kept: SAs live on), make the
 * missing ones. `error_text` gets a sentence on failure. -EPROTO: pinned maps of another layout version; -EBUSY:
 * another agent runs on this folder (a lock on it is held until dataplane_close or the process's end).
 */
int dataplane_open(const struct dataplane_options *options, struct dataplane **dp, char error_text[static 256]);
/* Close descriptors. Programs stay attached and pins stay: fail closed while no agent runs. */
void dataplane_close(struct dataplane *dp);

/*
 * Attach to an interface as port `slot`: native first, generic else; an attachment of an earlier agent is replaced
 * without a gap (a pinned link's program in one step; in a dispatcher the new one joins before the old one leaves).
 * Another program on the interface, under no dispatcher or under one that may not be used: result->mode NONE, the
 * sentence names it, return -EBUSY.
 */
int dataplane_attach(struct dataplane *dp, int ifindex, const char *ifname, const struct port_info *port,
	bool allow_native, struct attach_result *result);
/* Detach and unpin one interface; the host's own networking is as before. */
int dataplane_detach(struct dataplane *dp, int ifindex, const char *ifname);
/* Detach what an earlier agent served and this one does not. */
int dataplane_keep_only(struct dataplane *dp, const int *ifindexes, uint32_t count);
/* Detach everything and remove all pins: uninstall, `espalier-agent --detach`. Works without a loaded dataplane. */
int dataplane_remove(const char *pin_dir);

int dataplane_program_fd(const struct dataplane *dp);
int dataplane_xsks_fd(const struct dataplane *dp); /* the xsk map, key slot * QUEUES_MAX + queue */
/* This host's addresses; XDP never treats traffic to them as transit. */
int dataplane_local_addr_add(struct dataplane *dp, const struct addr16 *addr, uint32_t ifindex);
int dataplane_local_addr_remove(struct dataplane *dp, const struct addr16 *addr);
/* Replace the whole set in one pass (at start): adds what is missing, removes what is not listed. */
int dataplane_local_addr_set(
	struct dataplane *dp, const struct addr16 *addrs, const uint32_t *ifindexes, uint32_t count);

#endif
