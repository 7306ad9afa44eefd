/* SPDX-License-Identifier: Apache-2.0 */
/* Several workers, one inbound SA. */
#include "tests/unit/esp_lab.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define REPLAY_BITS 1024u

#define WORKERS	       3u
#define WORKER_PACKETS 3000u

static const struct esp_suite *gcm256(void)
{
	return esp_suite_find(20, 256, 0);
}

struct worker_load {
	struct sa_context ctx;
	const struct lab_frame *sealed; /* to open */
	unsigned opened, replayed, failed;
};

static void *open_many(void *argument)
{
	struct worker_load *load = argument;
	struct lab_frame lab;

	for (unsigned i = 0; i < WORKER_PACKETS; i++) {
		const struct frame *sealed = &load->sealed[i].frame;
		struct frame *frame = lab_frame_set(&lab, sealed->data, sealed->len);
		struct inner inner;
		enum drop_reason reason;

		frame->meta = sealed->meta;
		reason = esp_open(&load->ctx, frame, &inner, 1);
		if (reason == DROP_NONE)
			load->opened++;
		else if (reason == DROP_REPLAY || reason == DROP_REPLAY_OLD)
			load->replayed++;
		else
			load->failed++;
	}
	return NULL;
}

static void run_workers(struct worker_load *loads, void *(*work)(void *))
{
	pthread_t threads[WORKERS];

	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, &loads[i]), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
}

/* Opening the same packets at once, each is let through once. */
static void test_workers_open(void **state)
{
	static struct worker_load loads[WORKERS];
	static struct lab_frame sealed[WORKER_PACKETS];
	struct lab_pair pair;
	struct tunnel tunnel = lab_tunnel();
	struct sa out = lab_sa_out(gcm256(), 4, 0), in = lab_sa_in(&out, REPLAY_BITS_MAX);
	atomic_flag replay_lock = ATOMIC_FLAG_INIT;
	uint8_t packet[64];
	uint32_t len = lab_packet(packet, 4, 17, 8);
	unsigned opened = 0;

	(void)state;
	assert_int_equal(lab_pair_init(&pair, gcm256(), 4, 0, REPLAY_BITS_MAX), 0);
	for (unsigned i = 0; i < WORKER_PACKETS; i++)
		assert_int_equal(lab_seal(&pair, lab_frame_set(&sealed[i], packet, len)), DROP_NONE);
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(sa_context_init(&loads[i].ctx, &in, &tunnel, &pair.run_in), 0);
		loads[i].ctx.replay_lock = &replay_lock;
		loads[i].sealed = sealed;
	}
	run_workers(loads, open_many);
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(loads[i].failed, 0);
		opened += loads[i].opened;
		sa_context_clear(&loads[i].ctx);
	}
	assert_int_equal(opened, WORKER_PACKETS);
	lab_pair_clear(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workers_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
