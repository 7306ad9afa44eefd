/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lend: what a second worker adds.
 *
 * "one SA": all packets arrive at one worker, by one SA; the other worker has none of its own and helps with the
 * ciphers (agent/lend.h). "own SA each": every worker has its queue and its SA. Only the turns of those that receive
 * are timed, making and copying the packets is not. One worker and two alternate in rounds; medians are told. On a
 * machine with one CPU nothing is printed.
 *
 * Prints JSON lines: bench, case, value, unit, baseline (its name), base_value.
 */
#include "agent/base/clock.h"
#include "agent/cpu.h"
#include "agent/suite_choice.h"
#include "tools/bench/worker_team.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#define BURST	    PORT_BATCH
#define ROUNDS	    15u
#define BURSTS	    400u
#define WORKERS	    2u
#define PACKET_MAX  1400u
#define BITS_A_BYTE 8

enum direction { SEAL, OPEN, DIRECTIONS };
static const char *const direction_names[] = {"seal", "open"};

static void expect(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "lend: %s\n", what);
	exit(1);
}

static int double_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
	qsort(values, count, sizeof(values[0]), double_compare);
	return values[count / 2];
}

static void tell(const char *name, const struct esp_suite *suite, uint32_t size, double value, double base)
{
	printf("{\"bench\": \"lend\", \"case\": \"%s %s %u B\", \"value\": %.2f, \"unit\": \"Gbit/s\", "
	       "\"baseline\": \"1 worker\", \"base_value\": %.2f}\n",
		name, suite->name, size, value, base);
	fflush(stdout);
}

static double gbit_s(uint32_t size, uint64_t packets, uint64_t ns)
{
	return (double)size * BITS_A_BYTE * (double)packets / (double)ns;
}

static void pin_to(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((unsigned)cpu, &cpus);
	pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
}

/* ---- one SA at one worker */

static uint64_t turn_ns(struct worker *worker)
{
	uint64_t started_ns = clock_now_ns();

	worker_turn(worker, started_ns);
	return clock_now_ns() - started_ns;
}

/* A burst from plaintext at `a` to plaintext at `b`; adds what the two turns took. */
static void one_burst(struct gateway *a, struct gateway *b, const uint8_t *packet, uint32_t size, uint64_t *took_ns)
{
	struct frame frames[BURST];
	uint32_t count;

	for (uint32_t i = 0; i < BURST; i++)
		expect(gateway_push_plain(a, SLOT_LAN, 0, packet, size), "no room for a packet");
	took_ns[SEAL] += turn_ns(&a->worker);
	count = memory_port_pull(gateway_port(a, SLOT_WAN), 0, frames, BURST);
	expect(count == BURST, "a packet was not sealed");
	for (uint32_t i = 0; i < count; i++) {
		expect(gateway_push_esp(b, 0, &frames[i]), "no room for a packet");
		chunk_give(&a->cache, frames[i].chunk);
	}
	took_ns[OPEN] += turn_ns(&b->worker);
	count = memory_port_pull(gateway_port(b, SLOT_LAN), 0, frames, BURST);
	expect(count == BURST, "a packet was not opened");
	for (uint32_t i = 0; i < count; i++)
		chunk_give(&b->cache, frames[i].chunk);
}

struct pair {
	struct gateway gateways[2];
	struct team team; /* of the one that has several workers */
};

/* Who seals (or who opens) has `workers` workers, the other one has one: helpers of both would be in each other's way.
 */
static struct pair *pair_new(const struct esp_suite *suite, enum direction helped, uint32_t workers)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	expect(pair && gateway_init(&pair->gateways[0], 0, suite) == 0 &&
			gateway_init(&pair->gateways[1], 1, suite) == 0,
		"a gateway does not start");
	if (workers > 1) {
		expect(team_init(&pair->team, &pair->gateways[helped], workers, 1, true) == 0, "no workers");
		expect(team_start(&pair->team, true) == 0, "no threads");
	}
	return pair;
}

static void pair_free(struct pair *pair)
{
	if (pair->team.count)
		team_clear(&pair->team);
	gateway_clear(&pair->gateways[0]);
	gateway_clear(&pair->gateways[1]);
	free(pair);
}

static double one_round(struct pair *pair, enum direction direction, uint32_t size)
{
	uint64_t took_ns[DIRECTIONS] = {0, 0};
	uint8_t packet[2048];

	gateway_packet(packet, size, 0, true);
	for (unsigned i = 0; i < BURSTS; i++)
		one_burst(&pair->gateways[0], &pair->gateways[1], packet, size, took_ns);
	return gbit_s(size, (uint64_t)BURSTS * BURST, took_ns[direction]);
}

static void measure_one(const struct esp_suite *suite, enum direction direction, uint32_t size)
{
	struct pair *alone = pair_new(suite, direction, 1), *helped = pair_new(suite, direction, WORKERS);
	double one[ROUNDS], all[ROUNDS];
	char name[64];

	pin_to(0);
	one_round(alone, direction, size); /* warm */
	one_round(helped, direction, size);
	for (unsigned i = 0; i < ROUNDS; i++) {
		one[i] = one_round(alone, direction, size);
		all[i] = one_round(helped, direction, size);
	}
	snprintf(name, sizeof(name), "%s, one SA, %u workers,", direction_names[direction], WORKERS);
	tell(name, suite, size, median(all, ROUNDS), median(one, ROUNDS));
	pair_free(alone);
	pair_free(helped);
}

