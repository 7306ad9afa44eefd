/* SPDX-License-Identifier: Apache-2.0 */
/* The SADB, the policy set and the data plane's maps on a real kernel. Needs root and a BPF file system. */
#include "agent/base/own.h"
#include "bpf/dataplane.h"
#include "bpf/policy.h"
#include "bpf/policy_lens.h"
#include "bpf/sadb.h"
#include "bpf/sadb_private.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PIN_DIR "/sys/fs/bpf/espalier_test_sadb"
#define SLOTS	8u
#define TUNNELS 4u

struct fixture {
	struct dataplane *dp;
	struct sadb *db;
};

static const struct dataplane_options options = {
	.pin_dir = PIN_DIR,
	.sa_count = SLOTS,
	.tunnel_count = TUNNELS,
	.policy_count = 16,
};

static struct addr16 v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct addr16){.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}};
}

static struct sa sa_in(uint32_t spi)
{
	struct sa sa = {
		.direction = SA_IN,
		.protocol = 50,
		.mode = SA_TUNNEL,
		.spi = spi,
		.encr = 20,
		.encr_key_bits = 256,
		.local = v4(192, 0, 2, 1),
		.remote = v4(192, 0, 2, 2),
		.replay_bits = 1024,
	};

	memset(sa.encr_key, 0xaa, sizeof(sa.encr_key));
	return sa;
}

static struct sa sa_out(uint32_t spi, uint32_t tunnel)
{
	struct sa sa = sa_in(spi);

	sa.direction = SA_OUT;
	sa.tunnel = tunnel;
	return sa;
}

static struct spi_key key_of(const struct sa *sa)
{
	return (struct spi_key){.spi = sa->spi, .destination = sa->local, .protocol = sa->protocol};
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char error[256];

	dataplane_remove(PIN_DIR);
	if (!f || dataplane_open(&options, &f->dp, error)) {
		print_error("%s\n", f ? error : "no memory");
		free(f);
		return -1;
	}
	*state = f;
	return sadb_open(PIN_DIR, true, &f->db);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sadb_close(f->db);
	dataplane_close(f->dp);
	free(f);
	return dataplane_remove(PIN_DIR);
}

static void test_not_pinned(void **state)
{
	struct sadb *db;

	(void)state;
	assert_int_equal(sadb_open("/sys/fs/bpf/espalier_test_nowhere", false, &db), -ENOENT);
	assert_null(db);
}

