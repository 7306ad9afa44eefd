/* SPDX-License-Identifier: Apache-2.0 */
/* Large packets of the host in pieces, and segments for it in one: each against what a receiver would check, and the
 * one against the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/own.h"
#include "agent/checksum.h"
#include "agent/gro.h"
#include "agent/gso.h"

#include <arpa/inet.h>
#include <endian.h>
#include <netinet/in.h>

#define FIN 0x01
#define SYN 0x02
#define PSH 0x08
#define ACK 0x10
#define ECE 0x40
#define CWR 0x80

#define OPTIONS 12u /* of TCP: no-ops and a timestamp */

struct sample {
	uint8_t bytes[66000];
	uint32_t len;
	uint32_t header_len;
	uint32_t transport_off;
};

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t get16(const uint8_t *at)
{
	return (uint32_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return get16(at) << 16 | get16(at + 2);
}

static void ip_header(struct sample *sample, int family, uint8_t protocol)
{
	uint8_t *ip = sample->bytes;
	uint16_t check;

	if (family == 6) {
		ip[0] = 0x60;
		put16(ip + 4, sample->len - 40);
		ip[6] = protocol;
		ip[7] = 64;
		ip[8] = ip[24] = 0xfd;
		ip[23] = 1;
		ip[39] = 2;
		return;
	}
	memcpy(ip, "\x45\x02\x00\x00\xff\xfe\x40\x00\x40\x06\x00\x00\x0a\x01\x00\x01\x0a\x02\x00\x02", 20);
	put16(ip + 2, sample->len);
	ip[9] = protocol;
	check = (uint16_t)~checksum_fold(checksum_add(0, ip, 20));
	memcpy(ip + 10, &check, 2);
}

/* As a TUN device hands it over: the checksum field holds the pseudo header's sum. */
static struct sample *sample_new(int family, uint8_t protocol, uint32_t payload, uint8_t flags)
{
	struct sample *sample = calloc(1, sizeof(*sample));
	uint32_t transport = protocol == IPPROTO_TCP ? 20 + OPTIONS : 8;
	struct inner inner;
	uint16_t check;
	uint8_t *at;

	sample->transport_off = family == 4 ? 20 : 40;
	sample->header_len = sample->transport_off + transport;
	sample->len = sample->header_len + payload;
	for (uint32_t i = 0; i < payload; i++)
		sample->bytes[sample->header_len + i] = (uint8_t)(i * 7 + i / 251);
	ip_header(sample, family, protocol);
	at = sample->bytes + sample->transport_off;
	put16(at, 40000);
	put16(at + 2, 5001);
	if (protocol == IPPROTO_TCP) {
		memcpy(at + 4, "\xff\xff\xfe\x00\x01\x02\x03\x04\x80", 9);
		at[13] = flags;
		put16(at + 14, 500);
		memcpy(at + 20, "\x01\x01\x08\x0a\x11\x22\x33\x44\x55\x66\x77\x88", OPTIONS);
	} else {
		put16(at + 4, transport + payload);
	}
	assert_true(inner_parse(sample->bytes, sample->len, &inner));
	check = checksum_fold(checksum_pseudo(&inner, protocol, transport + payload));
	memcpy(at + (protocol == IPPROTO_TCP ? 16 : 6), &check, 2);
	return sample;
}

static struct virtio_net_hdr header_of(const struct sample *sample, uint8_t type, uint32_t size)
{
	return (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = type,
		.hdr_len = htole16((uint16_t)sample->header_len),
		.gso_size = htole16((uint16_t)size),
		.csum_start = htole16((uint16_t)sample->transport_off),
		.csum_offset = htole16(type == VIRTIO_NET_HDR_GSO_UDP_L4 ? 6 : 16),
	};
}

static bool begin(struct gso *gso, struct sample *sample, const struct virtio_net_hdr *header)
{
	struct inner inner;

	return inner_parse(sample->bytes, sample->len, &inner) && gso_begin(gso, header, sample->bytes, &inner);
}

/* What the receiving host looks at. */
static void assert_arrives(const uint8_t *packet, uint32_t len)
{
	struct inner inner;
	uint32_t left;
	uint64_t sum;

	assert_true(inner_parse(packet, len, &inner));
	assert_int_equal(inner.len, len);
	left = len - inner.payload_off;
	sum = checksum_pseudo(&inner, inner.protocol, left);
	assert_int_equal(checksum_fold(checksum_add(sum, packet + inner.payload_off, left)), 0xffff);
	if (inner.protocol == IPPROTO_UDP)
		assert_int_equal(get16(packet + inner.payload_off + 4), left);
}

static const struct {
	int family;
	uint32_t payload, size;
	uint8_t flags;
} tcp_cases[] = {
	{4, 1, 1348, ACK | PSH},
	{4, 1348, 1348, ACK},
	{4, 1349, 1348, ACK | PSH | FIN},
	{4, 65463, 1348, ACK | PSH},
	{4, 5000, 536, ACK | CWR | PSH},
	{6, 65000, 1328, ACK},
	{6, 2656, 1328, ACK | PSH | ECE | CWR | FIN},
	{6, 100, 7, ACK | FIN},
};

static void tcp_in_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tcp_cases); i++) {
		uint32_t payload = tcp_cases[i].payload, size = tcp_cases[i].size, seen = 0, n = 0;
		struct sample *sample = sample_new(tcp_cases[i].family, IPPROTO_TCP, payload, tcp_cases[i].flags);
		struct virtio_net_hdr header = header_of(
			sample, tcp_cases[i].family == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6, size);
		uint32_t count = (payload + size - 1) / size;
		uint8_t out[2048];
		struct gso gso;

		header.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
		assert_true(begin(&gso, sample, &header));
		for (; gso_pending(&gso); n++) {
			uint32_t max = gso_piece_max(&gso), len = gso_next(&gso, out);
			const uint8_t *tcp = out + sample->transport_off;
			uint8_t flags = tcp_cases[i].flags;

			assert_true(len <= max);
			assert_arrives(out, len);
			assert_int_equal(get32(tcp + 4), (uint32_t)(0xfffffe00u + seen));
			if (n + 1 < count)
				flags &= (uint8_t) ~(FIN | PSH);
			if (n)
				flags &= (uint8_t)~CWR;
			assert_int_equal(tcp[13], flags);
			if (tcp_cases[i].family == 4)
				assert_int_equal(get16(out + 4), (uint16_t)(0xfffe + n));
			assert_memory_equal(tcp + 20, sample->bytes + sample->transport_off + 20, OPTIONS);
			assert_memory_equal(out + sample->header_len, sample->bytes + sample->header_len + seen,
				len - sample->header_len);
			seen += len - sample->header_len;
		}
		assert_int_equal(n, count);
		assert_int_equal(seen, payload);
		free(sample);
	}
}

