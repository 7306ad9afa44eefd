/* SPDX-License-Identifier: Apache-2.0 */
/* The short ways of plain packets decide as the general ones do: two pairs of gateways get the same packets, and one of
 * them has to go the general way, since its SAs are not told to be plain. */
#include "tools/bench/worker_lab.h"

#include "agent/base/clock.h"
#include "agent/checksum.h"
#include "tests/unit/esp_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define TURNS	   8000u
#define BATCH	   8u /* the first packet of a batch finds the way for those behind it */
#define FATES_MAX  64u
#define SIZE	   400u
#define MTU	   380u /* of the way out: some packets are larger than the tunnel carries */
#define MTU_BEHIND 300u /* of the other gateway's ways: it lowers TCP segments further, and cannot pass all on */

enum { SHORT, GENERAL, WAYS };

/* The gateway that seals and the one that opens. */
struct side {
	struct gateway a;
	struct gateway b;
};

static struct side *sides[WAYS];
static uint64_t now = GATEWAY_NOW_NS;

/* What left a gateway in a turn. */
struct fate {
	uint32_t count;
	uint8_t slots[FATES_MAX];
	uint32_t lens[FATES_MAX];
	uint8_t bytes[FATES_MAX][2048];
};

static uint32_t die(uint64_t *random, uint32_t sides_of_it)
{
	return (uint32_t)(lab_random(random) % sides_of_it);
}

/* A packet that is plain in nearly all respects, and not in one or two. */
static uint32_t packet_make(uint64_t *random, uint8_t *packet)
{
	static const uint8_t classes[] = {0, 0, 0, 1, 2, 3, 46 << 2, 46 << 2 | 3};
	uint32_t len = 20 + die(random, die(random, 4) ? 120 : SIZE - 20), options = die(random, 20) ? 0 : 4;

	for (uint32_t i = 0; i < SIZE; i++)
		packet[i] = (uint8_t)lab_random(random);
	packet[0] = (uint8_t)(0x45 + options / 4);
	packet[1] = classes[die(random, 8)];
	wire_put16(packet + 2, die(random, 20) ? len : die(random, SIZE));
	wire_put16(packet + 6, (die(random, 2) ? WIRE_IPV4_DF : 0) | (die(random, 20) ? 0 : WIRE_IPV4_MF) |
				       (die(random, 20) ? 0 : die(random, 200)));
	packet[8] = (uint8_t)(die(random, 6) ? 64 : die(random, 4));
	packet[9] = (uint8_t)(die(random, 3) ? IPPROTO_UDP : die(random, 4) ? IPPROTO_TCP : lab_random(random));
	memcpy(packet + 12, (uint8_t[]){10, 1, 0, (uint8_t)die(random, 3)}, 4);
	memcpy(packet + 16, (uint8_t[]){10, die(random, 30) ? 2 : 3, 0, (uint8_t)die(random, 3)}, 4);
	if (options)
		memset(packet + 20, 1, options); /* no operation */
	if (packet[9] == IPPROTO_TCP && len >= 44) {
		packet[32] = 6 << 4;
		packet[33] = die(random, 4) ? 0x10 : 0x02;
		memcpy(packet + 40, (uint8_t[]){2, 4, 1460 >> 8, 1460 & 0xff}, 4); /* the segments' size */
	}
	if (!die(random, 20) && len >= 28) { /* only the pseudo header's sum, as virtual interfaces leave it */
		struct inner inner;

		lab_ipv4_check(packet);
		if (inner_parse(packet, len, &inner) && inner.plain)
			wire_put16(packet + (packet[9] == IPPROTO_UDP ? 26 : 36),
				be16toh(checksum_fold(checksum_pseudo(&inner, packet[9], inner.len - 20))));
	}
	lab_ipv4_check(packet);
	if (!die(random, 30))
		packet[10] ^= 1;
	return len;
}

