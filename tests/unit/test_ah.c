/* SPDX-License-Identifier: Apache-2.0 */
/* AH: every suite in every form, what may change on the way, and every way to die. */
#include "agent/ah.h"
#include "agent/ah_open.h"
#include "agent/ah_seal.h"
#include "agent/overhead.h"
#include "tests/unit/esp_lab.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define REPLAY_BITS 1024u

static const struct esp_suite *sha256(void)
{
	return ah_suite_find(AUTH_SHA256_128);
}

static void pair_init(
	struct lab_pair *pair, const struct esp_suite *suite, uint8_t family, enum sa_mode mode, uint16_t flags)
{
	struct tunnel tunnel = mode == SA_TUNNEL ? lab_tunnel() : lab_tunnel_any();
	struct sa out = lab_sa_out(suite, family, flags), in;

	memset(pair, 0, sizeof(*pair));
	out.protocol = IPPROTO_AH;
	out.mode = (uint8_t)mode;
	in = lab_sa_in(&out, REPLAY_BITS);
	assert_int_equal(sa_context_init(&pair->out, &out, &tunnel, &pair->run_out), 0);
	assert_int_equal(sa_context_init(&pair->in, &in, &tunnel, &pair->run_in), 0);
}

static void meta_ah(struct frame *frame, uint32_t ah_off)
{
	frame->meta = (struct packet_meta){.kind = META_AH_IN, .family = frame->data[0] >> 4};
	frame->meta.payload_off = (uint16_t)ah_off;
}

static enum drop_reason seal_packet(struct lab_pair *pair, struct frame *frame)
{
	struct inner inner;
	enum drop_reason reason;

	if (!inner_parse(frame->data, frame->len, &inner))
		return DROP_INNER_MALFORMED;
	reason = ah_seal(&pair->out, frame, &inner, 1);
	if (reason == DROP_NONE)
		meta_ah(frame, frame->data[0] >> 4 == 4 ? (frame->data[0] & 15u) * 4u : 40);
	return reason;
}

static enum drop_reason open_packet(struct lab_pair *pair, struct frame *frame)
{
	struct inner inner;

	return ah_open(&pair->in, frame, &inner, 1);
}

/* For whichever mode: a packet that its SA takes. */
static uint32_t make_packet(uint8_t *packet, const struct lab_pair *pair, uint8_t family, uint32_t payload_len)
{
	uint32_t len = lab_packet(packet, family, 253, payload_len);

	if (pair->out.sa.mode == SA_TRANSPORT)
		lab_between_peers(packet);
	return len;
}

static void test_round_trip(void **state)
{
	const struct esp_suite *suite;
	struct lab_frame lab;
	struct lab_pair pair;
	uint8_t packet[2048];

	(void)state;
	for (unsigned i = 0; (suite = ah_suite_at(i / 8)); i++) {
		uint8_t family = i & 1 ? 6 : 4;
		enum sa_mode mode = i & 2 ? SA_TRANSPORT : SA_TUNNEL;

		pair_init(&pair, suite, family, mode, i & 4 ? SA_ESN : 0);
		for (uint32_t payload = 0; payload <= 1400; payload += payload < 40 ? 1 : 61) {
			uint32_t len = make_packet(packet, &pair, family, payload);
			struct frame *frame = lab_frame_set(&lab, packet, len);
			const uint8_t *ah;

			assert_int_equal(seal_packet(&pair, frame), DROP_NONE);
			assert_int_equal(overhead_carries(&pair.out, frame->len), len);
			ah = frame->data + frame->meta.payload_off;
			assert_int_equal((ah[1] + 2) * 4 % (family == 4 ? 4 : 8), 0);
			assert_int_equal((ah[1] + 2) * 4, ah_len(suite, family));
			assert_memory_equal(ah + 4, &pair.out.sa.spi, 4);
			frame->len += 13; /* Ethernet padding */
			assert_int_equal(open_packet(&pair, frame), DROP_NONE);
			assert_int_equal(frame->len, len);
			assert_memory_equal(frame->data, packet, len);
		}
		lab_pair_clear(&pair);
	}
}

