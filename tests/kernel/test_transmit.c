/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transmission by AF_XDP and by live frames, in a network namespace of the test's own: veth0 (the port) -- veth1 (a
 * packet socket). Every frame carries its number and a pattern that follows from it.
 */
#include "agent/base/clock.h"
#include "agent/live_engine.h"
#include "agent/xsk_port.h"
#include "tools/bench/worker_lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ETHERTYPE_TEST 0x88b5 /* IEEE 802: local experiments */
#define CHUNKS	       8192u
#define RING	       512u
#define BATCH	       32u
#define WAIT_NS	       (5 * NS_PER_S)
#define SLOT	       3u

struct lab {
	struct umem umem;
	struct chunk_cache cache;
	struct port *port;
	struct live_engine *engine;
	int receiver;
	uint32_t sent;
	uint32_t received;
	uint64_t clock_ns; /* of the engine's ticks */
};

static void run(const char *command)
{
	char *const argv[] = {(char *)"sh", (char *)"-c", (char *)(uintptr_t)command, NULL};
	int status = -1;
	pid_t pid;

	if (posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) || waitpid(pid, &status, 0) != pid || status)
		fail_msg("failed: %s", command);
}

static int receiver_open(uint16_t type)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(type)};
	int bytes = 64 << 20, fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(type));

	assert_true(fd >= 0);
	to.sll_ifindex = (int)if_nametoindex("veth1");
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static struct port *port_new(struct umem *umem, uint32_t slot)
{
	const struct xsk_options options = {.ring_size = RING};
	struct port *port = calloc(1, sizeof(*port));
	struct xsk_outcome outcome = {0};
	int xsks = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "xsks", 4, 4, PORTS_MAX * QUEUES_MAX, NULL);

	assert_non_null(port);
	assert_true(xsks >= 0);
	port->slot = slot;
	port->ifindex = if_nametoindex("veth0");
	port->mtu = 1500;
	snprintf(port->name, sizeof(port->name), "veth0");
	port->queue_count = 1;
	assert_int_equal(xsk_queue_open(port, 0, umem, xsks, &options, &outcome, &port->queues[0]), 0);
	close(xsks);
	return port;
}

static void links_make(void)
{
	run("ip link add veth0 numtxqueues 1 numrxqueues 1 type veth peer name veth1 numtxqueues 1 numrxqueues 1");
	run("sysctl -qw net.ipv6.conf.veth0.disable_ipv6=1 net.ipv6.conf.veth1.disable_ipv6=1");
	run("ethtool -K veth1 gro on && ip link set veth0 up && ip link set veth1 up");
}

static int set_up(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	links_make();
	assert_int_equal(umem_init(&lab->umem, CHUNKS), 0);
	chunk_cache_init(&lab->cache, &lab->umem);
	lab->port = port_new(&lab->umem, SLOT);
	lab->receiver = receiver_open(ETHERTYPE_TEST);
	assert_int_equal(live_engine_new(-1, &lab->engine), 0);
	assert_int_equal(live_engine_set_port(lab->engine, SLOT, lab->port->ifindex), 0);
	assert_int_equal(xsk_queue_use_live(lab->port->queues[0], lab->engine), 0);
	*state = lab;
	return 0;
}

static int tear_down(void **state)
{
	struct lab *lab = *state;

	live_engine_free(lab->engine);
	port_free(lab->port);
	close(lab->receiver);
	chunk_cache_drain(&lab->cache);
	assert_int_equal(umem_free_count(&lab->umem), CHUNKS); /* every chunk came home */
	umem_clear(&lab->umem);
	free(lab);
	run("ip link del veth0");
	return 0;
}

static uint32_t length_of(uint32_t number)
{
	return 60 + number * 37 % 1440;
}

static void frame_make(struct lab *lab, struct frame *frame, uint32_t number)
{
	assert_true(frame_alloc(&lab->cache, frame, FRAME_DATA_MAX));
	frame->len = length_of(number);
	for (uint32_t i = 18; i < frame->len; i++)
		frame->data[i] = (uint8_t)(number * 13 + i);
	memset(frame->data, 2, 12);
	frame->data[12] = ETHERTYPE_TEST >> 8;
	frame->data[13] = ETHERTYPE_TEST & 255;
	memcpy(frame->data + 14, &number, 4);
}

/* What has come is next in order, and byte for byte what was sent. */
static void receive(struct lab *lab)
{
	uint8_t bytes[2048];
	ssize_t len;

	while ((len = recv(lab->receiver, bytes, sizeof(bytes), 0)) > 0) {
		uint32_t number;

		memcpy(&number, bytes + 14, 4);
		assert_int_equal(number, lab->received);
		assert_int_equal(len, length_of(number));
		for (uint32_t i = 18; i < (uint32_t)len; i++)
			assert_int_equal(bytes[i], (uint8_t)(number * 13 + i));
		lab->received++;
	}
}

