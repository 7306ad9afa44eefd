/* SPDX-License-Identifier: Apache-2.0 */
/* Seal and open: every suite, every length, known answers; what an SA allows. */
#include "agent/contract.h"
#include "agent/overhead.h"
#include "agent/replay.h"
#include "tests/unit/esp_lab.h"

#include <errno.h>
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

static void test_suites(void **state)
{
	const struct esp_suite *suite;

	(void)state;
	for (unsigned i = 0; (suite = esp_suite_at(i)); i++) {
		assert_ptr_equal(esp_suite_find(suite->encr, suite->encr_key_bits, suite->integ), suite);
		assert_true(suite->encr_key_len <= SA_KEY_MAX && suite->integ_key_len <= SA_INTEG_KEY_MAX);
		assert_true(suite->iv_len <= ESP_IV_MAX && suite->icv_len <= ESP_ICV_MAX && suite->block >= 4);
	}
	assert_null(esp_suite_find(20, 256, 12));
	assert_null(esp_suite_find(12, 256, 0));
	assert_null(esp_suite_find(3, 192, 12));
}

/* Sealed, the packet has the length that overhead.h foretells; opened, it is the same again. */
static void round_trip(struct lab_pair *pair, const struct lab_form *form, uint8_t family, uint32_t payload_len)
{
	static struct lab_frame lab;
	uint8_t packet[FRAME_SIZE];
	uint32_t len = lab_packet(packet, family, 253, payload_len);
	struct frame *frame = lab_frame_set(&lab, packet, len);
	bool udp = form->flags & SA_UDP_ENCAP;
	bool hidden = form->suite->mode != SUITE_NULL && form->suite->mode != SUITE_GMAC;
	struct inner inner;

	assert_int_equal(lab_seal(pair, frame), DROP_NONE);
	assert_int_equal(frame->len, overhead_outer_len(form->suite, form->outer_family, udp, len));
	assert_true(overhead_inner_mtu(form->suite, form->outer_family, udp, frame->len) >= len);
	assert_true(overhead_inner_mtu(form->suite, form->outer_family, udp, frame->len - 1) < len);
	if (len >= 32 && hidden)
		assert_null(memmem(frame->data, frame->len, packet + len - 16, 16));
	assert_int_equal(esp_open(&pair->in, frame, &inner, 1), DROP_NONE);
	assert_int_equal(frame->len, len);
	assert_memory_equal(frame->data, packet, len);
	assert_int_equal(inner.len, len);
	assert_int_equal(inner.family, family);
}

static void test_round_trip(void **state)
{
	struct lab_form form;
	struct lab_pair pair;

	(void)state;
	for (unsigned i = 0; lab_form_at(i, &form); i++) {
		unsigned count = 0;

		assert_int_equal(lab_pair_init(&pair, form.suite, form.outer_family, form.flags, REPLAY_BITS), 0);
		for (uint32_t len = 0; len <= 1500; len += len < 160 ? 1 : 67, count += 2) {
			round_trip(&pair, &form, 4, len);
			round_trip(&pair, &form, 6, len);
		}
		assert_int_equal(pair.run_out.out_seq, count);
		assert_int_equal(pair.run_in.replay_top, count);
		assert_int_equal(pair.in.packets, count);
		lab_pair_clear(&pair);
	}
}

/* Every length there is, with the two suites that most peers choose. */
static void test_every_length(void **state)
{
	const struct lab_form forms[] = {{gcm256(), 4, 0}, {cbc256(), 6, SA_UDP_ENCAP}};
	struct lab_pair pair;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(
			lab_pair_init(&pair, forms[i].suite, forms[i].outer_family, forms[i].flags, REPLAY_BITS), 0);
		for (uint32_t len = 0; len <= FRAME_DATA_MAX - 40; len++)
			round_trip(&pair, &forms[i], 4, len);
		lab_pair_clear(&pair);
	}
}

/* ---- known answers ------------------------------------------------------------------------------------------- */

/*
 * Packets of others: AES-GCM from draft-mcgrew-gcm-test-01; AES-CBC from RFC 3602 4, case 8, which has no ICV: that one
 * was computed with another implementation of HMAC.
 */
