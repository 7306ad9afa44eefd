/* SPDX-License-Identifier: Apache-2.0 */
/* Fragments put together: every order, and everything that an attacker can do with them. */
#include "agent/base/clock.h"
#include "agent/fragment.h"
#include "agent/reassembly.h"
#include "tests/unit/esp_lab.h"
#include "tools/bench/worker_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW UINT64_C(1000000000)

static struct reassembly *table;

static int set_up(void **state)
{
	(void)state;
	table = reassembly_new();
	return !table;
}

static int tear_down(void **state)
{
	(void)state;
	reassembly_free(table);
	return 0;
}

static uint8_t pattern(uint32_t at)
{
	return (uint8_t)(at * 7 + at / 256);
}

/* Bytes `offset` to `offset + len` of packet `id` from 192.0.2.`source`; in IPv6 behind a hop-by-hop header. */
static struct frame *make(
	struct lab_frame *lab, uint8_t family, uint8_t source, uint32_t id, uint32_t offset, uint32_t len, bool more)
{
	uint32_t header_len = family == 4 ? 20 : 56;
	uint8_t *ip;

	lab_frame_set(lab, NULL, 0);
	ip = lab->frame.data + 14;
	lab_packet(ip, family, 50, 0);
	lab_between_peers(ip);
	if (family == 4) {
		ip[15] = source;
		lab_put16(ip + 2, 20 + len);
		lab_put16(ip + 4, id);
		lab_put16(ip + 6, offset / 8 | (more ? 0x2000 : 0));
		lab_ipv4_check(ip);
	} else {
		ip[23] = source;
		ip[6] = 0;
		lab_put16(ip + 4, 16 + len);
		memcpy(ip + 40, (uint8_t[]){44, 0, 1, 4, 0, 0, 0, 0, 50, 0}, 10);
		lab_put16(ip + 50, offset | more);
		lab_put16(ip + 52, id >> 16);
		lab_put16(ip + 54, id);
	}
	for (uint32_t i = 0; i < len; i++)
		ip[header_len + i] = pattern(offset + i);
	lab->frame.len = 14 + header_len + len + 5; /* Ethernet header and padding */
	lab->frame.meta = (struct packet_meta){.kind = META_FRAGMENT_IN, .family = family, .l3_off = 14};
	return &lab->frame;
}

static enum drop_reason add(const struct frame *frame, uint64_t now, struct reassembly_packet **whole)
{
	/* A copy of its own, so that nothing behind the frame is read unseen. */
	struct frame exact = *frame;
	enum drop_reason reason;

	exact.data = exact.chunk = malloc(frame->len ? frame->len : 1);
	memcpy(exact.data, frame->data, frame->len);
	reason = reassembly_add(table, &exact, now, whole);
	free(exact.chunk);
	return reason;
}

static struct reassembly_lost lost_at(uint64_t now)
{
	struct reassembly_lost lost;

	reassembly_sweep(table, now, &lost);
	return lost;
}

/* The packet is what it was, and looks as if it had never been in pieces. */
static void check_whole(struct reassembly_packet *whole, uint8_t family, uint32_t payload_len)
{
	static uint8_t chunk[JUMBO_SIZE];
	struct frame out = {.chunk = chunk, .size = sizeof(chunk)};
	uint32_t header_len = family == 4 ? 20 : 48;
	struct inner inner;

	assert_non_null(whole);
	assert_int_equal(reassembly_len(whole), header_len + payload_len);
	reassembly_write(whole, &out);
	reassembly_release(whole);
	assert_true(inner_parse(out.data, out.len, &inner));
	assert_int_equal(inner.len, out.len);
	assert_false(inner.fragment);
	assert_int_equal(inner.protocol, 50);
	assert_int_equal(inner.payload_off, header_len);
	for (uint32_t i = 0; i < payload_len; i++)
		assert_int_equal(out.data[header_len + i], pattern(i));
}

