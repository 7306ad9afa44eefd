/* SPDX-License-Identifier: Apache-2.0 */
/* The host device's port over a socket pair: what the kernel would hand over is judged and cut, what goes to the host
 * is put together; and the flows' memory of the policies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/checksum.h"
#include "agent/tun_port.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define CHUNKS 512u

struct asked_policy {
	struct host_policy base;
	unsigned asked;
	uint64_t generation;
	enum drop_reason reason;
	uint32_t tunnel;
};

struct lab {
	struct asked_policy policy;
	struct umem umem;
	struct chunk_cache cache;
	struct port *port;
	struct port_queue *queue;
	int host; /* the kernel's end */
};

static enum drop_reason policy_ask(struct host_policy *base, const struct inner *inner, uint32_t *tunnel)
{
	struct asked_policy *policy = (struct asked_policy *)base;

	(void)inner;
	policy->asked++;
	*tunnel = policy->tunnel;
	return policy->reason;
}

static uint64_t policy_generation(struct host_policy *base)
{
	return ((struct asked_policy *)base)->generation;
}

static int set_up(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	const struct link_info link = {.ifindex = 7, .mtu = 3000, .name = "ipsec0"};
	int ends[2], room = 4 << 20;

	*state = lab;
	lab->policy = (struct asked_policy){
		.base = {.ask = policy_ask, .generation = policy_generation}, .generation = 1, .tunnel = 5};
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends) || umem_init(&lab->umem, CHUNKS))
		return -1;
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	chunk_cache_init(&lab->cache, &lab->umem);
	lab->host = ends[0];
	if (tun_port_open(&link, 0, &ends[1], 1, &lab->policy.base, &lab->umem, &lab->port))
		return -1;
	lab->queue = lab->port->queues[0];
	return 0;
}

/* Every chunk comes back. */
static int tear_down(void **state)
{
	struct lab *lab = *state;
	bool whole;

	port_free(lab->port);
	chunk_cache_drain(&lab->cache);
	whole = umem_free_count(&lab->umem) == CHUNKS;
	umem_clear(&lab->umem);
	close(lab->host);
	free(lab);
	return whole ? 0 : -1;
}

static void ipv4_checksum(uint8_t *packet)
{
	uint16_t check = 0;

	memcpy(packet + 10, &check, 2);
	check = (uint16_t)~checksum_fold(checksum_add(0, packet, 20));
	memcpy(packet + 10, &check, 2);
}

/* 10.1.0.1 to 10.2.0.2, `protocol` over `payload` zero bytes behind 20 bytes of header. */
static uint32_t packet_make(uint8_t *packet, uint8_t protocol, uint32_t payload, uint16_t port)
{
	uint32_t len = 40 + payload;

	memset(packet, 0, len);
	memcpy(packet, "\x45\x00\x00\x00\x00\x01\x40\x00\x40\x06\x00\x00\x0a\x01\x00\x01\x0a\x02\x00\x02", 20);
	packet[2] = (uint8_t)(len >> 8);
	packet[3] = (uint8_t)len;
	packet[9] = protocol;
	ipv4_checksum(packet);
	packet[20] = (uint8_t)(port >> 8);
	packet[21] = (uint8_t)port;
	packet[23] = 80;
	packet[32] = 0x50;
	packet[33] = 0x10;
	return len;
}

static void host_sends(struct lab *lab, const uint8_t *packet, uint32_t len, uint16_t gso_size)
{
	struct virtio_net_hdr header = {0};
	struct iovec parts[] = {{&header, sizeof(header)}, {(void *)(uintptr_t)packet, len}};

	if (gso_size) {
		header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		header.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		header.gso_size = htole16(gso_size);
		header.csum_start = htole16(20);
		header.csum_offset = htole16(16);
	}
	assert_int_equal(writev(lab->host, parts, 2), sizeof(header) + len);
}

static uint32_t receive(struct lab *lab, struct frame *frames)
{
	uint32_t count = port_recv(lab->queue, frames, PORT_BATCH);

	port_refill(lab->queue, &lab->cache);
	return count;
}

static void give_back(struct lab *lab, const struct frame *frames, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		chunk_give(&lab->cache, frames[i].chunk);
}

