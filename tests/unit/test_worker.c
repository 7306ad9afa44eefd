/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's turn over memory ports: what goes in comes out sealed or opened, and what dies is counted once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/checksum.h"
#include "agent/wire.h"
#include "tools/bench/worker_team.h"

struct lab {
	struct gateway a; /* 10.1/16 */
	struct gateway b; /* 10.2/16 */
	uint64_t now;
};

static int set_up(void **state)
{
	const struct esp_suite *suite = esp_suite_find(20, 256, 0); /* AES-256-GCM */
	struct lab *lab = calloc(1, sizeof(*lab));

	*state = lab;
	lab->now = GATEWAY_NOW_NS;
	return gateway_init(&lab->a, 0, suite) || gateway_init(&lab->b, 1, suite);
}

static int tear_down(void **state)
{
	struct lab *lab = *state;

	gateway_clear(&lab->a);
	gateway_clear(&lab->b);
	free(lab);
	return 0;
}

static uint64_t dropped(const struct gateway *gateway, enum drop_reason reason)
{
	return gateway->stat.drops[reason].packets;
}

static uint64_t dropped_all(const struct gateway *gateway)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < DROP_SLOTS; i++)
		sum += gateway->stat.drops[i].packets;
	return sum;
}

/* Every chunk is somewhere: free, in a cache, or held. */
static uint32_t chunks_free(struct gateway *gateway)
{
	return umem_free_count(&gateway->umem) + gateway->worker.cache.count + gateway->cache.count;
}

static struct frame seal_one(struct lab *lab, uint32_t len)
{
	uint8_t packet[2048];
	struct frame sealed = {0};

	gateway_packet(packet, len, 0, true);
	assert_true(gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, len));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, &sealed, 1), 1);
	return sealed;
}

static void seals_and_opens(void **state)
{
	struct lab *lab = *state;

	for (uint32_t len = 28; len <= 1400; len += 49) {
		struct frame sealed = seal_one(lab, len), opened;
		uint8_t packet[2048];

		gateway_packet(packet, len, 0, true);
		assert_memory_equal(sealed.data, neighbor_mac, 6);
		assert_memory_equal(sealed.data + 6, gateway_mac, 6);
		assert_int_equal(sealed.data[14 + 9], 50);
		assert_true(gateway_push_esp(&lab->b, 0, &sealed));
		chunk_give(&lab->a.cache, sealed.chunk);
		worker_turn(&lab->b.worker, lab->now);
		assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_LAN), 0, &opened, 1), 1);
		assert_int_equal(opened.len, 14 + len);
		assert_int_equal(opened.data[14 + 8], 62); /* two hops */
		assert_memory_equal(opened.data + 14 + 12, packet + 12, len - 12);
		chunk_give(&lab->b.cache, opened.chunk);
	}
	assert_int_equal(dropped_all(&lab->a), 0);
	assert_int_equal(dropped_all(&lab->b), 0);
	assert_int_equal(lab->a.stat.sealed, lab->b.stat.opened);
	assert_int_equal(lab->a.runs[1].packets, lab->a.stat.sealed);
	assert_int_equal(lab->b.runs[0].packets, lab->b.stat.opened);
	assert_int_equal(lab->a.runs[1].out_seq, lab->a.stat.sealed);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
	assert_int_equal(chunks_free(&lab->b), GATEWAY_CHUNKS);
}

static void replay_and_forgery_are_counted_once(void **state)
{
	struct lab *lab = *state;
	struct frame sealed = seal_one(lab, 100);

	gateway_push_esp(&lab->b, 0, &sealed);
	gateway_push_esp(&lab->b, 0, &sealed);
	sealed.data[sealed.len - 1] ^= 1;
	sealed.data[14 + 20 + 7] = 9; /* a fresh sequence number, so that the ICV is looked at */
	gateway_push_esp(&lab->b, 0, &sealed);
	worker_turn(&lab->b.worker, lab->now);
	assert_int_equal(dropped(&lab->b, DROP_REPLAY), 1);
	assert_int_equal(dropped(&lab->b, DROP_ICV_BAD), 1);
	assert_int_equal(dropped_all(&lab->b), 2);
	assert_int_equal(lab->b.stat.opened, 1);
	assert_int_equal(lab->b.stat.drops[DROP_REPLAY].last_ns, lab->now);
	chunk_give(&lab->a.cache, sealed.chunk);
}

static void unknown_sa_and_broken_sa(void **state)
{
	struct lab *lab = *state;
	struct frame sealed = seal_one(lab, 100);

	gateway_push_esp(&lab->b, 7, &sealed); /* a free slot */
	gateway_push_esp(&lab->b, GATEWAY_SAS, &sealed);
	gateway_push_esp(&lab->b, 1, &sealed); /* an outbound one */
	lab->b.sas[2] = lab->b.sas[0];
	lab->b.sas[2].encr = 999;
	gateway_push_esp(&lab->b, 2, &sealed);
	worker_turn(&lab->b.worker, lab->now);
	assert_int_equal(dropped(&lab->b, DROP_SPI_UNKNOWN), 2);
	assert_int_equal(dropped(&lab->b, DROP_SA_BROKEN), 2);
	chunk_give(&lab->a.cache, sealed.chunk);
}

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

