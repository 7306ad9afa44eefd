/* SPDX-License-Identifier: Apache-2.0 */
/* MSS clamping: where the option stands, what is left alone, and that the checksum stays right. */
#include "agent/mss.h"

#include "agent/base/own.h"
#include "tests/unit/esp_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MTU 1400u

/* A TCP segment with these options (hexadecimal, padded here) and flags, its checksum right. Gives the length. */
static uint32_t tcp_packet(uint8_t *packet, uint8_t family, uint8_t flags, const char *options)
{
	uint8_t bytes[64] = {0};
	uint32_t options_len = (uint32_t)(lab_hex(options, bytes) + 3) & ~3u;
	uint32_t len = lab_packet(packet, family, 6, 20 + options_len + 5);
	uint8_t *tcp = packet + (family == 4 ? 20 : 40);
	struct inner inner;
	uint16_t check = 0;

	tcp[12] = (uint8_t)((20 + options_len) / 4 << 4);
	tcp[13] = flags;
	memcpy(tcp + 20, bytes, options_len);
	memcpy(tcp + 16, &check, 2);
	assert_true(inner_parse(packet, len, &inner));
	check = checksum_fold(checksum_pseudo(&inner, 6, len - inner.payload_off));
	memcpy(tcp + 16, &check, 2);
	checksum_complete(packet, &inner);
	return len;
}

static bool sum_right(const uint8_t *packet, const struct inner *inner)
{
	uint32_t len = inner->len - inner->payload_off;

	return checksum_fold(checksum_add(checksum_pseudo(inner, 6, len), packet + inner->payload_off, len)) == 0xffff;
}

static void test_clamp(void **state)
{
	/* `value_at`: offset of the MSS value in the options, if it is to be lowered */
	static const struct {
		const char *options;
		uint8_t flags;
		int value_at;
	} cases[] = {
		{"020405b4", 0x02, 2},
		{"020405b4", 0x12, 2},		  /* SYN-ACK */
		{"020405b4", 0xc2, 2},		  /* ECN set-up */
		{"01 020405b4 0101 00", 0x02, 3}, /* at an odd offset */
		{"0101 020405b4 0402 080a 0000000100000000 01 030307", 0x02, 4},
		{"080a 0000000100000000 020405b4", 0x02, 12},
		{"0204ffff", 0x02, 2},
		{"02040551", 0x02, 2},
		{"020405b4", 0x10, -1}, /* no SYN */
		{"020405b4", 0x11, -1},
		{"02040100", 0x02, -1}, /* small already */
		{"02040000", 0x02, -1},
		{"0101", 0x02, -1}, /* without the option */
		{"", 0x02, -1},
		{"00 020405b4", 0x02, -1},    /* behind the end of options */
		{"0205 05b4 0000", 0x02, -1}, /* of a wrong length */
		{"0203 05b4", 0x02, -1},
		{"0800 020405b4", 0x02, -1}, /* an option of length 0 */
		{"0801 020405b4", 0x02, -1},
		{"08ff 020405b4", 0x02, -1}, /* beyond the header */
		{"010102 04", 0x02, -1},     /* the value is beyond the header */
		{"010101 02", 0x02, -1},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases) * 2; i++) {
		uint8_t packet[256], before[256], family = i % 2 ? 6 : 4;
		uint32_t len = tcp_packet(packet, family, cases[i / 2].flags, cases[i / 2].options);
		uint32_t expected = MTU - (family == 4 ? 40 : 60);
		int value_at = cases[i / 2].value_at;
		struct inner inner;

		if (family == 4 && i / 2 == 7)
			expected = 0x550;
		memcpy(before, packet, len);
		assert_true(inner_parse(packet, len, &inner));
		assert_int_equal(mss_clamp(packet, &inner, MTU), value_at >= 0);
		assert_true(sum_right(packet, &inner));
		if (value_at < 0) {
			assert_memory_equal(packet, before, len);
			continue;
		}
		assert_int_equal(
			packet[inner.payload_off + 20 + value_at] << 8 | packet[inner.payload_off + 21 + value_at],
			expected);
		assert_false(mss_clamp(packet, &inner, MTU));
	}
}

/* What is no whole TCP header of a first fragment is not touched. */
static void test_other_packets(void **state)
{
	uint8_t packet[256], before[256];
	uint32_t len = tcp_packet(packet, 4, 0x02, "020405b4");
	struct inner inner;

	(void)state;
	memcpy(before, packet, len);
	assert_true(inner_parse(packet, len, &inner));
	inner.protocol = 17;
	assert_false(mss_clamp(packet, &inner, MTU));
	inner.protocol = 6;
	inner.later_fragment = true;
	assert_false(mss_clamp(packet, &inner, MTU));
	inner.later_fragment = false;
	assert_false(mss_clamp(packet, &inner, 40)); /* nothing sensible to say */
	inner.len = 20 + 19;
	assert_false(mss_clamp(packet, &inner, MTU));
	inner.len = 20 + 23; /* shorter than its own data offset says */
	assert_false(mss_clamp(packet, &inner, MTU));
	assert_memory_equal(packet, before, len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clamp),
		cmocka_unit_test(test_other_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