/* The ICV, computed here over what RFC 4302 3.3.3 says. */
static void test_icv(void **state)
{
	static const uint8_t high[4] = {0, 0, 0, 7};
	uint8_t packet[128], copy[256 + 4], icv[EVP_MAX_MD_SIZE];
	struct lab_frame lab;
	struct lab_pair pair;

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		uint8_t family = i & 1 ? 6 : 4;
		bool esn = i & 4;
		uint32_t ip_len = family == 4 ? 20 : 40, len;
		struct sa sa;

		pair_init(&pair, sha256(), family, i & 2 ? SA_TRANSPORT : SA_TUNNEL, esn ? SA_ESN : 0);
		pair.run_out.out_seq = esn ? UINT64_C(0x700000001) : 1;
		len = make_packet(packet, &pair, family, 33);
		assert_int_equal(seal_packet(&pair, lab_frame_set(&lab, packet, len)), DROP_NONE);
		len = lab.frame.len;
		memcpy(copy, lab.frame.data, len);
		if (family == 4) {
			copy[1] = copy[6] = copy[7] = copy[8] = copy[10] = copy[11] = 0;
		} else {
			copy[0] = 0x60;
			copy[1] = copy[2] = copy[3] = copy[7] = 0;
		}
		memset(copy + ip_len + 12, 0, 16);
		memcpy(copy + len, high, 4);
		sa = lab_sa_out(sha256(), family, 0);
		assert_non_null(HMAC(EVP_sha256(), sa.integ_key, 32, copy, len + (esn ? 4 : 0), icv, NULL));
		assert_memory_equal(lab.frame.data + ip_len + 12, icv, 16);
		lab_pair_clear(&pair);
	}
}

/* What routers change does no harm; what nobody may change kills the packet. */
static void test_on_the_way(void **state)
{
	struct lab_frame sealed, lab;
	struct lab_pair pair;
	uint8_t packet[128];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		uint8_t family = i & 1 ? 6 : 4;
		uint32_t len;

		pair_init(&pair, sha256(), family, i & 2 ? SA_TRANSPORT : SA_TUNNEL, 0);
		len = make_packet(packet, &pair, family, 33);
		if (family == 4) {
			packet[1] = 2; /* ECT(0), so that marks are taken over */
			lab_ipv4_check(packet);
		}
		assert_int_equal(seal_packet(&pair, lab_frame_set(&sealed, packet, len)), DROP_NONE);
		for (uint32_t at = 0; at < sealed.frame.len; at++) {
			bool may = family == 4 ? at == 1 || at == 6 || at == 8 || at == 10 || at == 11
					       : at <= 3 || at == 7;
			uint8_t bit = family == 6 ? 0x01 : at == 6 ? 0x40 : 0x10; /* don't fragment, or any */
			enum drop_reason reason;

			pair.run_in = (struct sa_run){0};
			lab_frame_set(&lab, sealed.frame.data, sealed.frame.len)->meta = sealed.frame.meta;
			lab.frame.data[at] ^= bit;
			reason = open_packet(&pair, &lab.frame);
			if (may)
				assert_int_equal(reason, DROP_NONE);
			else
				assert_int_not_equal(reason, DROP_NONE);
			if (at >= sealed.frame.meta.payload_off + 12u || (family == 6 && at >= 8 && at < 40))
				assert_int_equal(reason, DROP_ICV_BAD);
		}
		lab_pair_clear(&pair);
	}
}

static void test_short(void **state)
{
	struct lab_frame sealed, lab;
	struct lab_pair pair;
	uint8_t packet[128];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		uint8_t family = i & 1 ? 6 : 4;

		pair_init(&pair, sha256(), family, i & 2 ? SA_TRANSPORT : SA_TUNNEL, i & 1 ? SA_ESN : 0);
		assert_int_equal(
			seal_packet(&pair, lab_frame_set(&sealed, packet, make_packet(packet, &pair, family, 9))),
			DROP_NONE);
		for (uint32_t cut = 0; cut < sealed.frame.len; cut++) {
			enum drop_reason reason;

			lab_frame_set(&lab, sealed.frame.data, cut)->meta = sealed.frame.meta;
			assert_int_equal(open_packet(&pair, &lab.frame), DROP_PACKET_MALFORMED);
			if (cut < sealed.frame.meta.payload_off)
				continue;
			lab_frame_set(&lab, sealed.frame.data, cut)->meta = sealed.frame.meta;
			lab_put16(lab.frame.data + (family == 4 ? 2 : 4), family == 4 ? cut : cut - 40);
			reason = open_packet(&pair, &lab.frame);
			if (cut < sealed.frame.meta.payload_off + ah_len(sha256(), family))
				assert_int_equal(reason, DROP_AH_MALFORMED);
			else
				assert_int_equal(reason, DROP_ICV_BAD);
		}
		lab_pair_clear(&pair);
	}
}

