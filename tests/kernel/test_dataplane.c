/* SPDX-License-Identifier: Apache-2.0 */
/* The data plane's maps as the agent makes, owns, adopts and fills them. Needs root and a BPF file system. */
#include "tests/kernel/maps_scene.h"

#include <sys/stat.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		SADB_TEST(test_modes),
		SADB_TEST(test_one_agent),
		SADB_TEST(test_adoption),
		SADB_TEST(test_local_addr_set),
		SADB_TEST(test_attach_vanished),
		SADB_TEST(test_drop_texts),
	};

	if (geteuid() != 0)
		return maps_skip();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
