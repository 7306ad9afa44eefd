/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, closing and reading the SADB. Writing: sadb_write.c; listings and counters: sadb_list.c. */
#include "bpf/sadb.h"

#include "agent/base/own.h"
#include "agent/base/secret.h"
#include "bpf/sadb_private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define READ_ATTEMPTS 10000 /* a writer holds a slot for some hundred nanoseconds; a dead writer for ever */

/* Bytes that an mmapable array of `entries` values of `size` bytes occupies. */
static size_t map_bytes(uint32_t entries, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t bytes = entries * ((size + 7) & ~(size_t)7);

	return (bytes + page - 1) / page * page;
}

static int map_mmap(struct sadb *db, enum map_id map, size_t value_size, void **out)
{
	int protection = db->writable ? PROT_READ | PROT_WRITE : PROT_READ;
	void *at = mmap(NULL, map_bytes(db->entries[map], value_size), protection, MAP_SHARED, db->fds[map], 0);

	if (at == MAP_FAILED)
		return -errno;
	*out = at;
	return 0;
}

static void map_munmap(void *at, uint32_t entries, size_t value_size)
{
	if (at)
		munmap(at, map_bytes(entries, value_size));
}

static bool map_is_mmapped(int map)
{
	return map == MAP_sa || map == MAP_sa_run || map == MAP_tunnel || map == MAP_worker || map == MAP_policy_lens;
}

static int sadb_open_maps(struct sadb *db)
{
	for (int map = 0; map < MAP_COUNT; map++) {
		/* The kernel maps no BPF map of a read-only descriptor, even for reading. */
		bool writable = db->writable || map_is_mmapped(map);

		db->fds[map] = map_open(db->pin_dir, (enum map_id)map, writable, &db->entries[map]);
		if (db->fds[map] < 0)
			return db->fds[map];
	}
	return db->entries[MAP_sa] == db->entries[MAP_sa_run] && db->entries[MAP_policy_lens] == 2 ? 0 : -EPROTO;
}

static int sadb_mmap(struct sadb *db)
{
	int err = map_mmap(db, MAP_sa, sizeof(struct sa), (void **)&db->sas);

	if (!err)
		err = map_mmap(db, MAP_sa_run, sizeof(struct sa_run), (void **)&db->runs);
	if (!err)
		err = map_mmap(db, MAP_tunnel, sizeof(struct tunnel), (void **)&db->tunnels);
	if (!err)
		err = map_mmap(db, MAP_worker, sizeof(struct worker_stat), (void **)&db->workers);
	if (!err)
		err = map_mmap(db, MAP_policy_lens, sizeof(struct policy_lens), (void **)&db->policy_lens);
	return err;
}

static int sadb_alloc_writer(struct sadb *db)
{
	if (!db->writable)
		return 0;
	db->tunnel_deleted_ns = calloc(db->entries[MAP_tunnel], sizeof(*db->tunnel_deleted_ns));
	if (!db->tunnel_deleted_ns)
		return -ENOMEM;
	if (slot_ring_init(&db->sas_free, db->entries[MAP_sa]) || slot_ring_init(&db->sas_retired, db->entries[MAP_sa]))
		return -ENOMEM;
	return slot_ring_init(&db->tunnels_free, db->entries[MAP_tunnel]) ? -ENOMEM : 0;
}

static struct sadb *sadb_new(const char *pin_dir, bool writable)
{
	struct sadb *db = calloc(1, sizeof(*db));

	if (!db)
		return NULL;
	for (int map = 0; map < MAP_COUNT; map++)
		db->fds[map] = -1;
	db->writable = writable;
	db->pin_dir = strdup(pin_dir);
	if (!db->pin_dir) {
		free(db);
		return NULL;
	}
	return db;
}

int sadb_open(const char *pin_dir, bool writable, struct sadb **out)
{
	struct layout layout;
	struct sadb *db;
	int err = layout_read(pin_dir, &layout);

	*out = NULL;
	if (err)
		return err;
	db = sadb_new(pin_dir, writable);
	if (!db)
		return -ENOMEM;
	err = sadb_open_maps(db);
	if (!err)
		err = sadb_mmap(db);
	if (!err)
		err = sadb_alloc_writer(db);
	if (err) {
		sadb_close(db);
		return err;
	}
	*out = db;
	return 0;
}

void sadb_close(struct sadb *db)
{
	if (!db)
		return;
	ring_buffer__free(db->ring);
	map_munmap(db->sas, db->entries[MAP_sa], sizeof(struct sa));
	map_munmap(db->runs, db->entries[MAP_sa_run], sizeof(struct sa_run));
	map_munmap(db->tunnels, db->entries[MAP_tunnel], sizeof(struct tunnel));
	map_munmap(db->workers, db->entries[MAP_worker], sizeof(struct worker_stat));
	map_munmap(db->policy_lens, db->entries[MAP_policy_lens], sizeof(struct policy_lens));
	for (int map = 0; map < MAP_COUNT; map++)
		own_close_(&db->fds[map]);
	free(db->tunnel_deleted_ns);
	slot_ring_clear(&db->sas_free);
	slot_ring_clear(&db->sas_retired);
	slot_ring_clear(&db->tunnels_free);
	free(db->pin_dir);
	free(db);
}

uint32_t sadb_sa_count(const struct sadb *db)
{
	return db->entries[MAP_sa];
}

uint32_t sadb_tunnel_count(const struct sadb *db)
{
	return db->entries[MAP_tunnel];
}

volatile const struct sa *sadb_slot(const struct sadb *db, uint32_t index)
{
	return index < db->entries[MAP_sa] ? &db->sas[index] : NULL;
}

struct sa_run *sadb_run(const struct sadb *db, uint32_t index)
{
	return index < db->entries[MAP_sa_run] ? &db->runs[index] : NULL;
}

struct tunnel *sadb_tunnel(const struct sadb *db, uint32_t id)
{
	return id < db->entries[MAP_tunnel] ? &db->tunnels[id] : NULL;
}

struct worker_stat *sadb_worker(const struct sadb *db, uint32_t worker)
{
	return worker < db->entries[MAP_worker] ? &db->workers[worker] : NULL;
}

/* One try of the reader's half of the sequence lock (struct sa): true if the copy is of one moment. */
static bool slot_copy(const struct sa *slot, struct sa *copy)
{
	uint32_t before = __atomic_load_n(&slot->generation, __ATOMIC_ACQUIRE);

	if (before & 1)
		return false;
	for (size_t i = 0; i < sizeof(*slot) / sizeof(uint64_t); i++)
		((uint64_t *)copy)[i] = __atomic_load_n((const uint64_t *)slot + i, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&slot->generation, __ATOMIC_RELAXED) == before;
}

bool sadb_read(const struct sadb *db, uint32_t index, struct sa *copy)
{
	if (index >= db->entries[MAP_sa])
		return false;
	for (int i = 0; i < READ_ATTEMPTS; i++) {
		if (!slot_copy(&db->sas[index], copy))
			continue;
		if (copy->state == SA_LIVE)
			return true;
		break;
	}
	secret_wipe(copy, sizeof(*copy));
	return false;
}

uint32_t sadb_find_spi(const struct sadb *db, const struct spi_key *key)
{
	uint32_t index;

	return bpf_map_lookup_elem(db->fds[MAP_spi_in], key, &index) == 0 ? index : SA_NONE;
}