/* One large packet: one question, and its pieces over as many batches as they need. */
static void large_packet_in_pieces(void **state)
{
	struct lab *lab = *state;
	struct frame frames[PORT_BATCH];
	static uint8_t packet[65535];
	uint32_t count, pieces = 0, bytes = 0, batches = 0;

	host_sends(lab, packet, packet_make(packet, IPPROTO_TCP, 65000, 1000), 500);
	while ((count = receive(lab, frames)) > 0) {
		for (uint32_t i = 0; i < count; i++) {
			struct inner inner;

			assert_int_equal(frames[i].meta.kind, META_PLAIN_OUT);
			assert_int_equal(frames[i].meta.flags, META_FROM_HOST);
			assert_int_equal(frames[i].meta.l3_off, 0);
			assert_int_equal(frames[i].meta.payload_off, 20);
			assert_int_equal(frames[i].meta.index, 5);
			assert_true(frame_headroom(&frames[i]) >= FRAME_HEADROOM);
			assert_true(inner_parse(frames[i].data, frames[i].len, &inner));
			assert_int_equal(inner.len, frames[i].len);
			bytes += frames[i].len - 40;
		}
		pieces += count;
		batches++;
		give_back(lab, frames, count);
	}
	assert_int_equal(pieces, 130);
	assert_int_equal(bytes, 65000);
	assert_int_equal(batches, 3);
	assert_int_equal(lab->policy.asked, 1);
}

/* What dies says why, once a packet, however large. */
static void refused_packets_say_why(void **state)
{
	struct lab *lab = *state;
	struct frame frames[PORT_BATCH];
	static uint8_t packet[65535];
	uint32_t len = packet_make(packet, IPPROTO_TCP, 10000, 1000);

	lab->policy.reason = DROP_POLICY_DROP;
	host_sends(lab, packet, len, 1000);
	lab->policy.generation = 1;
	assert_int_equal(receive(lab, frames), 1);
	assert_int_equal(frames[0].meta.kind, META_REFUSED);
	assert_int_equal(frames[0].meta.index, DROP_POLICY_DROP);
	give_back(lab, frames, 1);
	lab->policy.reason = DROP_NONE;
	lab->policy.generation++;
	len = packet_make(packet, IPPROTO_TCP, 20000, 1000);
	host_sends(lab, packet, len, 0); /* not large by its own word: no buffer holds it */
	host_sends(lab, packet, 19, 0);
	host_sends(lab, packet, len, 1); /* lies about nothing, but is cut to very small pieces */
	assert_int_equal(receive(lab, frames), PORT_BATCH);
	assert_int_equal(frames[0].meta.index, DROP_TOO_BIG);
	assert_int_equal(frames[1].meta.index, DROP_PACKET_MALFORMED);
	assert_int_equal(frames[2].meta.kind, META_PLAIN_OUT);
	assert_int_equal(frames[2].len, 41);
	give_back(lab, frames, PORT_BATCH);
}

/* Longer than a chunk, as on a tunnel over jumbo frames. */
static void long_pieces(void **state)
{
	struct lab *lab = *state;
	struct frame frames[PORT_BATCH];
	static uint8_t packet[65535];

	host_sends(lab, packet, packet_make(packet, IPPROTO_TCP, 8900 + 100, 1000), 8900);
	host_sends(lab, packet, packet_make(packet, IPPROTO_UDP, 8000, 1000), 0);
	assert_int_equal(receive(lab, frames), 3);
	assert_int_equal(frames[0].len, 8940);
	assert_int_equal(frames[1].len, 140);
	assert_int_equal(frames[2].len, 8040);
	assert_true(frame_tailroom(&frames[0]) >= FRAME_TAILROOM);
	give_back(lab, frames, 3);
	assert_int_equal(umem_jumbo_count(&lab->umem), JUMBO_COUNT);
}

