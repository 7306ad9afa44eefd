/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP errors: what they say, how much they quote, and about what none may be sent. */
#include "agent/icmp_error.h"

#include "agent/base/own.h"
#include "tests/unit/esp_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const uint8_t gateway4[4] = {10, 1, 0, 1};
static const uint8_t gateway6[16] = {0xfd, 1, [15] = 1};

static bool build(struct lab_frame *out, enum icmp_error kind, const uint8_t *packet, uint32_t len, uint32_t mtu)
{
	struct inner inner;

	lab_frame_set(out, NULL, 0);
	assert_true(inner_parse(packet, len, &inner));
	return icmp_error_build(&out->frame, kind, packet, &inner, inner.family == 4 ? gateway4 : gateway6, mtu);
}

static void test_ipv4(void **state)
{
	static uint8_t packet[FRAME_SIZE];
	static struct lab_frame out;

	(void)state;
	for (uint32_t payload_len = 8; payload_len < 1500; payload_len += 97) {
		uint32_t len = lab_packet(packet, 4, 17, payload_len), quoted = len < 548 ? len : 548;
		const uint8_t *ip = out.chunk + FRAME_HEADROOM;
		struct inner inner;

		assert_true(build(&out, ICMP_TOO_BIG, packet, len, 1322));
		assert_ptr_equal(out.frame.data, ip);
		assert_int_equal(out.frame.len, 28 + quoted);
		assert_true(inner_parse(ip, out.frame.len, &inner));
		assert_int_equal(inner.len, out.frame.len);
		assert_int_equal(inner.protocol, 1);
		assert_int_equal(inner.ttl, 64);
		assert_memory_equal(inner.source, gateway4, 4);
		assert_memory_equal(inner.destination, packet + 12, 4);
		assert_memory_equal(ip + 20, ((uint8_t[]){3, 4}), 2);
		assert_memory_equal(ip + 24, ((uint8_t[]){0, 0, 1322 >> 8, 1322 & 255}), 4);
		assert_memory_equal(ip + 28, packet, quoted);
		assert_int_equal(checksum_fold(checksum_add(0, ip + 20, 8 + quoted)), 0xffff);

		assert_true(build(&out, ICMP_TTL_EXPIRED, packet, len, 1322));
		assert_memory_equal(ip + 20, ((uint8_t[]){11, 0}), 2);
		assert_memory_equal(ip + 24, ((uint8_t[]){0, 0, 0, 0}), 4);
		assert_int_equal(checksum_fold(checksum_add(0, ip + 20, 8 + quoted)), 0xffff);
	}
}

static void test_ipv6(void **state)
{
	static uint8_t packet[FRAME_SIZE];
	static struct lab_frame out;

	(void)state;
	for (uint32_t payload_len = 8; payload_len < 1500; payload_len += 97) {
		uint32_t len = lab_packet(packet, 6, 17, payload_len), quoted = len < 1232 ? len : 1232;
		const uint8_t *ip = out.chunk + FRAME_HEADROOM;
		struct inner inner;

		assert_true(build(&out, ICMP_TOO_BIG, packet, len, 1302));
		assert_int_equal(out.frame.len, 48 + quoted);
		assert_true(out.frame.len <= 1280);
		assert_true(inner_parse(ip, out.frame.len, &inner));
		assert_int_equal(inner.protocol, 58);
		assert_memory_equal(inner.source, gateway6, 16);
		assert_memory_equal(inner.destination, packet + 8, 16);
		assert_memory_equal(ip + 40, ((uint8_t[]){2, 0}), 2);
		assert_memory_equal(ip + 44, ((uint8_t[]){0, 0, 1302 >> 8, 1302 & 255}), 4);
		assert_memory_equal(ip + 48, packet, quoted);
		assert_int_equal(
			checksum_fold(checksum_add(checksum_pseudo(&inner, 58, 8 + quoted), ip + 40, 8 + quoted)),
			0xffff);

		assert_true(build(&out, ICMP_TTL_EXPIRED, packet, len, 1302));
		assert_memory_equal(ip + 40, ((uint8_t[]){3, 0}), 2);
		assert_memory_equal(ip + 44, ((uint8_t[]){0, 0, 0, 0}), 4);
	}
}