static void epoch_is_odd_inside_a_turn(void **state)
{
	struct lab *lab = *state;
	uint64_t before = lab->a.stat.epoch;

	assert_int_equal(before % 2, 0);
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(lab->a.stat.epoch, before + 2);
	lab->a.stat.epoch++; /* as a crashed agent leaves it */
	worker_clear(&lab->a.worker);
	assert_int_equal(worker_init(&lab->a.worker, &lab->a.shared, 0, &lab->a.resolver.resolver), 0);
	assert_int_equal(lab->a.stat.epoch, before + 4);
}

/* The new agent may have fewer workers: nobody waits for those that are no more. */
static void crashed_workers_end_their_turns(void **state)
{
	static struct worker_stat stats[WORKERS_MAX];

	(void)state;
	stats[1].epoch = 7;
	stats[WORKERS_MAX - 1].epoch = UINT64_MAX;
	stats[2].epoch = 8;
	workers_settle(stats);
	assert_int_equal(stats[0].epoch, 0);
	assert_int_equal(stats[1].epoch, 8);
	assert_int_equal(stats[2].epoch, 8);
	assert_int_equal(stats[WORKERS_MAX - 1].epoch, 0);
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

static void waits_for_an_sa_and_tells_once(void **state)
{
	struct lab *lab = *state;
	struct agent_message message;
	struct frame frames[4];
	uint8_t packet[100];

	lab->a.tunnels[0].out_sa = SA_NONE;
	gateway_packet(packet, sizeof(packet), 0, true);
	for (unsigned i = 0; i < 3; i++)
		gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_true(worker_waiting(&lab->a.worker));
	assert_true(mailbox_take(&lab->a.mailbox, &message));
	assert_int_equal(message.kind, AGENT_ACQUIRE);
	assert_int_equal(message.acquire.tunnel, 0);
	assert_memory_equal(message.acquire.remote.first, packet + 16, 4);
	assert_false(mailbox_take(&lab->a.mailbox, &message));
	lab->a.tunnels[0].out_sa = 1;
	worker_turn(&lab->a.worker, lab->now + 1);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, frames, 4), 3);
	assert_false(worker_waiting(&lab->a.worker));
	assert_int_equal(dropped_all(&lab->a), 0);
	for (unsigned i = 0; i < 3; i++)
		chunk_give(&lab->a.cache, frames[i].chunk);
}

static void waiting_ends(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[100];

	lab->a.tunnels[0].out_sa = SA_NONE;
	gateway_packet(packet, sizeof(packet), 0, true);
	for (unsigned i = 0; i < HOLD_KEY_MAX + 2; i++)
		gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(dropped(&lab->a, DROP_HELD_OVERFLOW), 2);
	worker_turn(&lab->a.worker, lab->now + HOLD_NS);
	assert_int_equal(dropped(&lab->a, DROP_SA_MISSING), HOLD_KEY_MAX);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

static void waits_for_a_neighbor(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[100];
	struct frame frame;

	lab->a.resolver.outer_kind = HOP_PENDING;
	gateway_packet(packet, sizeof(packet), 0, true);
	gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_true(worker_waiting(&lab->a.worker));
	lab->a.resolver.outer_kind = HOP_PORT;
	lab->a.shared.news.all++; /* the kernel's announcement */
	worker_turn(&lab->a.worker, lab->now + 1);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, &frame, 1), 1);
	chunk_give(&lab->a.cache, frame.chunk);
	lab->a.resolver.outer_kind = HOP_PENDING;
	lab->a.shared.news.all++;
	gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now + 2);
	worker_turn(&lab->a.worker, lab->now + 2 + HOLD_NS);
	assert_int_equal(dropped(&lab->a, DROP_NEIGHBOR_FAILED), 1);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

/* A protected packet that is held goes the way of its SA, and no further than it. */
static void held_no_longer_than_its_sa(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[100];
	struct frame frame;

	lab->a.resolver.outer_kind = HOP_PENDING;
	gateway_packet(packet, sizeof(packet), 0, true);
	gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	lab->a.sas[1].state = SA_RETIRED;
	lab->a.sas[1].generation += 2;
	lab->a.resolver.outer_kind = HOP_PORT;
	lab->a.shared.news.all++;
	worker_turn(&lab->a.worker, lab->now + 1);
	assert_int_equal(dropped(&lab->a, DROP_SA_MISSING), 1);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, &frame, 1), 0);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

