/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room: what an open data plane holds, and the file name of a pinned attachment. */
#ifndef ESPALIER_BPF_DATAPLANE_PRIVATE_H
#define ESPALIER_BPF_DATAPLANE_PRIVATE_H

#include "bpf/dataplane.h"
#include "bpf/map_set.h"

struct classify_bpf;

struct dataplane {
	char *pin_dir;
	int lock_fd; /* held as long as the agent lives */
	struct classify_bpf *skeleton;
	int program_fd;	    /* the skeleton's */
	int fds[MAP_COUNT]; /* the skeleton's */
};

/* Attachments are pinned by interface index: names may hold dots, which a bpffs refuses, and may change. */
#define LINK_PIN_PREFIX "link_"

#endif
