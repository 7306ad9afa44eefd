/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline: the worker's whole turn without a kernel, beside the raw cost of the ciphers.
 *
 * Two gateways stand in memory. A burst of packets goes through one's turn (seal) and through the other's (open), with
 * anti-replay on; only the turns are timed, making and copying the packets is not. For AES-256-GCM the raw figure is
 * intel-ipsec-mb's direct API alone, a packet at a time (raw_gcm.h); for every suite there is a shorter run beside its
 * own jobs alone (suite.h), without a worker. Raw buffers are of the same number and size and stand warm in the cache
 * like the worker's. Turns and raw alternate in rounds of some milliseconds. A CPU that shares its core changes speed
 * by the half while a neighbour works, so rounds are ranked by what raw took, and of the quietest quarter the medians
 * of all bursts are told, of raw and turns alike.
 *
 * Prints JSON lines: bench, case, value, unit, baseline (its name), base_value.
 */
#include "agent/base/clock.h"
#include "agent/base/own.h"
#include "tools/bench/raw_gcm.h"
#include "tools/bench/worker_lab.h"

#include <stdio.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#else
#define __rdtsc() clock_now_ns() /* no such counter: cycles are then nanoseconds */
#endif

#define BURST	      PORT_BATCH
#define ROUNDS_MAX    41u
#define ROUNDS_SHORT  7u
#define BURSTS_EACH   200u
#define BURSTS_SHORT  20u
#define PACKET_MAX    1400u
#define BASELINE_GCM  "ipsec-mb, direct API"
#define BASELINE_JOBS "the suite's jobs alone"

static const uint32_t sizes[] = {64, 512, PACKET_MAX};

/* How long a case is measured. */
struct effort {
	unsigned rounds;
	unsigned bursts; /* of each round */
};

static const struct effort full = {ROUNDS_MAX, BURSTS_EACH}, brief = {ROUNDS_SHORT, BURSTS_SHORT};

/* What one burst took, per packet. */
struct sample {
	double ns;
	double cycles;
};

struct series {
	uint32_t count;
	struct sample samples[ROUNDS_MAX * BURSTS_EACH];
};

struct stopwatch {
	uint64_t started_ns;
	uint64_t started_cycles;
};

static void stopwatch_start(struct stopwatch *watch)
{
	watch->started_ns = clock_now_ns();
	watch->started_cycles = __rdtsc();
}

static void stopwatch_stop(struct stopwatch *watch, struct series *series)
{
	uint64_t cycles = __rdtsc() - watch->started_cycles, ns = clock_now_ns() - watch->started_ns;

	series->samples[series->count++] = (struct sample){.ns = (double)ns / BURST, .cycles = (double)cycles / BURST};
}

/* ---- the worker's turn */

static void expect(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "pipeline: %s\n", what);
	exit(1);
}

/* One burst from plaintext at `a` to plaintext at `b`, both turns timed. */
static void pipeline_burst(struct gateway *a, struct gateway *b, const uint8_t *packet, uint32_t size,
	struct series *seal, struct series *open)
{
	struct stopwatch watch;
	static uint64_t now = GATEWAY_NOW_NS;
	struct frame frames[BURST];
	uint32_t count;

	now += 1000;
	for (uint32_t i = 0; i < BURST; i++)
		expect(gateway_push_plain(a, SLOT_LAN, 0, packet, size), "no room for a packet");
	stopwatch_start(&watch);
	worker_turn(&a->worker, now);
	stopwatch_stop(&watch, seal);
	count = memory_port_pull(gateway_port(a, SLOT_WAN), 0, frames, BURST);
	expect(count == BURST, "a packet was not sealed");
	for (uint32_t i = 0; i < count; i++) {
		expect(gateway_push_esp(b, 0, &frames[i]), "no room for a packet");
		chunk_give(&a->cache, frames[i].chunk);
	}
	stopwatch_start(&watch);
	worker_turn(&b->worker, now);
	stopwatch_stop(&watch, open);
	count = memory_port_pull(gateway_port(b, SLOT_LAN), 0, frames, BURST);
	expect(count == BURST, "a packet was not opened");
	for (uint32_t i = 0; i < count; i++)
		chunk_give(&b->cache, frames[i].chunk);
}

static void pipeline_round(
	struct gateway *a, struct gateway *b, unsigned bursts, uint32_t size, struct series *seal, struct series *open)
{
	uint8_t packet[2048];

