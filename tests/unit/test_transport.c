/* SPDX-License-Identifier: Apache-2.0 */
/* ESP in transport mode: the packet's own header stays in front, whatever stands between it and the transport header.
 */
#include "agent/overhead.h"
#include "agent/transport.h"
#include "agent/wire.h"
#include "tests/unit/esp_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

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

/* A chain of IPv6 extension headers: type of each, 8 bytes a unit of length; ends with `last`. */
struct chain {
	uint8_t types[5];
	uint8_t units[5];
	uint8_t count;
	uint8_t last;
	uint8_t protected_from; /* index of the first header that is to be encrypted; count: none */
};

static const struct chain chains[] = {
	{.last = 17},
	{{0}, {1}, 1, 17, 1},
	{{0, 43}, {2, 3}, 2, 17, 2},
	{{60}, {1}, 1, 17, 0},
	{{0, 60, 43, 60}, {1, 1, 3, 2}, 4, 17, 3},
	{{44}, {1}, 1, 17, 1}, /* atomic fragment (RFC 6946) */
	{{0, 44, 60}, {1, 1, 1}, 3, 17, 2},
	{{60, 60}, {1, 1}, 2, 59, 0},
};

static uint32_t chain_packet(uint8_t *out, const struct chain *chain, uint32_t payload_len)
{
	uint32_t at = 40, next_off = 6;

	lab_packet(out, 6, chain->last, 0);
	for (unsigned i = 0; i < chain->count; i++) {
		uint32_t len = chain->units[i] * 8u;

		out[next_off] = chain->types[i];
		next_off = at;
		memset(out + at, 0, len);
		if (chain->types[i] != 44) {
			out[at + 1] = (uint8_t)(chain->units[i] - 1);
			if (chain->types[i] != 43) { /* one PadN over all of it */
				out[at + 2] = 1;
				out[at + 3] = (uint8_t)(len - 4);
			}
		}
		at += len;
	}
	out[next_off] = chain->last;
	for (uint32_t i = 0; i < payload_len; i++)
		out[at + i] = (uint8_t)(i * 7 + 3);
	lab_put16(out + 4, at - 40 + payload_len);
	lab_between_peers(out);
	return at + payload_len;
}

static uint32_t chain_visible(const struct chain *chain)
{
	uint32_t len = 40;

	for (unsigned i = 0; i < chain->protected_from; i++)
		len += chain->units[i] * 8u;
	return len;
}

/* What XDP would tell, given where ESP or UDP begins. */
static void meta_at(struct frame *frame, uint32_t at, bool udp)
{
	frame->meta = (struct packet_meta){.kind = META_ESP_IN, .family = frame->data[0] >> 4};
	frame->meta.flags = udp ? META_UDP_ENCAP : 0;
	frame->meta.payload_off = (uint16_t)(at + (udp ? 8 : 0));
}

/* There and back, byte for byte; in between, nothing of the payload is seen, and the length is as foretold. */
static void round_trip(struct lab_pair *pair, const uint8_t *packet, uint32_t len, uint32_t visible)
{
	static struct lab_frame lab;
	struct frame *frame = lab_frame_set(&lab, packet, len);
	bool udp = pair->out.sa.flags & SA_UDP_ENCAP;
	struct inner inner;
	struct transport_place place;

	assert_true(inner_parse(frame->data, len, &inner));
	assert_true(transport_place_out(frame->data, &inner, &place));
	assert_int_equal(place.header_len, visible);
	assert_int_equal(esp_seal(&pair->out, frame, &inner, 1), DROP_NONE);
	assert_true(overhead_carries(&pair->out, frame->len + pair->out.suite->block) >= len);
	assert_true(frame->data[0] >> 4 == 6 || checksum_fold(checksum_add(0, frame->data, visible)) == 0xffff);
	assert_int_equal(frame->data[place.next_off], udp ? 17 : 50);
	assert_memory_equal(frame->data + visible + (udp ? 8 : 0), &pair->out.sa.spi, 4);
	if (len >= visible + 16 && pair->out.suite->mode != SUITE_NULL && pair->out.suite->mode != SUITE_GMAC)
		assert_null(memmem(frame->data, frame->len, packet + len - 16, 16));
	if (udp && inner.family == 6) {
		uint64_t sum = checksum_add(0, frame->data + 8, 32) + htonl(frame->len - visible) + htons(17);

		assert_int_equal(checksum_fold(checksum_add(sum, frame->data + visible, frame->len - visible)), 0xffff);
	}
	meta_at(frame, visible, udp);
	assert_int_equal(esp_open(&pair->in, frame, &inner, 1), DROP_NONE);
	assert_int_equal(frame->len, len);
	assert_int_equal(inner.len, len);
	assert_memory_equal(frame->data, packet, len);
}

