/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/suite_choice.h"

#include "agent/base/log.h"
#include "agent/base/own.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SUITES_MAX    128u
#define MEASURE_JOBS  16u /* as many as the widest engine has lanes */
#define MEASURE_TURNS 3u  /* the fastest counts: what is slower was disturbed */
#define PACKET_STRIDE 1536u
/* An engine whose ciphers threads may share is worth a little: it stays if the other is not this much faster. */
#define SHARED_WORTH_PERCENT 10u

static const struct suite_engine *const engines[] = {&suite_mb, &suite_openssl};
/* By place in the tables; engine NULL: not measured. */
static struct suite_figure esp_figures[SUITES_MAX], ah_figures[SUITES_MAX];

const struct suite_engine *suite_engine_at(unsigned index)
{
	return index < ARRAY_LEN(engines) ? engines[index] : NULL;
}

const struct suite_engine *suite_engine_find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(engines); i++) {
		if (strcmp(engines[i]->name, name) == 0)
			return engines[i];
	}
	return NULL;
}

/* ---- what was measured --------------------------------------------------------------------------------------- */

/* The index-th of both tables; NULL past the end. */
static const struct esp_suite *suite_at(unsigned index)
{
	unsigned esp = 0;

	while (esp_suite_at(esp))
		esp++;
	return index < esp ? esp_suite_at(index) : ah_suite_at(index - esp);
}

static struct suite_figure *figure_of(const struct esp_suite *suite)
{
	return suite->mode == SUITE_AH ? &ah_figures[suite - ah_suite_at(0)] : &esp_figures[suite - esp_suite_at(0)];
}

static const struct suite_engine *preferred(const struct esp_suite *suite)
{
	for (unsigned i = 0; i < ARRAY_LEN(engines); i++) {
		if (engines[i]->serves(suite))
			return engines[i];
	}
	return &suite_openssl;
}

struct suite_figure suite_figure(const struct esp_suite *suite)
{
	const struct suite_figure *figure = figure_of(suite);

	return figure->engine ? *figure : (struct suite_figure){.engine = preferred(suite)};
}

const struct suite_engine *suite_choice(const struct esp_suite *suite)
{
	return suite_figure(suite).engine;
}

/* ---- measuring ----------------------------------------------------------------------------------------------- */

struct bench {
	struct esp_cipher out;
	struct esp_cipher in;
	struct esp_job jobs[MEASURE_JOBS];
	uint8_t packets[MEASURE_JOBS][PACKET_STRIDE];
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool ciphers_make(struct bench *bench, const struct esp_suite *suite, const struct suite_engine *engine)
{
	struct sa sa = {.protocol = suite->mode == SUITE_AH ? IPPROTO_AH : IPPROTO_ESP,
		.direction = SA_OUT,
		.encr = suite->encr,
		.encr_key_bits = suite->encr_key_bits,
		.integ = suite->integ};

	/* No secret: the keys of a measurement. */
	memset(sa.encr_key, 0x5a, sizeof(sa.encr_key));
	memset(sa.integ_key, 0xa5, sizeof(sa.integ_key));
	if (esp_cipher_init_by(&bench->out, &sa, engine) != 0)
		return false;
	sa.direction = SA_IN;
	if (esp_cipher_init_by(&bench->in, &sa, engine) == 0)
		return true;
	esp_cipher_clear(&bench->out);
	return false;
}

static void turn_esp(struct bench *bench, uint32_t len)
{
	for (uint32_t i = 0; i < MEASURE_JOBS; i++)
		bench->jobs[i] = (struct esp_job){
			.cipher = &bench->out, .esp = bench->packets[i], .seq = i + 1, .text_len = len};
	esp_jobs_seal(bench->jobs, MEASURE_JOBS);
	for (uint32_t i = 0; i < MEASURE_JOBS; i++)
		bench->jobs[i].cipher = &bench->in;
	esp_jobs_open(bench->jobs, MEASURE_JOBS);
}

static void turn_ah(struct bench *bench, uint32_t len)
{
	static const uint8_t iv[ESP_IV_MAX];

	for (uint32_t i = 0; i < MEASURE_JOBS; i++) {
		bench->jobs[i].good =
			esp_cipher_mac(&bench->out, bench->packets[i], len, iv, bench->packets[i] + len) &&
			esp_cipher_mac(&bench->in, bench->packets[i], len, iv, bench->packets[i] + len);
	}
}

/* Nanoseconds of a packet; 0: the engine failed at what it says it serves. The first turn warms up. */
static uint32_t measure_size(struct bench *bench, uint32_t len)
{
	uint64_t best = UINT64_MAX;

	for (unsigned turn = 0; turn <= MEASURE_TURNS; turn++) {
		uint64_t start = now_ns(), took;

		if (bench->out.suite->mode == SUITE_AH)
			turn_ah(bench, len);
		else
			turn_esp(bench, len);
		took = now_ns() - start;
		for (uint32_t i = 0; i < MEASURE_JOBS; i++) {
			if (!bench->jobs[i].good)
				return 0;
		}
		if (turn && took < best)
			best = took;
	}
	best /= 2 * MEASURE_JOBS;
	return best ? (uint32_t)best : 1;
}

static struct suite_figure measure(
	struct bench *bench, const struct esp_suite *suite, const struct suite_engine *engine)
{
	struct suite_figure figure = {.engine = NULL};