	gateway_packet(packet, size, 0, true);
	for (unsigned i = 0; i < bursts; i++)
		pipeline_burst(a, b, packet, size, seal, open);
}

/* ---- raw: the library alone */

static void gcm_round(void *context, unsigned bursts, uint32_t size, struct series *seal, struct series *open)
{
	struct stopwatch watch;
	uint32_t len = (size + ESP_TRAILER_LEN + 3) & ~3u;
	struct raw_gcm *raw = context;

	for (unsigned i = 0; i < bursts; i++) {
		bool good;

		raw_gcm_prepare(raw);
		stopwatch_start(&watch);
		raw_gcm_seal(raw, len);
		stopwatch_stop(&watch, seal);
		stopwatch_start(&watch);
		good = raw_gcm_open(raw, len);
		stopwatch_stop(&watch, open);
		expect(good, "ipsec-mb failed");
	}
}

/* ---- raw: a suite's jobs, without a worker */

struct raw_jobs {
	const struct esp_suite *suite;
	struct esp_cipher seal;
	struct esp_cipher open;
	struct esp_job jobs[BURST];
	uint64_t seq;
	uint8_t *area;
};

static bool jobs_init(struct raw_jobs *raw, const struct esp_suite *suite)
{
	struct sa sa = {.direction = SA_OUT,
		.encr = suite->encr,
		.encr_key_bits = suite->encr_key_bits,
		.integ = suite->integ,
		.encr_key = {7},
		.integ_key = {8}};

	memset(raw, 0, sizeof(*raw));
	raw->suite = suite;
	raw->area = calloc(BURST, FRAME_SIZE);
	if (!raw->area || esp_cipher_init(&raw->seal, &sa))
		return false;
	sa.direction = SA_IN;
	return esp_cipher_init(&raw->open, &sa) == 0;
}

static void jobs_clear(struct raw_jobs *raw)
{
	esp_cipher_clear(&raw->seal);
	esp_cipher_clear(&raw->open);
	free(raw->area);
}

static void jobs_prepare(struct raw_jobs *raw, struct esp_cipher *cipher, uint32_t len)
{
	for (unsigned i = 0; i < BURST; i++)
		raw->jobs[i] = (struct esp_job){.cipher = cipher,
			.esp = raw->area + i * (size_t)FRAME_SIZE + FRAME_HEADROOM,
			.seq = raw->seq + i + 1,
			.text_len = len};
}

static void jobs_round(void *context, unsigned bursts, uint32_t size, struct series *seal, struct series *open)
{
	struct stopwatch watch;
	struct raw_jobs *raw = context;
	uint32_t len = (size + ESP_TRAILER_LEN + raw->suite->block - 1u) & ~(raw->suite->block - 1u);
	bool good = true;

	for (unsigned i = 0; i < bursts; i++, raw->seq += BURST) {
		jobs_prepare(raw, &raw->seal, len);
		stopwatch_start(&watch);
		esp_jobs_seal(raw->jobs, BURST);
		stopwatch_stop(&watch, seal);
		jobs_prepare(raw, &raw->open, len);
		stopwatch_start(&watch);
		esp_jobs_open(raw->jobs, BURST);
		stopwatch_stop(&watch, open);
		for (unsigned j = 0; j < BURST; j++)
			good &= raw->jobs[j].good;
	}
	expect(good, "a suite's jobs failed");
}

/* ---- telling */

static int double_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, uint32_t count)
{
	qsort(values, count, sizeof(*values), double_compare);
	return values[count / 2];
}

/* Rounds by what raw took, the quietest first. */
struct ranked {
	double raw_ns;
	unsigned round;
};

static int ranked_compare(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return double_compare(&x->raw_ns, &y->raw_ns);
}

static void rounds_rank(struct ranked *ranks, struct effort effort, const struct series raws[2])
{
	static double ns[BURSTS_EACH];

	for (unsigned i = 0; i < effort.rounds; i++) {
		ranks[i] = (struct ranked){.round = i};
		for (unsigned direction = 0; direction < 2; direction++) {
			for (unsigned j = 0; j < effort.bursts; j++)
				ns[j] = raws[direction].samples[i * effort.bursts + j].ns;
			ranks[i].raw_ns += median(ns, effort.bursts);
		}
	}
	qsort(ranks, effort.rounds, sizeof(*ranks), ranked_compare);
}