static void test_round_trip(void **state)
{
	static const uint16_t flags[] = {0, SA_UDP_ENCAP, SA_ESN, SA_UDP_ENCAP | SA_ESN};
	const struct esp_suite *suite;
	uint8_t packet[FRAME_SIZE];
	struct lab_pair pair;

	(void)state;
	for (unsigned i = 0; (suite = esp_suite_at(i / 8)); i++) {
		uint8_t family = i / 4 % 2 ? 6 : 4;

		assert_int_equal(lab_pair_init_transport(&pair, suite, family, flags[i % 4], REPLAY_BITS), 0);
		for (uint32_t len = 0; len <= 1400; len += len < 80 ? 1 : 67) {
			uint32_t packet_len = lab_packet(packet, family, 253, len);

			lab_between_peers(packet);
			round_trip(&pair, packet, packet_len, family == 4 ? 20 : 40);
		}
		lab_pair_clear(&pair);
	}
}

static void test_options(void **state)
{
	uint8_t packet[256];
	struct lab_pair pair;

	(void)state;
	for (uint32_t options = 4; options <= 40; options += 4) {
		uint32_t len = lab_packet(packet, 4, 253, options + 50);

		packet[0] = (uint8_t)(0x45 + options / 4);
		memset(packet + 20, 1, options);
		packet[1] = 0xb9;
		lab_put16(packet + 4, 0x1234);
		lab_put16(packet + 6, 0x4000);
		lab_between_peers(packet);
		assert_int_equal(
			lab_pair_init_transport(&pair, cbc256(), 4, options % 8 ? SA_UDP_ENCAP : 0, REPLAY_BITS), 0);
		round_trip(&pair, packet, len, 20 + options);
		lab_pair_clear(&pair);
	}
}

static void test_extension_headers(void **state)
{
	uint8_t packet[512];
	struct lab_pair pair;

	(void)state;
	for (unsigned i = 0; i < 2 * sizeof(chains) / sizeof(chains[0]); i++) {
		const struct chain *chain = &chains[i / 2];
		uint32_t len = chain_packet(packet, chain, 60);

		assert_int_equal(lab_pair_init_transport(&pair, gcm256(), 6, i % 2 ? SA_UDP_ENCAP : 0, REPLAY_BITS), 0);
		round_trip(&pair, packet, len, chain_visible(chain));
		lab_pair_clear(&pair);
	}
}

/* The chain in front of ESP may be cut anywhere, and the offset of ESP may be any: read or refused, never beyond. */
static void test_places(void **state)
{
	uint8_t packet[512], *copy;
	struct transport_place place;

	(void)state;
	for (unsigned i = 0; i < sizeof(chains) / sizeof(chains[0]); i++) {
		uint32_t len = chain_packet(packet, &chains[i], 16), visible = chain_visible(&chains[i]), found = 0;

		for (uint32_t cut = 0; cut <= len; cut++) {
			copy = malloc(cut ? cut : 1);
			memcpy(copy, packet, cut);
			for (uint32_t at = 0; at <= cut + 8; at++) {
				bool there = transport_place_in(copy, cut, at, &place);

				if (there)
					assert_int_equal(place.header_len, at);
				if (there && at == visible)
					found++;
			}
			free(copy);
		}
		assert_int_equal(found, len - visible + 1);
	}
}