	if (!engine->serves(suite) || !ciphers_make(bench, suite, engine))
		return figure;
	figure.ns[SUITE_SIZE_SMALL] = measure_size(bench, SUITE_SMALL_LEN);
	figure.ns[SUITE_SIZE_LARGE] = measure_size(bench, SUITE_LARGE_LEN);
	if (figure.ns[SUITE_SIZE_SMALL] && figure.ns[SUITE_SIZE_LARGE])
		figure.engine = engine;
	esp_cipher_clear(&bench->out);
	esp_cipher_clear(&bench->in);
	return figure;
}

/* Both sizes count alike: the product of the times, not their sum. */
static bool faster(const struct suite_figure *a, const struct suite_figure *b, uint32_t by_percent)
{
	uint64_t cost_a = (uint64_t)a->ns[SUITE_SIZE_SMALL] * a->ns[SUITE_SIZE_LARGE];
	uint64_t cost_b = (uint64_t)b->ns[SUITE_SIZE_SMALL] * b->ns[SUITE_SIZE_LARGE];

	return cost_a * (100u + by_percent) * (100u + by_percent) < cost_b * 100u * 100u;
}

static struct suite_figure choose(struct bench *bench, const struct esp_suite *suite)
{
	struct suite_figure best = {.engine = NULL};

	for (unsigned i = 0; i < ARRAY_LEN(engines); i++) {
		struct suite_figure figure = measure(bench, suite, engines[i]);

		if (figure.engine && (!best.engine || faster(&figure, &best, SHARED_WORTH_PERCENT)))
			best = figure;
	}
	return best;
}

/* ICV length and where the IV stands cost nothing worth a measurement. */
static bool same_work(const struct esp_suite *a, const struct esp_suite *b)
{
	return a->mode == b->mode && a->encr_key_bits == b->encr_key_bits && a->integ == b->integ;
}

static const struct suite_figure *measured_before(unsigned index)
{
	const struct esp_suite *suite = suite_at(index);

	for (unsigned i = 0; i < index; i++) {
		if (figure_of(suite_at(i))->engine && same_work(suite_at(i), suite))
			return figure_of(suite_at(i));
	}
	return NULL;
}

void suite_choice_measure(uint64_t budget_ns)
{
	uint64_t start = now_ns();
	struct bench *bench = calloc(1, sizeof(*bench));
	const struct esp_suite *suite;
	unsigned measured = 0, i = 0;

	memset(esp_figures, 0, sizeof(esp_figures));
	memset(ah_figures, 0, sizeof(ah_figures));
	for (; bench && (suite = suite_at(i)); i++) {
		const struct suite_figure *before = measured_before(i);

		if (before)
			*figure_of(suite) = *before;
		else if (now_ns() - start < budget_ns)
			*figure_of(suite) = choose(bench, suite);
		measured += figure_of(suite)->engine != NULL;
	}
	free(bench);
	log_info("engines for %u of %u suites chosen by measurement in %llu ms", measured, i,
		(unsigned long long)((now_ns() - start) / 1000000u));
}