/* A batch, however often the ring is full. */
static void send_batch(struct lab *lab)
{
	uint64_t until_ns = clock_now_ns() + WAIT_NS;
	struct frame frames[BATCH];
	uint32_t done = 0;

	for (uint32_t i = 0; i < BATCH; i++)
		frame_make(lab, &frames[i], lab->sent + i);
	while (done < BATCH) {
		done += port_send(lab->port->queues[0], frames + done, BATCH - done, &lab->cache);
		port_flush(lab->port->queues[0], &lab->cache);
		assert_true(clock_now_ns() < until_ns);
	}
	lab->sent += BATCH;
	receive(lab);
}

static void receive_all(struct lab *lab)
{
	uint64_t until_ns = clock_now_ns() + WAIT_NS;

	while (lab->received != lab->sent && clock_now_ns() < until_ns) {
		port_flush(lab->port->queues[0], &lab->cache);
		receive(lab);
	}
	assert_int_equal(lab->received, lab->sent);
}

/* Send on until the engine is in the state that was asked for; its clock moves by a tick a batch. */
static void send_until(struct lab *lab, bool ready)
{
	uint64_t until_ns = clock_now_ns() + WAIT_NS;

	while (ready ? !live_engine_ready(lab->engine) : !live_engine_asleep(lab->engine)) {
		send_batch(lab);
		lab->clock_ns += LIVE_TICK_NS;
		live_engine_note(lab->engine, ready ? LIVE_START_RATE : 0);
		live_engine_tick(lab->engine, lab->clock_ns);
		usleep(1000);
		assert_true(clock_now_ns() < until_ns);
	}
}

static void test_order_over_switches(void **state)
{
	struct lab *lab = *state;

	for (unsigned round = 0; round < 3; round++) {
		uint64_t by_live = xsk_queue_live_sent(lab->port->queues[0]);

		for (unsigned i = 0; i < 20; i++)
			send_batch(lab);
		assert_int_equal(xsk_queue_live_sent(lab->port->queues[0]), by_live);
		live_engine_start(lab->engine);
		send_until(lab, true);
		for (unsigned i = 0; i < 200; i++)
			send_batch(lab);
		assert_true(xsk_queue_live_sent(lab->port->queues[0]) > by_live);
		live_engine_stop(lab->engine);
		send_until(lab, false);
	}
	receive_all(lab);
	assert_int_equal(live_engine_lost(lab->engine), 0);
}

/* It starts when there is much to send, and goes to sleep when there is not. */
static void test_load_decides(void **state)
{
	struct lab *lab = *state;
	uint64_t until_ns = clock_now_ns() + WAIT_NS;

	send_until(lab, true);
	send_batch(lab);
	receive_all(lab);
	while (!live_engine_asleep(lab->engine) && clock_now_ns() < until_ns) {
		lab->clock_ns += LIVE_TICK_NS;
		live_engine_tick(lab->engine, lab->clock_ns);
		usleep(1000);
	}
	assert_true(live_engine_asleep(lab->engine));
	send_batch(lab);
	receive_all(lab);
}

/* A port that may not use it does not, though the engine runs. */
static void test_refused(void **state)
{
	struct lab *lab = *state;
	uint64_t by_live;

	send_until(lab, true);
	send_batch(lab);
	atomic_store(&lab->port->live_refused, true);
	by_live = xsk_queue_live_sent(lab->port->queues[0]);
	send_batch(lab);
	assert_int_equal(xsk_queue_live_sent(lab->port->queues[0]), by_live);
	receive_all(lab);
}

/* A queue takes a new socket as soon as the last one is closed, though the kernel takes that from the driver later. */
static void test_reopened(void **state)
{
	struct lab *lab = *state;

	for (unsigned i = 0; i < 100; i++) {
		port_free(lab->port);
		lab->port = port_new(&lab->umem, SLOT);
	}
	send_batch(lab);
	receive_all(lab);
}

/* ---- a worker that sends ------------------------------------------------------------------------------------- */

#define FLOW_BATCH    32u
#define FLOW_SWITCHES 200u
#define FLOW_WINDOW   RING /* packets under way: all may wait for a change, however long it takes */
#define ESP_SEQ_OFF   (14u + 20u + 4u)

struct flow {
	struct gateway gateway; /* its WAN is veth0 */
	struct live_engine *engine;
	struct port *port;
	int receiver;
	uint32_t sent; /* plain packets given to the worker */
	uint32_t received;
};

