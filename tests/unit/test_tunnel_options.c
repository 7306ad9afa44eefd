/* SPDX-License-Identifier: Apache-2.0 */
/* What the outer header takes over from the inner one, by the tunnel's options, and padding that hides lengths. */
#include "agent/contract.h"
#include "tests/unit/esp_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define REPLAY_BITS 1024u

/* An SA pair with these options at both ends, and one packet sealed by it. */
static void seal_with(struct lab_pair *pair, struct lab_frame *lab, uint8_t outer_family, struct tunnel_options options,
	const uint8_t *packet, uint32_t len)
{
	struct tunnel tunnel = lab_tunnel();
	struct sa out = lab_sa_out(esp_suite_find(20, 256, 0), outer_family, 0), in = lab_sa_in(&out, REPLAY_BITS);

	memset(pair, 0, sizeof(*pair));
	tunnel.options = options;
	assert_int_equal(sa_context_init(&pair->out, &out, &tunnel, &pair->run_out), 0);
	assert_int_equal(sa_context_init(&pair->in, &in, &tunnel, &pair->run_in), 0);
	assert_int_equal(lab_seal(pair, lab_frame_set(lab, packet, len)), DROP_NONE);
}

static void test_df(void **state)
{
	static const struct {
		uint8_t option, inner, outer; /* the byte of the flags */
	} cases[] = {{DF_COPY, 0, 0}, {DF_COPY, 0x40, 0x40}, {DF_SET, 0, 0x40}, {DF_SET, 0x40, 0x40}, {DF_CLEAR, 0, 0},
		{DF_CLEAR, 0x40, 0}};
	struct lab_pair pair;
	struct lab_frame lab;
	uint8_t packet[128];

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t len = lab_packet(packet, 4, 17, 20);

		packet[6] = cases[i].inner;
		lab_ipv4_check(packet);
		seal_with(&pair, &lab, 4, (struct tunnel_options){.df = cases[i].option}, packet, len);
		assert_int_equal(lab.frame.data[6], cases[i].outer);
		assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);
		assert_int_equal(lab.frame.data[6], cases[i].inner);
		lab_pair_clear(&pair);
	}
}

/* The inner packet is EF (46) with ECT(0). */
static void test_traffic_class(void **state)
{
	static const struct {
		struct tunnel_options options;
		uint8_t outer;
	} cases[] = {
		{{0}, 46 << 2 | 2},
		{{.dscp = DSCP_SET, .dscp_value = 10}, 10 << 2 | 2},
		{{.dscp = DSCP_SET, .dscp_value = 63}, 63 << 2 | 2},
		{{.dscp = DSCP_SET}, 2},
		{{.ecn = ECN_OFF}, 46 << 2},
		{{.dscp = DSCP_SET, .dscp_value = 10, .ecn = ECN_OFF}, 10 << 2},
	};
	struct lab_pair pair;
	struct lab_frame lab;
	uint8_t packet[128];

	(void)state;
	for (unsigned i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t len = lab_packet(packet, 4, 17, 20);
		const uint8_t *ip;

		packet[1] = 46 << 2 | 2;
		lab_ipv4_check(packet);
		seal_with(&pair, &lab, i % 2 ? 6 : 4, cases[i / 2].options, packet, len);
		ip = lab.frame.data;
		assert_int_equal(i % 2 ? (ip[0] << 4 | ip[1] >> 4) & 0xff : ip[1], cases[i / 2].outer);
		assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);
		assert_memory_equal(lab.frame.data, packet, len);
		lab_pair_clear(&pair);
	}
}

/* In compatibility mode what the path marked is not looked at (RFC 6040 4.3). */
static void test_ecn_off_in(void **state)
{
	struct lab_pair pair;
	struct lab_frame lab;
	uint8_t packet[128];

	(void)state;
	for (uint8_t ecn = 0; ecn < 4; ecn++) {
		uint32_t len = lab_packet(packet, 4, 17, 20);

		packet[1] = ecn;
		lab_ipv4_check(packet);
		seal_with(&pair, &lab, 4, (struct tunnel_options){.ecn = ECN_OFF}, packet, len);
		assert_int_equal(lab.frame.data[1], 0);
		lab.frame.data[1] = 3;
		assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);
		assert_int_equal(lab.frame.data[1], ecn);
		lab_pair_clear(&pair);
	}
}

static void test_ttl(void **state)
{
	struct lab_pair pair;
	struct lab_frame lab;
	uint8_t packet[128];
	uint32_t len = lab_packet(packet, 4, 17, 20);

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		seal_with(&pair, &lab, i % 2 ? 6 : 4, (struct tunnel_options){.ttl = i / 2 ? 17 : 0}, packet, len);
		assert_int_equal(lab.frame.data[i % 2 ? 7 : 8], i / 2 ? 17 : 64);
		lab_pair_clear(&pair);
	}
}

static void test_flow_label(void **state)
{
	struct lab_pair pair;
	struct lab_frame lab;
	uint8_t packet[128];
	uint32_t len = lab_packet(packet, 6, 17, 20);

	(void)state;
	packet[0] = 0x6b;
	packet[1] = 0x95;
	packet[2] = 0xa5;
	packet[3] = 0x5a;
	seal_with(&pair, &lab, 6, (struct tunnel_options){0}, packet, len);
	assert_memory_equal(lab.frame.data, ((uint8_t[]){0x6b, 0x90, 0, 0}), 4);
	lab_pair_clear(&pair);
	seal_with(&pair, &lab, 6, (struct tunnel_options){.flow_label = FLOW_LABEL_COPY}, packet, len);
	assert_memory_equal(lab.frame.data, ((uint8_t[]){0x6b, 0x95, 0xa5, 0x5a}), 4);
	lab_pair_clear(&pair);
	len = lab_packet(packet, 4, 17, 20);
	seal_with(&pair, &lab, 6, (struct tunnel_options){.flow_label = FLOW_LABEL_COPY}, packet, len);
	assert_memory_equal(lab.frame.data, ((uint8_t[]){0x60, 0, 0, 0}), 4);
	lab_pair_clear(&pair);
}