/* Packets that are never a tunnel's: to groups, to neighbours on the link, and neighbour discovery. */
static void never_a_tunnels(void **state)
{
	static const struct {
		uint8_t family, to[4], protocol, type, ttl;
		enum drop_reason reason;
	} rows[] = {
		{4, {224, 0, 0, 1}, 17, 0, 64, DROP_POLICY_NONE},
		{4, {239, 255, 0, 1}, 17, 0, 64, DROP_POLICY_NONE},
		{4, {255, 255, 255, 255}, 17, 0, 64, DROP_POLICY_NONE},
		{4, {240, 0, 0, 1}, 17, 0, 64, DROP_NONE},
		{4, {10, 2, 0, 2}, 17, 0, 64, DROP_NONE},
		{6, {0xff, 0x02, 0, 0}, 17, 0, 64, DROP_POLICY_NONE},
		{6, {0xfe, 0x80, 0, 0}, 17, 0, 64, DROP_POLICY_NONE},
		{6, {0xfd, 0x02, 0, 0}, 58, 135, 255, DROP_POLICY_NONE},
		{6, {0xfd, 0x02, 0, 0}, 58, 135, 254, DROP_NONE}, /* no neighbour's */
		{6, {0xfd, 0x02, 0, 0}, 58, 128, 64, DROP_NONE},
		{6, {0xfd, 0x02, 0, 0}, 17, 0, 64, DROP_NONE},
	};
	struct lab *lab = *state;
	struct host_flows *flows = calloc(1, sizeof(*flows));

	flows->policy = &lab->policy.base;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t source[16] = {10, 1}, destination[16] = {0};
		struct inner inner = {.family = rows[i].family,
			.protocol = rows[i].protocol,
			.ttl = rows[i].ttl,
			.ports_known = true};
		uint32_t tunnel;

		memcpy(destination, rows[i].to, 4);
		inner.source = source;
		inner.destination = destination;
		inner.source_port = inner.destination_port = (uint16_t)(rows[i].type << 8);
		assert_int_equal(host_flows_judge(flows, &inner, &tunnel), rows[i].reason);
	}
	free(flows);
}

/* A flow is asked for once; another flow, another policy, and every later fragment by itself. */
static void flows_are_remembered(void **state)
{
	struct lab *lab = *state;
	struct frame frames[PORT_BATCH];
	uint8_t packet[100];
	uint32_t len = packet_make(packet, IPPROTO_UDP, 20, 1000);

	for (unsigned i = 0; i < 10; i++)
		host_sends(lab, packet, len, 0);
	assert_int_equal(receive(lab, frames), 10);
	assert_int_equal(lab->policy.asked, 1);
	give_back(lab, frames, 10);
	for (uint16_t i = 0; i < 10; i++)
		host_sends(lab, packet, packet_make(packet, IPPROTO_UDP, 20, (uint16_t)(2000 + i)), 0);
	assert_int_equal(receive(lab, frames), 10);
	assert_int_equal(lab->policy.asked, 11);
	give_back(lab, frames, 10);

	lab->policy.generation++;
	lab->policy.tunnel = 9;
	host_sends(lab, packet, packet_make(packet, IPPROTO_UDP, 20, 1000), 0);
	assert_int_equal(receive(lab, frames), 1);
	assert_int_equal(frames[0].meta.index, 9);
	assert_int_equal(lab->policy.asked, 12);
	give_back(lab, frames, 1);

	packet[6] = 0, packet[7] = 10;
	ipv4_checksum(packet);
	host_sends(lab, packet, len, 0);
	host_sends(lab, packet, len, 0);
	assert_int_equal(receive(lab, frames), 2);
	assert_int_equal(frames[0].meta.flags, META_FROM_HOST | META_FRAGMENT);
	assert_int_equal(lab->policy.asked, 14);
	give_back(lab, frames, 2);
}

/* Fragments of a packet that is told by its ports go on to be joined, the first one too. */
static void fragments_are_judged_together(void **state)
{
	struct lab *lab = *state;
	struct frame frames[PORT_BATCH];
	uint8_t packet[100];
	uint32_t len = packet_make(packet, IPPROTO_UDP, 20, 1000);

	lab->policy.reason = DROP_FRAGMENT_PORTS;
	for (unsigned first = 0; first < 2; first++) {
		packet[6] = first ? 0x20 : 0, packet[7] = first ? 0 : 3;
		ipv4_checksum(packet);
		host_sends(lab, packet, len, 0);
	}
	assert_int_equal(receive(lab, frames), 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(frames[i].meta.kind, META_HOST_FRAGMENT);
		assert_int_equal(frames[i].meta.flags, META_FROM_HOST | META_FRAGMENT);
		assert_int_equal(frames[i].len, len);
	}
	give_back(lab, frames, 2);
}

