/* SPDX-License-Identifier: Apache-2.0 */
/* The policy set and its look-ups in the maps of a real kernel. Needs root and a BPF file system. */
#include "bpf/policy.h"
#include "bpf/policy_lens.h"
#include "bpf/sadb_private.h"
#include "tests/kernel/maps_scene.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		SADB_TEST(test_policy_covering),
		SADB_TEST(test_policy_limits),
		SADB_TEST(test_policy_try),
		SADB_TEST(test_policy_settle),
		SADB_TEST(test_policy_lookup),
		SADB_TEST(test_policy_lookup_ports),
		SADB_TEST(test_policy_lookup_lengths),
		SADB_TEST(test_policy_lens_repair),
	};

	if (geteuid() != 0)
		return maps_skip();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