static void udp_in_pieces(void **state)
{
	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		struct sample *sample = sample_new(family, IPPROTO_UDP, 10001, 0);
		struct virtio_net_hdr header = header_of(sample, VIRTIO_NET_HDR_GSO_UDP_L4, 1200);
		uint32_t seen = 0, n = 0;
		uint8_t out[2048];
		struct gso gso;

		assert_true(begin(&gso, sample, &header));
		for (; gso_pending(&gso); n++) {
			uint32_t len = gso_next(&gso, out);

			assert_arrives(out, len);
			assert_int_not_equal(get16(out + sample->transport_off + 6), 0);
			assert_memory_equal(out + sample->header_len, sample->bytes + sample->header_len + seen,
				len - sample->header_len);
			seen += len - sample->header_len;
		}
		assert_int_equal(n, 9);
		assert_int_equal(seen, 10001);
		free(sample);
	}
}

/* Not to be cut: the checksum is completed where the header says so, else nothing changes. */
static void one_packet(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
		struct sample *sample = sample_new(4, protocols[i], 999, ACK);
		struct virtio_net_hdr header = header_of(sample, VIRTIO_NET_HDR_GSO_NONE, 0);
		uint8_t out[2048];
		struct gso gso;

		header.csum_offset = htole16(protocols[i] == IPPROTO_TCP ? 16 : 6);
		assert_true(begin(&gso, sample, &header));
		assert_int_equal(gso_piece_max(&gso), sample->len);
		assert_int_equal(gso_next(&gso, out), sample->len);
		assert_false(gso_pending(&gso));
		assert_arrives(out, sample->len);
		memset(&header, 0, sizeof(header));
		sample->bytes[100] ^= 1; /* whoever checks it, it is not we */
		assert_true(begin(&gso, sample, &header));
		assert_int_equal(gso_next(&gso, out), sample->len);
		assert_memory_equal(out, sample->bytes, sample->len);
		free(sample);
	}
}

