/* SPDX-License-Identifier: Apache-2.0 */
/* Seal and open: every suite, every length, every way to die. */
#include "agent/contract.h"
#include "agent/overhead.h"
#include "agent/replay.h"
#include "tests/unit/esp_lab.h"

#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
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

struct form {
	const struct esp_suite *suite;
	uint8_t outer_family;
	uint16_t flags;
};

/* Every suite in every outer form; false past the end. */
static bool form_at(unsigned index, struct form *form)
{
	static const uint16_t flags[] = {0, SA_UDP_ENCAP, SA_ESN, SA_UDP_ENCAP | SA_ESN};

	form->suite = esp_suite_at(index / 8);
	form->outer_family = index / 4 % 2 ? 6 : 4;
	form->flags = flags[index % 4];
	return form->suite != NULL;
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
static void round_trip(struct lab_pair *pair, const struct form *form, uint8_t family, uint32_t payload_len)
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
	struct form form;
	struct lab_pair pair;

	(void)state;
	for (unsigned i = 0; form_at(i, &form); i++) {
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
	const struct form forms[] = {{gcm256(), 4, 0}, {cbc256(), 6, SA_UDP_ENCAP}};
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

/* ---- the outer headers --------------------------------------------------------------------------------------- */

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

/* ---- ways to die --------------------------------------------------------------------------------------------- */

/* One bit of any byte from the SPI on: no packet with it gets through, and the reason is right. */
static void test_tampered(void **state)
{
	struct form form;
	struct lab_pair pair;
	struct lab_frame sealed, lab;
	uint8_t packet[128];
	uint32_t len = lab_packet(packet, 4, 17, 33);

	(void)state;
	for (unsigned i = 0; form_at(i, &form); i++) {
		uint32_t esp_off = (form.outer_family == 4 ? 20u : 40u) + (form.flags & SA_UDP_ENCAP ? 8u : 0u);

		assert_int_equal(lab_pair_init(&pair, form.suite, form.outer_family, form.flags, REPLAY_BITS), 0);
		assert_int_equal(lab_seal(&pair, lab_frame_set(&sealed, packet, len)), DROP_NONE);
		for (uint32_t at = esp_off; at < sealed.frame.len; at++) {
			enum drop_reason reason;

			lab_frame_set(&lab, sealed.frame.data, sealed.frame.len)->meta = sealed.frame.meta;
			lab.frame.data[at] ^= (uint8_t)(1 << at % 8);
			reason = lab_open(&pair, &lab.frame);
			if (at < esp_off + 4)
				assert_int_equal(reason, DROP_SPI_UNKNOWN);
			else
				assert_int_equal(reason, DROP_ICV_BAD);
		}
		assert_int_equal(pair.in.dropped_icv, sealed.frame.len - esp_off - 4);
		assert_int_equal(pair.run_in.replay_top, 0); /* what is not authentic moves nothing */
		assert_int_equal(lab_open(&pair, &sealed.frame), DROP_NONE);
		lab_pair_clear(&pair);
	}
	assert_int_equal(ERR_peek_error(), 0);
}

/* Cut anywhere, lengths in the headers adjusted or not. */
static void test_short(void **state)
{
	struct form form;
	struct lab_pair pair;
	struct lab_frame sealed, lab;
	uint8_t packet[128];
	uint32_t len = lab_packet(packet, 4, 17, 20);

	(void)state;
	for (unsigned i = 0; form_at(i, &form); i++) {
		uint32_t ip_len = form.outer_family == 4 ? 20 : 40, udp_len = form.flags & SA_UDP_ENCAP ? 8 : 0;

		assert_int_equal(lab_pair_init(&pair, form.suite, form.outer_family, form.flags, REPLAY_BITS), 0);
		assert_int_equal(lab_seal(&pair, lab_frame_set(&sealed, packet, len)), DROP_NONE);
		for (uint32_t cut = 0; cut < sealed.frame.len; cut++) {
			enum drop_reason reason;

			lab_frame_set(&lab, sealed.frame.data, cut)->meta = sealed.frame.meta;
			assert_int_equal(lab_open(&pair, &lab.frame), DROP_PACKET_MALFORMED);
			if (cut < ip_len + udp_len)
				continue;
			lab_frame_set(&lab, sealed.frame.data, cut)->meta = sealed.frame.meta;
			if (form.outer_family == 4)
				lab_put16(lab.frame.data + 2, cut);
			else
				lab_put16(lab.frame.data + 4, cut - 40);
			if (udp_len)
				lab_put16(lab.frame.data + ip_len + 4, cut - ip_len);
			reason = lab_open(&pair, &lab.frame);
			assert_true(reason == DROP_ESP_SHORT || reason == DROP_ICV_BAD);
			if (cut < ip_len + udp_len + 8u + form.suite->iv_len + form.suite->block + form.suite->icv_len)
				assert_int_equal(reason, DROP_ESP_SHORT);
			else if ((sealed.frame.len - cut) % form.suite->block)
				assert_int_equal(reason, DROP_ESP_SHORT);
		}
		lab_pair_clear(&pair);
	}
}

/* What comes behind the outer packet in the frame, such as Ethernet padding, is not looked at. */
static void test_trailing_bytes(void **state)
{
	struct lab_frame lab;
	struct lab_pair pair;
	uint8_t packet[128];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(
			lab_pair_init(&pair, gcm256(), i % 2 ? 4 : 6, i / 2 ? SA_UDP_ENCAP : 0, REPLAY_BITS), 0);
		assert_int_equal(
			lab_seal(&pair, lab_frame_set(&lab, packet, lab_packet(packet, 4, 17, 33))), DROP_NONE);
		lab.frame.len += 13;
		assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);
		assert_int_equal(lab.frame.len, 53);
		lab_pair_clear(&pair);
	}
}

