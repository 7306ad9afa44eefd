/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer's half of the SADB. Every change of a slot runs under its generation (odd while it lasts). A deleted SA's
 * slot is used again only when no worker can still be in the turn in which it saw the SA: each worker that was inside a
 * turn at the deletion has ended it since, or no agent runs.
 */
#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/secret.h"
#include "bpf/agent_lock.h"
#include "bpf/sadb.h"
#include "bpf/sadb_private.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Packets wait in receive rings with a tunnel's id on them. A deleted id rests this long before it means another
 * tunnel. */
#define TUNNEL_REST_NS (2 * NS_PER_S)

/* ---- sequence lock, writer's half ---- */

static void generation_begin(uint32_t *generation)
{
	/* Odd already: a writer died in between; the number only has to be odd now and another even one later. */
	__atomic_store_n(generation, *generation | 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void generation_end(uint32_t *generation)
{
	__atomic_store_n(generation, *generation + 1, __ATOMIC_RELEASE);
}

/* Whole slot from `sa`, with `state`; only the generation stays the slot's own. */
static void slot_write(struct sa *slot, const struct sa *sa, enum sa_state state)
{
	struct sa copy = *sa;

	generation_begin(&slot->generation);
	copy.generation = slot->generation;
	copy.state = (uint8_t)state;
	*slot = copy;
	generation_end(&slot->generation);
	secret_wipe(&copy, sizeof(copy));
}

static void slot_retire(struct sa *slot)
{
	generation_begin(&slot->generation);
	slot->state = SA_RETIRED;
	secret_wipe(slot->encr_key, sizeof(slot->encr_key));
	secret_wipe(slot->salt, sizeof(slot->salt));
	secret_wipe(slot->integ_key, sizeof(slot->integ_key));
	generation_end(&slot->generation);
}

/* ---- quiescence ---- */

static void epochs_take(const struct sadb *db, struct retirement *retirement)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < WORKERS_MAX; i++)
		retirement->epochs[i] = __atomic_load_n(&db->workers[i].epoch, __ATOMIC_ACQUIRE);
}

static bool workers_moved_on(const struct sadb *db, const struct retirement *retirement)
{
	for (uint32_t i = 0; i < WORKERS_MAX; i++) {
		uint64_t then = retirement->epochs[i];

		if (then & 1 && __atomic_load_n(&db->workers[i].epoch, __ATOMIC_ACQUIRE) == then)
			return false;
	}
	return true;
}

/* Give back the slots whose wait is over, and begin the wait of those retired since. They wait in batches: a moment
 * later than a slot's own retirement is always safe. */
static void retired_advance(struct sadb *db)
{
	for (;;) {
		if (db->sas_waiting && !workers_moved_on(db, &db->retirement) && agent_lock_held(db->pin_dir))
			return;
		for (; db->sas_waiting; db->sas_waiting--) {
			slot_ring_put(&db->sas_free, slot_ring_first(&db->sas_retired));
			slot_ring_drop_first(&db->sas_retired);
		}
		if (!db->sas_retired.count)
			return;
		epochs_take(db, &db->retirement);
		db->sas_waiting = db->sas_retired.count;
	}
}

static void slot_release(struct sadb *db, uint32_t index)
{
	slot_retire(&db->sas[index]);
	slot_ring_put(&db->sas_retired, index);
	retired_advance(db);
}

/* ---- repair ---- */

static struct spi_key spi_key_of(const struct sa *sa)
{
	return (struct spi_key){.spi = sa->spi, .destination = sa->local, .protocol = sa->protocol};
}

static bool spi_entry_sound(const struct sadb *db, const struct spi_key *key, uint32_t index)
{
	const struct sa *slot = index < db->entries[MAP_sa] ? &db->sas[index] : NULL;

	return slot && slot->state == SA_LIVE && slot->spi == key->spi &&
	       memcmp(&slot->local, &key->destination, sizeof(slot->local)) == 0;
}

/* Drop SPI entries whose slot is not (or no longer) that SA. */
static void spi_index_repair(struct sadb *db)
{
	struct spi_key key, next;
	bool more = bpf_map_get_next_key(db->fds[MAP_spi_in], NULL, &next) == 0;

	while (more) {
		uint32_t index = sadb_find_spi(db, &next);

		key = next;
		more = bpf_map_get_next_key(db->fds[MAP_spi_in], &key, &next) == 0;
		if (!spi_entry_sound(db, &key, index))
			bpf_map_delete_elem(db->fds[MAP_spi_in], &key);
	}
}