/* Four fragments in all orders. */
static void every_order(void **state)
{
	struct lab_frame lab;

	(void)state;
	for (unsigned run = 0; run < 2 * 256; run++) {
		uint8_t family = run & 256 ? 6 : 4;
		struct reassembly_packet *whole = NULL;
		unsigned seen = 0;

		for (unsigned i = 0; i < 4; i++)
			seen |= 1u << (run >> 2 * i & 3);
		if (seen != 15) /* no permutation */
			continue;
		for (unsigned i = 0; i < 4; i++) {
			uint32_t part = run >> 2 * i & 3;

			assert_null(whole);
			make(&lab, family, 1, run, part * 400, part == 3 ? 123 : 400, part != 3);
			assert_int_equal(add(&lab.frame, NOW, &whole), DROP_NONE);
		}
		check_whole(whole, family, 1323);
	}
	assert_int_equal(lost_at(NOW).full, 0);
}

static void one_fragment_alone(void **state)
{
	struct reassembly_packet *whole;
	struct lab_frame lab;

	(void)state;
	assert_int_equal(add(make(&lab, 6, 1, 7, 0, 33, false), NOW, &whole), DROP_NONE); /* atomic (RFC 6946) */
	check_whole(whole, 6, 33);
}

static void duplicates_do_no_harm(void **state)
{
	struct reassembly_packet *whole;
	struct lab_frame lab;

	(void)state;
	assert_int_equal(add(make(&lab, 4, 1, 7, 0, 800, true), NOW, &whole), DROP_NONE);
	assert_int_equal(add(&lab.frame, NOW, &whole), DROP_REASSEMBLY_BAD);
	assert_int_equal(add(make(&lab, 4, 1, 7, 800, 33, false), NOW, &whole), DROP_NONE);
	check_whole(whole, 4, 833);
	assert_int_equal(add(make(&lab, 4, 1, 8, 800, 33, false), NOW, &whole), DROP_NONE);
	assert_int_equal(add(&lab.frame, NOW, &whole), DROP_REASSEMBLY_BAD);
	assert_int_equal(add(make(&lab, 4, 1, 8, 0, 800, true), NOW, &whole), DROP_NONE);
	check_whole(whole, 4, 833);
	assert_int_equal(lost_at(NOW).bad, 0);
}

/* RFC 5722: what overlaps takes the whole packet with it. */
static void overlaps_kill(void **state)
{
	static const struct {
		uint32_t offset, len;
		bool more;
	} bad[] = {
		{0, 808, true},	 /* longer than the first */
		{792, 16, true}, /* over its end */
		{8, 16, true},	 /* inside */
		{0, 800, false}, /* the last one ends where others are */
		{792, 8, false},
	};
	struct reassembly_packet *whole;
	struct lab_frame lab;

	(void)state;
	for (unsigned i = 0; i < 2 * sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t family = i & 1 ? 6 : 4;

		assert_int_equal(add(make(&lab, family, 1, 7, 0, 800, true), NOW, &whole), DROP_NONE);
		assert_int_equal(add(make(&lab, family, 1, 7, 1200, 8, true), NOW, &whole), DROP_NONE);
		make(&lab, family, 1, 7, bad[i / 2].offset, bad[i / 2].len, bad[i / 2].more);
		lab.frame.data[lab.frame.len - 6] ^= 1; /* the last byte before the Ethernet padding */
		assert_int_equal(add(&lab.frame, NOW, &whole), DROP_REASSEMBLY_BAD);
		assert_int_equal(lost_at(NOW).bad, 2);
		/* what comes afterwards is not joined to what died */
		assert_int_equal(add(make(&lab, family, 1, 7, 800, 33, false), NOW, &whole), DROP_NONE);
		assert_null(whole);
		assert_int_equal(lost_at(NOW + 15 * NS_PER_S).timeout, 1);
	}
	/* the same place, other bytes */
	assert_int_equal(add(make(&lab, 4, 1, 7, 0, 800, true), NOW, &whole), DROP_NONE);
	lab.frame.data[14 + 20 + 5] ^= 1;
	assert_int_equal(add(&lab.frame, NOW, &whole), DROP_REASSEMBLY_BAD);
	assert_int_equal(lost_at(NOW).bad, 1);
}

