/* SPDX-License-Identifier: Apache-2.0 */
/* SAs and tunnels that change under the worker: what is deleted, rewritten, given other options or at its end. */
#include "agent/checksum.h"
#include "agent/wire.h"
#include "tests/unit/worker_scene.h"

/* Deleted under the worker: the next packet must not be opened with keys that are gone. */
static void generation_moves_on(void **state)
{
	struct lab *lab = *state;
	struct frame sealed = seal_one(lab, 100);

	gateway_push_esp(&lab->b, 0, &sealed);
	worker_turn(&lab->b.worker, lab->now);
	assert_int_equal(lab->b.stat.opened, 1);
	lab->b.sas[0].state = SA_RETIRED;
	lab->b.sas[0].generation += 2;
	gateway_push_esp(&lab->b, 0, &sealed);
	worker_turn(&lab->b.worker, lab->now + NS_PER_S);
	assert_int_equal(dropped(&lab->b, DROP_SPI_UNKNOWN), 1);
	assert_null(lab->b.worker.sas.slots[0]);
	chunk_give(&lab->a.cache, sealed.chunk);
}

/* A tunnel whose selectors are being written is not read by halves. */
static void tunnel_is_read_whole(void **state)
{
	struct lab *lab = *state;
	struct frame sealed = seal_one(lab, 100), opened;

	lab->b.tunnels[0].generation = 1;
	gateway_push_esp(&lab->b, 0, &sealed);
	worker_turn(&lab->b.worker, lab->now);
	assert_int_equal(dropped(&lab->b, DROP_SPI_UNKNOWN), 1);
	lab->b.tunnels[0].generation = 2;
	gateway_push_esp(&lab->b, 0, &sealed);
	worker_turn(&lab->b.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_LAN), 0, &opened, 1), 1);
	chunk_give(&lab->b.cache, opened.chunk);
	chunk_give(&lab->a.cache, sealed.chunk);
}

/* A slot that now belongs to another tunnel, whatever the maps' writer forgot. */
static void no_packet_for_another_tunnels_peer(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[100];
	struct frame sealed;

	gateway_packet(packet, sizeof(packet), 0, true);
	lab->a.tunnels[1].out_sa = 1; /* tunnel 0's */
	gateway_push_plain(&lab->a, SLOT_LAN, 1, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, &sealed, 1), 0);
	assert_int_equal(dropped(&lab->a, DROP_SA_MISSING), 1);
}

/* The slot is rewritten between two packets of one bundle: what began under the old SA ends with its context, and
 * nothing of it is left behind. */
static void slot_moves_on_within_a_bundle(void **state)
{
	struct lab *lab = *state;
	struct sa_slot *before, *after;
	enum drop_reason reason;
	struct frame sealed = seal_one(lab, 100), opened;

	gateway_push_esp(&lab->b, 0, &sealed);
	worker_turn(&lab->b.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_LAN), 0, &opened, 1), 1);
	before = sa_table_find(&lab->b.worker.sas, 0, SA_IN, DROP_SPI_UNKNOWN, &reason);
	lab->b.sas[0].generation += 2;
	after = sa_table_find(&lab->b.worker.sas, 0, SA_IN, DROP_SPI_UNKNOWN, &reason);
	assert_ptr_not_equal(before, after);
	assert_int_equal(before->context.sa.spi, after->context.sa.spi); /* not yet freed: ASan would tell */
	assert_ptr_equal(lab->b.worker.sas.dropped, before);
	sa_table_reap(&lab->b.worker.sas);
	assert_null(lab->b.worker.sas.dropped);
	chunk_give(&lab->a.cache, sealed.chunk);
	chunk_give(&lab->b.cache, opened.chunk);
}

/* What the IKE daemon does at a reload (sadb_tunnel_update). */
static void tunnel_change(struct tunnel *tunnel, struct tunnel_options options, uint32_t flags)
{
	tunnel->generation++;
	tunnel->options = options;
	tunnel->flags = flags;
	tunnel->generation++;
}

/* The tunnel's options change under a living SA: the next batch obeys, by the same context, keys and counters; while
 * the tunnel is being written, the old ones hold. */