/* Which slots are to be had. Those that an earlier writer retired wait as if they were retired now. */
static void free_slots_collect(struct sadb *db)
{
	for (uint32_t i = 0; i < db->entries[MAP_sa]; i++) {
		if (db->sas[i].state == SA_FREE)
			slot_ring_put(&db->sas_free, i);
		else if (db->sas[i].state == SA_RETIRED)
			slot_ring_put(&db->sas_retired, i);
	}
	for (uint32_t i = 0; i < db->entries[MAP_tunnel]; i++)
		if (db->tunnels[i].state == TUNNEL_FREE)
			slot_ring_put(&db->tunnels_free, i);
}

/* Before the first change: retire what a writer that died left half-written. */
static int writer_ready(struct sadb *db)
{
	uint32_t broken = 0;

	if (!db->writable)
		return -EACCES;
	if (db->repaired)
		return 0;
	for (uint32_t i = 0; i < db->entries[MAP_sa]; i++) {
		if (!(db->sas[i].generation & 1))
			continue;
		slot_retire(&db->sas[i]);
		broken++;
	}
	spi_index_repair(db);
	free_slots_collect(db);
	if (broken)
		log_warn("%u SAs were half-written by a daemon that died; they are gone", broken);
	db->repaired = true;
	return 0;
}

/* ---- SAs ---- */

static int slot_find(struct sadb *db, uint32_t *index)
{
	if (!db->sas_free.count)
		retired_advance(db);
	if (!db->sas_free.count)
		return -ENOSPC;
	*index = slot_ring_first(&db->sas_free);
	slot_ring_drop_first(&db->sas_free);
	return 0;
}

static int spi_insert(struct sadb *db, const struct spi_key *key, uint32_t index)
{
	int err = bpf_map_update_elem(db->fds[MAP_spi_in], key, &index, BPF_NOEXIST);

	return err == -E2BIG ? -ENOSPC : err;
}

static void spi_remove(struct sadb *db, const struct spi_key *key, uint32_t index)
{
	if (sadb_find_spi(db, key) == index)
		bpf_map_delete_elem(db->fds[MAP_spi_in], key);
}

/* The run half of a new SA: nothing yet but what XDP must know to tell a replay. */
static void run_reset(struct sa_run *run, const struct sa *sa)
{
	memset(run, 0, sizeof(*run));
	run->replay_bits = sa->replay_bits;
	run->flags = sa->flags;
}

int sadb_add(struct sadb *db, const struct sa *sa, uint32_t *index)
{
	struct spi_key key = spi_key_of(sa);
	int err = writer_ready(db);

	if (err)
		return err;
	if (sa->direction == SA_IN && sadb_find_spi(db, &key) != SA_NONE)
		return -EEXIST;
	err = slot_find(db, index);
	if (err)
		return err;
	run_reset(&db->runs[*index], sa);
	slot_write(&db->sas[*index], sa, SA_LIVE);
	if (sa->direction != SA_IN)
		return 0;
	err = spi_insert(db, &key, *index);
	if (err)
		slot_release(db, *index);
	return err;
}

/* A tunnel that still names the slot would send through whatever SA takes it next. */
static void tunnel_forget(struct sadb *db, uint32_t id, uint32_t index)
{
	struct tunnel *tunnel = sadb_tunnel(db, id);

	if (!tunnel)
		return;
	if (tunnel->out_sa == index)
		sadb_tunnel_switch(db, id, SA_NONE);
	for (uint32_t i = 0; i < OUT_MORE_MAX; i++)
		if (tunnel->out_more[i] == index)
			__atomic_store_n(&tunnel->out_more[i], SA_NONE, __ATOMIC_RELEASE);
}

int sadb_delete(struct sadb *db, uint32_t index)
{
	int err = writer_ready(db);
	struct spi_key key;
	struct sa *slot;

	if (err)
		return err;
	if (index >= db->entries[MAP_sa] || db->sas[index].state != SA_LIVE)
		return -ENOENT;
	slot = &db->sas[index];
	key = spi_key_of(slot);
	if (slot->direction == SA_IN)
		spi_remove(db, &key, index);
	if (slot->direction == SA_OUT)
		tunnel_forget(db, slot->tunnel, index);
	slot_release(db, index);
	return 0;
}