static void each_next_hop_has_its_fate(void **state)
{
	static const struct {
		enum hop_kind kind;
		enum drop_reason reason;
	} rows[] = {{HOP_NONE, DROP_ROUTE_NONE}, {HOP_FAILED, DROP_NEIGHBOR_FAILED}};
	struct lab *lab = *state;
	uint8_t packet[100];

	gateway_packet(packet, sizeof(packet), 0, true);
	for (unsigned i = 0; i < 2; i++) {
		lab->a.resolver.outer_kind = rows[i].kind;
		lab->a.shared.news.all++;
		gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
		worker_turn(&lab->a.worker, lab->now);
		assert_int_equal(dropped(&lab->a, rows[i].reason), 1);
	}
	assert_int_equal(dropped_all(&lab->a), 2);
}

/* A VLAN device over the port is the way out: the frame has its tag, and the packet behind it is whole. */
static void leaves_by_a_vlan(void **state)
{
	static const uint8_t tag[6] = {0x81, 0x00, 0x0a, 0xbc, 0x08, 0x00};
	struct lab *lab = *state;
	uint8_t packet[100];
	struct frame frame;

	lab->a.resolver.vlan_id = 0xabc;
	gateway_packet(packet, sizeof(packet), 0, true);
	gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, &frame, 1), 1);
	assert_memory_equal(frame.data, neighbor_mac, 6);
	assert_memory_equal(frame.data + 6, gateway_mac, 6);
	assert_memory_equal(frame.data + 12, tag, sizeof(tag));
	assert_int_equal(frame.data[18], 0x45);
	assert_int_equal((frame.data[20] << 8 | frame.data[21]) + 18, frame.len);
	chunk_give(&lab->a.cache, frame.chunk);
}

/* A full queue of packets of two SAs, some of them too big for one: each SA's numbers follow without a gap, and the
 * packets leave in the order in which they came. */
static void bundles_keep_order(void **state)
{
	struct lab *lab = *state;
	struct frame frames[3 * PORT_BATCH];
	uint32_t seen[2] = {0, 0}, count;
	uint8_t packet[1490];

	lab->a.sas[3] = lab->a.sas[1];
	lab->a.sas[3].spi = htonl(0x3333);
	lab->a.sas[3].tunnel = 1;
	lab->a.tunnels[1].out_sa = 3;
	for (unsigned i = 0; i < 2 * PORT_BATCH; i++) {
		gateway_packet(packet, i % 5 == 4 ? 1490 : 100, 0, false);
		gateway_push_plain(&lab->a, SLOT_LAN, i % 3 == 2, packet, i % 5 == 4 ? 1490 : 100);
	}
	worker_turn(&lab->a.worker, lab->now);
	worker_turn(&lab->a.worker, lab->now);
	count = memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, frames, 3 * PORT_BATCH);
	assert_int_equal(count, 2 * PORT_BATCH + 2 * PORT_BATCH / 5);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t spi, seq;

		memcpy(&spi, frames[i].data + 34, 4);
		memcpy(&seq, frames[i].data + 38, 4);
		assert_int_equal(ntohl(seq), ++seen[ntohl(spi) == 0x3333]);
		chunk_give(&lab->a.cache, frames[i].chunk);
	}
	assert_int_equal(lab->a.runs[1].out_seq, seen[0]);
	assert_int_equal(lab->a.runs[3].out_seq, seen[1]);
	assert_int_equal(lab->a.runs[3].packets, seen[1]);
	assert_int_equal(dropped_all(&lab->a), 0);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

/* The last number stands in the middle of a bundle: what comes behind dies, and another SA's packets do not. */
static void last_number_within_a_bundle(void **state)
{
	struct lab *lab = *state;
	struct frame frames[16];
	uint8_t packet[100];
	uint32_t seq;

	lab->a.sas[3] = lab->a.sas[1];
	lab->a.sas[3].tunnel = 1;
	lab->a.tunnels[1].out_sa = 3;
	lab->a.runs[1].out_seq = UINT32_MAX - 2;
	gateway_packet(packet, sizeof(packet), 0, true);
	for (unsigned i = 0; i < 9; i++)
		gateway_push_plain(&lab->a, SLOT_LAN, i >= 5 && i < 8, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, frames, 16), 5);
	assert_int_equal(dropped(&lab->a, DROP_SEQ_EXHAUSTED), 4);
	assert_int_equal(dropped_all(&lab->a), 4);
	assert_int_equal(lab->a.runs[1].out_seq, UINT32_MAX);
	assert_int_equal(lab->a.runs[1].dropped_other, 4);
	for (unsigned i = 0; i < 5; i++) {
		memcpy(&seq, frames[i].data + 38, 4);
		assert_int_equal(ntohl(seq), i < 2 ? UINT32_MAX - 1 + i : i - 1);
		chunk_give(&lab->a.cache, frames[i].chunk);
	}
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

