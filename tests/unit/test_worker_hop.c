/* SPDX-License-Identifier: Apache-2.0 */
/* Where a packet goes behind the worker: a next hop, a VLAN, the host, a port that is full or gone, or back to its
 * sender. */
#include "agent/checksum.h"
#include "tests/unit/worker_scene.h"

static void each_next_hop_has_its_fate(void **state)
{
	static const struct {
		enum hop_kind kind;
		enum drop_reason reason;
	} rows[] = {{HOP_NONE, DROP_ROUTE_NONE}, {HOP_FAILED, DROP_NEIGHBOR_FAILED}};
	struct lab *lab = *state;
	uint8_t packet[100];

	gateway_packet(packet, sizeof(packet), 0, true);
	for (unsigned i = 0; i < 2; i++) {
		lab->a.resolver.outer_kind = rows[i].kind;
		lab->a.shared.news.all++;
		gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
		worker_turn(&lab->a.worker, lab->now);
		assert_int_equal(dropped(&lab->a, rows[i].reason), 1);
	}
	assert_int_equal(dropped_all(&lab->a), 2);
}

/* Out of a tunnel and nowhere to go: counted, and the host tells the sender. */
static void the_host_answers_for_no_way(void **state)
{
	static const struct {
		enum hop_kind kind;
		enum drop_reason reason;
	} rows[] = {{HOP_NONE, DROP_ROUTE_NONE}, {HOP_FAILED, DROP_NEIGHBOR_FAILED}};
	struct lab *lab = *state;

	for (unsigned i = 0; i < 2; i++) {
		struct frame sealed = seal_one(lab, 100), opened;

		lab->b.resolver.inner_kind = rows[i].kind;
		lab->b.shared.news.all++;
		gateway_push_esp(&lab->b, 0, &sealed);
		worker_turn(&lab->b.worker, lab->now);
		assert_int_equal(dropped(&lab->b, rows[i].reason), 1);
		assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_HOST), 0, &opened, 1), 1);
		assert_int_equal(opened.len, 100);
		chunk_give(&lab->a.cache, sealed.chunk);
		chunk_give(&lab->b.cache, opened.chunk);
	}
	assert_int_equal(dropped_all(&lab->b), 2);
}

/* A VLAN device over the port is the way out: the frame has its tag, and the packet behind it is whole. */
static void leaves_by_a_vlan(void **state)
{
	static const uint8_t tag[6] = {0x81, 0x00, 0x0a, 0xbc, 0x08, 0x00};
	struct lab *lab = *state;
	uint8_t packet[100];
	struct frame frame;

	lab->a.resolver.vlan_id = 0xabc;
	gateway_packet(packet, sizeof(packet), 0, true);
	gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, &frame, 1), 1);
	assert_memory_equal(frame.data, neighbor_mac, 6);
	assert_memory_equal(frame.data + 6, gateway_mac, 6);
	assert_memory_equal(frame.data + 12, tag, sizeof(tag));
	assert_int_equal(frame.data[18], 0x45);
	assert_int_equal((frame.data[20] << 8 | frame.data[21]) + 18, frame.len);
	chunk_give(&lab->a.cache, frame.chunk);
}

/* For the host itself: through the host device, one hop only, without a link header. */
static void local_packets_reach_the_host(void **state)
{
	struct lab *lab = *state;
	struct frame sealed = seal_one(lab, 100), opened;

	lab->b.resolver.inner_kind = HOP_HOST;
	gateway_push_esp(&lab->b, 0, &sealed);
	worker_turn(&lab->b.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_HOST), 0, &opened, 1), 1);
	assert_int_equal(opened.len, 100);
	assert_int_equal(opened.data[8], 63);
	chunk_give(&lab->a.cache, sealed.chunk);
	chunk_give(&lab->b.cache, opened.chunk);
}

static void last_hop_tells_the_sender(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[100];
	struct frame answer;

	gateway_packet(packet, sizeof(packet), 0, true);
	checksum_update16(packet + 10, (uint8_t[]){64, 17}, (uint8_t[]){1, 17});
	packet[8] = 1;
	gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(dropped(&lab->a, DROP_TTL_EXPIRED), 1);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_LAN), 0, &answer, 1), 1);
	assert_int_equal(answer.data[14 + 20], 11);
	chunk_give(&lab->a.cache, answer.chunk);
}

static void full_ring_is_counted(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[100];
	struct frame frames[8];

	memory_port_limit(gateway_port(&lab->a, SLOT_WAN), 0, 2);
	gateway_packet(packet, sizeof(packet), 0, true);
	for (unsigned i = 0; i < 5; i++)
		gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(dropped(&lab->a, DROP_TX_FULL), 3);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, frames, 8), 2);
	for (unsigned i = 0; i < 2; i++)
		chunk_give(&lab->a.cache, frames[i].chunk);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

static void vanished_port_is_not_used(void **state)
{
	struct lab *lab = *state;
	struct port *wan = gateway_port(&lab->a, SLOT_WAN);
	uint8_t packet[100];

	atomic_store(&lab->a.shared.ports.ports[SLOT_WAN], NULL);
	worker_clear(&lab->a.worker);
	assert_int_equal(worker_init(&lab->a.worker, &lab->a.shared, 0, &lab->a.resolver.resolver), 0);
	gateway_packet(packet, sizeof(packet), 0, true);
	gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(dropped(&lab->a, DROP_PORT_DOWN), 1);
	atomic_store(&lab->a.shared.ports.ports[SLOT_WAN], wan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_next_hop_has_its_fate),
		TEST(the_host_answers_for_no_way),
		TEST(leaves_by_a_vlan),
		TEST(local_packets_reach_the_host),
		TEST(last_hop_tells_the_sender),
		TEST(full_ring_is_counted),
		TEST(vanished_port_is_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