static void ends_contradict(void **state)
{
	struct reassembly_packet *whole;
	struct lab_frame lab;

	(void)state;
	assert_int_equal(add(make(&lab, 4, 1, 7, 800, 33, false), NOW, &whole), DROP_NONE);
	assert_int_equal(add(make(&lab, 4, 1, 7, 1000, 8, true), NOW, &whole), DROP_REASSEMBLY_BAD);
	assert_int_equal(add(make(&lab, 4, 1, 8, 800, 33, false), NOW, &whole), DROP_NONE);
	assert_int_equal(add(make(&lab, 4, 1, 8, 1000, 8, false), NOW, &whole), DROP_REASSEMBLY_BAD);
	assert_int_equal(lost_at(NOW).bad, 2);
}

static void sizes_are_bounded(void **state)
{
	struct reassembly_packet *whole;
	struct lab_frame lab;

	(void)state;
	assert_int_equal(
		add(make(&lab, 4, 1, 7, 0, 801, true), NOW, &whole), DROP_REASSEMBLY_BAD); /* no multiple of 8 */
	assert_int_equal(add(make(&lab, 4, 1, 7, 0, 0, true), NOW, &whole), DROP_REASSEMBLY_BAD);
	assert_int_equal(add(make(&lab, 4, 1, 7, 65528, 8, false), NOW, &whole), DROP_REASSEMBLY_BAD);
	assert_int_equal(
		add(make(&lab, 4, 1, 7, REASSEMBLY_PAYLOAD_MAX / 8 * 8, 8, false), NOW, &whole), DROP_REASSEMBLY_BAD);
	/* the longest there may be */
	for (uint32_t at = 0; at < REASSEMBLY_PAYLOAD_MAX; at += 1400) {
		uint32_t len = REASSEMBLY_PAYLOAD_MAX - at < 1400 ? REASSEMBLY_PAYLOAD_MAX - at : 1400;

		make(&lab, 6, 1, 7, at, len, at + len < REASSEMBLY_PAYLOAD_MAX);
		assert_int_equal(add(&lab.frame, NOW, &whole), DROP_NONE);
	}
	check_whole(whole, 6, REASSEMBLY_PAYLOAD_MAX);
}

/* Cut anywhere, lengths adjusted or not. */
static void cut_short(void **state)
{
	struct reassembly_packet *whole;
	struct lab_frame lab;

	(void)state;
	for (uint8_t family = 4; family <= 6; family = (uint8_t)(family + 2)) {
		uint32_t headers = 14 + (family == 4 ? 20 : 56);

		for (uint32_t cut = 0; cut < headers + 64; cut++) {
			make(&lab, family, 1, cut, 0, 64, true);
			lab.frame.len = cut;
			assert_int_equal(add(&lab.frame, NOW, &whole), DROP_PACKET_MALFORMED);
			if (cut < headers)
				continue;
			lab_put16(lab.frame.data + 14 + (family == 4 ? 2 : 4), cut - 14 - (family == 4 ? 0 : 40));
			assert_int_equal(add(&lab.frame, NOW, &whole),
				cut > headers && (cut - headers) % 8 == 0 ? DROP_NONE : DROP_REASSEMBLY_BAD);
		}
	}
}

static void time_is_bounded(void **state)
{
	struct reassembly_packet *whole;
	struct lab_frame lab;

	(void)state;
	assert_int_equal(add(make(&lab, 4, 1, 7, 0, 800, true), NOW, &whole), DROP_NONE);
	assert_int_equal(add(make(&lab, 4, 1, 7, 800, 8, true), NOW + 14 * NS_PER_S, &whole), DROP_NONE);
	assert_int_equal(lost_at(NOW + 15 * NS_PER_S - 1).timeout, 0);
	assert_int_equal(lost_at(NOW + 15 * NS_PER_S).timeout, 2);
	assert_int_equal(add(make(&lab, 4, 1, 7, 808, 8, false), NOW + 15 * NS_PER_S, &whole), DROP_NONE);
	assert_null(whole);
	/* without a sweep in between as well */
	assert_int_equal(add(make(&lab, 4, 1, 7, 0, 808, true), NOW + 31 * NS_PER_S, &whole), DROP_NONE);
	assert_null(whole);
	assert_int_equal(lost_at(NOW + 31 * NS_PER_S).timeout, 1);
}