/* A hard limit holds to the packet, though a bundle's packets begin together. */
static void hard_limit_within_a_bundle(void **state)
{
	struct lab *lab = *state;
	struct frame frames[8];
	uint8_t packet[100];

	lab->a.sas[1].hard_packets = 5;
	lab->b.sas[0].hard_packets = 3;
	gateway_packet(packet, sizeof(packet), 0, true);
	for (unsigned i = 0; i < 8; i++)
		gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, frames, 8), 5);
	assert_int_equal(dropped(&lab->a, DROP_SA_EXPIRED), 3);
	for (unsigned i = 0; i < 5; i++) {
		gateway_push_esp(&lab->b, 0, &frames[i]);
		chunk_give(&lab->a.cache, frames[i].chunk);
	}
	worker_turn(&lab->b.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_LAN), 0, frames, 8), 3);
	assert_int_equal(dropped(&lab->b, DROP_SA_EXPIRED), 2);
	for (unsigned i = 0; i < 3; i++)
		chunk_give(&lab->b.cache, frames[i].chunk);
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

/* For the host itself: through the host device, one hop only, without a link header. */
static void local_packets_reach_the_host(void **state)
{
	struct lab *lab = *state;
	struct frame sealed = seal_one(lab, 100), opened;

	lab->b.resolver.inner_kind = HOP_HOST;
	gateway_push_esp(&lab->b, 0, &sealed);
	worker_turn(&lab->b.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_HOST), 0, &opened, 1), 1);
	assert_int_equal(opened.len, 100);
	assert_int_equal(opened.data[8], 63);
	chunk_give(&lab->a.cache, sealed.chunk);
	chunk_give(&lab->b.cache, opened.chunk);
}

struct asked_policy {
	struct host_policy base;
	uint64_t generation;
	bool covers;
	enum drop_reason reason;
	unsigned asked;
	unsigned asked_covers;
};

static enum drop_reason asked_ask(struct host_policy *base, const struct inner *inner, uint32_t *tunnel)
{
	struct asked_policy *policy = (struct asked_policy *)base;

	assert_int_equal(inner->destination[1], 2); /* the packet out of the tunnel, and not its outer header */
	policy->asked++;
	*tunnel = 1;
	return policy->reason;
}

static uint64_t asked_generation(struct host_policy *base)
{
	return ((struct asked_policy *)base)->generation;
}

static bool asked_covers(struct host_policy *base, const struct inner *inner)
{
	struct asked_policy *policy = (struct asked_policy *)base;

	(void)inner;
	policy->asked_covers++;
	return policy->covers;
}

/* What came out of one tunnel is outbound traffic if it leaves again: the policies have their say. */
static void policies_hold_behind_a_tunnel(void **state)
{
	static const struct {
		bool covers;
		enum drop_reason reason;
		int lan; /* packets that leave by the LAN's port */
		int host;
		enum drop_reason drop;
	} rows[] = {
		{false, DROP_NONE, 1, 0, DROP_NONE},
		{true, DROP_POLICY_NONE, 1, 0, DROP_NONE},
		{true, DROP_NONE, 0, 1, DROP_NONE}, /* another tunnel's */
		{true, DROP_POLICY_DROP, 0, 0, DROP_POLICY_DROP},
		{true, DROP_FRAGMENT_PORTS, 0, 0, DROP_FRAGMENT_PORTS},
		{true, DROP_XDP_ERROR, 0, 0, DROP_XDP_ERROR},
	};
	struct asked_policy policy = {
		.base = {.ask = asked_ask, .generation = asked_generation, .covers = asked_covers}, .generation = 1};
	struct lab *lab = *state;
	struct frame sealed[2], out;

	worker_clear(&lab->b.worker);
	lab->b.shared.policy = &policy.base;
	assert_int_equal(worker_init(&lab->b.worker, &lab->b.shared, 0, &lab->b.resolver.resolver), 0);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		policy.covers = rows[i].covers;
		policy.reason = rows[i].reason;
		policy.generation++;
		policy.asked = policy.asked_covers = 0;
		for (unsigned j = 0; j < 2; j++) {
			sealed[j] = seal_one(lab, 100);
			assert_true(gateway_push_esp(&lab->b, 0, &sealed[j]));
			worker_turn(&lab->b.worker, lab->now);
			chunk_give(&lab->a.cache, sealed[j].chunk);
			assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_LAN), 0, &out, 1), rows[i].lan);
			if (rows[i].lan)
				chunk_give(&lab->b.cache, out.chunk);
			assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_HOST), 0, &out, 1), rows[i].host);
			if (rows[i].host)
				chunk_give(&lab->b.cache, out.chunk);
		}
		if (rows[i].drop)
			assert_int_equal(dropped(&lab->b, rows[i].drop), 2);
		/* once for the destination and the flow, until a policy changes */
		assert_int_equal(policy.asked_covers, 1);
		assert_int_equal(policy.asked, rows[i].covers);
	}
	/* The host's own are the host's. */
	lab->b.resolver.inner_kind = HOP_HOST;
	lab->b.shared.news.all++;
	sealed[0] = seal_one(lab, 100);
	gateway_push_esp(&lab->b, 0, &sealed[0]);
	chunk_give(&lab->a.cache, sealed[0].chunk);
	worker_turn(&lab->b.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_HOST), 0, &out, 1), 1);
	chunk_give(&lab->b.cache, out.chunk);
	assert_int_equal(chunks_free(&lab->b), GATEWAY_CHUNKS);
}