static void lies_are_refused(void **state)
{
	struct sample *tcp = sample_new(4, IPPROTO_TCP, 3000, ACK);
	struct sample *udp = sample_new(6, IPPROTO_UDP, 3000, 0);
	struct virtio_net_hdr header = header_of(tcp, VIRTIO_NET_HDR_GSO_TCPV4, 1000);
	struct virtio_net_hdr lie;
	struct gso gso;

	(void)state;
	assert_true(begin(&gso, tcp, &header));
	lie = header, lie.gso_size = 0;
	assert_false(begin(&gso, tcp, &lie));
	for (unsigned type = 1; type < 256; type++) {
		lie = header, lie.gso_type = (uint8_t)type;
		if ((type & 0x7f) != VIRTIO_NET_HDR_GSO_TCPV4 && type != VIRTIO_NET_HDR_GSO_ECN)
			assert_false(begin(&gso, tcp, &lie));
		if ((type & 0x7f) != VIRTIO_NET_HDR_GSO_UDP_L4 && type != VIRTIO_NET_HDR_GSO_ECN)
			assert_false(begin(&gso, udp, &lie));
	}
	/* A checksum beyond the packet. */
	lie = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = htole16(0xffff)};
	lie.csum_offset = htole16(0xffff);
	assert_false(begin(&gso, tcp, &lie));
	lie.csum_start = htole16((uint16_t)(tcp->len - 1)), lie.csum_offset = 0;
	assert_false(begin(&gso, tcp, &lie));
	/* A header that is longer than the packet, a packet that opens a connection. */
	tcp->bytes[20 + 13] = SYN | ACK;
	assert_false(begin(&gso, tcp, &header));
	tcp->bytes[20 + 13] = ACK;
	tcp->bytes[20 + 12] = 0x40;
	assert_false(begin(&gso, tcp, &header));
	free(tcp);
	free(udp);
}

/* ---- back together ------------------------------------------------------------------------------------------- */

struct batch {
	struct frame frames[GRO_FRAMES_MAX];
	uint32_t count;
	struct gro gro;
};

static void batch_add(struct batch *batch, const uint8_t *packet, uint32_t len)
{
	struct frame *frame = &batch->frames[batch->count++];

	frame->data = frame->chunk = malloc(len);
	frame->len = len;
	memcpy(frame->data, packet, len);
}

static void batch_clear(struct batch *batch)
{
	for (uint32_t i = 0; i < batch->count; i++)
		free(batch->frames[i].chunk);
	memset(batch, 0, sizeof(*batch));
}

static void batch_cut(struct batch *batch, struct sample *sample, uint8_t type, uint32_t size)
{
	struct virtio_net_hdr header = header_of(sample, type, size);
	uint8_t out[2048];
	struct gso gso;

	assert_true(begin(&gso, sample, &header));
	while (gso_pending(&gso)) {
		uint32_t len = gso_next(&gso, out);

		batch_add(batch, out, len);
	}
}

/* What the kernel gets: header of the first, payloads of all. */
static uint32_t batch_gather(const struct batch *batch, const struct gro_packet *packet, uint8_t *out)
{
	uint32_t len = 0;

	for (uint8_t i = packet->first; i != GRO_NONE; i = batch->gro.next[i]) {
		uint32_t skip = i == packet->first ? 0 : packet->header_len;

		memcpy(out + len, batch->frames[i].data + skip, batch->frames[i].len - skip);
		len += batch->frames[i].len - skip;
	}
	assert_int_equal(len, packet->len);
	return len;
}

