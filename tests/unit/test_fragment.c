/* SPDX-License-Identifier: Apache-2.0 */
/* Fragments: put together again they are the packet. */
#include "agent/fragment.h"
#include "agent/reassembly.h"
#include "agent/wire.h"

#include "agent/base/own.h"
#include "tests/unit/esp_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct lab_frame chunks[FRAGMENTS_MAX];
static struct frame frames[FRAGMENTS_MAX];

static unsigned split(const uint8_t *packet, const struct inner *inner, uint32_t mtu)
{
	unsigned count = fragment_count(packet, inner, mtu);

	for (unsigned i = 0; i < count; i++)
		frames[i] = *lab_frame_set(&chunks[i], NULL, 0);
	if (count)
		fragment_split(packet, inner, mtu, frames, count);
	return count;
}

/* Each fragment is a packet that fits, and all payloads in order are the packet's. */
static void check_fragments(const uint8_t *packet, const struct inner *whole, uint32_t mtu, unsigned count)
{
	uint32_t done = 0, first_offset = (uint32_t)(packet[6] << 8 | packet[7]) & 0x1fff;

	for (unsigned i = 0; i < count; i++) {
		const uint8_t *ip = frames[i].data;
		struct inner inner;
		uint32_t payload_len, offset;

		assert_ptr_equal(ip, chunks[i].chunk + FRAME_HEADROOM);
		assert_true(frames[i].len <= mtu);
		assert_true(inner_parse(ip, frames[i].len, &inner));
		assert_int_equal(inner.len, frames[i].len);
		payload_len = inner.len - inner.payload_off;
		offset = (uint32_t)(ip[6] << 8 | ip[7]) & 0x1fff;
		assert_int_equal((offset - first_offset) * 8, done);
		assert_int_equal(ip[6] & 0x20, i + 1 < count ? 0x20 : packet[6] & 0x20);
		assert_memory_equal(ip + 4, packet + 4, 2);   /* identification */
		assert_memory_equal(ip + 8, packet + 8, 2);   /* TTL, protocol */
		assert_memory_equal(ip + 12, packet + 12, 8); /* addresses */
		assert_memory_equal(ip + inner.payload_off, packet + whole->payload_off + done, payload_len);
		done += payload_len;
	}
	assert_int_equal(done, whole->len - whole->payload_off);
}

static void test_sizes(void **state)
{
	static uint8_t packet[FRAME_SIZE];
	static const uint32_t mtus[] = {68, 69, 75, 76, 576, 577, 1280, 1399, 1400, 1438};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(mtus); i++) {
		for (uint32_t payload_len = 8; payload_len < 3700; payload_len += 1 + payload_len / 50) {
			uint32_t len = lab_packet(packet, 4, 17, payload_len);
			uint32_t each = (mtus[i] - 20) / 8 * 8;
			struct inner inner;
			unsigned count;

			assert_true(inner_parse(packet, len, &inner));
			count = split(packet, &inner, mtus[i]);
			if (len <= mtus[i])
				assert_int_equal(count, 1);
			else if ((payload_len + each - 1) / each > FRAGMENTS_MAX + 1)
				assert_int_equal(count, 0);
			if (count)
				check_fragments(packet, &inner, mtus[i], count);
		}
	}
}

/* A fragment is split further: offsets go on from its own, and more fragments follow the last one if some followed it.
 */
static void test_fragment_of_fragment(void **state)
{
	static uint8_t packet[FRAME_SIZE];

	(void)state;
	for (unsigned more = 0; more < 2; more++) {
		uint32_t len = lab_packet(packet, 4, 17, 1480);
		struct inner inner;

		lab_put16(packet + 6, (more ? 0x2000u : 0u) | 185u);
		lab_ipv4_check(packet);
		assert_true(inner_parse(packet, len, &inner));
		assert_int_equal(split(packet, &inner, 1400), 2);
		check_fragments(packet, &inner, 1400, 2);
	}
}