static void too_big_tells_the_sender(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[1490];
	struct frame answer;

	gateway_packet(packet, sizeof(packet), 0, true);
	gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(dropped(&lab->a, DROP_TOO_BIG), 1);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_LAN), 0, &answer, 1), 1);
	assert_int_equal(answer.data[14 + 9], 1);  /* ICMP */
	assert_int_equal(answer.data[14 + 20], 3); /* destination unreachable */
	assert_int_equal(answer.data[14 + 21], 4); /* fragmentation needed */
	assert_memory_equal(answer.data + 14 + 16, packet + 12, 4);
	chunk_give(&lab->a.cache, answer.chunk);
}

static void too_big_goes_in_pieces(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[1490];
	struct frame pieces[4];

	gateway_packet(packet, sizeof(packet), 0, false);
	gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, pieces, 4), 2);
	assert_true(pieces[0].len <= 14 + 1500 && pieces[1].len < pieces[0].len);
	assert_int_equal(dropped_all(&lab->a), 0);
	for (unsigned i = 0; i < 2; i++)
		chunk_give(&lab->a.cache, pieces[i].chunk);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

static uint32_t pull_all(struct gateway *gateway, uint32_t slot, struct frame *frames, uint32_t max)
{
	uint32_t count = memory_port_pull(gateway_port(gateway, slot), 0, frames, max);

	for (uint32_t i = 0; i < count; i++)
		chunk_give(&gateway->cache, frames[i].chunk); /* read at once, before anything is taken again */
	return count;
}

/* The tunnel clears don't-fragment: what must not be cut itself goes whole, and this gateway cuts the IPv6 around it.
 */
static void outer_ipv6_is_cut(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[1490];
	struct frame pieces[4];
	const uint8_t *ip[2];

	lab->a.sas[1].local = gateway_addr("2001:db8::1");
	lab->a.sas[1].remote = gateway_addr("2001:db8::2");
	lab->a.tunnels[0].options.df = DF_CLEAR;
	gateway_packet(packet, sizeof(packet), 0, true);
	for (unsigned n = 0; n < 2; n++) {
		gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
		worker_turn(&lab->a.worker, lab->now);
		assert_int_equal(pull_all(&lab->a, SLOT_WAN, pieces, 4), 2);
		for (unsigned i = 0; i < 2; i++) {
			ip[i] = pieces[i].data + 14;
			assert_true(pieces[i].len <= 14 + 1500);
			assert_int_equal(pieces[i].len, 14 + 40 + (ip[i][4] << 8 | ip[i][5]));
			assert_int_equal(ip[i][6], 44);
			assert_int_equal(ip[i][40], 50);
			assert_int_equal(ip[i][43] & 1, i == 0);
		}
		assert_memory_equal(ip[0] + 44, ip[1] + 44, 4); /* the identification, another one for each packet */
		assert_int_equal(wire_get32(ip[0] + 44), lab->a.worker.fragment_id);
	}
	assert_int_equal(lab->a.stat.sealed, 2);
	assert_int_equal(dropped_all(&lab->a), 0);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

static void ipv6_packet(uint8_t *packet, uint32_t len)
{
	memset(packet, 0, len);
	packet[0] = 0x60;
	packet[4] = (uint8_t)((len - 40) >> 8);
	packet[5] = (uint8_t)(len - 40);
	packet[6] = 59;
	packet[7] = 64;
	packet[8] = packet[24] = 0xfd;
	packet[23] = 5;
	packet[39] = 7;
}

/* Every IPv6 sender may count on 1280 bytes, and does not go below: over a narrower way they go in outer fragments,
 * unless the tunnel sets don't-fragment; a longer packet's sender is told 1280. */
static void least_ipv6_packet_goes_whole(void **state)
{
	static const struct {
		const char *local, *remote;
		uint32_t len;
		uint8_t df;
		uint32_t pieces;
	} rows[] = {{"192.0.2.1", "192.0.2.2", 1280, DF_COPY, 2}, {"192.0.2.1", "192.0.2.2", 1280, DF_CLEAR, 2},
		{"192.0.2.1", "192.0.2.2", 1280, DF_SET, 0}, {"192.0.2.1", "192.0.2.2", 1281, DF_COPY, 0},
		{"2001:db8::1", "2001:db8::2", 1280, DF_COPY, 2}, {"2001:db8::1", "2001:db8::2", 1280, DF_SET, 2},
		{"2001:db8::1", "2001:db8::2", 1281, DF_COPY, 0}, {"2001:db8::1", "2001:db8::2", 1200, DF_COPY, 1}};
	struct lab *lab = *state;
	struct frame frames[4];
	uint8_t packet[1400];

	lab->a.resolver.mtu = 1300;
	lab->a.shared.own_v6[0] = gateway_addr("fd01::1");
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		lab->a.sas[1].local = gateway_addr(rows[i].local);
		lab->a.sas[1].remote = gateway_addr(rows[i].remote);
		lab->a.sas[1].generation += 2;
		lab->a.tunnels[0].options.df = rows[i].df;
		ipv6_packet(packet, rows[i].len);
		gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, rows[i].len);
		worker_turn(&lab->a.worker, lab->now);
		assert_int_equal(pull_all(&lab->a, SLOT_WAN, frames, 4), rows[i].pieces);
		for (uint32_t n = 0; n < rows[i].pieces; n++) {
			assert_true(frames[n].len <= 14 + 1300);
			assert_true(frames[n].data[14] >> 4 == 6 || !(frames[n].data[14 + 6] & 0x40));
		}
		assert_int_equal(pull_all(&lab->a, SLOT_LAN, frames, 4), rows[i].pieces ? 0 : 1);
		if (!rows[i].pieces)
			assert_memory_equal(frames[0].data + 14 + 44, ((uint8_t[]){0, 0, 5, 0}), 4);
	}
	assert_int_equal(dropped_all(&lab->a), dropped(&lab->a, DROP_TOO_BIG));
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

