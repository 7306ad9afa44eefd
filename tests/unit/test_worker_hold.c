/* SPDX-License-Identifier: Apache-2.0 */
/* Packets that the worker holds, until there is an SA or a neighbor, or no longer. */
#include "tests/unit/worker_scene.h"

static void waits_for_an_sa_and_tells_once(void **state)
{
	struct lab *lab = *state;
	struct agent_message message;
	struct frame frames[4];
	uint8_t packet[100];

	lab->a.tunnels[0].out_sa = SA_NONE;
	gateway_packet(packet, sizeof(packet), 0, true);
	for (unsigned i = 0; i < 3; i++)
		gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_true(worker_waiting(&lab->a.worker));
	assert_true(mailbox_take(&lab->a.mailbox, &message));
	assert_int_equal(message.kind, AGENT_ACQUIRE);
	assert_int_equal(message.acquire.tunnel, 0);
	assert_memory_equal(message.acquire.remote.first, packet + 16, 4);
	assert_false(mailbox_take(&lab->a.mailbox, &message));
	lab->a.tunnels[0].out_sa = 1;
	worker_turn(&lab->a.worker, lab->now + 1);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, frames, 4), 3);
	assert_false(worker_waiting(&lab->a.worker));
	assert_int_equal(dropped_all(&lab->a), 0);
	for (unsigned i = 0; i < 3; i++)
		chunk_give(&lab->a.cache, frames[i].chunk);
}

static void waiting_ends(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[100];

	lab->a.tunnels[0].out_sa = SA_NONE;
	gateway_packet(packet, sizeof(packet), 0, true);
	for (unsigned i = 0; i < HOLD_KEY_MAX + 2; i++)
		gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(dropped(&lab->a, DROP_HELD_OVERFLOW), 2);
	worker_turn(&lab->a.worker, lab->now + HOLD_NS);
	assert_int_equal(dropped(&lab->a, DROP_SA_MISSING), HOLD_KEY_MAX);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

static void waits_for_a_neighbor(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[100];
	struct frame frame;

	lab->a.resolver.outer_kind = HOP_PENDING;
	gateway_packet(packet, sizeof(packet), 0, true);
	gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_true(worker_waiting(&lab->a.worker));
	lab->a.resolver.outer_kind = HOP_PORT;
	lab->a.shared.news.all++; /* the kernel's announcement */
	worker_turn(&lab->a.worker, lab->now + 1);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, &frame, 1), 1);
	chunk_give(&lab->a.cache, frame.chunk);
	lab->a.resolver.outer_kind = HOP_PENDING;
	lab->a.shared.news.all++;
	gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now + 2);
	worker_turn(&lab->a.worker, lab->now + 2 + HOLD_NS);
	assert_int_equal(dropped(&lab->a, DROP_NEIGHBOR_FAILED), 1);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

/* A protected packet that is held goes the way of its SA, and no further than it. */
static void held_no_longer_than_its_sa(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[100];
	struct frame frame;

	lab->a.resolver.outer_kind = HOP_PENDING;
	gateway_packet(packet, sizeof(packet), 0, true);
	gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	lab->a.sas[1].state = SA_RETIRED;
	lab->a.sas[1].generation += 2;
	lab->a.resolver.outer_kind = HOP_PORT;
	lab->a.shared.news.all++;
	worker_turn(&lab->a.worker, lab->now + 1);
	assert_int_equal(dropped(&lab->a, DROP_SA_MISSING), 1);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, &frame, 1), 0);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(waits_for_an_sa_and_tells_once),
		TEST(waiting_ends),
		TEST(waits_for_a_neighbor),
		TEST(held_no_longer_than_its_sa),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