/* What left by any port of the gateway. */
static void fate_take(struct gateway *gateway, struct fate *fate)
{
	struct frame frames[PORT_BATCH];

	fate->count = 0;
	for (uint32_t slot = SLOT_HOST; slot <= SLOT_WAN; slot++) {
		uint32_t count = memory_port_pull(gateway_port(gateway, slot), 0, frames, PORT_BATCH);

		for (uint32_t i = 0; i < count; i++) {
			uint32_t at = fate->count++;

			assert_true(at < FATES_MAX && frames[i].len <= sizeof(fate->bytes[at]));
			fate->slots[at] = (uint8_t)slot;
			fate->lens[at] = frames[i].len;
			memcpy(fate->bytes[at], frames[i].data, frames[i].len);
			chunk_give(&gateway->cache, frames[i].chunk);
		}
	}
}

static void fates_equal(const struct fate fates[WAYS], bool bytes_too, const char *what, uint32_t turn)
{
	const struct fate *x = &fates[SHORT], *y = &fates[GENERAL];

	if (x->count != y->count)
		fail_msg("turn %u: %u %s by the short way, %u by the general one", turn, x->count, what, y->count);
	for (uint32_t i = 0; i < x->count; i++)
		if (x->slots[i] != y->slots[i] || x->lens[i] != y->lens[i] ||
			(bytes_too && memcmp(x->bytes[i], y->bytes[i], x->lens[i]) != 0))
			fail_msg("turn %u: packet %u, %s, is another one by the general way", turn, i, what);
}

/* The contexts exist once a packet has passed. */
static void general_from_now_on(struct gateway *gateway)
{
	for (uint32_t i = 0; i < 2; i++)
		if (gateway->worker.sas.slots[i])
			gateway->worker.sas.slots[i]->context.plain = false;
}

static unsigned messages(struct gateway *gateway)
{
	struct agent_message message;
	unsigned count = 0;

	while (mailbox_take(&gateway->mailbox, &message))
		count++;
	return count;
}

static void counters_equal(struct gateway *x, struct gateway *y)
{
	assert_int_equal(messages(x), messages(y));
	for (unsigned i = 0; i < DROP_SLOTS; i++)
		if (x->stat.drops[i].packets != y->stat.drops[i].packets)
			fail_msg("reason %u: %llu by the short way, %llu by the general one", i,
				(unsigned long long)x->stat.drops[i].packets,
				(unsigned long long)y->stat.drops[i].packets);
	assert_int_equal(x->stat.sealed, y->stat.sealed);
	assert_int_equal(x->stat.opened, y->stat.opened);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(x->runs[i].packets, y->runs[i].packets);
		assert_int_equal(x->runs[i].bytes, y->runs[i].bytes);
		assert_int_equal(x->runs[i].out_seq, y->runs[i].out_seq);
		assert_int_equal(x->runs[i].replay_top, y->runs[i].replay_top);
		assert_int_equal(x->runs[i].dropped_other, y->runs[i].dropped_other);
	}
}

static void sides_make(const struct esp_suite *suite, uint16_t flags)
{
	for (unsigned way = 0; way < WAYS; way++) {
		struct side *side = calloc(1, sizeof(*side));

		assert_non_null(side);
		sides[way] = side;
		assert_int_equal(gateway_init(&side->a, 0, suite), 0);
		assert_int_equal(gateway_init(&side->b, 1, suite), 0);
		side->a.worker.sas.ids = 0; /* else it begins anywhere */
		for (unsigned i = 0; i < 2; i++) {
			struct sa *sa = i ? &side->b.sas[0] : &side->a.sas[1];

			sa->flags |= flags;
			sa->local_port = sa->remote_port = flags & SA_UDP_ENCAP ? 4500 : 0;
		}
		side->a.resolver.mtu = MTU;
		side->b.resolver.mtu = MTU_BEHIND;
	}
}

static void sides_clear(void)
{
	for (unsigned way = 0; way < WAYS; way++) {
		gateway_clear(&sides[way]->a);
		gateway_clear(&sides[way]->b);
		free(sides[way]);
	}
}