/* One source has its share, and all of them together what there is; the oldest makes room. */
static void number_is_bounded(void **state)
{
	struct reassembly_packet *whole;
	struct lab_frame lab;

	(void)state;
	assert_int_equal(add(make(&lab, 4, 250, 1, 0, 800, true), NOW, &whole), DROP_NONE); /* an honest one */
	for (uint32_t id = 0; id < 100; id++)
		assert_int_equal(add(make(&lab, 4, 1, id, 0, 800, true), NOW + 1 + id, &whole), DROP_NONE);
	assert_int_equal(lost_at(NOW).full, 100 - REASSEMBLY_SOURCE_PACKETS);
	assert_int_equal(add(make(&lab, 4, 250, 1, 800, 8, false), NOW, &whole), DROP_NONE);
	check_whole(whole, 4, 808);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(
			add(make(&lab, 4, (uint8_t)(2 + i / 4), i, 0, 800, true), NOW + 200 + i, &whole), DROP_NONE);
	assert_int_equal(lost_at(NOW).full, 200 + REASSEMBLY_SOURCE_PACKETS - REASSEMBLY_PACKETS);
}

/* Other packets have other addresses, numbers, families, and in IPv4 protocols. */
static void keys_differ(void **state)
{
	struct reassembly_packet *whole;
	struct lab_frame lab;

	(void)state;
	assert_int_equal(add(make(&lab, 4, 1, 7, 0, 800, true), NOW, &whole), DROP_NONE);
	assert_int_equal(add(make(&lab, 4, 2, 7, 800, 8, false), NOW, &whole), DROP_NONE);
	assert_null(whole);
	assert_int_equal(add(make(&lab, 4, 1, 8, 800, 8, false), NOW, &whole), DROP_NONE);
	assert_null(whole);
	assert_int_equal(add(make(&lab, 6, 1, 7, 800, 8, false), NOW, &whole), DROP_NONE);
	assert_null(whole);
	make(&lab, 4, 1, 7, 800, 8, false)->data[14 + 9] = 51;
	assert_int_equal(add(&lab.frame, NOW, &whole), DROP_NONE);
	assert_null(whole);
	make(&lab, 4, 1, 7, 800, 8, false)->data[14 + 19] = 9;
	assert_int_equal(add(&lab.frame, NOW, &whole), DROP_NONE);
	assert_null(whole);
	assert_int_equal(add(make(&lab, 4, 1, 7, 800, 8, false), NOW, &whole), DROP_NONE);
	check_whole(whole, 4, 808);
}

/* RFC 3168 5.3: a mark on one fragment is the packet's; on a flow without ECN it is a lie. */
static void congestion_is_kept(void **state)
{
	struct reassembly_packet *whole;
	struct lab_frame lab;
	uint8_t chunk[JUMBO_SIZE];
	struct frame out = {.chunk = chunk, .size = sizeof(chunk)};

	(void)state;
	for (uint8_t first = 0; first < 4; first++) {
		for (uint8_t second = 0; second < 4; second++) {
			bool lie = (first == 3 && !second) || (!first && second == 3);

			make(&lab, 4, 1, 7, 0, 800, true)->data[14 + 1] = first;
			assert_int_equal(add(&lab.frame, NOW, &whole), DROP_NONE);
			make(&lab, 4, 1, 7, 800, 8, false)->data[14 + 1] = second;
			assert_int_equal(add(&lab.frame, NOW, &whole), lie ? DROP_REASSEMBLY_BAD : DROP_NONE);
			if (lie)
				continue;
			reassembly_write(whole, &out);
			reassembly_release(whole);
			assert_int_equal(out.data[1], first == 3 || second == 3 ? 3 : first);
		}
	}
}

/* ---- through a worker ---------------------------------------------------------------------------------------- */

static uint32_t find_spi(void *context, const struct spi_key *key)
{
	const struct gateway *gateway = context;
	const struct sa *sa = &gateway->sas[0];

	return key->spi == sa->spi && key->protocol == sa->protocol &&
			       memcmp(&key->destination, &sa->local, sizeof(sa->local)) == 0
		       ? 0
		       : SA_NONE;
}

