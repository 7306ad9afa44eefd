/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room: what an open SADB holds. */
#ifndef ESPALIER_BPF_SADB_PRIVATE_H
#define ESPALIER_BPF_SADB_PRIVATE_H

#include "bpf/map_set.h"
#include "bpf/sadb.h"

struct ring_buffer;

/* Worker epochs at the moment a slot was retired. Heap; one per slot that waits. */
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
	uint32_t sa_cursor; /* where the search for a free slot goes on */
	uint32_t tunnel_cursor;
	struct retirement **retirements; /* by slot; NULL: none, or not yet taken */
	uint64_t *tunnel_deleted_ns;	 /* by slot; 0: not deleted by this process */

	/* events */
	struct ring_buffer *ring;
	void (*event_fn)(const struct event *event, void *context);
	void *event_context;
};

#endif