/* What a seals, b opens; some of it is marked, altered or padded on the way. */
static void sealed_pass(uint64_t *random, struct fate fates[WAYS])
{
	for (uint32_t i = 0; i < fates[SHORT].count; i++) {
		uint8_t mark = die(random, 8) ? 0 : (uint8_t)(1 + die(random, 3)), flip = die(random, 30) ? 0 : 0x10;
		uint32_t at = 14 + die(random, fates[SHORT].lens[i] - 14), extra = die(random, 4) ? 0 : 6;

		if (fates[SHORT].slots[i] != SLOT_WAN) /* an answer to the sender */
			continue;
		for (unsigned way = 0; way < WAYS; way++) {
			struct frame frame = {.data = fates[way].bytes[i], .len = fates[way].lens[i] + extra};

			frame.data[15] |= mark; /* of its class; the checksum is no concern of the receiver's */
			frame.data[at] ^= flip;
			assert_true(gateway_push_esp(&sides[way]->b, 0, &frame));
		}
	}
	for (unsigned way = 0; way < WAYS; way++) {
		worker_turn(&sides[way]->b.worker, now);
		fate_take(&sides[way]->b, &fates[way]);
	}
	general_from_now_on(&sides[GENERAL]->b);
}

static void same_fates(const struct esp_suite *suite, uint16_t flags, uint64_t seed)
{
	static struct fate fates[WAYS];
	uint8_t packet[SIZE];

	sides_make(suite, flags);
	for (uint32_t turn = 0; turn < TURNS; turn++) {
		now += 100 * NS_PER_MS; /* so that answers to senders are not rationed */
		for (uint32_t i = 0; i < BATCH; i++) {
			uint32_t len = packet_make(&seed, packet);

			for (unsigned way = 0; way < WAYS; way++)
				assert_true(gateway_push_plain(&sides[way]->a, SLOT_LAN, 0, packet, len));
		}
		for (unsigned way = 0; way < WAYS; way++) {
			worker_turn(&sides[way]->a.worker, now);
			fate_take(&sides[way]->a, &fates[way]);
		}
		general_from_now_on(&sides[GENERAL]->a);
		fates_equal(fates, suite->block < 16, "sealed", turn); /* IVs of CBC are not the same */
		sealed_pass(&seed, fates);
		fates_equal(fates, true, "opened", turn);
	}
	counters_equal(&sides[SHORT]->a, &sides[GENERAL]->a);
	counters_equal(&sides[SHORT]->b, &sides[GENERAL]->b);
	assert_true(sides[SHORT]->b.stat.opened > TURNS * BATCH / 4);
	sides_clear();
}

static void test_gcm(void **state)
{
	(void)state;
	same_fates(esp_suite_find(ENCR_AES_GCM_16, 256, AUTH_NONE), 0, 1);
}

static void test_esn(void **state)
{
	(void)state;
	same_fates(esp_suite_find(ENCR_AES_GCM_16, 128, AUTH_NONE), SA_ESN, 2);
}

/* Some packets have another source by the way, which the agent tells. */
static void test_udp(void **state)
{
	(void)state;
	same_fates(esp_suite_find(ENCR_AES_GCM_16, 256, AUTH_NONE), SA_UDP_ENCAP, 5);
}

/* Padding of up to 15 bytes. */
static void test_cbc(void **state)
{
	(void)state;
	same_fates(esp_suite_find(ENCR_AES_CBC, 256, AUTH_SHA256_128), 0, 3);
}

static void test_null(void **state)
{
	(void)state;
	same_fates(esp_suite_find(ENCR_NULL, 0, AUTH_SHA256_128), 0, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_gcm), cmocka_unit_test(test_udp),
		cmocka_unit_test(test_esn), cmocka_unit_test(test_cbc), cmocka_unit_test(test_null)};

	return cmocka_run_group_tests_name("plain", tests, NULL, NULL);
}