/* Seal any plaintext, trailer and all, as a peer would that keeps no rules. */
static enum drop_reason open_crafted(struct lab_pair *pair, const void *plain, uint32_t plain_len)
{
	static struct lab_frame lab;
	const struct esp_suite *suite = pair->out.suite;
	struct frame *frame = lab_frame_set(&lab, plain, plain_len);
	uint32_t seq = htonl((uint32_t)++pair->run_out.out_seq);
	struct esp_job job;

	memcpy(frame_push(frame, ESP_HEADER_LEN + suite->iv_len), &pair->out.sa.spi, 4);
	memcpy(frame->data + 4, &seq, 4);
	job = (struct esp_job){
		.cipher = &pair->out.cipher, .esp = frame->data, .seq = pair->run_out.out_seq, .text_len = plain_len};
	esp_jobs_seal(&job, 1);
	assert_true(job.good);
	frame->len += suite->icv_len;
	memcpy(frame_push(frame, 20), pair->out.outer, 20);
	lab_put16(frame->data + 2, frame->len);
	lab_meta_in(frame, 0);
	return lab_open(pair, frame);
}

static void test_trailer(void **state)
{
	struct lab_pair pair;
	uint8_t packet[600], plain[600];
	uint32_t len = lab_packet(packet, 4, 17, 10); /* 30 bytes: trailer makes 32 */
	const struct {
		uint32_t inner_len;
		uint8_t padding[40];
		uint8_t padding_len, pad_length, next_header;
		enum drop_reason reason;
	} cases[] = {
		{len, {0}, 0, 0, 4, DROP_NONE},
		{len, {1, 2, 3, 4}, 4, 4, 4, DROP_NONE}, /* more padding than needed */
		{len, {9, 9, 9, 9}, 4, 0, 4, DROP_NONE}, /* TFC padding behind the inner packet */
		{len, {9, 9, 1, 2}, 4, 2, 4, DROP_NONE}, /* both */
		{len, {1, 2, 3, 5}, 4, 4, 4, DROP_PADDING_BAD},
		{len, {0, 1, 2, 3}, 4, 4, 4, DROP_PADDING_BAD},
		{len, {0, 0, 0, 0}, 4, 4, 4, DROP_PADDING_BAD},
		{len, {0}, 0, 31, 4, DROP_PADDING_BAD}, /* longer than the packet */
		{len, {0}, 0, 255, 4, DROP_PADDING_BAD},
		{len, {0}, 0, 0, 59, DROP_DUMMY},
		{0, {0}, 2, 0, 59, DROP_DUMMY},		    /* nothing in it */
		{len, {0}, 0, 0, 41, DROP_INNER_MALFORMED}, /* says IPv6, is IPv4 */
		{len, {0}, 0, 0, 6, DROP_NEXT_HEADER_BAD},  /* transport mode */
		{len, {0}, 0, 0, 0, DROP_NEXT_HEADER_BAD},
		{len, {0}, 0, 0, 50, DROP_NEXT_HEADER_BAD},
		{len - 4, {0}, 0, 0, 4, DROP_INNER_MALFORMED}, /* less than the inner header says */
		{0, {0}, 2, 0, 4, DROP_INNER_MALFORMED},
		{0, {1, 2}, 2, 2, 4, DROP_INNER_MALFORMED},
	};

	(void)state;
	assert_int_equal(lab_pair_init(&pair, gcm256(), 4, 0, REPLAY_BITS), 0);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t at = cases[i].inner_len;

		memcpy(plain, packet, at);
		memcpy(plain + at, cases[i].padding, cases[i].padding_len);
		at += cases[i].padding_len;
		plain[at++] = cases[i].pad_length;
		plain[at++] = cases[i].next_header;
		assert_int_equal(open_crafted(&pair, plain, at), cases[i].reason);
	}
	/* 255 bytes of padding are the most there can be. */
	memcpy(plain, packet, 31);
	for (unsigned i = 0; i < 255; i++)
		plain[31 + i] = (uint8_t)(i + 1);
	lab_put16(plain + 2, 31);
	lab_ipv4_check(plain);
	plain[286] = 255;
	plain[287] = 4;
	assert_int_equal(open_crafted(&pair, plain, 288), DROP_NONE);
	lab_pair_clear(&pair);
}

