/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bad input, exhaustively: every length, every padding, every place that a header may claim to be at. Each packet has
 * the one reason to die that its bytes give, and nothing outside of it is read.
 */
#include "agent/wire.h"
#include "tests/unit/esp_lab.h"

#include <sanitizer/asan_interface.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define REPLAY_BITS 1024u

/* The forms of a packet in which these tests run: two suites x mode x family x encapsulation. */
struct form {
	struct lab_pair pair;
	const struct esp_suite *suite;
	bool transport;
	uint8_t family;
	uint16_t flags;
	uint32_t ip_len;
	uint32_t esp_off;
};

static bool form_init(struct form *form, unsigned index)
{
	memset(form, 0, sizeof(*form));
	if (index >= 16)
		return false;
	form->suite = index & 1 ? esp_suite_find(12, 256, 12) : esp_suite_find(20, 256, 0);
	form->transport = index & 2;
	form->family = index & 4 ? 6 : 4;
	form->flags = index & 8 ? SA_UDP_ENCAP : 0;
	form->ip_len = form->family == 4 ? WIRE_IPV4_LEN : WIRE_IPV6_LEN;
	form->esp_off = form->ip_len + (form->flags ? WIRE_UDP_LEN : 0);
	assert_int_equal((form->transport ? lab_pair_init_transport : lab_pair_init)(
				 &form->pair, form->suite, form->family, form->flags, REPLAY_BITS),
		0);
	return true;
}

/* The lengths in the outer headers, as if the packet had `len` bytes. */
static void set_lengths(const struct form *form, uint8_t *ip, uint32_t len)
{
	if (form->family == 4)
		lab_put16(ip + 2, len);
	else
		lab_put16(ip + 4, len - WIRE_IPV6_LEN);
	if (form->flags)
		lab_put16(ip + form->ip_len + 4, len - form->ip_len);
}

/* Open a copy of these bytes, with nothing behind them that may be read. */
static enum drop_reason open_bytes(
	struct form *form, const uint8_t *bytes, uint32_t len, const struct packet_meta *meta, struct inner *inner)
{
	static struct lab_frame lab;
	struct frame *frame = lab_frame_set(&lab, bytes, len);
	uint8_t *end = frame->data + len;
	enum drop_reason reason;

	frame->meta = *meta;
	ASAN_POISON_MEMORY_REGION(end, (size_t)(lab.chunk + FRAME_SIZE - end));
	reason = esp_open(&form->pair.in, frame, inner, 1);
	ASAN_UNPOISON_MEMORY_REGION(lab.chunk, FRAME_SIZE);
	return reason;
}

/* Any plaintext, trailer and all, sealed as by a peer that keeps no rules, `before` bytes of headers before ESP. */
static struct frame *craft(struct form *form, struct lab_frame *lab, const void *plain, uint32_t plain_len)
{
	struct lab_pair *pair = &form->pair;
	struct frame *frame = lab_frame_set(lab, plain, plain_len);
	uint32_t seq = htonl((uint32_t)++pair->run_out.out_seq);
	struct esp_job job = {.cipher = &pair->out.cipher, .seq = pair->run_out.out_seq, .text_len = plain_len};

	memcpy(frame_push(frame, ESP_HEADER_LEN + form->suite->iv_len), &pair->out.sa.spi, 4);
	memcpy(frame->data + 4, &seq, 4);
	job.esp = frame->data;
	esp_jobs_seal(&job, 1);
	assert_true(job.good);
	frame->len += form->suite->icv_len;
	memcpy(frame_push(frame, pair->out.outer_len), pair->out.outer, pair->out.outer_len);
	set_lengths(form, frame->data, frame->len);
	lab_meta_in(frame, form->flags);
	return frame;
}

static enum drop_reason open_crafted(struct form *form, const void *plain, uint32_t plain_len, struct inner *inner)
{
	static struct lab_frame lab;
	struct frame *frame = craft(form, &lab, plain, plain_len);

	return open_bytes(form, frame->data, frame->len, &frame->meta, inner);
}

/* A sealed packet of `payload_len` bytes behind the inner IP header. */
static struct frame *seal(struct form *form, struct lab_frame *lab, uint32_t payload_len)
{
	uint8_t packet[FRAME_SIZE];
	uint32_t len = lab_packet(packet, form->family, 253, payload_len);

	if (form->transport)
		lab_between_peers(packet);
	assert_int_equal(lab_seal(&form->pair, lab_frame_set(lab, packet, len)), DROP_NONE);
	return &lab->frame;
}

/* ---- lengths ------------------------------------------------------------------------------------------------- */

/* What the headers and the suite say of a packet of `len` bytes that nobody has sealed. */
static enum drop_reason fate_of_length(const struct form *form, uint32_t len)
{
	uint32_t text_off = ESP_HEADER_LEN + form->suite->iv_len, esp_len;

