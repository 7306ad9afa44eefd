/* SPDX-License-Identifier: Apache-2.0 */
/* Parse of inner packets, TTL, and the completion of partial checksums. */
#include "tests/unit/esp_lab.h"

#include "agent/base/own.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_ipv4(void **state)
{
	uint8_t packet[128];
	uint32_t len = lab_packet(packet, 4, 17, 40);
	struct inner inner;

	(void)state;
	lab_ports(packet, 1234, 53);
	packet[1] = 0xb8;
	lab_put16(packet + 6, 0x4000);
	lab_ipv4_check(packet);
	assert_true(inner_parse(packet, sizeof(packet), &inner)); /* what stands behind is not its own */
	assert_int_equal(inner.family, 4);
	assert_int_equal(inner.len, len);
	assert_int_equal(inner.protocol, 17);
	assert_int_equal(inner.traffic_class, 0xb8);
	assert_int_equal(inner.ttl, 64);
	assert_int_equal(inner.payload_off, 20);
	assert_int_equal(inner.source_port, 1234);
	assert_int_equal(inner.destination_port, 53);
	assert_true(inner.dont_fragment && inner.ports_known);
	assert_false(inner.fragment || inner.later_fragment);
	assert_ptr_equal(inner.source, packet + 12);
	assert_ptr_equal(inner.destination, packet + 16);
}

static void test_ipv4_fragments(void **state)
{
	static const struct {
		uint16_t flags;
		bool dont_fragment, fragment, later;
	} cases[] = {
		{0x0000, false, false, false},
		{0x8000, false, false, false},
		{0x4000, true, false, false},
		{0x2000, false, true, false},
		{0x2001, false, true, true},
		{0x0001, false, true, true},
		{0x1ff0, false, true, true},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t packet[64];
		uint32_t len = lab_packet(packet, 4, 17, 20);
		struct inner inner;

		lab_put16(packet + 6, cases[i].flags);
		lab_ipv4_check(packet);
		assert_true(inner_parse(packet, len, &inner));
		assert_int_equal(inner.dont_fragment, cases[i].dont_fragment);
		assert_int_equal(inner.fragment, cases[i].fragment);
		assert_int_equal(inner.later_fragment, cases[i].later);
		assert_int_equal(inner.ports_known, !cases[i].later);
	}
}

/* Each of these is refused; the unharmed packet is not. */
static void test_ipv4_refused(void **state)
{
	static const struct {
		uint8_t at, value;
		bool check_kept; /* the header checksum is not made right again */
	} cases[] = {
		{0, 0x44, false}, /* header shorter than a header */
		{0, 0x4f, false}, /* longer than the packet */
		{0, 0x55, false}, /* version */
		{0, 0x65, false},
		{3, 19, false}, /* total length below the header's */
		{3, 39, true},	/* checksum */
		{3, 45, false}, /* total length beyond the buffer */
		{2, 1, false},
		{10, 0xee, true},
	};
	struct inner inner;
	uint8_t packet[64];
	uint32_t len = lab_packet(packet, 4, 17, 20);

	(void)state;
	assert_true(inner_parse(packet, len, &inner));
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		lab_packet(packet, 4, 17, 20);
		packet[cases[i].at] = cases[i].value;
		if (!cases[i].check_kept && (packet[0] & 15) * 4u <= sizeof(packet))
			lab_ipv4_check(packet);
		assert_false(inner_parse(packet, len, &inner));
	}
	lab_packet(packet, 4, 17, 20);
	lab_put16(packet + 6, 0x1fff); /* ends behind 65535 */
	lab_ipv4_check(packet);
	assert_false(inner_parse(packet, len, &inner));
}