struct known {
	const char *what;
	uint16_t encr, bits, integ;
	const char *key, *salt, *integ_key;
	uint64_t seq;
	const char *plain; /* padded, with trailer */
	const char *packet;
	bool esn;
};

static const struct known knowns[] = {
	{
		.what = "draft-mcgrew-gcm-test-01 2, first: AES-128",
		.encr = 20,
		.bits = 128,
		.key = "4c80cdefbb5d10da906ac73c3613a634",
		.salt = "2e443b68",
		.seq = UINT64_C(0x8765432100000000),
		.plain = "45000048 699a0000 80114db7 c0a80102 c0a80101 0a9bf156 38d30100 00010000"
			 "00000000 045f7369 70045f75 64700373 69700963 79626572 63697479 02646b00 00210001 01020201",
		.packet = "00004321 00000000 4956ed7e 3b244cfe fecf537e 729d5b07 dc30df52 8dd22b76 8d1b9873 6696a6fd "
			  "348509fa 13ceac34"
			  "cfa2436f 14a3f3cf 65925bf1 f4a13c5d 15b21e18 84f5ff62 47aeabb7 86b93bce 61bc17d7 68fd9732 "
			  "459018148f6cbe722fd04796"
			  "562dfdb4",
		.esn = true,
	},
	{
		.what = "RFC 3602 4, case 8",
		.encr = 12,
		.bits = 128,
		.integ = 12,
		.key = "0123456789abcdef0123456789abcdef",
		.salt = "",
		.integ_key = "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
		.seq = 5,
		.plain = "45000044 090c0000 4001f990 c0a87b03 c0a87bc8 0800d63c aa0a0200 c69c083d a3de0300 ffffffff "
			 "ffffffff ffffffff"
			 "ffffffff ffffffff ffffffff ffffffff ffffffff 01020304 05060708 090a0a04",
		.packet = "00008765 00000005 85d47224 b5f3dd5d 2101d4ea 8dffab22 15b92683 819596a8 047232cc 00f7048f "
			  "e45318e1 1f8a0f62"
			  "ede3c3fc 61203bb5 0f980a08 c9843fd3 a1b06d5c 07ff9639 b7eb7dfb 3512e5de 435e7207 ed971ef3 "
			  "d2726d9b 5ef6affc"
			  "6d17a0de cbb13892 314846b8 08cc0b45 048f6900 828e649c",
	},
	{
		.what = "RFC 3602 4, case 8, with a 64-bit sequence number",
		.encr = 12,
		.bits = 128,
		.integ = 12,
		.key = "0123456789abcdef0123456789abcdef",
		.salt = "",
		.integ_key = "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
		.seq = UINT64_C(0x700000005),
		.plain = "45000044 090c0000 4001f990 c0a87b03 c0a87bc8 0800d63c aa0a0200 c69c083d a3de0300 ffffffff "
			 "ffffffff ffffffff"
			 "ffffffff ffffffff ffffffff ffffffff ffffffff 01020304 05060708 090a0a04",
		.packet = "00008765 00000005 85d47224 b5f3dd5d 2101d4ea 8dffab22 15b92683 819596a8 047232cc 00f7048f "
			  "e45318e1 1f8a0f62"
			  "ede3c3fc 61203bb5 0f980a08 c9843fd3 a1b06d5c 07ff9639 b7eb7dfb 3512e5de 435e7207 ed971ef3 "
			  "d2726d9b 5ef6affc"
			  "6d17a0de cbb13892 490d2165 95a3125b ce300b62 fd8da517",
		.esn = true,
	},
};