struct lab {
	struct gateway a, b;
};

static int set_up_gateways(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	const struct esp_suite *suite = esp_suite_find(20, 256, 0);

	*state = lab;
	if (gateway_init(&lab->a, 0, suite) || gateway_init(&lab->b, 1, suite))
		return -1;
	lab->b.shared.reassembly = reassembly_new();
	lab->b.shared.find_spi = find_spi;
	lab->b.shared.find_spi_context = &lab->b;
	return 0;
}

static int tear_down_gateways(void **state)
{
	struct lab *lab = *state;

	reassembly_free(lab->b.shared.reassembly);
	gateway_clear(&lab->a);
	gateway_clear(&lab->b);
	free(lab);
	return 0;
}

/* Seal one packet at A and cut the outer one for an MTU of 600. */
static unsigned sealed_pieces(struct lab *lab, struct lab_frame *pieces, uint32_t len)
{
	uint8_t packet[2048];
	struct frame sealed, frames[FRAGMENTS_MAX];
	struct inner outer;
	unsigned count;

	gateway_packet(packet, len, 0, false);
	assert_true(gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, len));
	worker_turn(&lab->a.worker, GATEWAY_NOW_NS);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, &sealed, 1), 1);
	assert_true(inner_parse(sealed.data + 14, sealed.len - 14, &outer));
	count = fragment_count(sealed.data + 14, &outer, 600);
	assert_in_range(count, 2, FRAGMENTS_MAX);
	for (unsigned i = 0; i < count; i++) {
		lab_frame_set(&pieces[i], NULL, 0);
		frames[i] = pieces[i].frame;
	}
	fragment_split(sealed.data + 14, &outer, 600, frames, count);
	for (unsigned i = 0; i < count; i++)
		pieces[i].frame = frames[i];
	chunk_give(&lab->a.cache, sealed.chunk);
	return count;
}

static void push_piece(struct lab *lab, const struct lab_frame *piece)
{
	struct frame frame = gateway_frame(&lab->b, piece->frame.data, piece->frame.len);

	frame.meta = (struct packet_meta){.kind = META_FRAGMENT_IN, .family = 4, .protocol = 50, .l3_off = 14};
	frame.meta.payload_off = 34;
	frame.meta.index = SA_NONE;
	assert_true(memory_port_push(gateway_port(&lab->b, SLOT_WAN), 0, &frame));
}

static uint32_t chunks_free(struct gateway *gateway)
{
	return umem_free_count(&gateway->umem) + gateway->worker.cache.count + gateway->cache.count;
}

static void opens_what_came_in_pieces(void **state)
{
	struct lab *lab = *state;
	struct lab_frame pieces[FRAGMENTS_MAX];
	struct frame opened;
	unsigned count = sealed_pieces(lab, pieces, 1300);

	for (unsigned i = count; i-- > 0;)
		push_piece(lab, &pieces[i]);
	worker_turn(&lab->b.worker, GATEWAY_NOW_NS);
	assert_int_equal(lab->b.stat.opened, 1);
	assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_LAN), 0, &opened, 1), 1);
	assert_int_equal(opened.len, 14 + 1300);
	chunk_give(&lab->b.cache, opened.chunk);
	assert_int_equal(chunks_free(&lab->b), GATEWAY_CHUNKS);
}

/* Too big, sealed as one, cut outside, and whole again at the other end. */
static void cut_outside(struct lab *lab, bool dont_fragment)
{
	struct frame sealed[4], opened;
	uint8_t packet[2048];
	uint32_t count;

	lab->a.resolver.mtu = 700;
	gateway_packet(packet, 1300, 0, dont_fragment);
	assert_true(gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, 1300));
	worker_turn(&lab->a.worker, GATEWAY_NOW_NS);
	assert_int_equal(lab->a.stat.sealed, 1);
	count = memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, sealed, 4);
	assert_int_equal(count, 2);
	for (uint32_t i = 0; i < count; i++) {
		struct lab_frame piece;

		assert_true(sealed[i].len <= 14 + 700);
		lab_frame_set(&piece, sealed[i].data + 14, sealed[i].len - 14);
		push_piece(lab, &piece);
		chunk_give(&lab->a.cache, sealed[i].chunk);
	}
	worker_turn(&lab->b.worker, GATEWAY_NOW_NS);
	assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_LAN), 0, &opened, 1), 1);
	assert_int_equal(opened.len, 14 + 1300);
	chunk_give(&lab->b.cache, opened.chunk);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
	assert_int_equal(chunks_free(&lab->b), GATEWAY_CHUNKS);
}

