/* SPDX-License-Identifier: Apache-2.0 */
/* The SADB on a real kernel: slots, generations, turns waited for, tunnels. Needs root and a BPF file system. */
#include "tests/kernel/maps_scene.h"

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

static void test_not_pinned(void **state)
{
	struct sadb *db;

	(void)state;
	assert_int_equal(sadb_open("/sys/fs/bpf/espalier_test_nowhere", false, &db), -ENOENT);
	assert_null(db);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_pinned),
		SADB_TEST(test_add_read_delete),
		SADB_TEST(test_generation),
		SADB_TEST(test_move_follows_local),
		SADB_TEST(test_run_is_zeroed),
		SADB_TEST(test_quiescence),
		SADB_TEST(test_quiescence_without_agent),
		SADB_TEST(test_quiescence_after_writer_restart),
		SADB_TEST(test_half_written),
		SADB_TEST(test_tunnels),
	};

	if (geteuid() != 0)
		return maps_skip();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
