/* SPDX-License-Identifier: Apache-2.0 */
/* What sealing makes of a packet: its outer header, its IV, its number. */
#include "tests/unit/esp_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define REPLAY_BITS 1024u

static const struct esp_suite *gcm256(void)
{
	return esp_suite_find(20, 256, 0);
}

static const struct esp_suite *cbc256(void)
{
	return esp_suite_find(12, 256, 12);
}

/* The largest packet that a frame takes is sealed, one that does not fit dies without harm. */
static void test_no_room(void **state)
{
	static struct lab_frame lab;
	static uint8_t packet[FRAME_SIZE];
	struct lab_pair pair;
	struct frame *frame;
	struct inner inner;
	uint32_t len = lab_packet(packet, 4, 253, FRAME_DATA_MAX - 20);

	(void)state;
	assert_int_equal(lab_pair_init(&pair, cbc256(), 6, SA_UDP_ENCAP, REPLAY_BITS), 0);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);

	len = lab_packet(packet, 4, 253, 100);
	frame = lab_frame_set(&lab, packet, len);
	assert_true(inner_parse(frame->data, frame->len, &inner));
	frame->chunk = frame->data - 71; /* one byte short of IPv6, UDP, ESP and IV */
	assert_int_equal(esp_seal(&pair.out, frame, &inner, 1), DROP_TOO_BIG);
	assert_int_equal(pair.run_out.out_seq, 1); /* nothing was taken for it */
	lab_pair_clear(&pair);
}

static void test_outer_ipv4(void **state)
{
	struct lab_frame lab;
	struct lab_pair pair;
	uint8_t packet[256], *ip;
	uint32_t len = lab_packet(packet, 4, 17, 60);

	(void)state;
	packet[1] = 0xb9; /* EF, ECT(1) */
	lab_put16(packet + 6, 0x4000);
	lab_ipv4_check(packet);
	assert_int_equal(lab_pair_init(&pair, gcm256(), 4, SA_UDP_ENCAP, REPLAY_BITS), 0);
	pair.run_out.out_seq = 0x12344;
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	ip = lab.frame.data;
	assert_int_equal(ip[0], 0x45);
	assert_int_equal(ip[1], 0xb9);
	assert_int_equal(ip[2] << 8 | ip[3], lab.frame.len);
	assert_int_equal(ip[4] << 8 | ip[5], 0x2345);
	assert_int_equal(ip[6] << 8 | ip[7], 0x4000);
	assert_int_equal(ip[8], 64);
	assert_int_equal(ip[9], IPPROTO_UDP);
	assert_int_equal(checksum_fold(checksum_add(0, ip, 20)), 0xffff);
	assert_memory_equal(ip + 12, ((uint8_t[]){192, 0, 2, 1, 198, 51, 100, 2}), 8);
	assert_memory_equal(ip + 20, ((uint8_t[]){4500 >> 8, 4500 & 255, 14500 >> 8, 14500 & 255}), 4);
	assert_int_equal(ip[24] << 8 | ip[25], lab.frame.len - 20);
	assert_int_equal(ip[26] << 8 | ip[27], 0);
	assert_memory_equal(ip + 28, ((uint8_t[]){0x11, 0x22, 0x33, 0x44, 0, 1, 0x23, 0x45}), 8);
	lab_pair_clear(&pair);
}

static void test_outer_ipv6(void **state)
{
	struct lab_frame lab;
	struct lab_pair pair;
	uint8_t packet[256], *ip;
	uint32_t len = lab_packet(packet, 6, 17, 61), udp_len;
	uint64_t sum;

	(void)state;
	packet[0] = 0x6b;
	packet[1] = 0x95; /* traffic class 0xb9, the inner flow label stays inside */
	assert_int_equal(lab_pair_init(&pair, cbc256(), 6, SA_UDP_ENCAP, REPLAY_BITS), 0);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	ip = lab.frame.data;
	assert_memory_equal(ip, ((uint8_t[]){0x6b, 0x90, 0, 0}), 4);
	udp_len = (uint32_t)(ip[4] << 8 | ip[5]);
	assert_int_equal(udp_len, lab.frame.len - 40);
	assert_int_equal(ip[6], IPPROTO_UDP);
	assert_int_equal(ip[7], 64);
	sum = checksum_add(0, ip + 8, 32) + htonl(udp_len) + htons(IPPROTO_UDP);
	assert_int_equal(checksum_fold(checksum_add(sum, ip + 40, udp_len)), 0xffff);
	lab_pair_clear(&pair);
}