/* The length field says anything. */
static void test_length_lies(void **state)
{
	struct lab_frame sealed, lab;
	struct lab_pair pair;
	uint8_t packet[512];

	(void)state;
	pair_init(&pair, sha256(), 4, SA_TUNNEL, 0);
	assert_int_equal(
		seal_packet(&pair, lab_frame_set(&sealed, packet, make_packet(packet, &pair, 4, 300))), DROP_NONE);
	for (unsigned len = 0; len < 256; len++) {
		enum drop_reason reason;

		lab_frame_set(&lab, sealed.frame.data, sealed.frame.len)->meta = sealed.frame.meta;
		lab.frame.data[21] = (uint8_t)len;
		pair.run_in = (struct sa_run){0};
		reason = open_packet(&pair, &lab.frame);
		if (len == 5)
			assert_int_equal(reason, DROP_NONE);
		else if (len == 6) /* padded to 8 bytes, as Linux does */
			assert_int_equal(reason, DROP_ICV_BAD);
		else
			assert_int_equal(reason, DROP_AH_MALFORMED);
	}
	lab_pair_clear(&pair);
}

/* Linux's way of AH in IPv4: four bytes of padding behind the ICV. */
static void test_padded_to_eight(void **state)
{
	struct lab_frame lab;
	struct lab_pair pair;
	uint8_t packet[64], icv[EVP_MAX_MD_SIZE], copy[128] = {0};
	uint32_t len;
	struct sa sa;

	(void)state;
	pair_init(&pair, sha256(), 4, SA_TUNNEL, 0);
	len = make_packet(packet, &pair, 4, 10);
	memcpy(copy, pair.out.outer, 20);
	lab_put16(copy + 2, 20 + 32 + len);
	copy[8] = 0;
	copy[20] = 4;
	copy[21] = 6;
	memcpy(copy + 24, &pair.out.sa.spi, 4);
	copy[31] = 1;
	copy[48] = 0xaa;
	memcpy(copy + 52, packet, len);
	sa = lab_sa_out(sha256(), 4, 0);
	assert_non_null(HMAC(EVP_sha256(), sa.integ_key, 32, copy, 52 + len, icv, NULL));
	memcpy(copy + 32, icv, 16);
	copy[8] = 60;
	lab_frame_set(&lab, copy, 52 + len);
	meta_ah(&lab.frame, 20);
	assert_int_equal(open_packet(&pair, &lab.frame), DROP_NONE);
	assert_memory_equal(lab.frame.data, packet, len);
	lab_pair_clear(&pair);
}

static void test_replay_and_limits(void **state)
{
	struct lab_frame sealed, lab;
	struct lab_pair pair;
	uint8_t packet[128];
	uint32_t len;

	(void)state;
	pair_init(&pair, sha256(), 4, SA_TUNNEL, 0);
	len = make_packet(packet, &pair, 4, 33);
	assert_int_equal(seal_packet(&pair, lab_frame_set(&sealed, packet, len)), DROP_NONE);
	for (unsigned i = 0; i < 2; i++) {
		lab_frame_set(&lab, sealed.frame.data, sealed.frame.len)->meta = sealed.frame.meta;
		assert_int_equal(open_packet(&pair, &lab.frame), i ? DROP_REPLAY : DROP_NONE);
	}
	assert_int_equal(pair.in.dropped_replay, 1);
	assert_int_equal(pair.in.packets, 1);
	assert_int_equal(pair.in.bytes, len);
	pair.run_out.out_seq = UINT32_MAX;
	assert_int_equal(seal_packet(&pair, lab_frame_set(&lab, packet, len)), DROP_SEQ_EXHAUSTED);
	pair.run_out.out_seq = 1;
	pair.out.sa.hard_packets = 1;
	sa_context_derive(&pair.out);
	assert_int_equal(seal_packet(&pair, lab_frame_set(&lab, packet, len)), DROP_SA_EXPIRED);
	pair.in.sa.hard_ns = 1;
	sa_context_derive(&pair.in);
	lab_frame_set(&lab, sealed.frame.data, sealed.frame.len)->meta = sealed.frame.meta;
	assert_int_equal(open_packet(&pair, &lab.frame), DROP_SA_EXPIRED);
	lab_pair_clear(&pair);
}

