/* SPDX-License-Identifier: Apache-2.0 */
/* Packets too big for the way: cut before or behind the seal, or answered with the size that fits. */
#include "agent/wire.h"
#include "tests/unit/worker_scene.h"

static void too_big_tells_the_sender(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[1490];
	struct frame answer;

	gateway_packet(packet, sizeof(packet), 0, true);
	gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(dropped(&lab->a, DROP_TOO_BIG), 1);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_LAN), 0, &answer, 1), 1);
	assert_int_equal(answer.data[14 + 9], 1);  /* ICMP */
	assert_int_equal(answer.data[14 + 20], 3); /* destination unreachable */
	assert_int_equal(answer.data[14 + 21], 4); /* fragmentation needed */
	assert_memory_equal(answer.data + 14 + 16, packet + 12, 4);
	chunk_give(&lab->a.cache, answer.chunk);
}

static void too_big_goes_in_pieces(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[1490];
	struct frame pieces[4];

	gateway_packet(packet, sizeof(packet), 0, false);
	gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, pieces, 4), 2);
	assert_true(pieces[0].len <= 14 + 1500 && pieces[1].len < pieces[0].len);
	assert_int_equal(dropped_all(&lab->a), 0);
	for (unsigned i = 0; i < 2; i++)
		chunk_give(&lab->a.cache, pieces[i].chunk);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

static uint32_t pull_all(struct gateway *gateway, uint32_t slot, struct frame *frames, uint32_t max)
{
	uint32_t count = memory_port_pull(gateway_port(gateway, slot), 0, frames, max);

	for (uint32_t i = 0; i < count; i++)
		chunk_give(&gateway->cache, frames[i].chunk); /* read at once, before anything is taken again */
	return count;
}

/* The tunnel clears don't-fragment: what must not be cut itself goes whole, and this gateway cuts the IPv6 around it.
 */
static void outer_ipv6_is_cut(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[1490];
	struct frame pieces[4];
	const uint8_t *ip[2];

	lab->a.sas[1].local = gateway_addr("2001:db8::1");
	lab->a.sas[1].remote = gateway_addr("2001:db8::2");
	lab->a.tunnels[0].options.df = DF_CLEAR;
	gateway_packet(packet, sizeof(packet), 0, true);
	for (unsigned n = 0; n < 2; n++) {
		gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
		worker_turn(&lab->a.worker, lab->now);
		assert_int_equal(pull_all(&lab->a, SLOT_WAN, pieces, 4), 2);
		for (unsigned i = 0; i < 2; i++) {
			ip[i] = pieces[i].data + 14;
			assert_true(pieces[i].len <= 14 + 1500);
			assert_int_equal(pieces[i].len, 14 + 40 + (ip[i][4] << 8 | ip[i][5]));
			assert_int_equal(ip[i][6], 44);
			assert_int_equal(ip[i][40], 50);
			assert_int_equal(ip[i][43] & 1, i == 0);
		}
		assert_memory_equal(ip[0] + 44, ip[1] + 44, 4); /* the identification, another one for each packet */
		assert_int_equal(wire_get32(ip[0] + 44), lab->a.worker.fragment_id);
	}
	assert_int_equal(lab->a.stat.sealed, 2);
	assert_int_equal(dropped_all(&lab->a), 0);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

static void ipv6_packet(uint8_t *packet, uint32_t len)
{
	memset(packet, 0, len);
	packet[0] = 0x60;
	packet[4] = (uint8_t)((len - 40) >> 8);
	packet[5] = (uint8_t)(len - 40);
	packet[6] = 59;
	packet[7] = 64;
	packet[8] = packet[24] = 0xfd;
	packet[23] = 5;
	packet[39] = 7;
}

/* Every IPv6 sender may count on 1280 bytes, and does not go below: over a narrower way they go in outer fragments,
 * unless the tunnel sets don't-fragment; a longer packet's sender is told 1280. */
static void least_ipv6_packet_goes_whole(void **state)
{
	static const struct {
		const char *local, *remote;
		uint32_t len;
		uint8_t df;
		uint32_t pieces;
	} rows[] = {{"192.0.2.1", "192.0.2.2", 1280, DF_COPY, 2}, {"192.0.2.1", "192.0.2.2", 1280, DF_CLEAR, 2},
		{"192.0.2.1", "192.0.2.2", 1280, DF_SET, 0}, {"192.0.2.1", "192.0.2.2", 1281, DF_COPY, 0},
		{"2001:db8::1", "2001:db8::2", 1280, DF_COPY, 2}, {"2001:db8::1", "2001:db8::2", 1280, DF_SET, 2},
		{"2001:db8::1", "2001:db8::2", 1281, DF_COPY, 0}, {"2001:db8::1", "2001:db8::2", 1200, DF_COPY, 1}};
	struct lab *lab = *state;
	struct frame frames[4];
	uint8_t packet[1400];

	lab->a.resolver.mtu = 1300;
	lab->a.shared.own_v6[0] = gateway_addr("fd01::1");
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		lab->a.sas[1].local = gateway_addr(rows[i].local);
		lab->a.sas[1].remote = gateway_addr(rows[i].remote);
		lab->a.sas[1].generation += 2;
		lab->a.tunnels[0].options.df = rows[i].df;
		ipv6_packet(packet, rows[i].len);
		gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, rows[i].len);
		worker_turn(&lab->a.worker, lab->now);
		assert_int_equal(pull_all(&lab->a, SLOT_WAN, frames, 4), rows[i].pieces);
		for (uint32_t n = 0; n < rows[i].pieces; n++) {
			assert_true(frames[n].len <= 14 + 1300);
			assert_true(frames[n].data[14] >> 4 == 6 || !(frames[n].data[14 + 6] & 0x40));
		}
		assert_int_equal(pull_all(&lab->a, SLOT_LAN, frames, 4), rows[i].pieces ? 0 : 1);
		if (!rows[i].pieces)
			assert_memory_equal(frames[0].data + 14 + 44, ((uint8_t[]){0, 0, 5, 0}), 4);
	}
	assert_int_equal(dropped_all(&lab->a), dropped(&lab->a, DROP_TOO_BIG));
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(too_big_tells_the_sender),
		TEST(too_big_goes_in_pieces),
		TEST(outer_ipv6_is_cut),
		TEST(least_ipv6_packet_goes_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