static void test_modes(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(PIN_DIR, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(PIN_DIR "/sa", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_one_agent(void **state)
{
	struct dataplane *second;
	char error[256];

	(void)state;
	assert_int_equal(dataplane_open(&options, &second, error), -EBUSY);
	assert_non_null(strstr(error, "another agent"));
}

static void test_add_read_delete(void **state)
{
	struct fixture *f = *state;
	struct sa sa = sa_in(0x11223344), copy;
	struct spi_key key = key_of(&sa);
	uint32_t index = SA_NONE, other;
	static const uint8_t wiped[SA_KEY_MAX];

	assert_int_equal(sadb_find_spi(f->db, &key), SA_NONE);
	assert_int_equal(sadb_add(f->db, &sa, &index), 0);
	assert_int_equal(sadb_find_spi(f->db, &key), index);
	assert_int_equal(sadb_add(f->db, &sa, &other), -EEXIST);
	assert_true(sadb_read(f->db, index, &copy));
	assert_int_equal(copy.spi, sa.spi);
	assert_memory_equal(copy.encr_key, sa.encr_key, sizeof(copy.encr_key));
	assert_int_equal(copy.generation & 1, 0);

	assert_int_equal(sadb_delete(f->db, index), 0);
	assert_int_equal(sadb_delete(f->db, index), -ENOENT);
	assert_false(sadb_read(f->db, index, &copy));
	assert_int_equal(sadb_find_spi(f->db, &key), SA_NONE);
	assert_memory_equal((const void *)sadb_slot(f->db, index)->encr_key, wiped, sizeof(wiped));
}

/* Every change moves the generation on. */
static void test_generation(void **state)
{
	struct fixture *f = *state;
	struct sa sa = sa_in(1), copy;
	struct addr16 there = v4(198, 51, 100, 7);
	uint32_t index, before;

	assert_int_equal(sadb_add(f->db, &sa, &index), 0);
	before = sadb_slot(f->db, index)->generation;
	assert_int_equal(sadb_move(f->db, index, &sa.local, 4500, &there, 40000), 0);
	assert_true(sadb_read(f->db, index, &copy));
	assert_int_equal(copy.generation, before + 2);
	assert_memory_equal(&copy.remote, &there, sizeof(there));
	assert_int_equal(copy.remote_port, 40000);
}

static void test_move_follows_local(void **state)
{
	struct fixture *f = *state;
	struct sa sa = sa_in(7);
	struct spi_key old_key = key_of(&sa), new_key = old_key;
	uint32_t index;

	new_key.destination = v4(192, 0, 2, 99);
	assert_int_equal(sadb_add(f->db, &sa, &index), 0);
	assert_int_equal(sadb_move(f->db, index, &new_key.destination, 0, &sa.remote, 0), 0);
	assert_int_equal(sadb_find_spi(f->db, &old_key), SA_NONE);
	assert_int_equal(sadb_find_spi(f->db, &new_key), index);
}

static void test_run_is_zeroed(void **state)
{
	struct fixture *f = *state;
	struct sa sa = sa_in(9);
	uint32_t index, again;

	for (uint32_t i = 0; i < SLOTS; i++)
		sadb_run(f->db, i)->out_seq = 77;
	assert_int_equal(sadb_add(f->db, &sa, &index), 0);
	assert_int_equal(sadb_run(f->db, index)->out_seq, 0);
	assert_int_equal(sadb_delete(f->db, index), 0);
	assert_int_equal(sadb_add(f->db, &sa, &again), 0);
	assert_int_not_equal(again, index);
}

/* A slot waits for the workers that were in a turn when it was retired, and for no others. */
static void test_quiescence(void **state)
{
	struct fixture *f = *state;
	struct worker_stat *busy = sadb_worker(f->db, 3);
	uint32_t index[SLOTS], again;

	busy->epoch = 5;
	for (uint32_t i = 0; i < SLOTS; i++) {
		struct sa sa = sa_in(100 + i);

		assert_int_equal(sadb_add(f->db, &sa, &index[i]), 0);
	}
	struct sa sa = sa_in(200);

	assert_int_equal(sadb_add(f->db, &sa, &again), -ENOSPC);
	assert_int_equal(sadb_delete(f->db, index[4]), 0);
	assert_int_equal(sadb_add(f->db, &sa, &again), -ENOSPC);
	busy->epoch = 6;
	sadb_worker(f->db, 4)->epoch = 1;
	assert_int_equal(sadb_add(f->db, &sa, &again), 0);
	assert_int_equal(again, index[4]);
}

/* The agent died in the middle of a turn: its epoch stays odd, but nobody uses the slot. */
static void test_quiescence_without_agent(void **state)
{
	struct fixture *f = *state;
	struct sa sa = sa_in(300);
	uint32_t index;

	sadb_worker(f->db, 0)->epoch = 5;
	for (uint32_t i = 0; i < SLOTS; i++) {
		sa.spi = 300 + i;
		assert_int_equal(sadb_add(f->db, &sa, &index), 0);
	}
	assert_int_equal(sadb_delete(f->db, index), 0);
	assert_int_equal(sadb_add(f->db, &sa, &index), -ENOSPC);
	dataplane_close(f->dp);
	f->dp = NULL;
	assert_int_equal(sadb_add(f->db, &sa, &index), 0);
}

/* A new writer knows nothing of the old one's retirements; it waits for the turns that it sees itself. */
static void test_quiescence_after_writer_restart(void **state)
{
	struct fixture *f = *state;
	struct sa sa = sa_in(400);
	uint32_t index;

	sadb_worker(f->db, 0)->epoch = 5;
	for (uint32_t i = 0; i < SLOTS; i++) {
		sa.spi = 400 + i;
		assert_int_equal(sadb_add(f->db, &sa, &index), 0);
	}
	assert_int_equal(sadb_delete(f->db, index), 0);
	sadb_close(f->db);
	assert_int_equal(sadb_open(PIN_DIR, true, &f->db), 0);
	assert_int_equal(sadb_add(f->db, &sa, &index), -ENOSPC);
	sadb_worker(f->db, 0)->epoch = 6;
	assert_int_equal(sadb_add(f->db, &sa, &index), 0);
}

/* A writer that died between begin and end leaves an odd generation: readers refuse it, the next writer clears it away.
 */
static void test_half_written(void **state)
{
	struct fixture *f = *state;
	struct sa sa = sa_in(500), copy;
	struct spi_key key = key_of(&sa);
	uint32_t index, other;

	assert_int_equal(sadb_add(f->db, &sa, &index), 0);
	((struct sa *)(uintptr_t)sadb_slot(f->db, index))->generation |= 1;
	sadb_worker(f->db, 0)->epoch = 1;
	assert_false(sadb_read(f->db, index, &copy));
	sadb_close(f->db);
	assert_int_equal(sadb_open(PIN_DIR, true, &f->db), 0);
	sa.spi = 501;
	assert_int_equal(sadb_add(f->db, &sa, &other), 0);
	assert_int_equal(sadb_find_spi(f->db, &key), SA_NONE);
	assert_int_equal(sadb_slot(f->db, index)->generation & 1, 0);
	assert_int_equal(sadb_slot(f->db, index)->state, SA_RETIRED);
}

static void test_tunnels(void **state)
{
	struct fixture *f = *state;
	struct tunnel tunnel = {.out_sa = 3, .mode = SA_TUNNEL, .local_count = 1, .remote_count = 1};
	uint32_t id[TUNNELS], more, index;
	struct sa sa;

	for (uint32_t i = 0; i < TUNNELS; i++)
		assert_int_equal(sadb_tunnel_add(f->db, &tunnel, &id[i]), 0);
	assert_int_equal(sadb_tunnel_add(f->db, &tunnel, &more), -ENOSPC);
	assert_int_equal(sadb_tunnel(f->db, id[1])->out_sa, SA_NONE);
	assert_int_equal(sadb_tunnel(f->db, id[1])->state, TUNNEL_LIVE);

	sa = sa_out(600, id[1]);
	assert_int_equal(sadb_add(f->db, &sa, &index), 0);
	sadb_tunnel_switch(f->db, id[1], index);
	sadb_tunnel(f->db, id[1])->out_more_count = 2;
	sadb_tunnel(f->db, id[1])->out_more[0] = index + 1;
	sadb_tunnel(f->db, id[1])->out_more[1] = index;
	assert_int_equal(sadb_tunnel(f->db, id[1])->out_sa, index);
	/* A deleted SA leaves no tunnel behind that would send through the slot's next owner. */
	assert_int_equal(sadb_delete(f->db, index), 0);
	assert_int_equal(sadb_tunnel(f->db, id[1])->out_sa, SA_NONE);
	assert_int_equal(sadb_tunnel(f->db, id[1])->out_more[0], index + 1);
	assert_int_equal(sadb_tunnel(f->db, id[1])->out_more[1], SA_NONE);

	/* A deleted id rests before it means another tunnel. */
	sadb_tunnel_delete(f->db, id[1]);
	assert_int_equal(sadb_tunnel(f->db, id[1])->state, TUNNEL_FREE);
	assert_int_equal(sadb_tunnel_add(f->db, &tunnel, &more), -ENOSPC);
}

/* Maps and their content outlive the agent; other sizes in the configuration do not take effect. */
static void test_adoption(void **state)
{
	struct fixture *f = *state;
	struct dataplane_options bigger = options;
	struct sa sa = sa_in(700), copy;
	uint32_t index;
	char error[256];

	assert_int_equal(sadb_add(f->db, &sa, &index), 0);
	dataplane_close(f->dp);
	f->dp = NULL;
	sadb_close(f->db);
	f->db = NULL;
	bigger.sa_count = 2 * SLOTS;
	if (dataplane_open(&bigger, &f->dp, error))
		fail_msg("%s", error);
	assert_int_equal(sadb_open(PIN_DIR, false, &f->db), 0);
	assert_int_equal(sadb_sa_count(f->db), SLOTS);
	assert_true(sadb_read(f->db, index, &copy));
	assert_int_equal(copy.spi, sa.spi);
	assert_int_equal(sadb_add(f->db, &sa, &index), -EACCES);
}

/* ---- policies ---- */

static struct selector range4(uint32_t first, uint32_t last)
{
	struct selector s = {.family = 4, .port_last = 0xffff};

	for (unsigned i = 0; i < 4; i++) {
		s.first[i] = (uint8_t)(first >> (24 - 8 * i));
		s.last[i] = (uint8_t)(last >> (24 - 8 * i));
	}
	return s;
}

static struct policy policy_to(uint32_t first, uint32_t last, uint32_t tunnel)
{
	struct policy policy = {
		.tunnel = tunnel, .action = POLICY_PROTECT, .priority = 10, .local_count = 1, .remote_count = 1};

	policy.local[0] = range4(0x0a010000, 0x0a01ffff);
	policy.remote[0] = range4(first, last);
	return policy;
}

struct listing {
	uint32_t count;
	uint32_t tunnels[64];
	uint8_t lens[64];
	uint32_t positions[64];
};

static void listing_add(const struct policy_entry_info *entry, void *context)
{
	struct listing *listing = context;

	listing->tunnels[listing->count] = entry->tunnel;
	listing->positions[listing->count] = entry->position;
	listing->lens[listing->count++] = entry->prefix_len;
}

static struct listing listing_of(const struct sadb *db)
{
	struct listing listing = {0};

	assert_int_equal(sadb_policies(db, listing_add, &listing), 0);
	return listing;
}

/* Does prefix length `len` carry `tunnel` at `position`? */
static bool listing_has(const struct listing *listing, uint8_t len, uint32_t position, uint32_t tunnel)
{
	for (uint32_t i = 0; i < listing->count; i++)
		if (listing->lens[i] == len && listing->positions[i] == position && listing->tunnels[i] == tunnel)
			return true;
	return false;
}

static void test_policy_covering(void **state)
{
	struct fixture *f = *state;
	struct policy wide = policy_to(0x0a000000, 0x0affffff, 1), narrow = policy_to(0x0a020000, 0x0a02ffff, 2);
	struct policy_set *set;
	struct listing listing;
	uint32_t wide_id, narrow_id;

	assert_int_equal(policy_set_new(f->db, &set), 0);
	assert_int_equal(policy_add(set, &narrow, &narrow_id), 0);
	assert_int_equal(policy_add(set, &wide, &wide_id), 0);
	listing = listing_of(f->db);
	assert_int_equal(listing.count, 3);
	assert_true(listing_has(&listing, 16, 0, 2));
	assert_true(listing_has(&listing, 16, 1, 1));
	assert_true(listing_has(&listing, 8, 0, 1));
	assert_int_equal(policy_remove(set, wide_id), 0);
	assert_int_equal(policy_remove(set, wide_id), -ENOENT);
	listing = listing_of(f->db);
	assert_int_equal(listing.count, 1);
	assert_true(listing_has(&listing, 16, 0, 2));
	assert_int_equal(policy_remove(set, narrow_id), 0);
	assert_int_equal(listing_of(f->db).count, 0);
	policy_set_free(set);
}

static void test_policy_limits(void **state)
{
	struct fixture *f = *state;
	struct policy policy = policy_to(0x0a020000, 0x0a02ffff, 2);
	struct policy ragged = policy_to(0x0b000001, 0x0bfffffe, 3); /* 46 prefixes into a map of 16 */
	struct policy_set *set;
	struct listing before, after;
	uint32_t id;

	assert_int_equal(policy_set_new(f->db, &set), 0);
	for (uint32_t i = 0; i < POLICY_SELECTORS_MAX; i++)
		assert_int_equal(policy_add(set, &policy, &id), 0);
	before = listing_of(f->db);
	assert_int_equal(policy_add(set, &policy, &id), -E2BIG);
	assert_int_equal(policy_try(set, &policy, 1), -E2BIG);
	assert_int_equal(policy_add(set, &ragged, &id), -ENOSPC);
	assert_int_equal(policy_try(set, &ragged, 1), -ENOSPC);
	policy.local[0].family = 6;
	assert_int_equal(policy_try(set, &policy, 1), -EINVAL);
	assert_int_equal(policy_add(set, &policy, &id), -EINVAL);
	after = listing_of(f->db);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(policy_set_clear(set), 0);
	assert_int_equal(listing_of(f->db).count, 0);
	policy_set_free(set);
}

/* Several at once are tried as they would be added: each counts for those behind it, and afterwards all is as before.
 */
static void test_policy_try(void **state)
{
	struct fixture *f = *state;
	struct policy three[3] = {policy_to(0x0a020000, 0x0a02ffff, 1), policy_to(0x0a030000, 0x0a03ffff, 2),
		policy_to(0x0a040000, 0x0a04ffff, 3)};
	struct policy_set *set;
	struct listing before, after;
	uint32_t id;

	assert_int_equal(policy_set_new(f->db, &set), 0);
	for (uint32_t i = 0; i < 14; i++) {
		struct policy one = policy_to(0x0b000000 + 256 * i, 0x0b0000ff + 256 * i, i);

		assert_int_equal(policy_add(set, &one, &id), 0);
	}
	before = listing_of(f->db);
	assert_int_equal(policy_try(set, three, 2), 0);
	assert_int_equal(policy_try(set, three, 3), -ENOSPC); /* the map has 16 */
	three[2] = three[1];
	assert_int_equal(policy_try(set, three, 3), 0);
	after = listing_of(f->db);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(policy_add(set, &three[0], &id), 0);
	assert_int_equal(policy_add(set, &three[1], &id), 0);
	for (uint32_t i = 2; i < POLICY_SELECTORS_MAX; i++)
		assert_int_equal(policy_add(set, &three[1], &id), 0);
	assert_int_equal(policy_try(set, &three[1], 1), 0);
	assert_int_equal(policy_try(set, &three[1], 2), -E2BIG);
	policy_set_free(set);
}

/* What an earlier writer left stays in force until the new one has settled. */
static void test_policy_settle(void **state)
{
	struct fixture *f = *state;
	struct policy gone = policy_to(0x0a030000, 0x0a03ffff, 1), kept = policy_to(0x0a020000, 0x0a0200ff, 2);
	struct policy_set *set;
	struct listing listing;
	uint32_t id;

	assert_int_equal(policy_set_new(f->db, &set), 0);
	assert_int_equal(policy_add(set, &gone, &id), 0);
	assert_int_equal(policy_add(set, &kept, &id), 0);
	policy_set_free(set);

	kept.tunnel = 3;
	assert_int_equal(policy_set_new(f->db, &set), 0);
	assert_int_equal(listing_of(f->db).count, 2);
	assert_int_equal(policy_add(set, &kept, &id), 0);
	listing = listing_of(f->db);
	assert_true(listing_has(&listing, 16, 0, 1));
	assert_true(listing_has(&listing, 24, 0, 3));
	assert_int_equal(policy_set_settle(set), 0);
	listing = listing_of(f->db);
	assert_int_equal(listing.count, 1);
	assert_true(listing_has(&listing, 24, 0, 3));
	policy_set_free(set);
}

static struct policy_question question4(struct addr16 remote, uint16_t remote_port)
{
	struct addr16 local = v4(10, 1, 0, 5);
	struct policy_question q = {.protocol = 6, .family = 4, .has_ports = 1, .remote_port = remote_port};

	memcpy(q.local, &local, sizeof(q.local));
	memcpy(q.remote, &remote, sizeof(q.remote));
	return q;
}

static void lookup_expect(const struct sadb *db, const struct policy_question *q, int answer, uint32_t tunnel)
{
	uint32_t told = 0;

	assert_int_equal(policy_lookup(db, q, &told), answer);
	assert_int_equal(told, tunnel);
}

/* As many services of one host as an entry holds, each with a policy of its own: all are asked, the last one too. */
static void test_policy_lookup_ports(void **state)
{
	struct fixture *f = *state;
	struct policy_question q = question4(v4(10, 2, 0, 1), 0);
	struct policy policy = policy_to(0x0a020001, 0x0a020001, 1);
	struct policy_set *set;
	uint32_t id;

	assert_int_equal(policy_set_new(f->db, &set), 0);
	for (uint32_t i = 0; i < POLICY_SELECTORS_MAX; i++) {
		policy.tunnel = i;
		policy.remote[0].protocol = 6;
		policy.remote[0].port_first = policy.remote[0].port_last = (uint16_t)(8000 + i);
		assert_int_equal(policy_add(set, &policy, &id), 0);
	}
	for (uint32_t i = 0; i < POLICY_SELECTORS_MAX; i++) {
		q.remote_port = (uint16_t)(8000 + i);
		lookup_expect(f->db, &q, POLICY_PROTECT, i);
	}
	q.remote_port = 8000 + POLICY_SELECTORS_MAX;
	lookup_expect(f->db, &q, POLICY_ANSWER_NONE, TUNNEL_NONE);
	policy_set_free(set);
}

/* User space is told what the classifier would do. */
static void test_policy_lookup(void **state)
{
	struct fixture *f = *state;
	struct policy wide = policy_to(0x0a000000, 0x0affffff, 1), narrow = policy_to(0x0a020300, 0x0a0203ff, 2);
	struct policy_question near = question4(v4(10, 2, 0, 5), 80), far = question4(v4(192, 0, 2, 5), 80),
			       web = question4(v4(10, 2, 3, 5), 443), later = web;
	const struct addr16 inside = v4(10, 2, 3, 255), outside = v4(10, 2, 4, 0);
	struct policy_set *set;
	uint32_t wide_id, narrow_id;
	uint64_t changes;

	assert_int_equal(policy_set_new(f->db, &set), 0);
	changes = policy_changes(f->db);
	assert_int_not_equal(changes, 0);
	lookup_expect(f->db, &near, POLICY_ANSWER_NONE, TUNNEL_NONE);
	assert_int_equal(policy_changes(f->db), changes);
	narrow.remote[0].port_first = narrow.remote[0].port_last = 443;
	narrow.priority = 5;
	narrow.action = POLICY_DISCARD;
	assert_int_equal(policy_add(set, &wide, &wide_id), 0);
	assert_true(policy_changes(f->db) > changes);
	assert_int_equal(policy_add(set, &narrow, &narrow_id), 0);
	later.has_ports = 0;
	later.later = 1;
	lookup_expect(f->db, &near, POLICY_PROTECT, 1);
	lookup_expect(f->db, &far, POLICY_ANSWER_NONE, TUNNEL_NONE);
	lookup_expect(f->db, &web, POLICY_DISCARD, TUNNEL_NONE);
	lookup_expect(f->db, &later, POLICY_PROTECT, 1); /* by the wide one, which has no ports */
	changes = policy_changes(f->db);
	assert_int_equal(policy_remove(set, wide_id), 0);
	assert_true(policy_changes(f->db) > changes);
	lookup_expect(f->db, &later, POLICY_ANSWER_PORTS, TUNNEL_NONE);
	lookup_expect(f->db, &near, POLICY_ANSWER_NONE, TUNNEL_NONE);
	assert_true(policy_covers(f->db, 4, &inside));
	assert_false(policy_covers(f->db, 4, &outside));
	assert_false(policy_covers(f->db, 6, &inside));
	assert_int_equal(policy_remove(set, narrow_id), 0);
	assert_false(policy_covers(f->db, 4, &inside));
	lookup_expect(f->db, &web, POLICY_ANSWER_NONE, TUNNEL_NONE);
	policy_set_free(set);
}

/* All 129 lengths at once: the longest one that covers the address answers. */
static void test_policy_lookup_lengths(void **state)
{
	struct fixture *f = *state;
	struct policy policy = {.action = POLICY_PROTECT, .priority = 10, .local_count = 1, .remote_count = 1};
	struct policy_question q = {.protocol = 6, .family = 6, .has_ports = 1, .remote = {0, 0, 0, 0}};
	static const uint8_t lens[] = {128, 127, 96, 65, 64, 33, 32, 1, 0};
	struct policy_set *set;
	uint32_t id;

	assert_int_equal(policy_set_new(f->db, &set), 0);
	policy.local[0] = (struct selector){.family = 6, .port_last = 0xffff};
	memset(policy.local[0].last, 0xff, 16);
	for (size_t i = 0; i < sizeof(lens); i++) {
		policy.tunnel = lens[i];
		policy.remote[0] = policy.local[0];
		for (unsigned bit = 0; bit < lens[i]; bit++)
			policy.remote[0].last[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
		assert_int_equal(policy_add(set, &policy, &id), 0);
	}
	for (unsigned bit = 0; bit < 128; bit++) {
		uint32_t expected = 0;

		/* The address that has this one bit: it shares the first `bit` bits with all the prefixes. */
		memset(q.remote, 0, sizeof(q.remote));
		((uint8_t *)q.remote)[bit / 8] = (uint8_t)(0x80 >> bit % 8);
		for (size_t i = 0; i < sizeof(lens); i++)
			if (lens[i] <= bit && lens[i] > expected)
				expected = lens[i];
		lookup_expect(f->db, &q, POLICY_PROTECT, expected);
	}
	policy_set_free(set);
}

/* A writer that died between an entry and its length: the next one publishes the length before it adds anything. */
static void test_policy_lens_repair(void **state)
{
	struct fixture *f = *state;
	struct policy policy = policy_to(0x0a020000, 0x0a02ffff, 2);
	struct policy_question q = question4(v4(10, 2, 0, 5), 80);
	struct policy_lens *lens = f->db->policy_lens;
	struct policy_set *set;
	uint32_t id;

	assert_int_equal(policy_set_new(f->db, &set), 0);
	assert_int_equal(policy_add(set, &policy, &id), 0);
	policy_set_free(set);
	policy_lens_remove(lens, 16);
	policy_lens_insert(lens, 24);
	lookup_expect(f->db, &q, POLICY_ANSWER_NONE, TUNNEL_NONE);
	assert_int_equal(policy_set_new(f->db, &set), 0);
	lookup_expect(f->db, &q, POLICY_PROTECT, 2);
	assert_int_equal(policy_lens_next(lens, POLICY_LENS_HEAD), 16);
	assert_int_equal(policy_lens_next(lens, 16), -1);
	policy_set_free(set);
}

static void test_local_addr_set(void **state)
{
	struct fixture *f = *state;
	struct addr16 first[2] = {v4(10, 0, 0, 1), v4(10, 0, 0, 2)}, second[1] = {v4(10, 0, 0, 3)};
	uint32_t ifindexes[2] = {1, 2};

	assert_int_equal(dataplane_local_addr_set(f->dp, first, ifindexes, 2), 0);
	assert_int_equal(dataplane_local_addr_set(f->dp, second, ifindexes, 1), 0);
	assert_int_equal(dataplane_local_addr_remove(f->dp, &first[0]), -ENOENT);
	assert_int_equal(dataplane_local_addr_remove(f->dp, &second[0]), 0);
}

static void test_attach_vanished(void **state)
{
	struct fixture *f = *state;
	struct port_info port = {.slot = 0};
	struct attach_result result;

	assert_int_equal(dataplane_attach(f->dp, 0x7ffffff0, "gone0", &port, true, &result), -ENODEV);
	assert_int_equal(result.mode, ATTACH_NONE);
	assert_string_equal(result.reason, "gone0 has vanished");
}

static void test_drop_texts(void **state)
{
	struct fixture *f = *state;
	struct drop_count sum;

	sadb_worker(f->db, 1)->drops[DROP_REPLAY] = (struct drop_count){.packets = 3, .last_ns = 9};
	sadb_worker(f->db, 2)->drops[DROP_REPLAY] = (struct drop_count){.packets = 4, .last_ns = 8};
	assert_int_equal(sadb_drops(f->db, DROP_REPLAY, &sum), 0);
	assert_int_equal(sum.packets, 7);
	assert_int_equal(sum.last_ns, 9);
	assert_string_equal(drop_reason_name(DROP_REPLAY), "REPLAY");
	assert_string_equal(drop_reason_severity(DROP_REPLAY), "warn");
	assert_null(drop_reason_name(DROP_REASON_COUNT));
	assert_true(sadb_events_fd(f->db) >= 0);
}

static void test_needs_root(void **state)
{
	(void)state;
	print_message("skip: BPF maps need root\n");
	skip();
}

#define SADB_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_pinned),
		SADB_TEST(test_modes),
		SADB_TEST(test_one_agent),
		SADB_TEST(test_add_read_delete),
		SADB_TEST(test_generation),
		SADB_TEST(test_move_follows_local),
		SADB_TEST(test_run_is_zeroed),
		SADB_TEST(test_quiescence),
		SADB_TEST(test_quiescence_without_agent),
		SADB_TEST(test_quiescence_after_writer_restart),
		SADB_TEST(test_half_written),
		SADB_TEST(test_tunnels),
		SADB_TEST(test_adoption),
		SADB_TEST(test_policy_covering),
		SADB_TEST(test_policy_limits),
		SADB_TEST(test_policy_try),
		SADB_TEST(test_policy_settle),
		SADB_TEST(test_policy_lookup),
		SADB_TEST(test_policy_lookup_ports),
		SADB_TEST(test_policy_lookup_lengths),
		SADB_TEST(test_policy_lens_repair),
		SADB_TEST(test_local_addr_set),
		SADB_TEST(test_attach_vanished),
		SADB_TEST(test_drop_texts),
	};

	const struct CMUnitTest without_root[] = {cmocka_unit_test(test_needs_root)};

	if (geteuid() != 0)
		return cmocka_run_group_tests(without_root, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
