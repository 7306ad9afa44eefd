/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's turn over memory ports: what goes in comes out sealed or opened, in order, and what dies is counted
 * once. */
#include "tests/unit/worker_scene.h"

static void seals_and_opens(void **state)
{
	struct lab *lab = *state;

	for (uint32_t len = 28; len <= 1400; len += 49) {
		struct frame sealed = seal_one(lab, len), opened;
		uint8_t packet[2048];

		gateway_packet(packet, len, 0, true);
		assert_memory_equal(sealed.data, neighbor_mac, 6);
		assert_memory_equal(sealed.data + 6, gateway_mac, 6);
		assert_int_equal(sealed.data[14 + 9], 50);
		assert_true(gateway_push_esp(&lab->b, 0, &sealed));
		chunk_give(&lab->a.cache, sealed.chunk);
		worker_turn(&lab->b.worker, lab->now);
		assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_LAN), 0, &opened, 1), 1);
		assert_int_equal(opened.len, 14 + len);
		assert_int_equal(opened.data[14 + 8], 62); /* two hops */
		assert_memory_equal(opened.data + 14 + 12, packet + 12, len - 12);
		chunk_give(&lab->b.cache, opened.chunk);
	}
	assert_int_equal(dropped_all(&lab->a), 0);
	assert_int_equal(dropped_all(&lab->b), 0);
	assert_int_equal(lab->a.stat.sealed, lab->b.stat.opened);
	assert_int_equal(lab->a.runs[1].packets, lab->a.stat.sealed);
	assert_int_equal(lab->b.runs[0].packets, lab->b.stat.opened);
	assert_int_equal(lab->a.runs[1].out_seq, lab->a.stat.sealed);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
	assert_int_equal(chunks_free(&lab->b), GATEWAY_CHUNKS);
}

static void replay_and_forgery_are_counted_once(void **state)
{
	struct lab *lab = *state;
	struct frame sealed = seal_one(lab, 100);

	gateway_push_esp(&lab->b, 0, &sealed);
	gateway_push_esp(&lab->b, 0, &sealed);
	sealed.data[sealed.len - 1] ^= 1;
	sealed.data[14 + 20 + 7] = 9; /* a fresh sequence number, so that the ICV is looked at */
	gateway_push_esp(&lab->b, 0, &sealed);
	worker_turn(&lab->b.worker, lab->now);
	assert_int_equal(dropped(&lab->b, DROP_REPLAY), 1);
	assert_int_equal(dropped(&lab->b, DROP_ICV_BAD), 1);
	assert_int_equal(dropped_all(&lab->b), 2);
	assert_int_equal(lab->b.stat.opened, 1);
	assert_int_equal(lab->b.stat.drops[DROP_REPLAY].last_ns, lab->now);
	chunk_give(&lab->a.cache, sealed.chunk);
}

static void unknown_sa_and_broken_sa(void **state)
{
	struct lab *lab = *state;
	struct frame sealed = seal_one(lab, 100);

	gateway_push_esp(&lab->b, 7, &sealed); /* a free slot */
	gateway_push_esp(&lab->b, GATEWAY_SAS, &sealed);
	gateway_push_esp(&lab->b, 1, &sealed); /* an outbound one */
	lab->b.sas[2] = lab->b.sas[0];
	lab->b.sas[2].encr = 999;
	gateway_push_esp(&lab->b, 2, &sealed);
	worker_turn(&lab->b.worker, lab->now);
	assert_int_equal(dropped(&lab->b, DROP_SPI_UNKNOWN), 2);
	assert_int_equal(dropped(&lab->b, DROP_SA_BROKEN), 2);
	chunk_give(&lab->a.cache, sealed.chunk);
}

static void epoch_is_odd_inside_a_turn(void **state)
{
	struct lab *lab = *state;
	uint64_t before = lab->a.stat.epoch;

	assert_int_equal(before % 2, 0);
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(lab->a.stat.epoch, before + 2);
	lab->a.stat.epoch++; /* as a crashed agent leaves it */
	worker_clear(&lab->a.worker);
	assert_int_equal(worker_init(&lab->a.worker, &lab->a.shared, 0, &lab->a.resolver.resolver), 0);
	assert_int_equal(lab->a.stat.epoch, before + 4);
}

/* The new agent may have fewer workers: nobody waits for those that are no more. */
static void crashed_workers_end_their_turns(void **state)
{
	static struct worker_stat stats[WORKERS_MAX];

	(void)state;
	stats[1].epoch = 7;
	stats[WORKERS_MAX - 1].epoch = UINT64_MAX;
	stats[2].epoch = 8;
	workers_settle(stats);
	assert_int_equal(stats[0].epoch, 0);
	assert_int_equal(stats[1].epoch, 8);
	assert_int_equal(stats[2].epoch, 8);
	assert_int_equal(stats[WORKERS_MAX - 1].epoch, 0);
}