static void together_again(void **state)
{
	static uint8_t whole[66000];
	struct batch batch = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tcp_cases); i++) {
		uint8_t type = tcp_cases[i].family == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
		struct sample *sample =
			sample_new(tcp_cases[i].family, IPPROTO_TCP, tcp_cases[i].payload, tcp_cases[i].flags);
		struct virtio_net_hdr header;

		batch_cut(&batch, sample, type, tcp_cases[i].size);
		gro_sort(&batch.gro, batch.frames, batch.count);
		assert_int_equal(batch.gro.count, 1);
		assert_int_equal(batch.gro.packets[0].count, batch.count);
		gro_finish(&batch.gro.packets[0], batch.frames, &header);
		assert_int_equal(batch_gather(&batch, &batch.gro.packets[0], whole), sample->len);
		if (batch.count == 1) {
			assert_int_equal(header.flags, VIRTIO_NET_HDR_F_DATA_VALID);
			assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		} else {
			struct virtio_net_hdr expected = header_of(sample, type, tcp_cases[i].size);

			if (tcp_cases[i].flags & CWR)
				expected.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
			assert_memory_equal(&header, &expected, sizeof(header));
			assert_memory_equal(whole, sample->bytes, sample->len);
		}
		free(sample);
		batch_clear(&batch);
	}
}

/* Change a segment, checksum and all. */
static void segment_set(struct frame *frame, uint32_t offset, uint8_t value)
{
	struct inner inner;
	uint16_t check = 0;

	frame->data[offset] = value;
	memcpy(frame->data + 10, &check, 2);
	check = (uint16_t)~checksum_fold(checksum_add(0, frame->data, 20));
	memcpy(frame->data + 10, &check, 2);
	check = 0;
	memcpy(frame->data + 36, &check, 2);
	assert_true(inner_parse(frame->data, frame->len, &inner));
	check = (uint16_t)~checksum_fold(
		checksum_add(checksum_pseudo(&inner, IPPROTO_TCP, frame->len - 20), frame->data + 20, frame->len - 20));
	memcpy(frame->data + 36, &check, 2);
}

/* Five segments of which the third is not like the others: what goes together then. */
static void what_does_not_join(void **state)
{
	static const struct {
		const char *name;
		uint32_t offset;
		uint8_t value;
		bool wrong_checksum;
		uint32_t packets; /* that come out */
	} cases[] = {
		{"type of service", 1, 0x03, false, 3},
		{"TTL", 8, 9, false, 3},
		{"don't-fragment", 6, 0x00, false, 3},
		{"identification", 5, 0x77, false, 3},
		{"sequence number", 27, 0x01, false, 3},
		{"acknowledgement", 31, 0x01, false, 3},
		{"timestamp", 51, 0x01, false, 3},
		{"SYN", 33, SYN | ACK, false, 3},
		{"RST", 33, 0x04 | ACK, false, 3},
		{"ECE", 33, ECE | ACK, false, 3},
		{"CWR", 33, CWR | ACK, false, 2},
		{"PSH ends it", 33, PSH | ACK, false, 2},
		{"FIN ends it", 33, FIN | ACK, false, 2},
		{"payload", 60, 0x55, true, 3},
		{"another flow", 21, 0x11, false, 2},
		{"window does not matter", 35, 0x11, false, 1},
	};
	struct batch batch = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sample *sample = sample_new(4, IPPROTO_TCP, 5000, ACK);
		uint32_t frames = 0;

		batch_cut(&batch, sample, VIRTIO_NET_HDR_GSO_TCPV4, 1000);
		if (cases[i].wrong_checksum)
			batch.frames[2].data[cases[i].offset] = cases[i].value;
		else
			segment_set(&batch.frames[2], cases[i].offset, cases[i].value);
		gro_sort(&batch.gro, batch.frames, batch.count);
		if (strcmp(cases[i].name, "another flow") == 0) /* the hole in the sequence keeps the others apart */
			assert_int_equal(batch.gro.count, 3);
		else if (batch.gro.count != cases[i].packets)
			fail_msg("%s: %u packets", cases[i].name, batch.gro.count);
		/* In order, each once. */
		for (uint32_t p = 0; p < batch.gro.count; p++)
			for (uint8_t f = batch.gro.packets[p].first; f != GRO_NONE; f = batch.gro.next[f])
				frames |= 1u << f;
		assert_int_equal(frames, 0x1f);
		for (uint32_t p = 1; p < batch.gro.count; p++)
			assert_true(batch.gro.packets[p].first > batch.gro.packets[p - 1].first);
		for (uint32_t p = 0; cases[i].wrong_checksum && p < batch.gro.count; p++)
			assert_int_equal(batch.gro.packets[p].verified, batch.gro.packets[p].first != 2);
		free(sample);
		batch_clear(&batch);
	}
}