/* Don't-fragment goes along from the inner packet; IPv6 never lets routers fragment. */
static void test_outer_df(void **state)
{
	struct lab_frame lab;
	struct lab_pair pair;
	uint8_t packet[256];

	(void)state;
	assert_int_equal(lab_pair_init(&pair, gcm256(), 4, 0, REPLAY_BITS), 0);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, lab_packet(packet, 4, 17, 8))), DROP_NONE);
	assert_int_equal(lab.frame.data[6], 0);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, lab_packet(packet, 6, 17, 8))), DROP_NONE);
	assert_int_equal(lab.frame.data[6], 0x40);
	lab_pair_clear(&pair);
}

/* No two IVs of a CBC SA are alike, nor those of two contexts of it: each worker has its own. */
static void test_cbc_iv(void **state)
{
	static uint8_t ivs[512][16];
	struct lab_frame lab;
	struct lab_pair pairs[2];
	uint8_t packet[64];
	uint32_t len = lab_packet(packet, 4, 17, 8);

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(lab_pair_init(&pairs[i], cbc256(), 4, 0, REPLAY_BITS), 0);
	for (unsigned i = 0; i < 512; i++) {
		assert_int_equal(lab_seal(&pairs[i % 2], lab_frame_set(&lab, packet, len)), DROP_NONE);
		memcpy(ivs[i], lab.frame.data + 28, 16);
		for (unsigned j = 0; j < i; j++)
			assert_memory_not_equal(ivs[i], ivs[j], 16);
	}
	for (unsigned i = 0; i < 2; i++)
		lab_pair_clear(&pairs[i]);
}

/* The last number is used, and nothing after it (RFC 4303 3.3.3); with ESN the count goes on. */
static void test_sequence_end(void **state)
{
	struct lab_frame lab;
	struct lab_pair pair;
	uint8_t packet[128];
	uint32_t len = lab_packet(packet, 4, 17, 33);

	(void)state;
	assert_int_equal(lab_pair_init(&pair, gcm256(), 4, 0, REPLAY_BITS), 0);
	pair.run_out.out_seq = UINT32_MAX - 1;
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);
	assert_int_equal(pair.run_in.replay_top, UINT32_MAX);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_SEQ_EXHAUSTED);
	lab_pair_clear(&pair);

	assert_int_equal(lab_pair_init(&pair, cbc256(), 4, SA_ESN, REPLAY_BITS), 0);
	pair.run_out.out_seq = pair.run_in.replay_top = UINT32_MAX - 10;
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
		assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);
	}
	assert_int_equal(pair.run_in.replay_top, UINT64_C(0x100000009));
	lab_pair_clear(&pair);
}

/* What may be cut on its way is told apart from all else that goes to the same address, whatever SA it is of; what may
 * not has its number (RFC 6864 4). */
static void test_identification(void **state)
{
	struct lab_pair pairs[2];
	struct lab_frame lab;
	uint8_t packet[128];
	uint16_t ids = 0xfffe;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(lab_pair_init(&pairs[i], esp_suite_find(20, 256, 0), 4, 0, 1024), 0);
		pairs[i].out.ids = &ids;
	}
	for (unsigned i = 0; i < 8; i++) {
		uint32_t len = lab_packet(packet, 4, 17, 20);
		bool whole = i >= 4;

		packet[6] = whole ? 0x40 : 0;
		lab_ipv4_check(packet);
		assert_int_equal(lab_seal(&pairs[i % 2], lab_frame_set(&lab, packet, len)), DROP_NONE);
		assert_int_equal(wire_get16(lab.frame.data + 4), whole ? 1 + i / 2 : (0xffff + i) & 0xffff);
		assert_int_equal(checksum_fold(checksum_add20(lab.frame.data)), 0xffff);
	}
	for (unsigned i = 0; i < 2; i++)
		lab_pair_clear(&pairs[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identification),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_outer_ipv4),
		cmocka_unit_test(test_outer_ipv6),
		cmocka_unit_test(test_outer_df),
		cmocka_unit_test(test_cbc_iv),
		cmocka_unit_test(test_sequence_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