/* Policies that protect what goes from the networks `local` (by their second byte) to 10.1/16, a spoke. */
struct way_back {
	struct host_policy base;
	uint8_t local[2];
	bool covers;
};

static enum drop_reason way_back_ask(struct host_policy *base, const struct inner *inner, uint32_t *tunnel)
{
	const struct way_back *policy = (const struct way_back *)base;

	assert_int_equal(inner->protocol, 1);
	assert_int_equal(inner->source_port, 3 << 8 | 4);
	assert_int_equal(inner->destination[1], 1); /* to the sender */
	*tunnel = 1;
	for (unsigned i = 0; i < 2; i++)
		if (inner->source[0] == 10 && inner->source[1] == policy->local[i])
			return DROP_NONE;
	return DROP_POLICY_NONE;
}

static bool way_back_covers(struct host_policy *base, const struct inner *inner)
{
	(void)inner;
	return ((const struct way_back *)base)->covers;
}

/* A packet that came out of another tunnel is too big for this one: the error must fit the tunnel that leads back. Of
 * this gateway's addresses the first that does; if none does, the address that the packet was for; where no tunnel
 * leads back, or the packet came by a port, the gateway's first. */
static void error_fits_the_tunnel_that_leads_back(void **state)
{
	static const struct {
		uint8_t local[2];
		bool covers;
		uint32_t slot;
		uint8_t source[4];
	} rows[] = {
		{{5, 2}, true, SLOT_HOST, {10, 5, 0, 1}},
		{{2, 77}, true, SLOT_HOST, {10, 2, 0, 0}}, /* the packet's own */
		{{77, 78}, true, SLOT_HOST, {192, 0, 2, 1}},
		{{5, 2}, false, SLOT_HOST, {192, 0, 2, 1}},
		{{5, 2}, true, SLOT_LAN, {192, 0, 2, 1}},
	};
	struct way_back policy = {
		.base = {.ask = way_back_ask, .generation = asked_generation, .covers = way_back_covers}};
	struct lab *lab = *state;
	struct frame answer;
	uint8_t packet[1400];

	gateway_packet(packet, sizeof(packet), 0, true);
	lab->a.resolver.mtu = 1300;
	lab->a.shared.own_v4[0] = gateway_addr("192.0.2.1");
	lab->a.shared.own_v4[1] = gateway_addr("10.5.0.1");
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(policy.local, rows[i].local, sizeof(policy.local));
		policy.covers = rows[i].covers;
		lab->a.shared.policy = &policy.base;
		gateway_push_plain(&lab->a, rows[i].slot, 0, packet, sizeof(packet));
		worker_turn(&lab->a.worker, lab->now);
		assert_int_equal(memory_port_pull(gateway_port(&lab->a, rows[i].slot), 0, &answer, 1), 1);
		if (rows[i].slot != SLOT_HOST)
			frame_pull(&answer, 14);
		assert_int_equal(answer.data[20], 3);
		assert_memory_equal(answer.data + 12, rows[i].source[1] == 2 ? packet + 16 : rows[i].source, 4);
		assert_memory_equal(answer.data + 16, packet + 12, 4);
		assert_int_equal(checksum_fold(checksum_add(0, answer.data, 20)), 0xffff);
		chunk_give(&lab->a.cache, answer.chunk);
	}
	lab->a.shared.policy = NULL;
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
}

static void last_hop_tells_the_sender(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[100];
	struct frame answer;

	gateway_packet(packet, sizeof(packet), 0, true);
	checksum_update16(packet + 10, (uint8_t[]){64, 17}, (uint8_t[]){1, 17});
	packet[8] = 1;
	gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(dropped(&lab->a, DROP_TTL_EXPIRED), 1);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_LAN), 0, &answer, 1), 1);
	assert_int_equal(answer.data[14 + 20], 11);
	chunk_give(&lab->a.cache, answer.chunk);
}