/* Options: all of them in the first fragment, those marked for it in the others (RFC 791 3.1). */
static void test_options(void **state)
{
	static uint8_t packet[FRAME_SIZE];
	/* record route (not copied), no-operation, security (copied), end */
	static const uint8_t options[] = {7, 7, 4, 0, 0, 0, 0, 1, 0x82, 6, 0xaa, 0xbb, 0xcc, 0xdd, 0, 0};
	uint32_t len = lab_packet(packet, 4, 17, 2000);
	struct inner inner;

	(void)state;
	memmove(packet + 36, packet + 20, 2000);
	memcpy(packet + 20, options, sizeof(options));
	len += (uint32_t)sizeof(options);
	packet[0] = 0x49;
	lab_put16(packet + 2, len);
	lab_ipv4_check(packet);
	assert_true(inner_parse(packet, len, &inner));
	assert_int_equal(split(packet, &inner, 1000), 3);
	check_fragments(packet, &inner, 1000, 3);
	assert_memory_equal(frames[0].data + 20, options, sizeof(options));
	for (unsigned i = 1; i < 3; i++) {
		assert_int_equal(frames[i].data[0], 0x47);
		assert_memory_equal(frames[i].data + 20, options + 8, 6);
		assert_memory_equal(frames[i].data + 26, ((uint8_t[]){0, 0}), 2);
	}
}

/* Options that make no sense are not copied; the packet still is split. */
static void test_bad_options(void **state)
{
	static uint8_t packet[FRAME_SIZE];
	static const uint8_t options[][4] = {{0x82, 0, 0, 0}, {0x82, 1, 0, 0}, {0x82, 200, 0, 0}, {1, 1, 1, 0x82}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(options); i++) {
		uint32_t len = lab_packet(packet, 4, 17, 2000);
		struct inner inner;

		packet[0] = 0x46;
		memcpy(packet + 20, options[i], 4);
		lab_ipv4_check(packet);
		assert_true(inner_parse(packet, len, &inner));
		assert_int_equal(split(packet, &inner, 1400), 2);
		check_fragments(packet, &inner, 1400, 2);
		assert_int_equal(frames[1].data[0], 0x45);
	}
}

static void test_refused(void **state)
{
	static uint8_t packet[FRAME_SIZE];
	uint32_t len = lab_packet(packet, 6, 17, 2000);
	struct inner inner;

	(void)state;
	assert_true(inner_parse(packet, len, &inner));
	assert_int_equal(fragment_count(packet, &inner, 1400), 0);
	len = lab_packet(packet, 4, 17, 2000);
	assert_true(inner_parse(packet, len, &inner));
	assert_int_equal(fragment_count(packet, &inner, 67), 0);
	assert_int_equal(fragment_count(packet, &inner, 1400), 2);
	inner.dont_fragment = true;
	assert_int_equal(fragment_count(packet, &inner, 1400), 0);
}

/* ---- IPv6, by its source ------------------------------------------------------------------------------------- */

#define PAYLOAD_MAX 9000u

/* Split, and put together by what does it for received packets, whose order the network may change. */
static void there_and_back(
	struct reassembly *table, const uint8_t *packet, uint32_t len, uint32_t repeated, uint32_t mtu)
{
	static struct lab_frame large;
	static uint8_t room[JUMBO_SIZE];
	unsigned count = fragment6_count(packet, len, mtu);
	struct reassembly_packet *whole = NULL;
	struct frame out = large.frame;