/* What must not be cut inside a tunnel that clears don't-fragment is cut outside. */
static void cuts_the_outer_packet(void **state)
{
	struct lab *lab = *state;

	lab->a.tunnels[0].options.df = DF_CLEAR;
	cut_outside(lab, true);
}

/* Later fragments have no ports: a tunnel that names ports must not carry any. */
static void cuts_outside_where_ports_are_named(void **state)
{
	struct lab *lab = *state;
	struct frame pieces[4];
	uint8_t packet[1300];

	lab->a.tunnels[0].remote[0].port_first = lab->a.tunnels[0].remote[0].port_last = 99;
	cut_outside(lab, false);
	/* Not if somebody forbids it. */
	lab->a.tunnels[0].options.df = DF_SET;
	lab->a.sas[1].generation += 2;
	gateway_packet(packet, 1300, 0, false);
	assert_true(gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, 1300));
	worker_turn(&lab->a.worker, GATEWAY_NOW_NS);
	assert_int_equal(lab->a.stat.drops[DROP_TOO_BIG].packets, 1);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, pieces, 4), 0);
}

static void counts_what_dies_in_pieces(void **state)
{
	struct lab *lab = *state;
	struct lab_frame pieces[FRAGMENTS_MAX];
	unsigned count = sealed_pieces(lab, pieces, 1300);

	for (unsigned i = 1; i < count; i++)
		push_piece(lab, &pieces[i]);
	worker_turn(&lab->b.worker, GATEWAY_NOW_NS);
	worker_turn(&lab->b.worker, GATEWAY_NOW_NS + REASSEMBLY_S * NS_PER_S);
	assert_int_equal(lab->b.stat.drops[DROP_REASSEMBLY_TIMEOUT].packets, count - 1);
	/* no SA has this SPI */
	count = sealed_pieces(lab, pieces, 1300);
	pieces[0].frame.data[20] ^= 1;
	for (unsigned i = 0; i < count; i++)
		push_piece(lab, &pieces[i]);
	worker_turn(&lab->b.worker, GATEWAY_NOW_NS);
	assert_int_equal(lab->b.stat.drops[DROP_SPI_UNKNOWN].packets, 1);
	/* a reserved one */
	count = sealed_pieces(lab, pieces, 1300);
	memcpy(pieces[0].frame.data + 20, "\0\0\0\xff", 4);
	for (unsigned i = 0; i < count; i++)
		push_piece(lab, &pieces[i]);
	worker_turn(&lab->b.worker, GATEWAY_NOW_NS);
	assert_int_equal(lab->b.stat.drops[DROP_SPI_RESERVED].packets, 1);
	assert_int_equal(chunks_free(&lab->b), GATEWAY_CHUNKS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_fragment_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(duplicates_do_no_harm, set_up, tear_down),
		cmocka_unit_test_setup_teardown(overlaps_kill, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ends_contradict, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sizes_are_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cut_short, set_up, tear_down),
		cmocka_unit_test_setup_teardown(time_is_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(number_is_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keys_differ, set_up, tear_down),
		cmocka_unit_test_setup_teardown(congestion_is_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(opens_what_came_in_pieces, set_up_gateways, tear_down_gateways),
		cmocka_unit_test_setup_teardown(cuts_the_outer_packet, set_up_gateways, tear_down_gateways),
		cmocka_unit_test_setup_teardown(
			cuts_outside_where_ports_are_named, set_up_gateways, tear_down_gateways),
		cmocka_unit_test_setup_teardown(counts_what_dies_in_pieces, set_up_gateways, tear_down_gateways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
