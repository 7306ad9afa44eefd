/* SPDX-License-Identifier: Apache-2.0 */
/* The maps of contract.h as a table: name, type, sizes. Opening by pin, checking, mapping. Inside the room only. */
#ifndef ESPALIER_BPF_MAP_SET_H
#define ESPALIER_BPF_MAP_SET_H

#include "bpf/contract.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pinned maps. X(NAME of the pin and of the map in the object, type, key size, value size) */
#define PINNED_MAPS(X)                                                                                                 \
	X(layout, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct layout))                                                        \
	X(sa, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct sa))                                                                \
	X(sa_run, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct sa_run))                                                        \
	X(tunnel, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct tunnel))                                                        \
	X(spi_in, BPF_MAP_TYPE_HASH, sizeof(struct spi_key), 4)                                                        \
	X(policy4, BPF_MAP_TYPE_HASH, sizeof(struct policy4_key), sizeof(struct policy4))                              \
	X(policy6, BPF_MAP_TYPE_HASH, sizeof(struct policy6_key), sizeof(struct policy6))                              \
	X(policy_lens, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct policy_lens))                                              \
	X(local_addr, BPF_MAP_TYPE_HASH, sizeof(struct addr16), 4)                                                     \
	X(port, BPF_MAP_TYPE_HASH, 4, sizeof(struct port_info))                                                        \
	X(xsks, BPF_MAP_TYPE_XSKMAP, 4, 4)                                                                             \
	X(capture_to, BPF_MAP_TYPE_ARRAY, 4, 4)                                                                        \
	X(xdp_drops, BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct drop_count))                                          \
	X(worker, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct worker_stat))                                                   \
	X(events, BPF_MAP_TYPE_RINGBUF, 0, 0)

enum map_id {
#define MAP_ID(name, type, key, value) MAP_##name,
	PINNED_MAPS(MAP_ID)
#undef MAP_ID
		MAP_COUNT
};

#define PIN_PATH_LEN 4096

const char *map_name(enum map_id map);

/* "DIR/NAME" into `path`; -ENAMETOOLONG. */
int pin_path(char path[static PIN_PATH_LEN], const char *pin_dir, const char *name);

/* Open a pinned map and check type and sizes: its descriptor and entry count, or -errno (-ENOENT not pinned, -EPROTO
 * another layout). */
int map_open(const char *pin_dir, enum map_id map, bool writable, uint32_t *entries);

/* Read the pinned layout. -ENOENT: not pinned or never filled in; -EPROTO: not ours or another version (then *layout is
 * set). */
int layout_read(const char *pin_dir, struct layout *layout);

#endif