/* Padded to one length, none of which stays in the packet that comes out; never longer than the way carries. */
static void test_tfc(void **state)
{
	struct lab_pair pair;
	struct lab_frame lab;
	uint8_t packet[1500];
	uint32_t padded = 0;

	(void)state;
	for (uint32_t payload = 0; payload <= 480; payload += 7) {
		uint32_t len = lab_packet(packet, 4, 253, payload);

		seal_with(&pair, &lab, 4, (struct tunnel_options){.tfc_pad = 500}, packet, len);
		if (!padded)
			padded = lab.frame.len;
		assert_int_equal(lab.frame.len, padded);
		assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);
		assert_int_equal(lab.frame.len, len);
		assert_memory_equal(lab.frame.data, packet, len);
		assert_int_equal(pair.in.bytes, len); /* lifetimes count what was carried */
		assert_int_equal(pair.out.bytes, len);
		pair.out.carries = 300;
		assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
		if (len <= 300)
			assert_in_range(lab.frame.len, 300, 300 + 20 + 8 + 8 + 16 + 2 + 3);
		lab_pair_clear(&pair);
	}
}

static void test_tfc_mtu(void **state)
{
	struct lab_pair pair;
	struct lab_frame lab;
	uint8_t packet[1500];
	uint32_t len = lab_packet(packet, 4, 17, 100);

	(void)state;
	seal_with(&pair, &lab, 4, (struct tunnel_options){.tfc_pad = TFC_PAD_MTU}, packet, len);
	assert_true(lab.frame.len < 200); /* as long as the way is not known */
	pair.out.carries = 1446;
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(lab.frame.len, 1500);
	lab_pair_clear(&pair);
}

/* A way that carries more than a packet's buffer: padded as far as that reaches, all to one length, and none dies. */
static void test_tfc_jumbo(void **state)
{
	static const uint16_t wanted[] = {TFC_PAD_MTU, 8000, 65534};
	struct lab_pair pair;
	struct lab_frame lab;
	uint8_t packet[FRAME_SIZE];

	(void)state;
	for (unsigned i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		uint32_t padded = 0;

		for (uint32_t payload = 0; payload <= 3700; payload += 37) {
			uint32_t len = lab_packet(packet, 4, 253, payload);

			seal_with(&pair, &lab, 4, (struct tunnel_options){0}, packet, len);
			pair.out.carries = 8947;
			pair.out.tunnel.options.tfc_pad = wanted[i];
			sa_context_derive(&pair.out);
			assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
			padded = padded ? padded : lab.frame.len;
			assert_int_equal(lab.frame.len, padded);
			assert_true(padded > 3700);
			assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);
			assert_int_equal(lab.frame.len, len);
			assert_memory_equal(lab.frame.data, packet, len);
			lab_pair_clear(&pair);
		}
	}
}

/* Options that change under an SA: all of them come into force, and none of those before stays. */
static void test_derived_anew(void **state)
{
	static const struct tunnel_options other = {.df = DF_SET,
		.dscp = DSCP_SET,
		.dscp_value = 10,
		.ecn = ECN_OFF,
		.ttl = 17,
		.flow_label = FLOW_LABEL_COPY,
		.tfc_pad = 500};
	uint8_t packet[128], before[100], after[100];
	struct lab_pair pair;
	struct lab_frame lab;
	uint32_t len = lab_packet(packet, 4, 17, 20);

	(void)state;
	packet[1] = 46 << 2 | 2;
	lab_ipv4_check(packet);
	for (unsigned family = 4; family <= 6; family += 2) {
		seal_with(&pair, &lab, (uint8_t)family, (struct tunnel_options){0}, packet, len);
		memcpy(before, pair.out.outer, pair.out.outer_len);
		assert_int_equal(pair.out.plain, family == 4);
		pair.out.tunnel.options = other;
		sa_context_derive(&pair.out);
		assert_false(pair.out.plain);
		assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
		assert_int_equal(lab.frame.data[family == 4 ? 8 : 7], 17);
		assert_int_equal(
			family == 4 ? lab.frame.data[1] : (lab.frame.data[0] << 4 | lab.frame.data[1] >> 4) & 0xff,
			10 << 2);
		assert_in_range(lab.frame.len, 500, 600);
		pair.out.tunnel.options = (struct tunnel_options){0};
		sa_context_derive(&pair.out);
		memcpy(after, pair.out.outer, pair.out.outer_len);
		assert_memory_equal(after, before, pair.out.outer_len);
		assert_int_equal(pair.out.plain, family == 4);
		assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
		assert_int_equal(lab.frame.data[family == 4 ? 8 : 7], 64);
		assert_int_equal(
			family == 4 ? lab.frame.data[1] : (lab.frame.data[0] << 4 | lab.frame.data[1] >> 4) & 0xff,
			46 << 2 | 2);
		assert_true(lab.frame.len < 200);
		assert_int_equal(pair.out.packets, 3);
		lab_pair_clear(&pair);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_df),
		cmocka_unit_test(test_traffic_class),
		cmocka_unit_test(test_ecn_off_in),
		cmocka_unit_test(test_ttl),
		cmocka_unit_test(test_flow_label),
		cmocka_unit_test(test_tfc),
		cmocka_unit_test(test_tfc_mtu),
		cmocka_unit_test(test_tfc_jumbo),
		cmocka_unit_test(test_derived_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