	if (len < form->esp_off)
		return DROP_PACKET_MALFORMED;
	esp_len = len - form->esp_off;
	if (esp_len < text_off + form->suite->block + form->suite->icv_len ||
		(esp_len - text_off - form->suite->icv_len) % form->suite->block)
		return DROP_ESP_SHORT;
	return DROP_ICV_BAD;
}

/* From nothing to a full frame: the headers say how long it is, and then that it is a byte longer. */
static void test_every_length(void **state)
{
	static uint8_t bytes[FRAME_SIZE];
	struct form form;
	struct inner inner;

	(void)state;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + 7);
	for (unsigned i = 0; form_init(&form, i); i++) {
		struct packet_meta meta = {.kind = META_ESP_IN, .family = form.family};

		meta.flags = form.flags ? META_UDP_ENCAP : 0;
		meta.payload_off = (uint16_t)form.esp_off;
		memcpy(bytes, form.pair.out.outer, form.pair.out.outer_len);
		memcpy(bytes + form.esp_off, &form.pair.out.sa.spi, 4);
		memcpy(bytes + form.esp_off + 4, (uint8_t[]){0, 0, 0, 1}, 4);
		for (uint32_t len = 0; len <= FRAME_DATA_MAX; len++) {
			enum drop_reason fate = fate_of_length(&form, len);

			set_lengths(&form, bytes, len);
			assert_int_equal(open_bytes(&form, bytes, len, &meta, &inner), fate);
			set_lengths(&form, bytes, len + 1);
			assert_int_equal(open_bytes(&form, bytes, len, &meta, &inner), DROP_PACKET_MALFORMED);
		}
		assert_int_equal(form.pair.run_in.replay_top, 0);
		lab_pair_clear(&form.pair);
	}
}

/* A good packet whose IP or UDP header names any other length: never opened, and for the reason that the length gives.
 */
static void test_lengths_that_lie(void **state)
{
	struct form form;
	struct inner inner;

	(void)state;
	for (unsigned i = 0; form_init(&form, i); i++) {
		static struct lab_frame lab;
		struct frame *frame = seal(&form, &lab, 60);
		uint32_t len = frame->len;

		for (uint32_t said = 0; said <= UINT16_MAX; said += said < 600 ? 1 : 97) {
			uint32_t ip_said = form.family == 4 ? said : said + WIRE_IPV6_LEN;
			enum drop_reason fate =
				ip_said < form.esp_off ? DROP_ESP_SHORT : fate_of_length(&form, ip_said);

			/* In UDP that header says what it should, and the IP packet is shorter. */
			if (ip_said > len || form.flags)
				fate = DROP_PACKET_MALFORMED;
			if (ip_said == len)
				continue;
			set_lengths(&form, frame->data, len);
			lab_put16(frame->data + (form.family == 4 ? 2 : 4), said);
			assert_int_equal(open_bytes(&form, frame->data, len, &frame->meta, &inner), fate);
		}
		for (uint32_t said = 0; form.flags && said <= UINT16_MAX; said += said < 600 ? 1 : 97) {
			enum drop_reason fate = said < WIRE_UDP_LEN || form.ip_len + said > len
							? DROP_PACKET_MALFORMED
							: fate_of_length(&form, form.ip_len + said);

			if (form.ip_len + said == len)
				continue;
			set_lengths(&form, frame->data, len);
			lab_put16(frame->data + form.ip_len + 4, said);
			assert_int_equal(open_bytes(&form, frame->data, len, &frame->meta, &inner), fate);
		}
		set_lengths(&form, frame->data, len);
		assert_int_equal(open_bytes(&form, frame->data, len, &frame->meta, &inner), DROP_NONE);
		lab_pair_clear(&form.pair);
	}
}

/* Whatever offsets the metadata names: only the right ones open the packet. */
static void test_every_offset(void **state)
{
	struct form form;
	struct inner inner;

	(void)state;
	for (unsigned i = 0; form_init(&form, i); i++) {
		static struct lab_frame lab;
		struct frame *frame = seal(&form, &lab, 20);
		struct packet_meta meta = frame->meta;

		for (uint32_t l3_off = 0; l3_off <= frame->len + 8; l3_off += l3_off < 24 ? 1 : 13) {
			for (uint32_t payload_off = 0; payload_off <= frame->len + 40; payload_off++) {
				if (!l3_off && payload_off == form.esp_off)
					continue;
				meta.l3_off = (uint16_t)l3_off;
				meta.payload_off = (uint16_t)payload_off;
				assert_int_not_equal(
					open_bytes(&form, frame->data, frame->len, &meta, &inner), DROP_NONE);
			}
		}
		assert_int_equal(form.pair.run_in.replay_top, 0);
		assert_int_equal(open_bytes(&form, frame->data, frame->len, &frame->meta, &inner), DROP_NONE);
		lab_pair_clear(&form.pair);
	}
}

