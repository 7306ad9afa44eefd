/* SPDX-License-Identifier: Apache-2.0 */
/* What opening refuses, each for its reason, and what it learns of the peer. */
#include "tests/unit/esp_lab.h"

#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define REPLAY_BITS 1024u

static const struct esp_suite *gcm256(void)
{
	return esp_suite_find(20, 256, 0);
}

/* One bit of any byte from the SPI on: no packet with it gets through, and the reason is right. */
static void test_tampered(void **state)
{
	struct lab_form form;
	struct lab_pair pair;
	struct lab_frame sealed, lab;
	uint8_t packet[128];
	uint32_t len = lab_packet(packet, 4, 17, 33);

	(void)state;
	for (unsigned i = 0; lab_form_at(i, &form); i++) {
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
	struct lab_form form;
	struct lab_pair pair;
	struct lab_frame sealed, lab;
	uint8_t packet[128];
	uint32_t len = lab_packet(packet, 4, 17, 20);

	(void)state;
	for (unsigned i = 0; lab_form_at(i, &form); i++) {
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tampered),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_trailing_bytes),
		cmocka_unit_test(test_trailer),
		cmocka_unit_test(test_outer_form),
		cmocka_unit_test(test_replayed),
		cmocka_unit_test(test_peer_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
