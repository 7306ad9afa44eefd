/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room: what an open data plane holds, and the file name of a pinned attachment. */
#ifndef ESPALIER_BPF_DATAPLANE_PRIVATE_H
#define ESPALIER_BPF_DATAPLANE_PRIVATE_H

#include "bpf/dataplane.h"
#include "bpf/map_set.h"

struct bpf_object;
struct classify_bpf;

struct dataplane {
	char *pin_dir;
	struct dataplane_options options; /* its pin_dir is the one above */
	int lock_fd;			  /* held as long as the agent lives */
	struct classify_bpf *skeleton;
	int program_fd;	    /* the skeleton's */
	int fragments_fd;   /* the one for frames of several buffers; -1: of no use on this kernel */
	int fds[MAP_COUNT]; /* the skeleton's */
};

/* Attachments are pinned by interface index: names may hold dots, which a bpffs refuses, and may change. */
#define LINK_PIN_PREFIX "link_"

/* The classifier once more, opened but not loaded, over the pinned maps, for frames of one buffer: for a dispatcher.
 * Freed by classifier_free. */
int classifier_prepare(struct dataplane *dp, struct classify_bpf **skeleton);
struct bpf_object *classifier_object(struct classify_bpf *skeleton);
void classifier_free(struct classify_bpf *skeleton);

#endif