static void test_skip_fragment(void **state)
{
	struct transport_place place;
	uint8_t packet[512];
	uint32_t len = chain_packet(packet, &chains[6], 16);

	(void)state;
	assert_true(transport_place_in(packet, len, 40 + 16, &place)); /* behind the fragment header */
	assert_int_equal(place.fragment_off, 48);
	assert_int_equal(place.protocol, 60);
	assert_int_equal(transport_skip_fragment(packet, &place), 8);
	assert_int_equal(place.header_len, 48);
	assert_int_equal(place.next_off, 40);
	assert_int_equal(packet[8 + 6], 0);
	assert_int_equal(packet[8 + 40], 60);
	assert_int_equal(transport_skip_fragment(packet, &place), 0);

	len = chain_packet(packet, &chains[5], 16);
	assert_true(transport_place_in(packet, len, 48, &place));
	assert_int_equal(transport_skip_fragment(packet, &place), 8);
	assert_int_equal(place.header_len, 40);
	assert_int_equal(place.next_off, 6);
	assert_int_equal(packet[8 + 6], 17);
}

/* What is not whole, and what is not for the peer, does not go into the SA. */
static void test_refused(void **state)
{
	struct lab_frame lab;
	struct lab_pair pair;
	uint8_t packet[256];
	uint32_t len = lab_packet(packet, 4, 17, 40);

	(void)state;
	assert_int_equal(lab_pair_init_transport(&pair, gcm256(), 4, 0, REPLAY_BITS), 0);
	lab_between_peers(packet);
	lab_put16(packet + 6, 0x2000);
	lab_ipv4_check(packet);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_FRAGMENT_TRANSPORT);
	lab_put16(packet + 6, 0x0002);
	lab_ipv4_check(packet);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_FRAGMENT_TRANSPORT);
	len = lab_packet(packet, 4, 17, 40);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_SELECTOR_MISMATCH);
	len = lab_packet(packet, 6, 17, 40);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_SELECTOR_MISMATCH);
	assert_int_equal(pair.run_out.out_seq, 0);
	lab_pair_clear(&pair);
}

/* The packet's own addresses, protocol and ports are what the selectors judge. */
static void test_selectors(void **state)
{
	struct lab_frame lab;
	struct lab_pair pair;
	uint8_t packet[256];
	uint32_t len = lab_packet(packet, 4, 17, 40);

	(void)state;
	assert_int_equal(lab_pair_init_transport(&pair, gcm256(), 4, 0, REPLAY_BITS), 0);
	lab_between_peers(packet);
	lab_ports(packet, 1000, 53);
	pair.in.tunnel.local[0].protocol = 17;
	pair.in.tunnel.local[0].port_first = pair.in.tunnel.local[0].port_last = 53;
	sa_context_derive(&pair.in);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);
	lab_ports(packet, 1000, 54);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_SELECTOR_MISMATCH);
	packet[9] = 6;
	lab_ports(packet, 1000, 53);
	lab_ipv4_check(packet);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_SELECTOR_MISMATCH);
	pair.in.tunnel.remote[0] = lab_selector("192.0.2.9", "192.0.2.9");
	sa_context_derive(&pair.in);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_SELECTOR_MISMATCH);
	lab_pair_clear(&pair);
}

/* Is the transport checksum right? 0 counts as wrong. */
static bool checksum_right(const struct frame *frame, const struct inner *inner)
{
	uint32_t len = inner->len - inner->payload_off;
	uint64_t sum = checksum_pseudo(inner, inner->protocol, len);

	return checksum_fold(checksum_add(sum, frame->data + inner->payload_off, len)) == 0xffff;
}

/* A NAT changes the source address of what carries ESP in UDP: the checksum inside is made right again (RFC 3948
 * 3.1.2). */
static void test_nat_checksum(void **state)
{
	static const struct {
		uint8_t family, protocol, check_off;
	} cases[] = {{4, 6, 16}, {4, 17, 6}, {6, 6, 16}, {6, 17, 6}, {6, 58, 2}};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t ip_len = cases[i].family == 4 ? 20 : 40;
		struct lab_frame lab;
		struct lab_pair pair;
		struct inner inner;
		uint8_t packet[256];
		uint32_t len = lab_packet(packet, cases[i].family, cases[i].protocol, 41);

		lab_between_peers(packet);
		lab_put16(packet + ip_len + cases[i].check_off, 0x1111);
		if (cases[i].protocol == 17)
			lab_put16(packet + ip_len + 4, 41);
		assert_int_equal(
			lab_pair_init_transport(&pair, gcm256(), cases[i].family, SA_UDP_ENCAP, REPLAY_BITS), 0);
		assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
		lab.frame.data[cases[i].family == 4 ? 15 : 23] = 77;
		assert_int_equal(esp_open(&pair.in, &lab.frame, &inner, 1), DROP_NONE);
		assert_true(checksum_right(&lab.frame, &inner));
		lab_pair_clear(&pair);
	}
}

