/* SPDX-License-Identifier: Apache-2.0 */
/* The data plane's maps on a real kernel, and a writer of them. Needs root and a BPF file system. Programs of this
 * scene run one after another: they pin their maps in one folder. */
#ifndef ESPALIER_TESTS_KERNEL_MAPS_SCENE_H
#define ESPALIER_TESTS_KERNEL_MAPS_SCENE_H

#include "bpf/dataplane.h"
#include "bpf/sadb.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PIN_DIR "/sys/fs/bpf/espalier_test_maps"
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

static inline struct addr16 v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct addr16){.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}};
}

static inline struct sa sa_in(uint32_t spi)
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

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	sadb_close(f->db);
	dataplane_close(f->dp);
	free(f);
	return dataplane_remove(PIN_DIR);
}

static inline void test_needs_root(void **state)
{
	(void)state;
	print_message("skip: BPF maps need root\n");
	skip();
}

/* In the place of all tests, for who is not root: one skip that says why. */
static inline int maps_skip(void)
{
	const struct CMUnitTest without_root[] = {cmocka_unit_test(test_needs_root)};

	return cmocka_run_group_tests(without_root, NULL, NULL);
}

#define SADB_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