/* A transport header cut short; a later fragment has none, so nothing is missing. */
static void test_short_transport(void **state)
{
	static const struct {
		uint8_t protocol;
		uint32_t needed;
	} cases[] = {{6, 4}, {17, 4}, {132, 4}, {136, 4}, {33, 4}, {1, 2}, {58, 2}, {135, 3}, {47, 0}, {50, 0}, {59, 0},
		{255, 0}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases) * 2; i++) {
		for (uint32_t len = 0; len < 6; len++) {
			uint8_t packet[64], family = i % 2 ? 6 : 4;
			uint32_t total = lab_packet(packet, family, cases[i / 2].protocol, len);
			struct inner inner;

			assert_int_equal(inner_parse(packet, total, &inner), len >= cases[i / 2].needed);
			if (family == 6)
				continue;
			lab_put16(packet + 6, 8);
			lab_ipv4_check(packet);
			assert_true(inner_parse(packet, total, &inner));
		}
	}
}

/* An IPv6 packet whose headers behind the first 40 bytes are given in hexadecimal. */
static uint32_t ipv6_with(uint8_t *packet, uint8_t next, const char *rest)
{
	uint32_t len;

	lab_packet(packet, 6, next, 0);
	len = (uint32_t)lab_hex(rest, packet + 40);
	lab_put16(packet + 4, len);
	return 40 + len;
}