static void full_ring_is_counted(void **state)
{
	struct lab *lab = *state;
	uint8_t packet[100];
	struct frame frames[8];

	memory_port_limit(gateway_port(&lab->a, SLOT_WAN), 0, 2);
	gateway_packet(packet, sizeof(packet), 0, true);
	for (unsigned i = 0; i < 5; i++)
		gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(dropped(&lab->a, DROP_TX_FULL), 3);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, frames, 8), 2);
	for (unsigned i = 0; i < 2; i++)
		chunk_give(&lab->a.cache, frames[i].chunk);
	assert_int_equal(chunks_free(&lab->a), GATEWAY_CHUNKS);
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

static void vanished_port_is_not_used(void **state)
{
	struct lab *lab = *state;
	struct port *wan = gateway_port(&lab->a, SLOT_WAN);
	uint8_t packet[100];

	atomic_store(&lab->a.shared.ports.ports[SLOT_WAN], NULL);
	worker_clear(&lab->a.worker);
	assert_int_equal(worker_init(&lab->a.worker, &lab->a.shared, 0, &lab->a.resolver.resolver), 0);
	gateway_packet(packet, sizeof(packet), 0, true);
	gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet));
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(dropped(&lab->a, DROP_PORT_DOWN), 1);
	atomic_store(&lab->a.shared.ports.ports[SLOT_WAN], wan);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* A second worker of the same gateway; it has no queue of its own. */
static struct worker *second_worker(struct gateway *gateway, struct worker_stat stats[2], _Atomic uint64_t *owners)
{
	static struct worker *both[2];
	struct worker *second = calloc(1, sizeof(*second));

	gateway->shared.worker_count = 2;
	gateway->shared.owners = owners;
	gateway->shared.stats = stats;
	assert_int_equal(worker_init(second, &gateway->shared, 1, &gateway->resolver.resolver), 0);
	both[0] = &gateway->worker;
	both[1] = second;
	gateway->shared.workers = both;
	return second;
}

/* The SA is the second worker's: what the first one receives is numbered and sealed by the second, in order, and no
 * number is left out. */
static void hands_over_to_the_owner(void **state)
{
	struct lab *lab = *state;
	static struct worker_stat stats[2];
	static _Atomic uint64_t owners[GATEWAY_SAS];
	struct worker *second = second_worker(&lab->a, stats, owners);
	struct frame sealed[PORT_BATCH];
	uint8_t packet[200];

	atomic_store(&owners[1], (uint64_t)lab->a.sas[1].generation << 32 | 2);
	for (unsigned i = 0; i < 10; i++) {
		gateway_packet(packet, 60 + i, 0, true);
		assert_true(gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, 60 + i));
	}
	worker_turn(&lab->a.worker, lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, sealed, PORT_BATCH), 0);
	assert_int_equal(worker_turn(second, lab->now), 10);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, sealed, PORT_BATCH), 10);
	assert_int_equal(lab->a.runs[1].out_seq, 10);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(sealed[i].data[14 + 20 + 7], i + 1); /* low byte of the sequence number */
		chunk_give(&lab->a.cache, sealed[i].chunk);
	}
	worker_clear(second);
	free(second);
}

/* Whoever seals first owns the SA; another SA in the same slot is free again. */
static void owner_comes_first(void **state)
{
	struct lab *lab = *state;
	static struct worker_stat stats[2];
	static _Atomic uint64_t owners[GATEWAY_SAS];
	struct worker *second = second_worker(&lab->a, stats, owners);
	enum drop_reason reason;
	struct sa_slot *slot;
	uint32_t owner = 99;

	slot = sa_table_find(&lab->a.worker.sas, 1, SA_OUT, DROP_SA_MISSING, &reason);
	assert_true(worker_owns(&lab->a.worker, slot, &owner));
	assert_true(worker_owns(&lab->a.worker, slot, &owner));
	assert_false(worker_owns(second, slot, &owner));
	assert_int_equal(owner, 0);
	slot->generation += 2;
	assert_true(worker_owns(second, slot, &owner));
	assert_false(worker_owns(&lab->a.worker, slot, &owner));
	assert_int_equal(owner, 1);
	worker_clear(second);
	free(second);
}

