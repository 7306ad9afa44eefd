/* SPDX-License-Identifier: Apache-2.0 */
/* No packet dies uncounted: whatever XDP hands over, of any kind and length, a worker opens, seals, or counts it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/reassembly.h"
#include "agent/wire.h"
#include "tools/bench/worker_lab.h"

#define LEN_MAX	     (FRAME_DATA_MAX - 14)
#define LATER_NS     (GATEWAY_NOW_NS + 2 * REASSEMBLY_S * NS_PER_S)
#define SPI_RESERVED 256u /* the first that is not (RFC 4303 2.1) */

struct lab {
	struct gateway gateway;
	uint32_t asked; /* for SAs that XDP has not looked up */
};

static uint32_t find_spi(void *context, const struct spi_key *key)
{
	struct lab *lab = context;

	lab->asked++;
	return key->spi == htonl(0x2222) ? 0 : SA_NONE;
}

static int set_up(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	int err = gateway_init(&lab->gateway, 0, esp_suite_find(20, 256, 0));

	*state = lab;
	lab->gateway.shared.reassembly = reassembly_new();
	lab->gateway.shared.find_spi = find_spi;
	lab->gateway.shared.find_spi_context = lab;
	return err || !lab->gateway.shared.reassembly;
}

static int tear_down(void **state)
{
	struct lab *lab = *state;

	gateway_clear(&lab->gateway);
	reassembly_free(lab->gateway.shared.reassembly);
	free(lab);
	return 0;
}

static uint64_t fates(const struct gateway *gateway)
{
	uint64_t sum = gateway->stat.opened + gateway->stat.sealed;

	for (unsigned i = 0; i < DROP_SLOTS; i++)
		sum += gateway->stat.drops[i].packets;
	return sum;
}

static uint32_t chunks_free(struct gateway *gateway)
{
	return umem_free_count(&gateway->umem) + gateway->worker.cache.count + gateway->cache.count;
}

static void turn(struct gateway *gateway, uint64_t now)
{
	struct frame frames[PORT_BATCH];
	uint32_t count;

	worker_turn(&gateway->worker, now);
	for (uint32_t slot = SLOT_HOST; slot <= SLOT_WAN; slot++)
		while ((count = memory_port_pull(gateway_port(gateway, slot), 0, frames, PORT_BATCH)))
			for (uint32_t i = 0; i < count; i++)
				chunk_give(&gateway->cache, frames[i].chunk);
}

static void push(struct gateway *gateway, const struct packet_meta *meta, const uint8_t *packet, uint32_t len)
{
	struct frame frame = gateway_frame(gateway, packet, len);

	assert_non_null(frame.chunk);
	frame.meta = *meta;
	assert_true(memory_port_push(gateway_port(gateway, SLOT_WAN), 0, &frame));
}

/* An IP header that says the truth of `len`, as far as it has room to, before noise. */
static void put_packet(uint8_t *packet, uint8_t family, uint8_t protocol, uint32_t len, uint32_t noise)
{
	for (uint32_t i = 0; i < LEN_MAX; i++)
		packet[i] = (uint8_t)(i * noise + (i >> 3));
	if (family == 4) {
		memcpy(packet, (uint8_t[]){0x45, 0, 0, 0, 0, 9, 0x40, 0, 64, protocol}, 10);
		wire_put16(packet + 2, len);
		memcpy(packet + 12, (uint8_t[]){10, 1, 0, 5, 10, 2, 0, 7}, 8);
		return;
	}
	memcpy(packet, (uint8_t[]){0x60, 0, 0, 0, 0, 0, protocol, 64}, 8);
	wire_put16(packet + 4, len > WIRE_IPV6_LEN ? len - WIRE_IPV6_LEN : 0);
}

