/* SPDX-License-Identifier: Apache-2.0 */
/* Dummy packets: asked for, sealed in every form, thrown away by the other end without a complaint. */
#include "agent/dummy.h"
#include "agent/esp_seal.h"
#include "tests/unit/esp_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tools/bench/worker_lab.h"

#define REPLAY_BITS 64u

static void test_queue(void **state)
{
	struct dummy_queue queue;
	struct dummy_request part;

	(void)state;
	dummy_queue_init(&queue);
	assert_false(dummy_take(&queue, 10, &part));
	assert_false(dummy_put(&queue, &(struct dummy_request){.tunnel = 1}));
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < DUMMY_REQUESTS_MAX; i++)
			assert_true(
				dummy_put(&queue, &(struct dummy_request){.tunnel = i, .count = 5, .len = 100 + i}));
		assert_false(dummy_put(&queue, &(struct dummy_request){.tunnel = 99, .count = 5}));
		for (uint32_t i = 0; i < 2 * DUMMY_REQUESTS_MAX; i++) {
			assert_true(dummy_pending(&queue));
			assert_true(dummy_take(&queue, 3, &part));
			assert_int_equal(part.tunnel, i / 2);
			assert_int_equal(part.len, 100 + i / 2);
			assert_int_equal(part.count, i % 2 ? 2 : 3);
		}
		assert_false(dummy_pending(&queue));
	}
}

static void seal_dummy(struct lab_pair *pair, struct frame *frame)
{
	struct esp_job job;

	assert_int_equal(esp_seal_dummy_begin(&pair->out, frame, 1, &job), DROP_NONE);
	esp_jobs_seal(&job, 1);
	assert_int_equal(esp_seal_end(&pair->out, frame, &job), DROP_NONE);
	lab_meta_in(frame, pair->out.sa.flags);
}

/* Sealed as any other packet; opened it is DUMMY, which is no fault of the peer's (RFC 4303 2.6). */
static void dummy_round_trip(struct lab_pair *pair, uint32_t len, uint64_t number)
{
	static const uint8_t zeros[1500];
	struct lab_frame lab;
	struct frame *frame = lab_frame_set(&lab, zeros, len);

	seal_dummy(pair, frame);
	if (pair->out.outer_family == 4)
		assert_int_equal(checksum_fold(checksum_add(0, frame->data, 20)), 0xffff);
	assert_int_equal(lab_open(pair, frame), DROP_DUMMY);
	assert_int_equal(pair->run_in.replay_top, number);
	assert_int_equal(pair->out.packets, number);
	assert_int_equal(pair->in.packets, 0);
	assert_int_equal(pair->in.dropped_other, 0);
}

static void test_every_form(void **state)
{
	static const uint16_t flags[] = {0, SA_UDP_ENCAP, SA_ESN};
	static const uint32_t lens[] = {0, 1, 2, 3, 64, 700, 1400};

	(void)state;
	for (unsigned i = 0; esp_suite_at(i); i++) {
		for (unsigned form = 0; form < 12; form++) {
			const struct esp_suite *suite = esp_suite_at(i);
			uint8_t family = form % 2 ? 6 : 4;
			struct lab_pair pair;

			if (form / 6)
				assert_int_equal(
					lab_pair_init_transport(&pair, suite, family, flags[form / 2 % 3], REPLAY_BITS),
					0);
			else
				assert_int_equal(
					lab_pair_init(&pair, suite, family, flags[form / 2 % 3], REPLAY_BITS), 0);
			for (unsigned n = 0; n < sizeof(lens) / sizeof(lens[0]); n++)
				dummy_round_trip(&pair, lens[n], n + 1);
			lab_pair_clear(&pair);
		}
	}
}

static void test_lifetime_holds(void **state)
{
	struct lab_frame lab;
	struct lab_pair pair;
	struct esp_job job;

	(void)state;
	assert_int_equal(lab_pair_init(&pair, esp_suite_find(20, 256, 0), 4, 0, REPLAY_BITS), 0);
	pair.out.sa.hard_packets = 1;
	sa_context_derive(&pair.out);
	seal_dummy(&pair, lab_frame_set(&lab, NULL, 0));
	assert_int_equal(esp_seal_dummy_begin(&pair.out, lab_frame_set(&lab, NULL, 0), 1, &job), DROP_SA_EXPIRED);
	lab_pair_clear(&pair);
}

/* ---- by a worker --------------------------------------------------------------------------------------------- */

static uint32_t turns(struct gateway *gateway, uint32_t *longest)
{
	struct frame frames[PORT_BATCH];
	uint32_t sent = 0, count;

	*longest = 0;
	do {
		worker_turn(&gateway->worker, GATEWAY_NOW_NS);
		count = memory_port_pull(gateway_port(gateway, SLOT_WAN), 0, frames, PORT_BATCH);
		for (uint32_t i = 0; i < count; i++) {
			*longest = frames[i].len > *longest ? frames[i].len : *longest;
			chunk_give(&gateway->cache, frames[i].chunk);
		}
		sent += count;
	} while (count);
	return sent;
}

static void test_worker_sends(void **state)
{
	struct dummy_queue queue;
	struct gateway gateway;
	uint32_t longest;

	(void)state;
	assert_int_equal(gateway_init(&gateway, 0, esp_suite_find(20, 256, 0)), 0);
	assert_int_equal(worker_turn(&gateway.worker, GATEWAY_NOW_NS), 0);
	dummy_queue_init(&queue);
	gateway.shared.dummies = &queue;
	assert_true(dummy_put(&queue, &(struct dummy_request){.tunnel = 0, .count = 2 * PORT_BATCH + 7, .len = 100}));
	assert_int_equal(turns(&gateway, &longest), 2 * PORT_BATCH + 7);
	assert_int_equal(longest, 14 + 20 + 8 + 8 + 100 + 2 + 2 + 16); /* to 4 bytes, with 2 of padding */
	assert_true(dummy_put(&queue, &(struct dummy_request){.tunnel = 0, .count = 1, .len = 9000}));
	assert_int_equal(turns(&gateway, &longest), 1);
	assert_in_range(longest, 14 + 1497, 14 + 1500);
	assert_int_equal(gateway.runs[1].out_seq, 2 * PORT_BATCH + 8);
	/* No SA: nothing waits and nobody is asked for one. */
	assert_true(dummy_put(&queue, &(struct dummy_request){.tunnel = 1, .count = 3, .len = 10}));
	assert_int_equal(turns(&gateway, &longest), 0);
	assert_int_equal(gateway.stat.drops[DROP_SA_MISSING].packets, 3);
	assert_false(mailbox_take(&gateway.mailbox, &(struct agent_message){0}));
	gateway_clear(&gateway);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_every_form),
		cmocka_unit_test(test_lifetime_holds),
		cmocka_unit_test(test_worker_sends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