int sadb_move(struct sadb *db, uint32_t index, const struct addr16 *local, uint16_t local_port,
	const struct addr16 *remote, uint16_t remote_port)
{
	int err = writer_ready(db);
	struct spi_key old_key, new_key;
	struct sa *slot;
	bool reindex;

	if (err)
		return err;
	if (index >= db->entries[MAP_sa] || db->sas[index].state != SA_LIVE)
		return -ENOENT;
	slot = &db->sas[index];
	old_key = spi_key_of(slot);
	new_key = old_key;
	new_key.destination = *local;
	reindex = slot->direction == SA_IN && memcmp(&old_key, &new_key, sizeof(old_key)) != 0;
	err = reindex ? spi_insert(db, &new_key, index) : 0;
	if (err)
		return err;
	generation_begin(&slot->generation);
	slot->local = *local;
	slot->remote = *remote;
	slot->local_port = local_port;
	slot->remote_port = remote_port;
	generation_end(&slot->generation);
	if (reindex)
		spi_remove(db, &old_key, index);
	return 0;
}

/* ---- tunnels ---- */

static bool tunnel_rested(const struct sadb *db, uint32_t id, uint64_t now_ns)
{
	uint64_t deleted_ns = db->tunnel_deleted_ns[id];

	return !deleted_ns || now_ns - deleted_ns >= TUNNEL_REST_NS;
}

/* The one that was deleted first; if it must rest still, so must all others. */
static int tunnel_find(struct sadb *db, uint32_t *id)
{
	if (!db->tunnels_free.count || !tunnel_rested(db, slot_ring_first(&db->tunnels_free), clock_now_ns()))
		return -ENOSPC;
	*id = slot_ring_first(&db->tunnels_free);
	slot_ring_drop_first(&db->tunnels_free);
	return 0;
}

bool sadb_has_room(struct sadb *db, uint32_t sas, uint32_t tunnels)
{
	if (writer_ready(db))
		return false;
	if (db->sas_free.count < sas)
		retired_advance(db);
	return db->sas_free.count >= sas && db->tunnels_free.count >= tunnels &&
	       (!tunnels || tunnel_rested(db, slot_ring_first(&db->tunnels_free), clock_now_ns()));
}

int sadb_tunnel_add(struct sadb *db, const struct tunnel *tunnel, uint32_t *id)
{
	int err = writer_ready(db);
	struct tunnel *slot, copy = *tunnel;

	if (err)
		return err;
	err = tunnel_find(db, id);
	if (err)
		return err;
	slot = &db->tunnels[*id];
	generation_begin(&slot->generation);
	copy.generation = slot->generation;
	copy.out_sa = SA_NONE;
	copy.state = TUNNEL_LIVE;
	*slot = copy;
	generation_end(&slot->generation);
	return 0;
}

void sadb_tunnel_update(struct sadb *db, uint32_t id, const struct tunnel *tunnel)
{
	struct tunnel *slot = sadb_tunnel(db, id);

	if (!slot || writer_ready(db))
		return;
	generation_begin(&slot->generation);
	slot->mode = tunnel->mode;
	slot->flags = tunnel->flags;
	slot->options = tunnel->options;
	slot->local_count = tunnel->local_count;
	slot->remote_count = tunnel->remote_count;
	memcpy(slot->local, tunnel->local, sizeof(slot->local));
	memcpy(slot->remote, tunnel->remote, sizeof(slot->remote));
	generation_end(&slot->generation);
}

void sadb_tunnel_delete(struct sadb *db, uint32_t id)
{
	struct tunnel *slot = sadb_tunnel(db, id);

	if (!slot || writer_ready(db) || slot->state != TUNNEL_LIVE)
		return;
	sadb_tunnel_switch(db, id, SA_NONE);
	generation_begin(&slot->generation);
	slot->state = TUNNEL_FREE;
	generation_end(&slot->generation);
	db->tunnel_deleted_ns[id] = clock_now_ns();
	slot_ring_put(&db->tunnels_free, id);
}

void sadb_tunnel_switch(struct sadb *db, uint32_t id, uint32_t index)
{
	struct tunnel *slot = sadb_tunnel(db, id);

	if (slot && db->writable)
		__atomic_store_n(&slot->out_sa, index, __ATOMIC_RELEASE);
}