/* ---- a queue and an SA for each worker */

struct lane {
	struct gateway *gateway;
	struct worker *worker;
	pthread_barrier_t *barrier;
	uint32_t size;
	double rate;
	bool good;
};

/* As gateway_push_plain, but with hands and a queue of the lane's own. */
static bool lane_push(struct lane *lane, struct chunk_cache *cache, const uint8_t *packet)
{
	struct frame frame = {.chunk = chunk_take(cache), .size = FRAME_SIZE, .len = 14 + lane->size};

	if (!frame.chunk)
		return false;
	frame.data = frame.chunk + FRAME_HEADROOM + sizeof(struct packet_meta);
	memset(frame.data, 0, 14);
	memcpy(frame.data + 14, packet, lane->size);
	frame.meta = (struct packet_meta){.kind = META_PLAIN_OUT,
		.family = 4,
		.protocol = 17,
		.l3_off = 14,
		.payload_off = 34,
		.index = lane->worker->index};
	return memory_port_push(gateway_port(lane->gateway, SLOT_LAN), lane->worker->index, &frame);
}

static void *lane_main(void *context)
{
	struct lane *lane = context;
	struct chunk_cache cache;
	struct frame frames[BURST];
	uint64_t took_ns = 0;
	uint8_t packet[2048];

	pin_to((int)lane->worker->index);
	chunk_cache_init(&cache, &lane->gateway->umem);
	gateway_packet(packet, lane->size, 0, true);
	lane->good = true;
	pthread_barrier_wait(lane->barrier);
	for (unsigned i = 0; i < BURSTS && lane->good; i++) {
		for (uint32_t j = 0; j < BURST; j++)
			lane->good &= lane_push(lane, &cache, packet);
		took_ns += turn_ns(lane->worker);
		lane->good &= memory_port_pull(gateway_port(lane->gateway, SLOT_WAN), lane->worker->index, frames,
				      BURST) == BURST;
		for (uint32_t j = 0; j < BURST && lane->good; j++)
			chunk_give(&cache, frames[j].chunk);
	}
	lane->rate = gbit_s(lane->size, (uint64_t)BURSTS * BURST, took_ns);
	chunk_cache_drain(&cache);
	return NULL;
}

/* The sum of what `count` workers seal at the same time, each by its own SA. */
static double lanes_round(struct team *team, uint32_t count, uint32_t size)
{
	struct lane lanes[WORKERS];
	pthread_t threads[WORKERS];
	pthread_barrier_t barrier;
	double sum = 0;

	pthread_barrier_init(&barrier, NULL, count);
	for (uint32_t i = 0; i < count; i++) {
		lanes[i] = (struct lane){
			.gateway = team->gateway, .worker = team->workers[i], .barrier = &barrier, .size = size};
		expect(pthread_create(&threads[i], NULL, lane_main, &lanes[i]) == 0, "no thread");
	}
	for (uint32_t i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		expect(lanes[i].good, "a packet was not sealed");
		sum += lanes[i].rate;
	}
	pthread_barrier_destroy(&barrier);
	return sum;
}

static void measure_lanes(const struct esp_suite *suite, uint32_t size)
{
	struct gateway *gateway = calloc(1, sizeof(*gateway));
	double one[ROUNDS], all[ROUNDS];
	struct team team;
	char name[64];

	expect(gateway && gateway_init(gateway, 0, suite) == 0, "a gateway does not start");
	gateway_sa(gateway, 2, 0, SA_OUT, suite);
	gateway->sas[2].tunnel = 1;
	gateway->tunnels[1].out_sa = 2;
	expect(team_init(&team, gateway, WORKERS, WORKERS, false) == 0, "no workers");
	for (unsigned i = 0; i < ROUNDS; i++) {
		one[i] = lanes_round(&team, 1, size);
		all[i] = lanes_round(&team, WORKERS, size);
	}
	snprintf(name, sizeof(name), "seal, own SA each, %u workers,", WORKERS);
	tell(name, suite, size, median(all, ROUNDS), median(one, ROUNDS));
	team_clear(&team);
	gateway_clear(gateway);
	free(gateway);
}

int main(void)
{
	const struct esp_suite *gcm = esp_suite_find(ENCR_AES_GCM_16, 256, AUTH_NONE);
	const struct esp_suite *cbc = esp_suite_find(ENCR_AES_CBC, 256, AUTH_SHA256_128);

	if (cpu_count() < WORKERS)
		return 0;
	suite_choice_measure(SUITE_CHOICE_BUDGET_NS);
	for (enum direction direction = SEAL; direction < DIRECTIONS; direction++) {
		measure_one(gcm, direction, PACKET_MAX);
		measure_one(cbc, direction, PACKET_MAX);
		measure_one(gcm, direction, 64);
	}
	measure_lanes(gcm, PACKET_MAX);
	measure_lanes(gcm, 64);
	return 0;
}