static void test_outer_form(void **state)
{
	struct lab_frame lab;
	struct lab_pair plain, udp;
	uint8_t packet[128];
	uint32_t len = lab_packet(packet, 4, 17, 33);

	(void)state;
	assert_int_equal(lab_pair_init(&plain, gcm256(), 4, 0, REPLAY_BITS), 0);
	assert_int_equal(lab_pair_init(&udp, gcm256(), 4, SA_UDP_ENCAP, REPLAY_BITS), 0);
	assert_int_equal(lab_seal(&plain, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(lab_open(&udp, &lab.frame), DROP_OUTER_MISMATCH);
	assert_int_equal(lab_seal(&udp, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(lab_open(&plain, &lab.frame), DROP_OUTER_MISMATCH);
	assert_int_equal(lab_seal(&plain, lab_frame_set(&lab, packet, len)), DROP_NONE);
	lab_put16(lab.frame.data + 6, 0x2000);
	assert_int_equal(lab_open(&plain, &lab.frame), DROP_ESP_FRAGMENT);
	lab_put16(lab.frame.data + 6, 0x0001);
	assert_int_equal(lab_open(&plain, &lab.frame), DROP_ESP_FRAGMENT);
	lab_pair_clear(&plain);
	lab_pair_clear(&udp);
}

static void test_replayed(void **state)
{
	struct lab_frame first, lab;
	struct lab_pair pair;
	uint8_t packet[128];
	uint32_t len = lab_packet(packet, 4, 17, 33);

	(void)state;
	assert_int_equal(lab_pair_init(&pair, gcm256(), 4, 0, 64), 0);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&first, packet, len)), DROP_NONE);
	lab_frame_set(&lab, first.frame.data, first.frame.len)->meta = first.frame.meta;
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);
	lab_frame_set(&lab, first.frame.data, first.frame.len)->meta = first.frame.meta;
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_REPLAY);
	pair.run_out.out_seq = 64;
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);
	lab_frame_set(&lab, first.frame.data, first.frame.len)->meta = first.frame.meta;
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_REPLAY_OLD);
	lab_frame_set(&lab, first.frame.data, first.frame.len)->meta = first.frame.meta;
	memset(lab.frame.data + 24, 0, 4);
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_SEQ_ZERO);
	assert_int_equal(pair.in.dropped_replay, 3);
	lab_pair_clear(&pair);
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