static void test_known_answers(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(knowns) / sizeof(knowns[0]); i++) {
		const struct known *known = &knowns[i];
		const struct esp_suite *suite = esp_suite_find(known->encr, known->bits, known->integ);
		struct sa sa = {.direction = SA_IN, .flags = known->esn ? SA_ESN : 0};
		struct esp_cipher cipher;
		struct esp_job job;
		uint8_t packet[256], plain[256];
		size_t len = lab_hex(known->packet, packet), plain_len = lab_hex(known->plain, plain);

		lab_hex(known->key, sa.encr_key);
		lab_hex(known->salt, sa.salt);
		if (known->integ_key)
			lab_hex(known->integ_key, sa.integ_key);
		assert_int_equal(len, ESP_HEADER_LEN + suite->iv_len + plain_len + suite->icv_len);
		sa.protocol = IPPROTO_ESP;
		sa.encr = known->encr;
		sa.encr_key_bits = known->bits;
		sa.integ = known->integ;
		assert_int_equal(esp_cipher_init(&cipher, &sa), 0);
		job = (struct esp_job){
			.cipher = &cipher, .esp = packet, .seq = known->seq, .text_len = (uint32_t)plain_len};
		esp_jobs_open(&job, 1);
		assert_true(job.good);
		assert_memory_equal(packet + ESP_HEADER_LEN + suite->iv_len, plain, plain_len);
		esp_cipher_clear(&cipher);
	}
}

static void test_lifetime(void **state)
{
	struct lab_frame lab;
	struct lab_pair pair;
	uint8_t packet[128];
	uint32_t len = lab_packet(packet, 4, 17, 80);

	(void)state;
	assert_int_equal(lab_pair_init(&pair, gcm256(), 4, 0, REPLAY_BITS), 0);
	pair.out.sa.soft_packets = 2;
	pair.out.sa.hard_bytes = 250;
	sa_context_derive(&pair.out);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(sa_context_flush(&pair.out), 0);
	assert_int_equal(pair.run_out.packets, 1);
	assert_int_equal(pair.run_out.bytes, 100);
	assert_int_equal(pair.run_out.last_use_ns, 1);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(sa_context_flush(&pair.out), AGENT_EXPIRE_SOFT);
	assert_int_equal(sa_context_flush(&pair.out), 0);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_SA_EXPIRED);
	assert_int_equal(sa_context_flush(&pair.out), AGENT_EXPIRE_HARD);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_SA_EXPIRED);
	assert_int_equal(sa_context_flush(&pair.out), 0);
	assert_int_equal(pair.run_out.dropped_other, 2);
	assert_int_equal(pair.run_out.packets, 3);
	pair.in.sa.hard_ns = 1;
	sa_context_derive(&pair.in);
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_SA_EXPIRED);
	lab_pair_clear(&pair);

	/* by time: told once, with the first packet behind it */
	assert_int_equal(lab_pair_init(&pair, gcm256(), 4, 0, REPLAY_BITS), 0);
	pair.out.sa.soft_ns = 2;
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(sa_context_flush(&pair.out), 0);
	pair.out.sa.soft_ns = 1;
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(sa_context_flush(&pair.out), AGENT_EXPIRE_SOFT);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(sa_context_flush(&pair.out), 0);
	lab_pair_clear(&pair);
}

/* ---- the inner packet's rights ------------------------------------------------------------------------------- */