/* Of the first quarter of the ranks. A burst that was interrupted counts as one, however long. */
static struct sample sample_of(const struct series *series, struct effort effort, const struct ranked *ranks)
{
	static double ns[ROUNDS_MAX * BURSTS_EACH], cycles[ROUNDS_MAX * BURSTS_EACH];
	uint32_t count = 0;

	for (unsigned i = 0; i < (effort.rounds + 3) / 4; i++)
		for (unsigned j = 0; j < effort.bursts; j++, count++) {
			const struct sample *sample = &series->samples[ranks[i].round * effort.bursts + j];

			ns[count] = sample->ns;
			cycles[count] = sample->cycles;
		}
	return (struct sample){.ns = median(ns, count), .cycles = median(cycles, count)};
}

static void tell_row(const char *verb, const char *suite, uint32_t size, const char *unit, double value,
	const char *base, double raw)
{
	printf("{\"bench\": \"pipeline\", \"case\": \"%s %s %u\", \"value\": %.3f, \"unit\": \"%s\", "
	       "\"baseline\": \"%s\", \"base_value\": %.3f}\n",
		verb, suite, size, value, unit, base, raw);
}

static void tell(const char *verb, const char *suite, uint32_t size, struct sample turn, const char *base,
	struct sample raw, bool brief_rows)
{
	tell_row(verb, suite, size, "ns", turn.ns, base, raw.ns);
	if (!brief_rows) {
		tell_row(verb, suite, size, "cycles", turn.cycles, base, raw.cycles);
		tell_row(verb, suite, size, "Mpps", 1000 / turn.ns, base, 1000 / raw.ns);
	}
	fflush(stdout);
}

/* ---- cases */

typedef void (*raw_round_fn)(void *context, unsigned bursts, uint32_t size, struct series *seal, struct series *open);

static void measure(const struct esp_suite *suite, uint32_t size, struct effort effort, const char *base,
	raw_round_fn raw_round, void *raw)
{
	static struct series turns[2], raws[2];
	struct ranked ranks[ROUNDS_MAX];
	struct gateway *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));

	expect(a && b && gateway_init(a, 0, suite) == 0 && gateway_init(b, 1, suite) == 0, "out of memory");
	a->resolver.mtu = b->resolver.mtu = 1600; /* PACKET_MAX bytes inside must fit */
	turns[0].count = turns[1].count = 0;
	pipeline_round(a, b, effort.bursts, size, &turns[0], &turns[1]); /* warm */
	turns[0].count = turns[1].count = raws[0].count = raws[1].count = 0;
	for (unsigned i = 0; i < effort.rounds; i++) {
		pipeline_round(a, b, effort.bursts, size, &turns[0], &turns[1]);
		raw_round(raw, effort.bursts, size, &raws[0], &raws[1]);
	}
	rounds_rank(ranks, effort, raws);
	for (unsigned i = 0; i < 2; i++)
		tell(i ? "open" : "seal", suite->name, size, sample_of(&turns[i], effort, ranks), base,
			sample_of(&raws[i], effort, ranks), effort.rounds < ROUNDS_MAX);
	gateway_clear(a);
	gateway_clear(b);
	free(a);
	free(b);
}

static void measure_gcm(void)
{
	const struct esp_suite *suite = esp_suite_find(20, 256, 0);
	static struct raw_gcm raw;

	expect(raw_gcm_init(&raw), "intel-ipsec-mb does not run here");
	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++)
		measure(suite, sizes[i], full, BASELINE_GCM, gcm_round, &raw);
	raw_gcm_clear(&raw);
}

static void measure_suite(const struct esp_suite *suite)
{
	static struct raw_jobs raw;

	expect(jobs_init(&raw, suite), "a suite does not start");
	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++)
		measure(suite, sizes[i], brief, BASELINE_JOBS, jobs_round, &raw);
	jobs_clear(&raw);
}

/* `pipeline gcm` leaves the shorter runs out. */
int main(int argc, char **argv)
{
	const struct esp_suite *suite;

	measure_gcm();
	if (argc > 1 && strcmp(argv[1], "gcm") == 0)
		return 0;
	for (unsigned i = 0; (suite = esp_suite_at(i)); i++)
		measure_suite(suite);
	return 0;
}