/* Kinds that exist, that do not, and protocols that each of them expects or not. */
static void test_every_kind_and_length(void **state)
{
	static const uint8_t kinds[] = {0, META_ESP_IN, META_PLAIN_OUT, META_AH_IN, META_FRAGMENT_IN, META_ICMP_IN, 6,
		META_DUMMY_OUT, META_REFUSED};
	static const uint8_t protocols[] = {50, 51, 17, 1, 58, 44, 0};
	static uint8_t packet[LEN_MAX];
	struct lab *lab = *state;
	struct gateway *gateway = &lab->gateway;
	uint64_t pushed = 0;

	for (uint32_t i = 0; i < 2 * sizeof(kinds) * sizeof(protocols); i++) {
		uint8_t family = i % 2 ? 6 : 4, kind = kinds[i / 2 % sizeof(kinds)];
		struct packet_meta meta = {.kind = kind, .family = family, .l3_off = 14};

		meta.protocol = protocols[i / 2 / sizeof(kinds)];
		meta.flags = meta.protocol == 17 ? META_UDP_ENCAP : 0;
		meta.payload_off = (uint16_t)(14 + (family == 4 ? 20 : 40) + (meta.flags ? 8 : 0));
		meta.index = kind == META_REFUSED ? DROP_POLICY_NONE : 0;
		for (uint32_t len = 0; len <= LEN_MAX; len += len < 200 ? 1 : 29) {
			put_packet(packet, family, meta.protocol, len, len % 3 ? 7 : 0);
			push(gateway, &meta, packet, len);
			pushed++;
			if (len % (PORT_BATCH / 2) == 0 || len >= 200)
				turn(gateway, GATEWAY_NOW_NS);
		}
	}
	turn(gateway, LATER_NS); /* fragments without their others */
	turn(gateway, LATER_NS + 2 * NS_PER_S);
	assert_int_equal(fates(gateway), pushed);
	assert_int_equal(chunks_free(gateway), GATEWAY_CHUNKS);
	assert_true(gateway->stat.sealed > 0);
	assert_int_equal(gateway->stat.opened, 0);
}

/* In two fragments, so that the agent itself has to look at the SPI. */
static void push_in_two(struct gateway *gateway, uint32_t spi, bool udp, uint16_t id)
{
	struct packet_meta meta = {
		.kind = META_FRAGMENT_IN, .family = 4, .l3_off = 14, .payload_off = 34, .index = SA_NONE};
	uint8_t packet[20 + 48] = {0x45, 0, 0, 68, 0, 0, 0x20, 0, 64, udp ? 17 : 50, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1};
	uint8_t *esp = packet + 20 + (udp ? 8 : 0);

	wire_put16(packet + 4, id);
	if (udp) {
		wire_put16(packet + 20, 4500);
		wire_put16(packet + 22, 4500);
		wire_put16(packet + 24, 2 * 48);
	}
	wire_put32(esp, spi);
	wire_put32(esp + 4, 1);
	push(gateway, &meta, packet, sizeof(packet));
	wire_put16(packet + 6, 48 / 8);
	push(gateway, &meta, packet, sizeof(packet));
}

static void test_reserved_spis_in_fragments(void **state)
{
	struct lab *lab = *state;
	struct gateway *gateway = &lab->gateway;
	uint16_t id = 0;

	for (unsigned udp = 0; udp < 2; udp++) {
		for (uint32_t spi = 0; spi <= SPI_RESERVED; spi++) {
			push_in_two(gateway, spi, udp, ++id);
			turn(gateway, GATEWAY_NOW_NS);
			assert_int_equal(gateway->stat.drops[DROP_SPI_RESERVED].packets,
				udp * SPI_RESERVED + (spi < SPI_RESERVED ? spi + 1 : SPI_RESERVED));
		}
	}
	assert_int_equal(lab->asked, 2); /* for 256, which nobody has */
	assert_int_equal(gateway->stat.drops[DROP_SPI_UNKNOWN].packets, 2);
	push_in_two(gateway, 0x2222, false, ++id);
	turn(gateway, GATEWAY_NOW_NS);
	assert_int_equal(gateway->stat.drops[DROP_ICV_BAD].packets, 1);
	assert_int_equal(chunks_free(gateway), GATEWAY_CHUNKS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_kind_and_length, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reserved_spis_in_fragments, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