/* No memory: the packet is gone and counted, and the queue goes on. */
static void no_chunks(void **state)
{
	struct lab *lab = *state;
	struct frame frames[PORT_BATCH], taken[CHUNKS + 1];
	struct port_lost lost;
	uint32_t count = 0, got;
	uint8_t packet[2100];

	while ((taken[count].chunk = chunk_take(&lab->cache)))
		count++;
	host_sends(lab, packet, packet_make(packet, IPPROTO_TCP, 2000, 1000), 100);
	host_sends(lab, packet, packet_make(packet, IPPROTO_TCP, 2000, 1000), 100);
	assert_int_equal(port_recv(lab->queue, frames, PORT_BATCH), 0);
	port_lost(lab->queue, &lost);
	assert_int_equal(lost.no_frame, 20); /* a host that never stops does not hold up the worker */
	assert_int_equal(port_recv(lab->queue, frames, PORT_BATCH), 0);
	port_lost(lab->queue, &lost);
	assert_int_equal(lost.no_frame, 20);
	give_back(lab, taken, count);
	host_sends(lab, packet, packet_make(packet, IPPROTO_TCP, 2000, 1000), 100);
	got = receive(lab, frames);
	got += receive(lab, frames + got);
	assert_int_equal(got, 20);
	give_back(lab, frames, got);
	port_lost(lab->queue, &lost);
	assert_int_equal(lost.no_frame, 0);
}

/* There and back: the pieces of a large packet arrive at the host as one again, other packets in between as they are.
 */
static void to_the_host(void **state)
{
	struct lab *lab = *state;
	struct frame frames[PORT_BATCH];
	static uint8_t packet[65535], got[65600];
	struct virtio_net_hdr header;
	uint32_t len = packet_make(packet, IPPROTO_TCP, 30000, 1000), count;

	host_sends(lab, packet, len, 1400);
	host_sends(lab, packet, packet_make(packet, IPPROTO_UDP, 20, 1000), 0);
	count = receive(lab, frames);
	assert_int_equal(count, 23);
	assert_int_equal(port_send(lab->queue, frames, count, &lab->cache), count);
	assert_int_equal(read(lab->host, got, sizeof(got)), sizeof(header) + len);
	memcpy(&header, got, sizeof(header));
	assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(le16toh(header.gso_size), 1400);
	assert_int_equal(read(lab->host, got, sizeof(got)), sizeof(header) + 60);
	memcpy(&header, got, sizeof(header));
	assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	assert_memory_equal(got + sizeof(header), packet, 60);
	assert_int_equal(read(lab->host, got, sizeof(got)), -1);
	assert_false(port_flush(lab->queue, &lab->cache));
}

/* Chunks come back with the flush alone, and until then no more is taken than can be remembered. */
static void sending_without_flush(void **state)
{
	struct lab *lab = *state;
	struct frame frames[PORT_BATCH];
	struct port_lost lost;
	uint8_t packet[100];
	uint32_t sent = 0, taken;

	do {
		for (unsigned i = 0; i < PORT_BATCH; i++) {
			frames[i] = (struct frame){.chunk = chunk_take(&lab->cache)};
			assert_non_null(frames[i].chunk);
			frames[i].data = frames[i].chunk + FRAME_HEADROOM;
			frames[i].len = packet_make(frames[i].data, IPPROTO_UDP, 20, 1000);
		}
		taken = port_send(lab->queue, frames, PORT_BATCH, &lab->cache);
		give_back(lab, frames + taken, PORT_BATCH - taken);
		sent += taken;
		while (read(lab->host, packet, sizeof(packet)) > 0)
			;
	} while (taken);
	assert_int_equal(sent, 4 * PORT_BATCH);
	port_flush(lab->queue, &lab->cache);
	close(lab->host); /* gone: counted, not lost from sight */
	for (unsigned i = 0; i < 3; i++) {
		frames[i] = (struct frame){.chunk = chunk_take(&lab->cache)};
		assert_non_null(frames[i].chunk);
		frames[i].data = frames[i].chunk + FRAME_HEADROOM;
		frames[i].len = packet_make(frames[i].data, IPPROTO_UDP, 20, 1000);
	}
	assert_int_equal(port_send(lab->queue, frames, 3, &lab->cache), 3);
	port_lost(lab->queue, &lost);
	assert_int_equal(lost.tx_refused, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(large_packet_in_pieces),
		TEST(refused_packets_say_why),
		TEST(long_pieces),
		TEST(never_a_tunnels),
		TEST(flows_are_remembered),
		TEST(fragments_are_judged_together),
		TEST(no_chunks),
		TEST(to_the_host),
		TEST(sending_without_flush),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
