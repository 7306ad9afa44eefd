/* SPDX-License-Identifier: Apache-2.0 */
/* Listings and counters over the maps: drops, events, policies, the SPI index. */
#include "agent/base/own.h"
#include "bpf/sadb.h"
#include "bpf/sadb_private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void drop_count_sum(struct drop_count *sum, uint64_t packets, uint64_t last_ns)
{
	sum->packets += packets;
	if (last_ns > sum->last_ns)
		sum->last_ns = last_ns;
}

int sadb_drops(const struct sadb *db, enum drop_reason reason, struct drop_count *sum)
{
	int cpus = libbpf_num_possible_cpus(), err;
	OWN_PTR struct drop_count *counts = NULL;
	uint32_t key = reason;

	*sum = (struct drop_count){0};
	if (key >= DROP_SLOTS)
		return -EINVAL;
	if (cpus < 0)
		return cpus;
	counts = calloc((size_t)cpus, sizeof(*counts));
	if (!counts)
		return -ENOMEM;
	err = bpf_map_lookup_elem(db->fds[MAP_xdp_drops], &key, counts);
	if (err)
		return err;
	for (int i = 0; i < cpus; i++)
		drop_count_sum(sum, counts[i].packets, counts[i].last_ns);
	for (uint32_t i = 0; i < db->entries[MAP_worker]; i++) {
		const struct drop_count *count = &db->workers[i].drops[key];

		drop_count_sum(sum, __atomic_load_n(&count->packets, __ATOMIC_RELAXED),
			__atomic_load_n(&count->last_ns, __ATOMIC_RELAXED));
	}
	return 0;
}

/* ---- events ---- */

static int event_sample(void *context, void *data, size_t len)
{
	struct sadb *db = context;

	if (len >= sizeof(struct event) && db->event_fn)
		db->event_fn(data, db->event_context);
	return 0;
}

static int events_open(struct sadb *db)
{
	if (db->ring)
		return 0;
	if (!db->writable)
		return -EACCES;
	db->ring = ring_buffer__new(db->fds[MAP_events], event_sample, db, NULL);
	return db->ring ? 0 : -errno;
}

int sadb_events_fd(struct sadb *db)
{
	int err = events_open(db);

	return err ? err : ring_buffer__epoll_fd(db->ring);
}

int sadb_events_read(struct sadb *db, void (*fn)(const struct event *event, void *context), void *context)
{
	int err = events_open(db);

	if (err)
		return err;
	db->event_fn = fn;
	db->event_context = context;
	err = ring_buffer__consume(db->ring);
	db->event_fn = NULL;
	return err < 0 ? err : 0;
}

/* ---- policies ---- */

static void number_bytes(uint32_t number, uint8_t out[static 16])
{
	memset(out, 0, 16);
	for (unsigned i = 0; i < 4; i++)
		out[i] = (uint8_t)(number >> (24 - 8 * i));
}

static void policy4_entry_tell(
	const struct policy4_key *key, const struct policy4 *entry, policy_entry_fn *fn, void *context)
{
	struct policy_entry_info info = {.family = 4, .prefix_len = (uint8_t)key->prefix_len};

	memcpy(info.prefix, key->remote, sizeof(key->remote));
	for (uint32_t i = 0; i < entry->count && i < POLICY_SELECTORS_MAX; i++) {
		const struct policy4_selector *s = &entry->selectors[i];

		info.position = i;
		info.action = s->action;
		info.tunnel = s->tunnel;
		info.local = (struct selector){.family = 4,
			.protocol = s->protocol,
			.port_first = s->local_port_first,
			.port_last = s->local_port_last};
		info.remote = (struct selector){.family = 4,
			.protocol = s->protocol,
			.port_first = s->remote_port_first,
			.port_last = s->remote_port_last};
		number_bytes(s->local_first, info.local.first);
		number_bytes(s->local_last, info.local.last);
		number_bytes(s->remote_first, info.remote.first);
		number_bytes(s->remote_last, info.remote.last);
		fn(&info, context);
	}
}

static void policy6_entry_tell(
	const struct policy6_key *key, const struct policy6 *entry, policy_entry_fn *fn, void *context)
{
	struct policy_entry_info info = {.family = 6, .prefix_len = (uint8_t)key->prefix_len};

	memcpy(info.prefix, key->remote, sizeof(key->remote));
	for (uint32_t i = 0; i < entry->count && i < POLICY_SELECTORS_MAX; i++) {
		const struct policy6_selector *s = &entry->selectors[i];

		info.position = i;
		info.action = s->action;
		info.tunnel = s->tunnel;
		info.local = (struct selector){.family = 6,
			.protocol = s->protocol,
			.port_first = s->local_port_first,
			.port_last = s->local_port_last};
		info.remote = (struct selector){.family = 6,
			.protocol = s->protocol,
			.port_first = s->remote_port_first,
			.port_last = s->remote_port_last};
		memcpy(info.local.first, s->local_first, 16);
		memcpy(info.local.last, s->local_last, 16);
		memcpy(info.remote.first, s->remote_first, 16);
		memcpy(info.remote.last, s->remote_last, 16);
		fn(&info, context);
	}
}

static int policies4(const struct sadb *db, policy_entry_fn *fn, void *context)
{
	int fd = db->fds[MAP_policy4];
	struct policy4_key key;
	struct policy4 entry;

	for (int err = bpf_map_get_next_key(fd, NULL, &key); err != -ENOENT;
		err = bpf_map_get_next_key(fd, &key, &key)) {
		if (err)
			return err;
		if (bpf_map_lookup_elem(fd, &key, &entry) == 0)
			policy4_entry_tell(&key, &entry, fn, context);
	}
	return 0;
}

static int policies6(const struct sadb *db, policy_entry_fn *fn, void *context)
{
	int fd = db->fds[MAP_policy6];
	struct policy6_key key;
	struct policy6 entry;

	for (int err = bpf_map_get_next_key(fd, NULL, &key); err != -ENOENT;
		err = bpf_map_get_next_key(fd, &key, &key)) {
		if (err)
			return err;
		if (bpf_map_lookup_elem(fd, &key, &entry) == 0)
			policy6_entry_tell(&key, &entry, fn, context);
	}
	return 0;
}

int sadb_policies(const struct sadb *db, policy_entry_fn *fn, void *context)
{
	int err = policies4(db, fn, context);

	return err ? err : policies6(db, fn, context);
}

int sadb_spis(
	const struct sadb *db, void (*fn)(const struct spi_key *key, uint32_t index, void *context), void *context)
{
	int fd = db->fds[MAP_spi_in];
	struct spi_key key;
	uint32_t index;

	for (int err = bpf_map_get_next_key(fd, NULL, &key); err != -ENOENT;
		err = bpf_map_get_next_key(fd, &key, &key)) {
		if (err)
			return err;
		if (bpf_map_lookup_elem(fd, &key, &index) == 0)
			fn(&key, index, context);
	}
	return 0;
}