/* ESP that names an AH SA's slot, and the other way round: another SA has taken it meanwhile. */
static void test_other_protocol(void **state)
{
	struct lab_frame lab;
	struct lab_pair ah, esp;
	uint8_t packet[128];
	uint32_t len;
	struct inner inner;

	(void)state;
	pair_init(&ah, sha256(), 4, SA_TUNNEL, 0);
	assert_int_equal(lab_pair_init(&esp, esp_suite_find(20, 256, 0), 4, 0, REPLAY_BITS), 0);
	len = make_packet(packet, &ah, 4, 33);
	assert_int_equal(seal_packet(&ah, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(open_packet(&esp, &lab.frame), DROP_SPI_UNKNOWN);
	assert_int_equal(lab_seal(&esp, lab_frame_set(&lab, packet, len)), DROP_NONE);
	assert_int_equal(esp_open(&ah.in, &lab.frame, &inner, 1), DROP_SPI_UNKNOWN);
	lab_pair_clear(&ah);
	lab_pair_clear(&esp);
}

/* An atomic fragment header is not seen by AH, sent or received (RFC 4302 A2). */
static void test_atomic_fragment(void **state)
{
	struct lab_frame lab;
	struct lab_pair pair;
	uint8_t packet[128], with[160];
	uint32_t len;

	(void)state;
	pair_init(&pair, sha256(), 6, SA_TRANSPORT, 0);
	len = make_packet(packet, &pair, 6, 33);
	memcpy(with, packet, 40);
	memcpy(with + 40, (uint8_t[]){253, 0, 0, 0, 1, 2, 3, 4}, 8);
	memcpy(with + 48, packet + 40, len - 40);
	with[6] = 44;
	lab_put16(with + 4, len + 8 - 40);
	assert_int_equal(seal_packet(&pair, lab_frame_set(&lab, with, len + 8)), DROP_NONE);
	assert_int_equal(lab.frame.data[6], 51);
	len = lab.frame.len;
	/* somebody left one in place */
	frame_push(&lab.frame, 8);
	memmove(lab.frame.data, lab.frame.data + 8, 40);
	memcpy(lab.frame.data + 40, (uint8_t[]){51, 0, 0, 0, 1, 2, 3, 4}, 8);
	lab.frame.data[6] = 44;
	lab_put16(lab.frame.data + 4, len + 8 - 40);
	meta_ah(&lab.frame, 48);
	assert_int_equal(open_packet(&pair, &lab.frame), DROP_NONE);
	assert_memory_equal(lab.frame.data, packet, 40 + 33);
	lab_pair_clear(&pair);
}

static void test_refused(void **state)
{
	struct tunnel tunnel = lab_tunnel();
	struct sa sa = lab_sa_out(sha256(), 4, SA_UDP_ENCAP);
	struct lab_frame lab;
	struct lab_pair pair;
	struct sa_context ctx;
	struct sa_run run = {0};
	uint8_t packet[128];
	uint32_t len;

	(void)state;
	sa.protocol = IPPROTO_AH;
	assert_int_equal(sa_context_init(&ctx, &sa, &tunnel, &run), -EINVAL);
	sa.flags = 0;
	sa.integ = 999;
	assert_int_equal(sa_context_init(&ctx, &sa, &tunnel, &run), -EOPNOTSUPP);

	pair_init(&pair, sha256(), 4, SA_TRANSPORT, 0);
	len = make_packet(packet, &pair, 4, 40);
	lab_put16(packet + 6, 0x2000);
	lab_ipv4_check(packet);
	assert_int_equal(seal_packet(&pair, lab_frame_set(&lab, packet, len)), DROP_FRAGMENT_TRANSPORT);
	len = lab_packet(packet, 4, 253, 40);
	assert_int_equal(seal_packet(&pair, lab_frame_set(&lab, packet, len)), DROP_SELECTOR_MISMATCH);
	lab_between_peers(packet);
	lab_frame_set(&lab, packet, len)->chunk = lab.frame.data - ah_len(sha256(), 4) + 1;
	assert_int_equal(seal_packet(&pair, &lab.frame), DROP_TOO_BIG);
	assert_int_equal(pair.run_out.out_seq, 0);
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

		pair_init(&pair, sha256(), route->family, SA_TRANSPORT, 0);
		if (seal_packet(&pair, lab_frame_set(&lab, packet, len)) != expected)
			fail_msg("%s", route->what);
		packet[route->family == 4 ? 16 : 24] ^= 1;
		if (route->family == 4)
			lab_ipv4_check(packet);
		expected = route->unfinished ? DROP_SOURCE_ROUTE : DROP_SELECTOR_MISMATCH;
		assert_int_equal(seal_packet(&pair, lab_frame_set(&lab, packet, len)), expected);
		lab_pair_clear(&pair);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_icv),
		cmocka_unit_test(test_on_the_way),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_length_lies),
		cmocka_unit_test(test_padded_to_eight),
		cmocka_unit_test(test_replay_and_limits),
		cmocka_unit_test(test_other_protocol),
		cmocka_unit_test(test_atomic_fragment),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_source_routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