static void test_ipv6_extensions(void **state)
{
	static const struct {
		const char *rest;
		uint8_t next;
		bool good;
		uint8_t protocol;
		uint16_t payload_off, port;
		bool fragment, later;
	} cases[] = {
		{"0102 0304", 17, true, 17, 40, 0x0102, false, false},
		{"1100 010400000000 0102 0304", 0, true, 17, 48, 0x0102, false, false},
		{"1101 010c000000000000000000000000 0102 0304", 0, true, 17, 56, 0x0102, false, false},
		{"3c00 010400000000 1100 010400000000 0102 0304", 43, true, 17, 56, 0x0102, false, false},
		{"1100 0001 00000001 0102 0304", 44, true, 17, 48, 0x0102, true, false},  /* first fragment */
		{"1100 0000 00000001 0102 0304", 44, true, 17, 48, 0x0102, false, false}, /* atomic */
		{"1100 0008 00000001 0102 0304", 44, true, 17, 48, 0, true, true},	  /* last */
		{"3c00 0009 00000001 ffff ffff", 44, true, 60, 48, 0, true, true}, /* the rest is not looked at */
		{"3a00 010400000000 8000", 60, true, 58, 48, 0x8000, false, false},
		{"", 59, true, 59, 40, 0, false, false},
		{"3300 0000", 51, true, 51, 40, 0, false, false},     /* AH is what policies call a protocol */
		{"1100 0104000000", 0, false, 0, 0, 0, false, false}, /* cut */
		{"1101 010400000000 0102 0304", 0, false, 0, 0, 0, false, false}, /* says 16, has 12 */
		{"11ff 010400000000 0102 0304", 0, false, 0, 0, 0, false, false},
		{"1100 0000 000000", 44, false, 0, 0, 0, false, false},
		{"", 0, false, 0, 0, 0, false, false},
		{"0102 03", 17, false, 0, 0, 0, false, false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t packet[128];
		uint32_t len = ipv6_with(packet, cases[i].next, cases[i].rest);
		struct inner inner;

		assert_int_equal(inner_parse(packet, len, &inner), cases[i].good);
		if (!cases[i].good)
			continue;
		assert_int_equal(inner.len, len);
		assert_int_equal(inner.protocol, cases[i].protocol);
		assert_int_equal(inner.payload_off, cases[i].payload_off);
		assert_int_equal(inner.source_port, cases[i].port);
		assert_int_equal(inner.fragment, cases[i].fragment);
		assert_int_equal(inner.later_fragment, cases[i].later);
		assert_int_equal(inner.ports_known, !cases[i].later);
		assert_true(inner.dont_fragment);
	}
}

/* A chain is followed for a while, not for ever. */
static void test_ipv6_long_chain(void **state)
{
	uint8_t packet[512];
	struct inner inner;

	(void)state;
	for (unsigned count = 1; count <= 12; count++) {
		uint32_t len = lab_packet(packet, 6, 60, count * 8);

		for (unsigned i = 0; i < count; i++)
			lab_put16(packet + 40 + i * 8, i + 1 == count ? 59 << 8 : 60 << 8);
		assert_int_equal(inner_parse(packet, len, &inner), count <= INNER_EXTENSIONS_MAX);
	}
}

/* Any cut and any first byte: never a byte is read behind the buffer (ASan watches), never a length claimed that is not
 * there. */
static void test_cuts(void **state)
{
	uint8_t whole[128];

	(void)state;
	for (unsigned family = 4; family <= 6; family += 2) {
		uint32_t whole_len = family == 4 ? lab_packet(whole, 4, 6, 40)
						 : ipv6_with(whole, 0, "3c00 010400000000 1100 010400000000 01020304");

		for (uint32_t len = 0; len <= whole_len; len++) {
			uint8_t *cut = malloc(len ? len : 1);
			struct inner inner;

			memcpy(cut, whole, len);
			assert_int_equal(inner_parse(cut, len, &inner), len == whole_len);
			free(cut);
		}
	}
}

static void test_ttl(void **state)
{
	uint8_t packet[64];
	struct inner inner;

	(void)state;
	for (unsigned i = 0; i < 2 * 256; i++) {
		uint8_t family = i % 2 ? 6 : 4, ttl = (uint8_t)(i / 2);
		uint32_t len = lab_packet(packet, family, 17, 20);

		packet[family == 4 ? 8 : 7] = ttl;
		if (family == 4)
			lab_ipv4_check(packet);
		assert_true(inner_parse(packet, len, &inner));
		assert_int_equal(inner_decrement_ttl(packet, &inner), ttl > 1);
		assert_int_equal(inner.ttl, ttl > 1 ? ttl - 1 : ttl);
		assert_true(inner_parse(packet, len, &inner)); /* the checksum is right again */
		assert_int_equal(inner.ttl, ttl > 1 ? ttl - 1 : ttl);
	}
}

/* ---- checksums ------------------------------------------------------------------------------------------------ */

/* RFC 1071 3's own numbers. */
/* What the short way takes, the long one takes as the same packet. */
static void test_plain_is_no_other(void **state)
{
	uint64_t random = 7;
	unsigned plain = 0;

	(void)state;
	for (unsigned i = 0; i < 40000; i++) {
		struct inner inner = {0}, again = {0};
		uint8_t packet[128];
		uint32_t len = lab_packet(packet, 4, i & 1 ? 17 : 6, lab_random(&random) % 40);

		for (unsigned n = lab_random(&random) % 3; n; n--)
			packet[lab_random(&random) % 24] = (uint8_t)lab_random(&random);
		if (lab_random(&random) % 4 && (packet[0] & 15) >= 5)
			lab_ipv4_check(packet);
		len -= lab_random(&random) % 4 == 0 ? lab_random(&random) % len : 0;
		if (!inner_parse_plain(packet, len, &inner))
			continue;
		plain++;
		assert_true(inner_parse_any(packet, len, &again));
		assert_true(inner.plain && !again.plain);
		again.plain = true;
		assert_memory_equal(&inner, &again, sizeof(inner));
	}
	assert_in_range(plain, 5000, 39000);
}

static void test_checksum_rfc1071(void **state)
{
	static const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	(void)state;
	assert_int_equal(ntohs(checksum_fold(checksum_add(0, data, sizeof(data)))), 0xddf2);
	assert_int_equal(ntohs(checksum_fold(checksum_add(0, data, 3))), 0xf201);
	assert_int_equal(checksum_fold(checksum_add(0, data, 0)), 0);
}

static void test_checksum_update(void **state)
{
	uint8_t data[22] = {0};
	uint64_t random = 1;
	uint16_t check;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t old[2];
		unsigned at = lab_random(&random) % 10 * 2;

		for (unsigned j = 0; j < 20; j++)
			data[j] = (uint8_t)(lab_random(&random) % (i % 3 ? 256 : 2) * (i % 5 ? 1 : 255));
		data[0] |= 1; /* all zeroes have two representations */
		check = (uint16_t)~checksum_fold(checksum_add(0, data, 20));
		memcpy(data + 20, &check, 2);
		memcpy(old, data + at, 2);
		lab_put16(data + at, lab_random(&random));
		data[0] |= 1;
		checksum_update16(data + 20, old, data + at);
		assert_int_equal(checksum_fold(checksum_add(0, data, 22)), 0xffff);
	}
}