/* The peer behind a NAT moves: told by the newest authentic packet, never by a forged or a late one. */
static void test_peer_moved(void **state)
{
	struct lab_frame lab, late;
	struct lab_pair pair;
	struct addr16 seen;
	uint16_t port;
	uint8_t packet[128];
	uint32_t len = lab_packet(packet, 4, 17, 33);

	(void)state;
	assert_int_equal(lab_pair_init(&pair, gcm256(), 4, SA_UDP_ENCAP, REPLAY_BITS), 0);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&late, packet, len)), DROP_NONE);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);
	assert_int_equal(pair.run_in.seen_remote_port, 0);

	lab_put16(late.frame.data + 20, 7777);
	assert_int_equal(lab_open(&pair, &late.frame), DROP_NONE);
	assert_int_equal(pair.run_in.seen_remote_port, 0);

	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	lab_put16(lab.frame.data + 20, 7777);
	lab.frame.data[lab.frame.len - 1] ^= 1;
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_ICV_BAD);
	assert_int_equal(pair.run_in.seen_remote_port, 0);

	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	lab_put16(lab.frame.data + 20, 7777);
	lab.frame.data[15] = 99;
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);
	assert_int_equal(pair.run_in.seen_remote_port, 7777);
	assert_true(esp_moved(&pair.in, &seen, &port));
	assert_int_equal(port, 7777);
	assert_memory_equal(&seen, &pair.run_in.seen_remote, sizeof(seen));
	assert_memory_equal(pair.run_in.seen_remote.bytes + 10, ((uint8_t[]){0xff, 0xff, 192, 0, 2, 99}), 6);

	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);
	assert_int_equal(pair.run_in.seen_remote_port, 0);
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

/* ---- several workers, one SA ---------------------------------------------------------------------------------- */

#define WORKERS	       3u
#define WORKER_PACKETS 3000u

struct worker_load {
	struct sa_context ctx;
	const struct lab_frame *sealed; /* to open */
	uint32_t seqs[WORKER_PACKETS];	/* that sealing took */
	unsigned opened, replayed, failed;
};

static void *seal_many(void *argument)
{
	struct worker_load *load = argument;
	struct lab_frame lab;
	uint8_t packet[64];
	uint32_t len = lab_packet(packet, 4, 17, 8);

	for (unsigned i = 0; i < WORKER_PACKETS; i++) {
		struct frame *frame = lab_frame_set(&lab, packet, len);
		struct inner inner;

		if (!inner_parse(frame->data, len, &inner) || esp_seal(&load->ctx, frame, &inner, 1) != DROP_NONE)
			load->failed++;
		else
			load->seqs[i] = (uint32_t)(frame->data[24] << 24 | frame->data[25] << 16 |
						   frame->data[26] << 8 | frame->data[27]);
	}
	return NULL;
}