/* ---- padding ------------------------------------------------------------------------------------------------- */

/* An inner packet with as many bytes as leave a whole number of blocks, and what is put behind it. */
static uint32_t put_plain(const struct form *form, uint8_t *plain, uint32_t padding, uint8_t *next_header)
{
	uint32_t header_len = form->transport ? 0 : form->ip_len, len = header_len + 8;

	while ((len + padding + ESP_TRAILER_LEN) % form->suite->block)
		len++;
	*next_header = form->transport ? 253 : form->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	if (form->transport)
		memset(plain, 0x5a, len);
	else
		lab_packet(plain, form->family, 253, len - header_len);
	for (uint32_t i = 0; i < padding; i++)
		plain[len + i] = (uint8_t)(i + 1);
	plain[len + padding] = (uint8_t)padding;
	plain[len + padding + 1] = *next_header;
	return len;
}

/* Each length of padding as it should be, then with each of its bytes wrong. */
static void test_every_padding(void **state)
{
	uint8_t plain[400], next_header;
	struct form form;
	struct inner inner;

	(void)state;
	for (unsigned i = 0; form_init(&form, i); i++) {
		for (uint32_t padding = 0; padding <= 255; padding++) {
			uint32_t len = put_plain(&form, plain, padding, &next_header);
			uint32_t whole = len + padding + ESP_TRAILER_LEN;

			assert_int_equal(open_crafted(&form, plain, whole, &inner), DROP_NONE);
			assert_int_equal(inner.len, form.transport ? form.ip_len + len : len);
			for (uint32_t at = 0; at < padding; at++) {
				plain[len + at] ^= (uint8_t)(1u << at % 8);
				assert_int_equal(open_crafted(&form, plain, whole, &inner), DROP_PADDING_BAD);
				plain[len + at] = (uint8_t)(at + 1);
			}
		}
		lab_pair_clear(&form.pair);
	}
}

/* More padding than there is packet. */
static void test_padding_longer_than_the_packet(void **state)
{
	uint8_t plain[400];
	struct form form;
	struct inner inner;

	(void)state;
	for (unsigned i = 0; form_init(&form, i); i++) {
		for (uint32_t whole = form.suite->block; whole <= 64; whole += form.suite->block) {
			for (uint32_t padding = whole - 1; padding <= 255; padding++) {
				for (uint32_t at = 0; at < whole;
					at++) /* as if the rest of it stood before the packet */
					plain[at] = (uint8_t)(padding - whole + ESP_TRAILER_LEN + at + 1);
				plain[whole - 2] = (uint8_t)padding;
				plain[whole - 1] = form.transport ? 17 : IPPROTO_IPIP;
				assert_int_equal(open_crafted(&form, plain, whole, &inner), DROP_PADDING_BAD);
			}
		}
		lab_pair_clear(&form.pair);
	}
}

/* ---- what is inside ------------------------------------------------------------------------------------------ */

/* Every next header. A tunnel carries IP and dummies alone; transport mode whatever stands behind an IP header. */
static void test_every_next_header(void **state)
{
	uint8_t plain[128], ignored;
	struct form form;
	struct inner inner;

	(void)state;
	for (unsigned i = 0; form_init(&form, i); i++) {
		for (unsigned next = 0; next <= 255; next++) {
			uint32_t len = put_plain(&form, plain, 2, &ignored);
			enum drop_reason reason;

			plain[len + 3] = (uint8_t)next;
			reason = open_crafted(&form, plain, len + 4, &inner);
			if (next == WIRE_NEXT_DUMMY)
				assert_int_equal(reason, DROP_DUMMY);
			else if (form.transport)
				assert_true(reason == DROP_NONE || reason == DROP_INNER_MALFORMED);
			else if (next == IPPROTO_IPIP || next == IPPROTO_IPV6)
				assert_int_equal(reason, next == (form.family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6)
								 ? DROP_NONE
								 : DROP_INNER_MALFORMED);
			else
				assert_int_equal(reason, DROP_NEXT_HEADER_BAD);
		}
		lab_pair_clear(&form.pair);
	}
}

