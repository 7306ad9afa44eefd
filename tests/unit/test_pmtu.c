/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP errors about the outer path: which are believed, and what they change. */
#include "agent/icmp_error.h"
#include "agent/pmtu.h"
#include "tests/unit/esp_lab.h"
#include "tools/bench/worker_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint8_t router4[4] = {203, 0, 113, 9};
static const uint8_t router6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 9};

/* A router's "too big" about `outer`, an IP packet: as it arrives, cut to `len` bytes of quote if that is less. */
static struct frame *error_about(struct lab_frame *lab, const uint8_t *outer, uint32_t len, uint32_t mtu)
{
	struct inner inner;

	assert_true(inner_parse(outer, len, &inner));
	lab_frame_set(lab, NULL, 0);
	assert_true(
		icmp_error_build(&lab->frame, ICMP_TOO_BIG, outer, &inner, inner.family == 4 ? router4 : router6, mtu));
	lab->frame.meta = (struct packet_meta){.kind = META_ICMP_IN, .family = inner.family, .index = SA_NONE};
	lab->frame.meta.payload_off = inner.family == 4 ? 20 : 40;
	return &lab->frame;
}

/* Shorten the error to `quoted` bytes of the packet, and make lengths and checksums right again. */
static void cut_quote(struct frame *frame, uint32_t quoted)
{
	uint32_t ip_len = frame->meta.payload_off, icmp_len = 8 + quoted;
	uint8_t *icmp = frame->data + ip_len;
	uint64_t sum = 0;
	uint16_t check;

	frame->len = ip_len + icmp_len;
	memset(icmp + 2, 0, 2);
	if (ip_len == 20) {
		lab_put16(frame->data + 2, frame->len);
		lab_ipv4_check(frame->data);
	} else {
		lab_put16(frame->data + 4, icmp_len);
		sum = checksum_add(0, frame->data + 8, 32) + htonl(icmp_len) + htons(58);
	}
	check = (uint16_t)~checksum_fold(checksum_add(sum, icmp, icmp_len));
	memcpy(icmp + 2, &check, 2);
}

/* A sealed packet of each form. */
static void seal_form(struct lab_pair *pair, struct lab_frame *lab, uint8_t family, uint16_t flags)
{
	uint8_t packet[600];

	assert_int_equal(lab_pair_init(pair, esp_suite_find(20, 256, 0), family, flags, 64), 0);
	pair->run_out.out_seq = 99;
	assert_int_equal(lab_seal(pair, lab_frame_set(lab, packet, lab_packet(packet, 4, 253, 500))), DROP_NONE);
}

static void reads_what_is_quoted(void **state)
{
	struct lab_frame sealed, lab;
	struct pmtu_quote quote;
	struct lab_pair pair;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		uint8_t family = i & 1 ? 6 : 4;
		uint16_t flags = i & 2 ? SA_UDP_ENCAP : 0;

		seal_form(&pair, &sealed, family, flags);
		assert_true(pmtu_read(error_about(&lab, sealed.frame.data, sealed.frame.len, 1300), &quote));
		assert_int_equal(quote.mtu, 1300);
		assert_int_equal(quote.seq_low, 100);
		assert_int_equal(quote.spi, pair.out.sa.spi);
		assert_int_equal(quote.udp, flags != 0);
		assert_true(pmtu_believe(&quote, &pair.out.sa, 0, 100));
		lab_pair_clear(&pair);
	}
}

static void believes_the_path_alone(void **state)
{
	struct lab_frame sealed, lab;
	struct pmtu_quote good, quote;
	struct lab_pair pair;
	struct sa sa;

	(void)state;
	seal_form(&pair, &sealed, 4, SA_UDP_ENCAP);
	assert_true(pmtu_read(error_about(&lab, sealed.frame.data, sealed.frame.len, 1300), &good));
#define BELIEVED(change, before, seq, answer)                                                                          \
	do {                                                                                                           \
		quote = good;                                                                                          \
		sa = pair.out.sa;                                                                                      \
		change;                                                                                                \
		assert_int_equal(pmtu_believe(&quote, &sa, before, seq), answer);                                      \
	} while (0)
	BELIEVED((void)0, 0, 100, true);
	BELIEVED((void)0, 99, 100, true);
	BELIEVED((void)0, 99, 2000000000, true); /* however many since */
	BELIEVED((void)0, 100, 200, false);	 /* too long ago */
	BELIEVED((void)0, UINT64_MAX, 100, false);
	BELIEVED((void)0, 0, 99, false); /* not sent yet */
	BELIEVED(quote.seq_low = 0, 0, 100, false);
	BELIEVED(quote.seq_low = 1, 0, 1, true);
	/* around the corner of the low half */
	BELIEVED(quote.seq_low = UINT32_MAX, 5, UINT64_C(0x100000005), true);
	BELIEVED(quote.seq_low = UINT32_MAX, 0, 5, false);
	BELIEVED(quote.spi ^= 1, 0, 100, false);
	BELIEVED(quote.source.bytes[15] ^= 1, 0, 100, false);
	BELIEVED(quote.destination.bytes[15] ^= 1, 0, 100, false);
	BELIEVED(quote.source_port ^= 1, 0, 100, false);
	BELIEVED(quote.destination_port ^= 1, 0, 100, false);
	BELIEVED(quote.udp = false, 0, 100, false);
	BELIEVED(quote.protocol = 51, 0, 100, false);
	BELIEVED(sa.direction = SA_IN, 0, 100, false);
	BELIEVED(quote.mtu = 576, 0, 100, true);
	BELIEVED(quote.mtu = 575, 0, 100, false);
	BELIEVED((quote.family = 6, quote.mtu = 1280), 0, 100, true);
	BELIEVED((quote.family = 6, quote.mtu = 1279), 0, 100, false);
#undef BELIEVED
	lab_pair_clear(&pair);
}