static void test_nat_no_checksum(void **state)
{
	struct lab_frame lab;
	struct lab_pair pair;
	uint8_t packet[256];
	uint32_t len = lab_packet(packet, 4, 17, 40);

	(void)state;
	lab_between_peers(packet);
	lab_put16(packet + 24, 40);
	lab_put16(packet + 26, 0);
	assert_int_equal(lab_pair_init_transport(&pair, gcm256(), 4, SA_UDP_ENCAP, REPLAY_BITS), 0);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);
	assert_int_equal(lab.frame.data[26] | lab.frame.data[27], 0);
	/* A length that lies: the packet goes on as it is, for its receiver to judge. */
	lab_put16(packet + 24, 41);
	lab_put16(packet + 26, 0x1234);
	assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(lab_open(&pair, &lab.frame), DROP_NONE);
	assert_int_equal(lab.frame.data[26] << 8 | lab.frame.data[27], 0x1234);
	lab_pair_clear(&pair);
}

/* A dummy packet, an authentic packet whose plaintext is no packet, and one that is another ESP packet. */
static void test_next_headers(void **state)
{
	static const struct {
		uint8_t next_header;
		enum drop_reason reason;
	} cases[] = {{59, DROP_DUMMY}, {6, DROP_INNER_MALFORMED}, {17, DROP_INNER_MALFORMED}, {50, DROP_NONE},
		{4, DROP_NONE}, {253, DROP_NONE}};
	struct lab_frame lab;
	struct lab_pair pair;

	(void)state;
	assert_int_equal(lab_pair_init_transport(&pair, gcm256(), 4, 0, REPLAY_BITS), 0);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct esp_suite *suite = pair.out.suite;
		uint8_t plain[4] = {1, 2, 2, cases[i].next_header}; /* no payload, padding 1 2 */
		struct frame *frame = lab_frame_set(&lab, plain, sizeof(plain));
		uint32_t seq = htonl((uint32_t)++pair.run_out.out_seq);
		struct esp_job job;

		memcpy(frame_push(frame, ESP_HEADER_LEN + suite->iv_len), &pair.out.sa.spi, 4);
		memcpy(frame->data + 4, &seq, 4);
		job = (struct esp_job){.cipher = &pair.out.cipher,
			.esp = frame->data,
			.seq = pair.run_out.out_seq,
			.text_len = sizeof(plain)};
		esp_jobs_seal(&job, 1);
		assert_true(job.good);
		frame->len += suite->icv_len;
		memcpy(frame_push(frame, 20), pair.out.outer, 20);
		lab_put16(frame->data + 2, frame->len);
		lab_meta_in(frame, 0);
		assert_int_equal(lab_open(&pair, frame), cases[i].reason);
	}
	lab_pair_clear(&pair);
}

/* A packet whose destination is only the next one of its route dies, be that the peer or not. */
static void test_source_routes(void **state)
{
	const struct lab_route *route;
	struct lab_frame lab;
	struct lab_pair pair;
	uint8_t packet[128];

	(void)state;
	for (unsigned i = 0; (route = lab_route_at(i)); i++) {
		uint32_t len = lab_route_packet(packet, route);
		enum drop_reason expected = route->unfinished ? DROP_SOURCE_ROUTE : DROP_NONE;

		assert_int_equal(lab_pair_init_transport(&pair, gcm256(), route->family, 0, REPLAY_BITS), 0);
		if (lab_seal(&pair, lab_frame_set(&lab, packet, len)) != expected)
			fail_msg("%s", route->what);
		packet[route->family == 4 ? 16 : 24] ^= 1;
		if (route->family == 4)
			lab_ipv4_check(packet);
		expected = route->unfinished ? DROP_SOURCE_ROUTE : DROP_SELECTOR_MISMATCH;
		assert_int_equal(lab_seal(&pair, lab_frame_set(&lab, packet, len)), expected);
		lab_pair_clear(&pair);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_extension_headers),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_skip_fragment),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_source_routes),
		cmocka_unit_test(test_selectors),
		cmocka_unit_test(test_nat_checksum),
		cmocka_unit_test(test_nat_no_checksum),
		cmocka_unit_test(test_next_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