/* RFC 1812 4.3.2.7. */
static void test_ipv4_never_about(void **state)
{
	static const struct {
		uint8_t protocol, type;
		uint16_t fragment;
		uint8_t source[4], destination[4];
		bool allowed;
	} cases[] = {
		{17, 0, 0, {10, 1, 0, 5}, {10, 2, 0, 7}, true},
		{1, 8, 0, {10, 1, 0, 5}, {10, 2, 0, 7}, true},
		{1, 0, 0, {10, 1, 0, 5}, {10, 2, 0, 7}, true},
		{1, 13, 0, {10, 1, 0, 5}, {10, 2, 0, 7}, true},
		{1, 3, 0, {10, 1, 0, 5}, {10, 2, 0, 7}, false},
		{1, 4, 0, {10, 1, 0, 5}, {10, 2, 0, 7}, false},
		{1, 5, 0, {10, 1, 0, 5}, {10, 2, 0, 7}, false},
		{1, 11, 0, {10, 1, 0, 5}, {10, 2, 0, 7}, false},
		{1, 12, 0, {10, 1, 0, 5}, {10, 2, 0, 7}, false},
		{17, 0, 0x2000, {10, 1, 0, 5}, {10, 2, 0, 7}, true},
		{17, 0, 0x2001, {10, 1, 0, 5}, {10, 2, 0, 7}, false},
		{17, 0, 0x0001, {10, 1, 0, 5}, {10, 2, 0, 7}, false},
		{17, 0, 0, {0, 0, 0, 0}, {10, 2, 0, 7}, false},
		{17, 0, 0, {127, 0, 0, 1}, {10, 2, 0, 7}, false},
		{17, 0, 0, {224, 0, 0, 1}, {10, 2, 0, 7}, false},
		{17, 0, 0, {255, 255, 255, 255}, {10, 2, 0, 7}, false},
		{17, 0, 0, {10, 1, 0, 5}, {239, 1, 2, 3}, false},
		{17, 0, 0, {10, 1, 0, 5}, {255, 255, 255, 255}, false},
	};
	static struct lab_frame out;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t packet[64];
		uint32_t len = lab_packet(packet, 4, cases[i].protocol, 20);

		packet[20] = cases[i].type;
		memcpy(packet + 12, cases[i].source, 4);
		memcpy(packet + 16, cases[i].destination, 4);
		lab_put16(packet + 6, cases[i].fragment);
		lab_ipv4_check(packet);
		assert_int_equal(build(&out, ICMP_TOO_BIG, packet, len, 1300), cases[i].allowed);
		assert_int_equal(build(&out, ICMP_TTL_EXPIRED, packet, len, 0), cases[i].allowed);
	}
}

/* RFC 4443 2.4 (e). */
static void test_ipv6_never_about(void **state)
{
	static const struct {
		uint8_t protocol, type;
		const char *source, *destination;
		bool too_big, ttl_expired;
	} cases[] = {
		{17, 0, "fd01::5", "fd02::7", true, true},
		{58, 128, "fd01::5", "fd02::7", true, true},
		{58, 129, "fd01::5", "fd02::7", true, true},
		{58, 1, "fd01::5", "fd02::7", false, false},
		{58, 2, "fd01::5", "fd02::7", false, false},
		{58, 127, "fd01::5", "fd02::7", false, false},
		{58, 137, "fd01::5", "fd02::7", false, false},
		{17, 0, "::", "fd02::7", false, false},
		{17, 0, "::1", "fd02::7", false, false},
		{17, 0, "ff02::1", "fd02::7", false, false},
		{17, 0, "fd01::5", "ff0e::1", true, false},
	};
	static struct lab_frame out;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t packet[64];
		uint32_t len = lab_packet(packet, 6, cases[i].protocol, 20);

		packet[40] = cases[i].type;
		inet_pton(AF_INET6, cases[i].source, packet + 8);
		inet_pton(AF_INET6, cases[i].destination, packet + 24);
		assert_int_equal(build(&out, ICMP_TOO_BIG, packet, len, 1300), cases[i].too_big);
		assert_int_equal(build(&out, ICMP_TTL_EXPIRED, packet, len, 0), cases[i].ttl_expired);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_ipv4_never_about),
		cmocka_unit_test(test_ipv6_never_about),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