/* The least quote that says enough, and every shorter one. */
static void needs_the_sequence_number(void **state)
{
	struct lab_frame sealed, lab;
	struct pmtu_quote quote;
	struct lab_pair pair;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		uint32_t least = (i & 1 ? 40u : 20u) + (i & 2 ? 8u : 0u) + 8u;

		seal_form(&pair, &sealed, i & 1 ? 6 : 4, i & 2 ? SA_UDP_ENCAP : 0);
		for (uint32_t quoted = 0; quoted <= least + 4; quoted++) {
			error_about(&lab, sealed.frame.data, sealed.frame.len, 1300);
			cut_quote(&lab.frame, quoted);
			assert_int_equal(pmtu_read(&lab.frame, &quote), quoted >= least);
		}
		lab_pair_clear(&pair);
	}
}

static void refuses_other_errors(void **state)
{
	struct lab_frame sealed, lab;
	struct pmtu_quote quote;
	struct lab_pair pair;

	(void)state;
	seal_form(&pair, &sealed, 4, 0);
	error_about(&lab, sealed.frame.data, sealed.frame.len, 1300);
	lab.frame.data[27] ^= 1; /* checksum */
	assert_false(pmtu_read(&lab.frame, &quote));
	error_about(&lab, sealed.frame.data, sealed.frame.len, 1300);
	lab.frame.data[21] = 1; /* host unreachable */
	cut_quote(&lab.frame, 100);
	assert_false(pmtu_read(&lab.frame, &quote));
	error_about(&lab, sealed.frame.data, sealed.frame.len, 1300);
	lab_put16(lab.frame.data + 28 + 6, 1); /* about a later fragment */
	cut_quote(&lab.frame, 100);
	assert_false(pmtu_read(&lab.frame, &quote));
	error_about(&lab, sealed.frame.data, sealed.frame.len, 1300);
	lab.frame.data[28 + 9] = 6; /* about TCP */
	cut_quote(&lab.frame, 100);
	assert_false(pmtu_read(&lab.frame, &quote));
	/* an old router, which says no size: the next smaller one of links */
	error_about(&lab, sealed.frame.data, sealed.frame.len, 0);
	lab_put16(lab.frame.data + 28 + 2, 1500);
	cut_quote(&lab.frame, 100);
	assert_true(pmtu_read(&lab.frame, &quote));
	assert_int_equal(quote.mtu, 1492);
	lab_pair_clear(&pair);
}

/* ---- through a worker ---------------------------------------------------------------------------------------- */

struct lab {
	struct gateway a;
	uint64_t now;
};

static int set_up(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	*state = lab;
	lab->now = GATEWAY_NOW_NS;
	return gateway_init(&lab->a, 0, esp_suite_find(20, 256, 0));
}

static int tear_down(void **state)
{
	struct lab *lab = *state;

	gateway_clear(&lab->a);
	free(lab);
	return 0;
}

/* One plain packet of `len` bytes in; is a sealed one there after the turn? */
static bool sealed_one(struct lab *lab, uint32_t len, struct lab_frame *copy)
{
	uint8_t packet[2048];
	struct frame sealed;

	gateway_packet(packet, len, 0, true);
	assert_true(gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, len));
	worker_turn(&lab->a.worker, lab->now);
	if (memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, &sealed, 1) != 1)
		return false;
	if (copy)
		lab_frame_set(copy, sealed.data + 14, sealed.len - 14);
	chunk_give(&lab->a.cache, sealed.chunk);
	return true;
}

static void push_error(struct lab *lab, const struct lab_frame *sealed, uint32_t mtu)
{
	struct lab_frame error;
	struct frame frame;

	error_about(&error, sealed->frame.data, sealed->frame.len, mtu);
	frame = gateway_frame(&lab->a, error.frame.data, error.frame.len);
	frame.meta = error.frame.meta;
	frame.meta.l3_off = 14;
	frame.meta.payload_off = 34;
	assert_non_null(frame.chunk);
	assert_true(memory_port_push(gateway_port(&lab->a, SLOT_WAN), 0, &frame));
	worker_turn(&lab->a.worker, lab->now);
}