static void test_selectors(void **state)
{
	struct lab_pair pair;
	struct lab_frame lab;
	const struct {
		uint8_t protocol;
		uint16_t ports[2];
		uint8_t source, destination; /* last bytes of the addresses */
		uint16_t fragment;	     /* flags and offset */
		struct selector local, remote;
		enum drop_reason reason;
	} cases[] = {
#define LOCAL(p, a, b)                                                                                                 \
	{.family = 4, .protocol = p, .port_first = a, .port_last = b, .first = {10, 2, 0, 6}, .last = {10, 2, 0, 8}}
#define REMOTE(p, a, b)                                                                                                \
	{                                                                                                              \
		.family = 4, .protocol = p, .port_first = a, .port_last = b, .first = {10, 1, 0, 5}, .last = {         \
			10,                                                                                            \
			1,                                                                                             \
			0,                                                                                             \
			5                                                                                              \
		}                                                                                                      \
	}
#define ANY_LOCAL  LOCAL(0, 0, 65535)
#define ANY_REMOTE REMOTE(0, 0, 65535)
		{17, {1, 2}, 5, 7, 0, ANY_LOCAL, ANY_REMOTE, DROP_NONE},
		{17, {1, 2}, 5, 6, 0, ANY_LOCAL, ANY_REMOTE, DROP_NONE},
		{17, {1, 2}, 5, 8, 0, ANY_LOCAL, ANY_REMOTE, DROP_NONE},
		{17, {1, 2}, 5, 5, 0, ANY_LOCAL, ANY_REMOTE, DROP_SELECTOR_MISMATCH},
		{17, {1, 2}, 5, 9, 0, ANY_LOCAL, ANY_REMOTE, DROP_SELECTOR_MISMATCH},
		{17, {1, 2}, 4, 7, 0, ANY_LOCAL, ANY_REMOTE, DROP_SELECTOR_MISMATCH},
		{17, {1, 2}, 6, 7, 0, ANY_LOCAL, ANY_REMOTE, DROP_SELECTOR_MISMATCH},
		/* the peer's end is the packet's source: its port is the remote selector's */
		{17, {1000, 53}, 5, 7, 0, LOCAL(17, 53, 53), REMOTE(17, 1000, 1001), DROP_NONE},
		{17, {1001, 53}, 5, 7, 0, LOCAL(17, 53, 53), REMOTE(17, 1000, 1001), DROP_NONE},
		{17, {1002, 53}, 5, 7, 0, LOCAL(17, 53, 53), REMOTE(17, 1000, 1001), DROP_SELECTOR_MISMATCH},
		{17, {999, 53}, 5, 7, 0, LOCAL(17, 53, 53), REMOTE(17, 1000, 1001), DROP_SELECTOR_MISMATCH},
		{17, {1000, 54}, 5, 7, 0, LOCAL(17, 53, 53), REMOTE(17, 1000, 1001), DROP_SELECTOR_MISMATCH},
		{6, {1000, 53}, 5, 7, 0, LOCAL(17, 53, 53), REMOTE(17, 1000, 1001), DROP_SELECTOR_MISMATCH},
		{6, {1000, 53}, 5, 7, 0, LOCAL(0, 0, 65535), REMOTE(17, 0, 65535), DROP_SELECTOR_MISMATCH},
		/* ICMP: type 8 code 0 */
		{1, {0x0800, 0}, 5, 7, 0, LOCAL(1, 0x0800, 0x08ff), REMOTE(1, 0, 65535), DROP_NONE},
		{1, {0x0800, 0}, 5, 7, 0, LOCAL(1, 0x0000, 0x00ff), REMOTE(1, 0, 65535), DROP_SELECTOR_MISMATCH},
		/* fragments: the first has ports, later ones none */
		{17, {1000, 53}, 5, 7, 0x2000, LOCAL(17, 53, 53), ANY_REMOTE, DROP_NONE},
		{17, {1000, 53}, 5, 7, 0x2001, LOCAL(17, 53, 53), ANY_REMOTE, DROP_SELECTOR_MISMATCH},
		{17, {1000, 53}, 5, 7, 0x0001, LOCAL(17, 0, 65535), ANY_REMOTE, DROP_NONE},
		{17, {1000, 53}, 5, 7, 0x0001, LOCAL(17, 65535, 0), ANY_REMOTE, DROP_NONE}, /* OPAQUE */
		{17, {1000, 53}, 5, 7, 0, LOCAL(17, 65535, 0), ANY_REMOTE, DROP_SELECTOR_MISMATCH},
	};

	(void)state;
	assert_int_equal(lab_pair_init(&pair, gcm256(), 4, 0, REPLAY_BITS), 0);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t packet[64];
		uint32_t len = lab_packet(packet, 4, cases[i].protocol, 20);

		lab_ports(packet, cases[i].ports[0], cases[i].ports[1]);
		packet[15] = cases[i].source;
		packet[19] = cases[i].destination;
		lab_put16(packet + 6, cases[i].fragment);
		lab_ipv4_check(packet);
		pair.in.tunnel.local_count = pair.in.tunnel.remote_count = 2;
		pair.in.tunnel.local[0] = pair.in.tunnel.remote[0] = lab_selector("fd03::", "fd03::ffff");
		pair.in.tunnel.local[1] = cases[i].local;
		pair.in.tunnel.remote[1] = cases[i].remote;
		sa_context_derive(&pair.in);
		assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
		assert_int_equal(lab_open(&pair, &lab.frame), cases[i].reason);
	}
	lab_pair_clear(&pair);
}