/* ESP in ESP: the inner one is a packet like any other, whole, and not opened here; cut anywhere it is malformed. */
static void test_nested(void **state)
{
	static struct lab_frame nest, lab;
	uint8_t plain[1024];
	struct form form;
	struct inner inner;

	(void)state;
	for (unsigned i = 0; form_init(&form, i); i++) {
		struct frame *frame;
		uint32_t len, more;

		len = seal(&form, &nest, 40)->len;
		lab_within_tunnel(nest.frame.data);
		for (uint32_t cut = 0; !form.transport && cut <= len; cut++) {
			memcpy(plain, nest.frame.data, cut);
			for (more = 0; (cut + more + ESP_TRAILER_LEN) % form.suite->block; more++)
				plain[cut + more] = (uint8_t)(more + 1);
			plain[cut + more] = (uint8_t)more;
			plain[cut + more + 1] = form.family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
			frame = craft(&form, &lab, plain, cut + more + ESP_TRAILER_LEN);
			assert_int_equal(open_bytes(&form, frame->data, frame->len, &frame->meta, &inner),
				cut == len ? DROP_NONE : DROP_INNER_MALFORMED);
		}
		if (!form.transport) {
			assert_int_equal(inner.protocol, form.flags ? IPPROTO_UDP : IPPROTO_ESP);
			assert_int_equal(inner.len, len);
		}
		lab_pair_clear(&form.pair);
	}
}

/* Fragments inside of a tunnel: the first has ports, later ones none; a header cut short in a later one is nobody's. */
static void test_inner_fragments(void **state)
{
	uint8_t plain[256];
	struct form form;
	struct inner inner;

	(void)state;
	for (unsigned i = 0; form_init(&form, i); i++) {
		for (unsigned offset = 0; !form.transport && offset < 0x2000; offset += offset < 4 ? 1 : 511) {
			for (unsigned more = 0; more < 2; more++) {
				uint32_t head = form.family == 6 ? 8 : 0,
					 len = lab_packet(plain, form.family, 17, head + 8);
				uint32_t pad = (0u - len - ESP_TRAILER_LEN) % form.suite->block;

				if (form.family == 4) {
					lab_put16(plain + 6, offset | more << 13);
					lab_ipv4_check(plain);
				} else {
					plain[6] = 44;
					memcpy(plain + 40,
						(uint8_t[]){17, 0, (uint8_t)(offset >> 5),
							(uint8_t)(offset << 3 | more), 0, 0, 0, 9},
						8);
				}
				for (uint32_t n = 0; n < pad; n++)
					plain[len + n] = (uint8_t)(n + 1);
				plain[len + pad] = (uint8_t)pad;
				plain[len + pad + 1] = form.family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
				assert_int_equal(
					open_crafted(&form, plain, len + pad + ESP_TRAILER_LEN, &inner), DROP_NONE);
				assert_int_equal(inner.later_fragment, offset != 0);
				assert_int_equal(inner.fragment, offset || more);
				assert_int_equal(inner.ports_known, offset == 0);
			}
		}
		lab_pair_clear(&form.pair);
	}
}

/* ---- headers before ESP --------------------------------------------------------------------------------------- */

/* Hop-by-hop, routing and destination headers before ESP, in every order and number up to four, of every length up to
 * 24 bytes. XDP tells where they end; a place within them opens nothing. */
static void test_outer_extension_headers(void **state)
{
	static const uint8_t types[] = {IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS};
	static struct lab_frame lab;
	struct form form;
	struct inner inner;

	(void)state;
	for (unsigned i = 0; form_init(&form, i); i++) {
		for (unsigned chain = 0; form.family == 6 && chain < 6561; chain += chain < 729 ? 1 : 17) {
			struct frame *frame = seal(&form, &lab, 24);
			uint8_t headers[4 * 24] = {0}, bytes[512], next = frame->data[6], *name = &next;
			uint32_t len = 0, all = frame->len;
			struct packet_meta meta = frame->meta;

			for (unsigned code = chain; code; code /= 9) { /* a digit: type and length */
				*name = types[code % 3];
				name = &headers[len];
				headers[len + 1] = (uint8_t)(code / 3 % 3);
				len += (headers[len + 1] + 1u) * 8;
			}
			*name = frame->data[6];
			memcpy(bytes, frame->data, 40);
			bytes[6] = chain ? next : frame->data[6];
			memcpy(bytes + 40, headers, len);
			memcpy(bytes + 40 + len, frame->data + 40, all - 40);
			lab_put16(bytes + 4, all - 40 + len);
			if (len) {
				meta.payload_off = (uint16_t)(form.esp_off + len - 4);
				assert_int_not_equal(open_bytes(&form, bytes, all + len, &meta, &inner), DROP_NONE);
			}
			meta.payload_off = (uint16_t)(form.esp_off + len);
			assert_int_equal(open_bytes(&form, bytes, all + len, &meta, &inner), DROP_NONE);
		}
		lab_pair_clear(&form.pair);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_lengths_that_lie),
		cmocka_unit_test(test_every_offset),
		cmocka_unit_test(test_every_padding),
		cmocka_unit_test(test_padding_longer_than_the_packet),
		cmocka_unit_test(test_every_next_header),
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_inner_fragments),
		cmocka_unit_test(test_outer_extension_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
