/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room: what an open SADB holds. */
#ifndef ESPALIER_BPF_SADB_PRIVATE_H
#define ESPALIER_BPF_SADB_PRIVATE_H

#include "bpf/map_set.h"
#include "bpf/sadb.h"
#include "bpf/slot_ring.h"

struct ring_buffer;

/* Worker epochs at a moment when some slots were retired already. */
struct retirement {
	uint64_t epochs[WORKERS_MAX];
};

struct sadb {
	char *pin_dir;
	bool writable;
	int fds[MAP_COUNT];
	uint32_t entries[MAP_COUNT];

	/* mmapped maps */
	struct sa *sas;
	struct sa_run *runs;
	struct tunnel *tunnels;
	struct worker_stat *workers;
	struct policy_lens *policy_lens; /* 0: IPv4, 1: IPv6 */

	/* writer */
	bool repaired;
	struct slot_ring sas_free;    /* to be had at once */
	struct slot_ring sas_retired; /* in the order in which they were retired */
	uint32_t sas_waiting;	      /* how many of these, from the first, wait for `retirement` */
	struct retirement retirement;
	struct slot_ring tunnels_free; /* in the order in which they were deleted */
	uint64_t *tunnel_deleted_ns;   /* by slot; 0: not deleted by this process */

	/* events */
	struct ring_buffer *ring;
	void (*event_fn)(const struct event *event, void *context);
	void *event_context;
};

#endif