static void learns_and_forgets(void **state)
{
	struct lab *lab = *state;
	const struct sa_run *run = &lab->a.runs[1];
	struct lab_frame sealed;

	assert_true(sealed_one(lab, 1400, &sealed));
	push_error(lab, &sealed, 1300);
	assert_int_equal(run->path_mtu, 1300);
	assert_int_equal(lab->a.stat.drops[DROP_ICMP_UNBELIEVED].packets, 0);
	assert_false(sealed_one(lab, 1400, NULL));
	assert_int_equal(lab->a.stat.drops[DROP_TOO_BIG].packets, 1);
	assert_true(sealed_one(lab, 1200, NULL));
	push_error(lab, &sealed, 1400); /* larger than is known: no news */
	assert_int_equal(run->path_mtu, 1300);
	push_error(lab, &sealed, 1000);
	assert_int_equal(run->path_mtu, 1000);
	assert_false(sealed_one(lab, 1200, NULL));
	lab->now += PMTU_KEEP_S * NS_PER_S;
	assert_true(sealed_one(lab, 1400, NULL));
}

/* Lately is a matter of time, not of packets. */
static void believes_for_seconds(void **state)
{
	struct lab *lab = *state;
	struct lab_frame sealed;

	assert_true(sealed_one(lab, 1400, &sealed));
	lab->now += 3 * NS_PER_S;
	lab->a.runs[1].out_seq += 3000000; /* a million a second */
	assert_true(sealed_one(lab, 1400, NULL));
	push_error(lab, &sealed, 1300);
	assert_int_equal(lab->a.runs[1].path_mtu, 1300);
	lab->now += 2 * NS_PER_S;
	assert_true(sealed_one(lab, 1200, NULL));
	push_error(lab, &sealed, 1200);
	assert_int_equal(lab->a.runs[1].path_mtu, 1300);
	assert_int_equal(lab->a.stat.drops[DROP_ICMP_UNBELIEVED].packets, 1);
}

/* Those that know no SPI of ours take nothing away from those that do. */
static void guesses_do_not_count(void **state)
{
	struct lab *lab = *state;
	struct lab_frame sealed, guess;

	assert_true(sealed_one(lab, 1400, &sealed));
	guess = sealed;
	guess.frame.chunk = guess.chunk;
	guess.frame.data = guess.chunk + FRAME_HEADROOM;
	guess.frame.data[20] ^= 1; /* SPI */
	for (unsigned i = 0; i < 3 * PMTU_JUDGED_PER_S; i++)
		push_error(lab, &guess, 1300);
	assert_int_equal(lab->a.stat.drops[DROP_ICMP_UNBELIEVED].packets, 3 * PMTU_JUDGED_PER_S);
	push_error(lab, &sealed, 1300);
	assert_int_equal(lab->a.runs[1].path_mtu, 1300);
}

static void counts_lies(void **state)
{
	struct lab *lab = *state;
	struct lab_frame sealed, lie;
	uint64_t unbelieved = 0;

	assert_true(sealed_one(lab, 1400, &sealed));
	lie = sealed;
	lie.frame.chunk = lie.chunk;
	lie.frame.data = lie.chunk + FRAME_HEADROOM;
	lie.frame.data[27] = 77; /* a number that was not sent */
	push_error(lab, &lie, 1300);
	assert_int_equal(lab->a.stat.drops[DROP_ICMP_UNBELIEVED].packets, ++unbelieved);
	push_error(lab, &sealed, 500);
	assert_int_equal(lab->a.stat.drops[DROP_ICMP_UNBELIEVED].packets, ++unbelieved);
	assert_int_equal(lab->a.runs[1].path_mtu, 0);
	/* A flood of lies: after so many a second that name an SA nobody judges them, and a second later somebody does.
	 */
	for (unsigned i = 0; i < 3 * PMTU_JUDGED_PER_S; i++)
		push_error(lab, &lie, 1300);
	unbelieved += 3 * PMTU_JUDGED_PER_S;
	push_error(lab, &sealed, 1300);
	assert_int_equal(lab->a.stat.drops[DROP_ICMP_UNBELIEVED].packets, ++unbelieved);
	lab->now += NS_PER_S;
	push_error(lab, &sealed, 1300);
	assert_int_equal(lab->a.runs[1].path_mtu, 1300);
	assert_int_equal(
		umem_free_count(&lab->a.umem) + lab->a.worker.cache.count + lab->a.cache.count, GATEWAY_CHUNKS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_is_quoted),
		cmocka_unit_test(believes_the_path_alone),
		cmocka_unit_test(needs_the_sequence_number),
		cmocka_unit_test(refuses_other_errors),
		cmocka_unit_test_setup_teardown(learns_and_forgets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(believes_for_seconds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(guesses_do_not_count, set_up, tear_down),
		cmocka_unit_test_setup_teardown(counts_lies, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