/* Two flows in turn and packets that are no TCP: each flow goes together, and nothing overtakes within one. */
static void flows_side_by_side(void **state)
{
	struct sample *one = sample_new(4, IPPROTO_TCP, 8000, ACK), *two = sample_new(6, IPPROTO_TCP, 8000, ACK);
	struct sample *udp = sample_new(4, IPPROTO_UDP, 100, 0);
	struct batch a = {0}, b = {0}, mixed = {0};
	struct virtio_net_hdr header;

	(void)state;
	batch_cut(&a, one, VIRTIO_NET_HDR_GSO_TCPV4, 1000);
	batch_cut(&b, two, VIRTIO_NET_HDR_GSO_TCPV6, 1000);
	for (uint32_t i = 0; i < 8; i++) {
		batch_add(&mixed, a.frames[i].data, a.frames[i].len);
		batch_add(&mixed, udp->bytes, udp->len);
		batch_add(&mixed, b.frames[i].data, b.frames[i].len);
		batch_add(&mixed, (const uint8_t *)"\x45", 1); /* the kernel's to judge */
	}
	gro_sort(&mixed.gro, mixed.frames, mixed.count);
	assert_int_equal(mixed.gro.count, 2 + 8 + 8);
	assert_int_equal(mixed.gro.packets[0].count, 8);
	assert_int_equal(mixed.gro.packets[2].count, 8);
	gro_finish(&mixed.gro.packets[1], mixed.frames, &header);
	assert_int_equal(header.flags, 0); /* UDP: checked by the host */
	batch_clear(&a);
	batch_clear(&b);
	batch_clear(&mixed);
	free(one);
	free(two);
	free(udp);
}

/* No longer than an IP packet can be. */
static void as_long_as_a_packet(void **state)
{
	struct sample *sample = sample_new(4, IPPROTO_TCP, 64 * 1000, ACK);
	struct batch batch = {0};
	uint8_t sequence[4];

	(void)state;
	batch_cut(&batch, sample, VIRTIO_NET_HDR_GSO_TCPV4, 1600);
	memcpy(sequence, batch.frames[39].data + 24, 4);
	for (uint32_t i = 0; i < 20; i++) { /* goes on where the first 64000 bytes ended */
		uint32_t next = htonl(get32(sequence) + 1600 * (i + 1));

		batch_add(&batch, batch.frames[39].data, batch.frames[39].len);
		memcpy(batch.frames[40 + i].data + 24, &next, 4);
		put16(batch.frames[40 + i].data + 4, 0xfffe + 40 + i);
		segment_set(&batch.frames[40 + i], 35, 0xf4);
	}
	gro_sort(&batch.gro, batch.frames, batch.count);
	assert_int_equal(batch.gro.count, 2);
	assert_int_equal(batch.gro.packets[0].count, 40);
	assert_int_equal(batch.gro.packets[1].count, 20);
	batch_clear(&batch);
	free(sample);
}

/* The sum by lanes is the sum by words. */
static void sums_are_the_same(void **state)
{
	uint8_t bytes[300];

	(void)state;
	for (uint32_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(255 - i * 31 % 7);
	for (uint32_t at = 0; at < 40; at++)
		for (uint32_t len = 0; len + at <= sizeof(bytes); len++) {
			uint64_t sum = 0;

			for (uint32_t i = 0; i < len; i += 2) {
				uint8_t pair[2] = {bytes[at + i], i + 1 < len ? bytes[at + i + 1] : 0};
				uint16_t half;

				memcpy(&half, pair, 2);
				sum += half;
			}
			assert_int_equal(checksum_fold(checksum_add(0, bytes + at, len)), checksum_fold(sum));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_in_pieces),
		cmocka_unit_test(udp_in_pieces),
		cmocka_unit_test(one_packet),
		cmocka_unit_test(lies_are_refused),
		cmocka_unit_test(together_again),
		cmocka_unit_test(what_does_not_join),
		cmocka_unit_test(flows_side_by_side),
		cmocka_unit_test(as_long_as_a_packet),
		cmocka_unit_test(sums_are_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