	assert_true(count > 0 && count <= FRAGMENTS_MAX);
	for (unsigned i = 0; i < count; i++)
		frames[i] = *lab_frame_set(&chunks[i], NULL, 0);
	fragment6_split(packet, len, mtu, 0x12345678, frames, count);
	for (unsigned n = 0; n < count; n++) {
		struct frame *frame = &frames[count - 1 - n];

		assert_true(frame->len <= mtu);
		assert_int_equal(wire_get16(frame->data + 4) + WIRE_IPV6_LEN, frame->len);
		assert_int_equal(wire_get32(frame->data + repeated + 4), 0x12345678);
		frame->meta = (struct packet_meta){.kind = META_FRAGMENT_IN, .family = 6};
		assert_null(whole);
		assert_int_equal(reassembly_add(table, frame, 1, &whole), DROP_NONE);
	}
	assert_non_null(whole);
	assert_int_equal(reassembly_len(whole), len);
	out.chunk = room;
	reassembly_write(whole, &out);
	assert_memory_equal(out.data, packet, len);
	reassembly_release(whole);
}

static void test_ipv6_sizes(void **state)
{
	static const uint32_t mtus[] = {1280, 1281, 1287, 1288, 1500, 9001};
	static uint8_t packet[WIRE_IPV6_LEN + PAYLOAD_MAX];
	struct reassembly *table = reassembly_new();

	(void)state;
	assert_non_null(table);
	for (unsigned i = 0; i < ARRAY_LEN(mtus); i++)
		for (uint32_t payload = 1; payload <= PAYLOAD_MAX; payload += 1 + payload / 40)
			if (mtus[i] <= FRAME_DATA_MAX || payload < FRAME_DATA_MAX - 100)
				there_and_back(
					table, packet, lab_packet(packet, 6, 50, payload), WIRE_IPV6_LEN, mtus[i]);
	reassembly_free(table);
}

/* Hop-by-hop and routing header, and options for the routers named there, stand in every fragment; options for the
 * destination alone do not (RFC 8200 4.5). */
static void test_ipv6_headers(void **state)
{
	static const uint8_t chain[] = {60, 0, 1, 4, 0, 0, 0, 0,  /* hop-by-hop */
		43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* options before the routing header */
		60, 0, 4, 0, 0, 0, 0, 0,			  /* routing, no segments left */
		50, 0, 1, 4, 0, 0, 0, 0};			  /* options for the destination */
	static uint8_t packet[4096];
	uint32_t len = lab_packet(packet, 6, 0, 3000);
	struct reassembly *table = reassembly_new();

	(void)state;
	assert_non_null(table);
	memcpy(packet + 40, chain, sizeof(chain));
	there_and_back(table, packet, len, 40 + 8 + 16 + 8, 1280);
	packet[40 + 8] = 60; /* no routing header: hop-by-hop alone is repeated */
	there_and_back(table, packet, len, 40 + 8, 1280);
	packet[6] = 60; /* nor that */
	there_and_back(table, packet, len, 40, 1280);
	reassembly_free(table);
}

static void test_ipv6_refused(void **state)
{
	static uint8_t packet[JUMBO_SIZE];
	uint32_t len = lab_packet(packet, 6, 50, 3000);

	(void)state;
	assert_int_equal(fragment6_count(packet, len, 1279), 0);
	assert_int_equal(fragment6_count(packet, 39, 1280), 0);
	packet[6] = 44; /* a fragment is not cut again */
	assert_int_equal(fragment6_count(packet, len, 1280), 0);
	packet[6] = 0;
	packet[41] = 255; /* a header that leaves no room for anything else */
	packet[40] = 50;
	assert_int_equal(fragment6_count(packet, len, 1280), 0);
	assert_int_equal(fragment6_count(packet, 1000, 1280), 0); /* or is longer than the packet */
	len = lab_packet(packet, 6, 50, FRAGMENTS_MAX * 700);
	packet[6] = 0;
	packet[40] = 50;
	packet[41] = 79; /* 640 bytes to be repeated: more than 16 fragments */
	assert_int_equal(fragment6_count(packet, len, 1280), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_fragment_of_fragment),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_bad_options),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_ipv6_sizes),
		cmocka_unit_test(test_ipv6_headers),
		cmocka_unit_test(test_ipv6_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