static uint16_t transport_sum(const struct inner *inner, const uint8_t *packet)
{
	uint32_t len = inner->len - inner->payload_off;

	return checksum_fold(
		checksum_add(checksum_pseudo(inner, inner->protocol, len), packet + inner->payload_off, len));
}

/* What a virtual interface hands over becomes what a wire carries; what is whole stays as it is. */
static void test_complete(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4 * 64; i++) {
		uint8_t packet[256], before[256], family = i & 1 ? 6 : 4, protocol = i & 2 ? 17 : 6;
		uint32_t len = lab_packet(packet, family, protocol, 20 + i / 4);
		uint8_t *field = packet + len - (20 + i / 4) + (protocol == 6 ? 16 : 6);
		struct inner inner;
		uint16_t partial;

		assert_true(inner_parse(packet, len, &inner));
		partial = checksum_fold(checksum_pseudo(&inner, protocol, len - inner.payload_off));
		memcpy(field, &partial, 2);
		checksum_complete(packet, &inner);
		assert_int_equal(transport_sum(&inner, packet), 0xffff);
		memcpy(before, packet, len);
		checksum_complete(packet, &inner);
		assert_memory_equal(packet, before, len);
	}
}

static void test_complete_leaves_alone(void **state)
{
	static const struct {
		uint8_t protocol;
		uint16_t fragment;
		uint32_t payload_len;
	} cases[] = {
		{17, 0x2000, 40}, {17, 0x0002, 40}, {6, 0x2000, 40}, {6, 0, 19}, {17, 0, 7}, {1, 0, 40}, {132, 0, 40}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t packet[128], before[128];
		uint32_t len = lab_packet(packet, 4, cases[i].protocol, cases[i].payload_len);
		struct inner inner;
		uint16_t partial;

		lab_put16(packet + 6, cases[i].fragment);
		lab_ipv4_check(packet);
		assert_true(inner_parse(packet, len, &inner));
		partial = checksum_fold(checksum_pseudo(&inner, cases[i].protocol, len - 20));
		memcpy(packet + 20 + 6, &partial, 2);
		memcpy(packet + 20 + 16, &partial, 2);
		memcpy(before, packet, len);
		checksum_complete(packet, &inner);
		assert_memory_equal(packet, before, len);
	}
}

/* UDP over IPv4 without a checksum has none afterwards either. */
static void test_complete_udp_none(void **state)
{
	uint8_t packet[128];
	uint32_t len = lab_packet(packet, 4, 17, 40);
	struct inner inner;

	(void)state;
	memset(packet + 26, 0, 2);
	assert_true(inner_parse(packet, len, &inner));
	checksum_complete(packet, &inner);
	assert_int_equal(packet[26] | packet[27], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv4_fragments),
		cmocka_unit_test(test_ipv4_refused),
		cmocka_unit_test(test_short_transport),
		cmocka_unit_test(test_ipv6_extensions),
		cmocka_unit_test(test_ipv6_long_chain),
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_ttl),
		cmocka_unit_test(test_plain_is_no_other),
		cmocka_unit_test(test_checksum_rfc1071),
		cmocka_unit_test(test_checksum_update),
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_complete_leaves_alone),
		cmocka_unit_test(test_complete_udp_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
