/* SPDX-License-Identifier: Apache-2.0 */
/* Two gateways in memory, a tunnel of AES-256-GCM between them: what the tests of the worker's turn begin with. */
#ifndef ESPALIER_TESTS_UNIT_WORKER_SCENE_H
#define ESPALIER_TESTS_UNIT_WORKER_SCENE_H

#include "tools/bench/worker_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

struct lab {
	struct gateway a; /* 10.1/16 */
	struct gateway b; /* 10.2/16 */
	uint64_t now;
};

static inline int set_up(void **state)
{
	const struct esp_suite *suite = esp_suite_find(20, 256, 0); /* AES-256-GCM */
	struct lab *lab = calloc(1, sizeof(*lab));

	*state = lab;
	lab->now = GATEWAY_NOW_NS;
	return gateway_init(&lab->a, 0, suite) || gateway_init(&lab->b, 1, suite);
}

static inline int tear_down(void **state)
{
	struct lab *lab = *state;

	gateway_clear(&lab->a);
	gateway_clear(&lab->b);
	free(lab);
	return 0;
}

static inline uint64_t dropped(const struct gateway *gateway, enum drop_reason reason)
{
	return gateway->stat.drops[reason].packets;
}

static inline uint64_t dropped_all(const struct gateway *gateway)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < DROP_SLOTS; i++)
		sum += gateway->stat.drops[i].packets;
	return sum;
}

/* Every chunk is somewhere: free, in a cache, or held. */
static inline uint32_t chunks_free(struct gateway *gateway)
{
	return umem_free_count(&gateway->umem) + gateway->worker.cache.count + gateway->cache.count;
}

/* A packet of `len` bytes through gateway a: the sealed frame. The caller gives its chunk to a.cache. */
static inline struct frame seal_one(struct lab *lab, uint32_t len)
{
	uint8_t packet[2048];
	struct frame sealed = {0};

	gateway_packet(packet, len, 0, true);
	assert_true(gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, len));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, &sealed, 1), 1);
	return sealed;
}

#endif
