/* SPDX-License-Identifier: Apache-2.0 */
/* Several workers of one gateway: each SA is numbered by one of them, and the others hand over to it. */
#include "tests/unit/worker_scene.h"
#include "tools/bench/worker_team.h"

/* A second worker of the same gateway; it has no queue of its own. */
static struct worker *second_worker(struct gateway *gateway, struct worker_stat stats[2], _Atomic uint64_t *owners)
{
	static struct worker *both[2];
	struct worker *second = calloc(1, sizeof(*second));

	gateway->shared.worker_count = 2;
	gateway->shared.owners = owners;
	gateway->shared.stats = stats;
	assert_int_equal(worker_init(second, &gateway->shared, 1, &gateway->resolver.resolver), 0);
	both[0] = &gateway->worker;
	both[1] = second;
	gateway->shared.workers = both;
	return second;
}

/* The SA is the second worker's: what the first one receives is numbered and sealed by the second, in order, and no
 * number is left out. */
static void hands_over_to_the_owner(void **state)
{
	struct lab *lab = *state;
	static struct worker_stat stats[2];
	static _Atomic uint64_t owners[GATEWAY_SAS];
	struct worker *second = second_worker(&lab->a, stats, owners);
	struct frame sealed[PORT_BATCH];
	uint8_t packet[200];

	atomic_store(&owners[1], (uint64_t)lab->a.sas[1].spi << 32 | 2);
	for (unsigned i = 0; i < 10; i++) {
		gateway_packet(packet, 60 + i, 0, true);
		assert_true(gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, 60 + i));
	}
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, sealed, PORT_BATCH), 0);
	assert_int_equal(worker_turn(second, lab->now), 10);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, sealed, PORT_BATCH), 10);
	assert_int_equal(lab->a.runs[1].out_seq, 10);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(sealed[i].data[14 + 20 + 7], i + 1); /* low byte of the sequence number */
		chunk_give(&lab->a.cache, sealed[i].chunk);
	}
	worker_clear(second);
	free(second);
}

/* Whoever seals first owns the SA, also when it moves: its key and its numbers go on. Another SA in the same slot is
 * free again. */
static void owner_comes_first(void **state)
{
	struct lab *lab = *state;
	static struct worker_stat stats[2];
	static _Atomic uint64_t owners[GATEWAY_SAS];
	struct worker *second = second_worker(&lab->a, stats, owners);
	enum drop_reason reason;
	struct sa_slot *slot;
	uint32_t owner = 99;

	slot = sa_table_find(&lab->a.worker.sas, 1, SA_OUT, DROP_SA_MISSING, &reason);
	assert_true(worker_owns(&lab->a.worker, slot, &owner));
	assert_true(worker_owns(&lab->a.worker, slot, &owner));
	assert_false(worker_owns(second, slot, &owner));
	assert_int_equal(owner, 0);
	slot->generation += 2;
	assert_false(worker_owns(second, slot, &owner));
	assert_true(worker_owns(&lab->a.worker, slot, &owner));
	slot->context.sa.spi ^= 1;
	assert_true(worker_owns(second, slot, &owner));
	assert_false(worker_owns(&lab->a.worker, slot, &owner));
	assert_int_equal(owner, 1);
	worker_clear(second);
	free(second);
}

/* A full ring is a counted drop, and every chunk comes back. */
static void handover_is_bounded(void **state)
{
	struct lab *lab = *state;
	static struct worker_stat stats[2];
	static _Atomic uint64_t owners[GATEWAY_SAS];
	struct worker *second = second_worker(&lab->a, stats, owners);
	uint32_t chunks = chunks_free(&lab->a);
	struct handover *ring;
	uint8_t packet[100];

	atomic_store(&owners[1], (uint64_t)lab->a.sas[1].spi << 32 | 2);
	gateway_packet(packet, sizeof(packet), 0, true);
	assert_true(gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet)));
	worker_turn(&lab->a.worker, lab->now);
	ring = atomic_load(&second->inbox[0]);
	assert_non_null(ring);
	atomic_fetch_sub(&ring->taken, HANDOVER_MAX - 1); /* as if so many waited */
	for (unsigned i = 0; i < 7; i++)
		assert_true(gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet)));
	worker_turn(&lab->a.worker, lab->now);
	atomic_fetch_add(&ring->taken, HANDOVER_MAX - 1);
	assert_int_equal(dropped(&lab->a, DROP_HANDOVER_FULL), 7);
	worker_clear(second);
	free(second);
	assert_int_equal(chunks_free(&lab->a), chunks);
}

/* A packet at queue `queue`, and a turn of its worker; what that sends. Gives the SPI, 0 if nothing was sent. */
static uint32_t spi_sent(struct team *team, uint32_t queue, uint64_t now)
{
	struct gateway *gateway = team->gateway;
	struct frame sealed, frame;
	uint8_t packet[100];
	uint32_t spi;

	gateway_packet(packet, sizeof(packet), 0, true);
	frame = gateway_frame(gateway, packet, sizeof(packet));
	frame.meta = (struct packet_meta){.kind = META_PLAIN_OUT, .family = 4, .protocol = 17, .l3_off = 14};
	assert_true(memory_port_push(gateway_port(gateway, SLOT_LAN), queue, &frame));
	worker_turn(team->workers[queue], now);
	if (!memory_port_pull(gateway_port(gateway, SLOT_WAN), queue, &sealed, 1))
		return 0;
	memcpy(&spi, sealed.data + 34, sizeof(spi));
	chunk_give(&gateway->cache, sealed.chunk);
	return ntohl(spi);
}

/* With an SA for each worker (RFC 9611 3) each numbers and seals what it receives, and nothing is handed over. When one
 * is missing, its packets go by the first SA, by way of the worker that numbers that. */
static void each_worker_by_its_sa(void **state)
{
	struct lab *lab = *state;
	struct frame sealed;
	struct team team;

	assert_int_equal(team_init(&team, &lab->a, 2, 2, false), 0);
	lab->a.sas[3] = lab->a.sas[1];
	lab->a.sas[3].spi = htonl(0x3333);
	lab->a.tunnels[0].out_more_count = 1;
	lab->a.tunnels[0].out_more[0] = 3;
	assert_int_equal(spi_sent(&team, 0, lab->now), 0x1111);
	assert_int_equal(spi_sent(&team, 1, lab->now), 0x3333);
	assert_true(!team.workers[0]->inbox[1] && !team.workers[1]->inbox[0]);
	lab->a.tunnels[0].out_more[0] = SA_NONE;
	assert_int_equal(spi_sent(&team, 1, lab->now), 0);
	worker_turn(team.workers[0], lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, &sealed, 1), 1);
	chunk_give(&lab->a.cache, sealed.chunk);
	assert_int_equal(lab->a.runs[1].out_seq, 2);
	assert_int_equal(lab->a.runs[3].out_seq, 1);
	team_clear(&team);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hands_over_to_the_owner),
		TEST(owner_comes_first),
		TEST(handover_is_bounded),
		TEST(each_worker_by_its_sa),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