static void options_change_under_a_living_sa(void **state)
{
	static const struct {
		struct tunnel_options options;
		uint8_t tos, df, ttl;
	} rows[] = {{{.dscp = DSCP_SET, .dscp_value = 46, .df = DF_SET, .ttl = 17}, 46 << 2, 0x40, 17},
		{{.dscp = DSCP_SET, .dscp_value = 10, .df = DF_CLEAR}, 10 << 2, 0, 64}, {{0}, 0, 0x40, 64}};
	struct lab *lab = *state;
	struct frame sealed = seal_one(lab, 100);
	const struct sa_slot *slot = lab->a.worker.sas.slots[1];

	chunk_give(&lab->a.cache, sealed.chunk);
	for (unsigned i = 0; i < 3; i++) {
		tunnel_change(&lab->a.tunnels[0], rows[i].options, 0);
		sealed = seal_one(lab, 100);
		assert_int_equal(sealed.data[14 + 1], rows[i].tos);
		assert_int_equal(sealed.data[14 + 6], rows[i].df);
		assert_int_equal(sealed.data[14 + 8], rows[i].ttl);
		assert_int_equal(lab->a.runs[1].packets, i + 2);
		assert_int_equal(lab->a.runs[1].out_seq, i + 2);
		assert_ptr_equal(lab->a.worker.sas.slots[1], slot);
		chunk_give(&lab->a.cache, sealed.chunk);
	}
	lab->a.tunnels[0].generation++;
	lab->a.tunnels[0].options.ttl = 99;
	sealed = seal_one(lab, 100);
	assert_int_equal(sealed.data[14 + 8], 64);
	assert_int_equal(lab->a.runs[1].packets, 5);
	chunk_give(&lab->a.cache, sealed.chunk);
	lab->a.tunnels[0].generation++;
	sealed = seal_one(lab, 100);
	assert_int_equal(sealed.data[14 + 8], 99);
	chunk_give(&lab->a.cache, sealed.chunk);
	assert_int_equal(dropped_all(&lab->a), 0);
}

/* And the MSS of a SYN, which the tunnel bounds or leaves alone. */
static void mss_clamp_changes_under_a_living_sa(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[44];

	for (unsigned i = 0; i < 4; i++) {
		struct frame sealed, opened;

		gateway_packet(packet, sizeof(packet), 0, true);
		checksum_update16(packet + 10, (uint8_t[]){packet[8], packet[9]}, (uint8_t[]){packet[8], 6});
		packet[9] = 6;
		packet[32] = 0x60;
		packet[33] = 0x02; /* SYN */
		memcpy(packet + 40, ((uint8_t[]){2, 4, 1460 >> 8, 1460 & 0xff}), 4);
		tunnel_change(&lab->a.tunnels[0], (struct tunnel_options){0}, i % 2 ? TUNNEL_MSS_CLAMP : 0);
		tunnel_change(&lab->b.tunnels[0], (struct tunnel_options){0}, i / 2 ? TUNNEL_MSS_CLAMP : 0);
		gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
		worker_turn(&lab->a.worker, lab->now);
		assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, &sealed, 1), 1);
		gateway_push_esp(&lab->b, 0, &sealed);
		chunk_give(&lab->a.cache, sealed.chunk);
		worker_turn(&lab->b.worker, lab->now);
		assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_LAN), 0, &opened, 1), 1);
		assert_int_equal(wire_get16(opened.data + 14 + 42) < 1460, i != 0);
		chunk_give(&lab->b.cache, opened.chunk);
	}
}

/* The same of what the peer's marks do to a packet that comes out: congestion is carried over, or is not. */
static void options_change_on_the_way_in(void **state)
{
	struct lab *lab = *state;
	struct frame opened;
	uint8_t packet[100];

	for (unsigned i = 0; i < 4; i++) {
		struct frame sealed;

		gateway_packet(packet, sizeof(packet), 0, true);
		checksum_update16(packet + 10, (uint8_t[]){packet[0], packet[1]}, (uint8_t[]){packet[0], 2});
		packet[1] = 2; /* ECT(0) */
		gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
		worker_turn(&lab->a.worker, lab->now);
		assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, &sealed, 1), 1);
		sealed.data[14 + 1] |= 3; /* congestion experienced; the header's checksum is not looked at */
		tunnel_change(&lab->b.tunnels[0], (struct tunnel_options){.ecn = i % 2 ? ECN_OFF : ECN_NORMAL}, 0);
		gateway_push_esp(&lab->b, 0, &sealed);
		chunk_give(&lab->a.cache, sealed.chunk);
		worker_turn(&lab->b.worker, lab->now);
		assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_LAN), 0, &opened, 1), 1);
		assert_int_equal(opened.data[14 + 1] & 3, i % 2 ? 2 : 3);
		chunk_give(&lab->b.cache, opened.chunk);
	}
	assert_int_equal(lab->b.runs[0].packets, 4);
}