/* RFC 6040 4.2, figure 4: rows inner, columns outer Not-ECT, ECT(1), ECT(0), CE in the order of the code points. */
static void test_ecn(void **state)
{
	enum { DROPPED = 9 };
	static const uint8_t merged[4][4] = {
		/* Not-ECT */ {0, 0, 0, DROPPED},
		/* ECT(1) */ {1, 1, 1, 3},
		/* ECT(0) */ {2, 1, 2, 3},
		/* CE */ {3, 3, 3, 3},
	};
	struct lab_pair pair;
	struct lab_frame lab;

	(void)state;
	assert_int_equal(lab_pair_init(&pair, gcm256(), 4, 0, REPLAY_BITS), 0);
	for (unsigned i = 0; i < 32; i++) {
		uint8_t packet[128], family = i & 16 ? 6 : 4, ecn = i >> 2 & 3, outer = i & 3;
		uint32_t len = lab_packet(packet, family, 17, 33);
		struct inner inner;
		enum drop_reason reason;

		if (family == 4)
			packet[1] = (uint8_t)(0x48 | ecn);
		else
			lab_put16(packet, 0x6480u | (unsigned)ecn << 4);
		if (family == 4)
			lab_ipv4_check(packet);
		assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
		assert_int_equal(lab.frame.data[1], 0x48 | ecn);
		lab.frame.data[1] = outer;
		reason = esp_open(&pair.in, &lab.frame, &inner, 1);
		if (merged[ecn][outer] == DROPPED) {
			assert_int_equal(reason, DROP_ECN_MISMATCH);
			continue;
		}
		assert_int_equal(reason, DROP_NONE);
		assert_int_equal(inner.traffic_class, 0x48 | merged[ecn][outer]);
		assert_true(inner_parse(lab.frame.data, lab.frame.len, &inner)); /* checksum included */
		assert_int_equal(inner.traffic_class, 0x48 | merged[ecn][outer]);
	}
	lab_pair_clear(&pair);
}

/* Slots that this agent cannot use. */
static void test_context_refuses(void **state)
{
	struct tunnel tunnel = lab_tunnel();
	struct sa_run run = {0};
	struct sa_context ctx;
	const struct sa good = lab_sa_out(gcm256(), 4, SA_UDP_ENCAP);
	struct sa sa;

	(void)state;
#define REFUSED(change, error)                                                                                         \
	do {                                                                                                           \
		sa = good;                                                                                             \
		change;                                                                                                \
		assert_int_equal(sa_context_init(&ctx, &sa, &tunnel, &run), error);                                    \
	} while (0)
	REFUSED(sa.encr = 3, -EOPNOTSUPP);
	REFUSED(sa.encr_key_bits = 64, -EOPNOTSUPP);
	REFUSED(sa.integ = 2, -EOPNOTSUPP);
	REFUSED(sa.protocol = 52, -EOPNOTSUPP);
	REFUSED(sa.mode = 3, -EINVAL);
	REFUSED(sa.flags |= 0x8000, -EOPNOTSUPP);
	REFUSED(sa.direction = 0, -EINVAL);
	REFUSED(lab_mapped("2001:db8::9", &sa.remote), -EINVAL);
	REFUSED(sa.remote_port = 0, -EINVAL);
	REFUSED(sa.replay_bits = 100, -EINVAL);
	REFUSED(sa.replay_bits = 16, -EINVAL);
	REFUSED(sa.replay_bits = 16384, -EINVAL);
	REFUSED((sa.direction = SA_IN, sa.flags |= SA_ESN), -EINVAL);
#undef REFUSED
	sa_context_clear(&ctx);
	assert_int_equal(sa_context_init(&ctx, &good, &tunnel, &run), 0);
	for (unsigned i = 0; i < SA_KEY_MAX; i++)
		assert_int_equal(ctx.sa.encr_key[i], 0);
	assert_null(memmem(&ctx.sa, sizeof(ctx.sa), good.salt, 4));
	sa_context_clear(&ctx);
	sa_context_clear(&ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_suites),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_lifetime),
		cmocka_unit_test(test_selectors),
		cmocka_unit_test(test_ecn),
		cmocka_unit_test(test_context_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