/* A full ring is a counted drop, and every chunk comes back. */
static void handover_is_bounded(void **state)
{
	struct lab *lab = *state;
	static struct worker_stat stats[2];
	static _Atomic uint64_t owners[GATEWAY_SAS];
	struct worker *second = second_worker(&lab->a, stats, owners);
	uint32_t chunks = chunks_free(&lab->a);
	struct handover *ring;
	uint8_t packet[100];

	atomic_store(&owners[1], (uint64_t)lab->a.sas[1].generation << 32 | 2);
	gateway_packet(packet, sizeof(packet), 0, true);
	assert_true(gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet)));
	worker_turn(&lab->a.worker, lab->now);
	ring = atomic_load(&second->inbox[0]);
	assert_non_null(ring);
	atomic_fetch_sub(&ring->taken, HANDOVER_MAX - 1); /* as if so many waited */
	for (unsigned i = 0; i < 7; i++)
		assert_true(gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet)));
	worker_turn(&lab->a.worker, lab->now);
	atomic_fetch_add(&ring->taken, HANDOVER_MAX - 1);
	assert_int_equal(dropped(&lab->a, DROP_HANDOVER_FULL), 7);
	worker_clear(second);
	free(second);
	assert_int_equal(chunks_free(&lab->a), chunks);
}

/* A packet at queue `queue`, and a turn of its worker; what that sends. Gives the SPI, 0 if nothing was sent. */
static uint32_t spi_sent(struct team *team, uint32_t queue, uint64_t now)
{
	struct gateway *gateway = team->gateway;
	struct frame sealed, frame;
	uint8_t packet[100];
	uint32_t spi;

	gateway_packet(packet, sizeof(packet), 0, true);
	frame = gateway_frame(gateway, packet, sizeof(packet));
	frame.meta = (struct packet_meta){.kind = META_PLAIN_OUT, .family = 4, .protocol = 17, .l3_off = 14};
	assert_true(memory_port_push(gateway_port(gateway, SLOT_LAN), queue, &frame));
	worker_turn(team->workers[queue], now);
	if (!memory_port_pull(gateway_port(gateway, SLOT_WAN), queue, &sealed, 1))
		return 0;
	memcpy(&spi, sealed.data + 34, sizeof(spi));
	chunk_give(&gateway->cache, sealed.chunk);
	return ntohl(spi);
}

/* With an SA for each worker (RFC 9611 3) each numbers and seals what it receives, and nothing is handed over. When one
 * is missing, its packets go by the first SA, by way of the worker that numbers that. */
static void each_worker_by_its_sa(void **state)
{
	struct lab *lab = *state;
	struct frame sealed;
	struct team team;

	assert_int_equal(team_init(&team, &lab->a, 2, 2, false), 0);
	lab->a.sas[3] = lab->a.sas[1];
	lab->a.sas[3].spi = htonl(0x3333);
	lab->a.tunnels[0].out_more_count = 1;
	lab->a.tunnels[0].out_more[0] = 3;
	assert_int_equal(spi_sent(&team, 0, lab->now), 0x1111);
	assert_int_equal(spi_sent(&team, 1, lab->now), 0x3333);
	assert_true(!team.workers[0]->inbox[1] && !team.workers[1]->inbox[0]);
	lab->a.tunnels[0].out_more[0] = SA_NONE;
	assert_int_equal(spi_sent(&team, 1, lab->now), 0);
	worker_turn(team.workers[0], lab->now);
	assert_int_equal(memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, &sealed, 1), 1);
	chunk_give(&lab->a.cache, sealed.chunk);
	assert_int_equal(lab->a.runs[1].out_seq, 2);
	assert_int_equal(lab->a.runs[3].out_seq, 1);
	team_clear(&team);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(seals_and_opens),
		TEST(replay_and_forgery_are_counted_once),
		TEST(unknown_sa_and_broken_sa),
		TEST(generation_moves_on),
		TEST(epoch_is_odd_inside_a_turn),
		TEST(crashed_workers_end_their_turns),
		TEST(tunnel_is_read_whole),
		TEST(no_packet_for_another_tunnels_peer),
		TEST(waits_for_an_sa_and_tells_once),
		TEST(waiting_ends),
		TEST(waits_for_a_neighbor),
		TEST(held_no_longer_than_its_sa),
		TEST(each_next_hop_has_its_fate),
		TEST(leaves_by_a_vlan),
		TEST(bundles_keep_order),
		TEST(last_number_within_a_bundle),
		TEST(hard_limit_within_a_bundle),
		TEST(slot_moves_on_within_a_bundle),
		TEST(options_change_under_a_living_sa),
		TEST(mss_clamp_changes_under_a_living_sa),
		TEST(options_change_on_the_way_in),
		TEST(workers_choose_their_sa),
		TEST(sweep_goes_on),
		TEST(local_packets_reach_the_host),
		TEST(policies_hold_behind_a_tunnel),
		TEST(too_big_tells_the_sender),
		TEST(too_big_goes_in_pieces),
		TEST(outer_ipv6_is_cut),
		TEST(least_ipv6_packet_goes_whole),
		TEST(error_fits_the_tunnel_that_leads_back),
		TEST(last_hop_tells_the_sender),
		TEST(full_ring_is_counted),
		TEST(lifetime_is_told_once),
		TEST(lifetime_is_told_when_there_is_room),
		TEST(vanished_port_is_not_used),
		TEST(hands_over_to_the_owner),
		TEST(owner_comes_first),
		TEST(handover_is_bounded),
		TEST(each_worker_by_its_sa),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