/* Several outbound SAs of a child (RFC 9611): a worker sends by its own, and by the first where it has none. */
static void workers_choose_their_sa(void **state)
{
	struct lab *lab = *state;
	struct tunnel *tunnel = &lab->a.tunnels[0];
	const uint32_t expected[] = {1, 5, 1, 6, 1, 5};
	uint32_t index;

	tunnel->out_more_count = 3;
	tunnel->out_more[0] = 5;
	tunnel->out_more[1] = SA_NONE;
	tunnel->out_more[2] = 6;
	for (uint32_t worker = 0; worker < 6; worker++) {
		assert_true(sa_table_tunnel(&lab->a.worker.sas, 0, worker, &index));
		assert_int_equal(index, expected[worker]);
	}
	tunnel->out_more_count = OUT_MORE_MAX + 1; /* nonsense is not followed */
	assert_true(sa_table_tunnel(&lab->a.worker.sas, 0, 1, &index));
	assert_int_equal(index, 1);
	tunnel->out_more_count = 0;
	tunnel->out_sa = SA_NONE;
	assert_true(sa_table_tunnel(&lab->a.worker.sas, 0, 1, &index));
	assert_int_equal(index, SA_NONE);
}

/* A sweep looks at a few slots and goes on where it ended. */
static void sweep_goes_on(void **state)
{
	struct lab *lab = *state;
	struct sa_table *table = &lab->a.worker.sas;
	enum drop_reason reason;

	for (uint32_t i = 1; i < 7; i++) {
		lab->a.sas[i] = lab->a.sas[1];
		assert_non_null(sa_table_find(table, i, SA_OUT, DROP_SA_MISSING, &reason));
		lab->a.sas[i].generation += 2;
	}
	sa_table_sweep(table, 3);
	assert_true(!table->slots[1] && !table->slots[2] && table->slots[3] && table->slots[6]);
	sa_table_sweep(table, 3);
	assert_true(!table->slots[3] && !table->slots[5] && table->slots[6]);
	sa_table_sweep(table, 7);
	assert_null(table->slots[6]);
	assert_int_equal(table->used_end, 0);
	sa_table_reap(table);
}

static void lifetime_is_told_once(void **state)
{
	struct lab *lab = *state;
	struct agent_message message;

	lab->a.sas[1].soft_packets = 2;
	lab->a.sas[1].hard_packets = 3;
	for (unsigned i = 0; i < 3; i++) {
		struct frame sealed = seal_one(lab, 100);

		chunk_give(&lab->a.cache, sealed.chunk);
	}
	assert_true(mailbox_take(&lab->a.mailbox, &message));
	assert_int_equal(message.kind, AGENT_EXPIRE);
	assert_int_equal(message.expire.kind, AGENT_EXPIRE_SOFT);
	assert_int_equal(message.expire.sa, 1);
	assert_true(mailbox_take(&lab->a.mailbox, &message));
	assert_int_equal(message.expire.kind, AGENT_EXPIRE_HARD);
	assert_false(mailbox_take(&lab->a.mailbox, &message));
}

/* A full mailbox loses the message; the lifetime is told again with the next packet. */
static void lifetime_is_told_when_there_is_room(void **state)
{
	struct lab *lab = *state;
	struct agent_message message = {.kind = AGENT_ACQUIRE};
	struct frame sealed;

	lab->a.sas[1].soft_packets = 1;
	for (unsigned i = 0; i < MAILBOX_MAX; i++)
		assert_true(mailbox_put(&lab->a.mailbox, &message));
	sealed = seal_one(lab, 100);
	chunk_give(&lab->a.cache, sealed.chunk);
	for (unsigned i = 0; i < MAILBOX_MAX; i++) {
		assert_true(mailbox_take(&lab->a.mailbox, &message));
		assert_int_equal(message.kind, AGENT_ACQUIRE);
	}
	sealed = seal_one(lab, 100);
	chunk_give(&lab->a.cache, sealed.chunk);
	assert_true(mailbox_take(&lab->a.mailbox, &message));
	assert_int_equal(message.kind, AGENT_EXPIRE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(generation_moves_on),
		TEST(tunnel_is_read_whole),
		TEST(no_packet_for_another_tunnels_peer),
		TEST(slot_moves_on_within_a_bundle),
		TEST(options_change_under_a_living_sa),
		TEST(mss_clamp_changes_under_a_living_sa),
		TEST(options_change_on_the_way_in),
		TEST(workers_choose_their_sa),
		TEST(sweep_goes_on),
		TEST(lifetime_is_told_once),
		TEST(lifetime_is_told_when_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