/* A full queue of packets of two SAs, some of them too big for one: each SA's numbers follow without a gap, and the
 * packets leave in the order in which they came. */
static void bundles_keep_order(void **state)
{
	struct lab *lab = *state;
	struct frame frames[3 * PORT_BATCH];
	uint32_t seen[2] = {0, 0}, count;
	uint8_t packet[1490];

	lab->a.sas[3] = lab->a.sas[1];
	lab->a.sas[3].spi = htonl(0x3333);
	lab->a.sas[3].tunnel = 1;
	lab->a.tunnels[1].out_sa = 3;
	for (unsigned i = 0; i < 2 * PORT_BATCH; i++) {
		gateway_packet(packet, i % 5 == 4 ? 1490 : 100, 0, false);
		gateway_push_plain(&lab->a, SLOT_LAN, i % 3 == 2, packet, i % 5 == 4 ? 1490 : 100);
	}
	worker_turn(&lab->a.worker, lab->now);
	worker_turn(&lab->a.worker, lab->now);
	count = memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, frames, 3 * PORT_BATCH);
	assert_int_equal(count, 2 * PORT_BATCH + 2 * PORT_BATCH / 5);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t spi, seq;

		memcpy(&spi, frames[i].data + 34, 4);
		memcpy(&seq, frames[i].data + 38, 4);
		assert_int_equal(ntohl(seq), ++seen[ntohl(spi) == 0x3333]);
		chunk_give(&lab->a.cache, frames[i].chunk);
	}
	assert_int_equal(lab->a.runs[1].out_seq, seen[0]);
	assert_int_equal(lab->a.runs[3].out_seq, seen[1]);
	assert_int_equal(lab->a.runs[3].packets, seen[1]);
	assert_int_equal(dropped_all(&lab->a), 0);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

/* The last number stands in the middle of a bundle: what comes behind dies, and another SA's packets do not. */
static void last_number_within_a_bundle(void **state)
{
	struct lab *lab = *state;
	struct frame frames[16];
	uint8_t packet[100];
	uint32_t seq;

	lab->a.sas[3] = lab->a.sas[1];
	lab->a.sas[3].tunnel = 1;
	lab->a.tunnels[1].out_sa = 3;
	lab->a.runs[1].out_seq = UINT32_MAX - 2;
	gateway_packet(packet, sizeof(packet), 0, true);
	for (unsigned i = 0; i < 9; i++)
		gateway_push_plain(&lab->a, SLOT_LAN, i >= 5 && i < 8, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, frames, 16), 5);
	assert_int_equal(dropped(&lab->a, DROP_SEQ_EXHAUSTED), 4);
	assert_int_equal(dropped_all(&lab->a), 4);
	assert_int_equal(lab->a.runs[1].out_seq, UINT32_MAX);
	assert_int_equal(lab->a.runs[1].dropped_other, 4);
	for (unsigned i = 0; i < 5; i++) {
		memcpy(&seq, frames[i].data + 38, 4);
		assert_int_equal(ntohl(seq), i < 2 ? UINT32_MAX - 1 + i : i - 1);
		chunk_give(&lab->a.cache, frames[i].chunk);
	}
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

/* A hard limit holds to the packet, though a bundle's packets begin together. */
static void hard_limit_within_a_bundle(void **state)
{
	struct lab *lab = *state;
	struct frame frames[8];
	uint8_t packet[100];

	lab->a.sas[1].hard_packets = 5;
	lab->b.sas[0].hard_packets = 3;
	gateway_packet(packet, sizeof(packet), 0, true);
	for (unsigned i = 0; i < 8; i++)
		gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, frames, 8), 5);
	assert_int_equal(dropped(&lab->a, DROP_SA_EXPIRED), 3);
	for (unsigned i = 0; i < 5; i++) {
		gateway_push_esp(&lab->b, 0, &frames[i]);
		chunk_give(&lab->a.cache, frames[i].chunk);
	}
	worker_turn(&lab->b.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_LAN), 0, frames, 8), 3);
	assert_int_equal(dropped(&lab->b, DROP_SA_EXPIRED), 2);
	for (unsigned i = 0; i < 3; i++)
		chunk_give(&lab->b.cache, frames[i].chunk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(seals_and_opens),
		TEST(replay_and_forgery_are_counted_once),
		TEST(unknown_sa_and_broken_sa),
		TEST(epoch_is_odd_inside_a_turn),
		TEST(crashed_workers_end_their_turns),
		TEST(bundles_keep_order),
		TEST(last_number_within_a_bundle),
		TEST(hard_limit_within_a_bundle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