/* `cpu`: of the engine and, if it is not -1, of this thread too: then each waits for the other one's time slice. */
static int flow_set_up(void **state, int cpu)
{
	struct flow *flow = calloc(1, sizeof(*flow));
	cpu_set_t cpus;

	links_make();
	assert_int_equal(gateway_init(&flow->gateway, 0, esp_suite_find(20, 256, 0)), 0);
	port_free(gateway_port(&flow->gateway, SLOT_WAN));
	flow->port = port_new(&flow->gateway.umem, SLOT_WAN);
	atomic_store(&flow->gateway.shared.ports.ports[SLOT_WAN], flow->port);
	flow->gateway.worker.ports[SLOT_WAN] = flow->port;
	flow->receiver = receiver_open(ETH_P_IP);
	assert_int_equal(live_engine_new(cpu, &flow->engine), 0);
	assert_int_equal(live_engine_set_port(flow->engine, SLOT_WAN, flow->port->ifindex), 0);
	assert_int_equal(xsk_queue_use_live(flow->port->queues[0], flow->engine), 0);
	flow->gateway.worker.live = flow->engine;
	CPU_ZERO(&cpus);
	CPU_SET((unsigned)(cpu < 0 ? 0 : cpu), &cpus);
	if (cpu >= 0)
		assert_int_equal(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
	*state = flow;
	return 0;
}

static int flow_set_up_apart(void **state)
{
	return flow_set_up(state, -1);
}

static int flow_set_up_together(void **state)
{
	return flow_set_up(state, sched_getcpu());
}

static int flow_tear_down(void **state)
{
	struct flow *flow = *state;

	live_engine_free(flow->engine);
	close(flow->receiver);
	gateway_clear(&flow->gateway);
	free(flow);
	run("ip link del veth0");
	return 0;
}

/* Each packet of the SA, in the order of its numbers. */
static void flow_receive(struct flow *flow)
{
	uint8_t bytes[2048];

	while (recv(flow->receiver, bytes, sizeof(bytes), 0) > (ssize_t)ESP_SEQ_OFF + 4) {
		uint32_t seq;

		memcpy(&seq, bytes + ESP_SEQ_OFF, sizeof(seq));
		assert_int_equal(ntohl(seq), ++flow->received);
	}
}

/* One turn, with `count` packets before it as long as not too many are under way. */
static void flow_turn(struct flow *flow, uint32_t count)
{
	uint8_t packet[300];

	gateway_packet(packet, sizeof(packet), 0, true);
	for (uint32_t i = 0; i < count && flow->sent - flow->received < FLOW_WINDOW; i++) {
		if (!gateway_push_plain(&flow->gateway, SLOT_LAN, 0, packet, sizeof(packet)))
			break;
		flow->sent++;
	}
	worker_turn(&flow->gateway.worker, clock_now_ns());
	flow_receive(flow);
}

static void flow_end(struct flow *flow)
{
	uint64_t until_ns = clock_now_ns() + WAIT_NS;

	while (flow->received != flow->sent && clock_now_ns() < until_ns)
		flow_turn(flow, 0);
	for (uint32_t reason = 1; reason < DROP_REASON_COUNT; reason++)
		assert_int_equal(flow->gateway.stat.drops[reason].packets, 0);
	assert_int_equal(flow->received, flow->sent);
	assert_int_equal(live_engine_lost(flow->engine), 0);
}

/* Until the worker's own packets have made it start. */
static void flow_go_live(struct flow *flow)
{
	uint64_t until_ns = clock_now_ns() + WAIT_NS, by_live = xsk_queue_live_sent(flow->port->queues[0]);

	live_engine_start(flow->engine);
	while (xsk_queue_live_sent(flow->port->queues[0]) == by_live) {
		flow_turn(flow, FLOW_BATCH);
		assert_true(clock_now_ns() < until_ns);
	}
}

/* The port changes its engine again and again under load: nothing is lost, nothing overtakes. */
static void test_flow_over_switches(void **state)
{
	struct flow *flow = *state;

	flow_go_live(flow);
	for (unsigned i = 0; i < FLOW_SWITCHES; i++) {
		atomic_store(&flow->port->live_refused, !(i & 1));
		for (unsigned turns = 0; turns < 40; turns++)
			flow_turn(flow, FLOW_BATCH);
	}
	flow_end(flow);
}

/* The engine itself goes to sleep and comes again under load. */
static void test_flow_over_stops(void **state)
{
	struct flow *flow = *state;

	for (unsigned i = 0; i < 5; i++) {
		uint64_t until_ns = clock_now_ns() + WAIT_NS;

		flow_go_live(flow);
		live_engine_stop(flow->engine);
		while (!live_engine_asleep(flow->engine) && clock_now_ns() < until_ns)
			flow_turn(flow, FLOW_BATCH);
	}
	flow_end(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order_over_switches, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_load_decides, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reopened, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_flow_over_switches, flow_set_up_apart, flow_tear_down),
		cmocka_unit_test_setup_teardown(test_flow_over_stops, flow_set_up_apart, flow_tear_down),
		cmocka_unit_test_setup_teardown(test_flow_over_switches, flow_set_up_together, flow_tear_down),
	};

	if (unshare(CLONE_NEWNET))
		return 77;
	return cmocka_run_group_tests_name("transmit", tests, NULL, NULL);
}