static void *open_many(void *argument)
{
	struct worker_load *load = argument;
	struct lab_frame lab;

	for (unsigned i = 0; i < WORKER_PACKETS; i++) {
		const struct frame *sealed = &load->sealed[i].frame;
		struct frame *frame = lab_frame_set(&lab, sealed->data, sealed->len);
		struct inner inner;
		enum drop_reason reason;

		frame->meta = sealed->meta;
		reason = esp_open(&load->ctx, frame, &inner, 1);
		if (reason == DROP_NONE)
			load->opened++;
		else if (reason == DROP_REPLAY || reason == DROP_REPLAY_OLD)
			load->replayed++;
		else
			load->failed++;
	}
	return NULL;
}

static void run_workers(struct worker_load *loads, void *(*work)(void *))
{
	pthread_t threads[WORKERS];

	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, &loads[i]), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
}

/* Sealing at once, no number is taken twice, and none is left out. */
static void test_workers_seal(void **state)
{
	static struct worker_load loads[WORKERS];
	static uint8_t taken[WORKERS * WORKER_PACKETS + 1];
	struct tunnel tunnel = lab_tunnel();
	struct sa sa = lab_sa_out(gcm256(), 4, 0);
	struct sa_run run = {0};

	(void)state;
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(sa_context_init(&loads[i].ctx, &sa, &tunnel, &run), 0);
	run_workers(loads, seal_many);
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(loads[i].failed, 0);
		for (unsigned j = 0; j < WORKER_PACKETS; j++) {
			assert_in_range(loads[i].seqs[j], 1, WORKERS * WORKER_PACKETS);
			assert_int_equal(taken[loads[i].seqs[j]]++, 0);
		}
		sa_context_flush(&loads[i].ctx);
		sa_context_clear(&loads[i].ctx);
	}
	assert_int_equal(run.packets, WORKERS * WORKER_PACKETS);
}

/* Opening the same packets at once, each is let through once. */
static void test_workers_open(void **state)
{
	static struct worker_load loads[WORKERS];
	static struct lab_frame sealed[WORKER_PACKETS];
	struct lab_pair pair;
	struct tunnel tunnel = lab_tunnel();
	struct sa out = lab_sa_out(gcm256(), 4, 0), in = lab_sa_in(&out, REPLAY_BITS_MAX);
	atomic_flag replay_lock = ATOMIC_FLAG_INIT;
	uint8_t packet[64];
	uint32_t len = lab_packet(packet, 4, 17, 8);
	unsigned opened = 0;

	(void)state;
	assert_int_equal(lab_pair_init(&pair, gcm256(), 4, 0, REPLAY_BITS_MAX), 0);
	for (unsigned i = 0; i < WORKER_PACKETS; i++)
		assert_int_equal(lab_seal(&pair, lab_frame_set(&sealed[i], packet, len)), DROP_NONE);
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(sa_context_init(&loads[i].ctx, &in, &tunnel, &pair.run_in), 0);
		loads[i].ctx.replay_lock = &replay_lock;
		loads[i].sealed = sealed;
	}
	run_workers(loads, open_many);
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(loads[i].failed, 0);
		opened += loads[i].opened;
		sa_context_clear(&loads[i].ctx);
	}
	assert_int_equal(opened, WORKER_PACKETS);
	lab_pair_clear(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_suites),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_outer_ipv4),
		cmocka_unit_test(test_outer_ipv6),
		cmocka_unit_test(test_outer_df),
		cmocka_unit_test(test_cbc_iv),
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_tampered),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_trailing_bytes),
		cmocka_unit_test(test_trailer),
		cmocka_unit_test(test_outer_form),
		cmocka_unit_test(test_replayed),
		cmocka_unit_test(test_sequence_end),
		cmocka_unit_test(test_lifetime),
		cmocka_unit_test(test_selectors),
		cmocka_unit_test(test_ecn),
		cmocka_unit_test(test_peer_moved),
		cmocka_unit_test(test_context_refuses),
		cmocka_unit_test(test_workers_seal),
		cmocka_unit_test(test_workers_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
