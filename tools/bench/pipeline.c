/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline: the worker's whole turn without a kernel, beside the raw cost of the same crypto library.
 *
 * Two gateways stand in memory. A burst of packets goes through one's turn (seal) and through the other's (open); only
 * the turns are timed, making and copying the packets is not. The raw figure is the library's calls alone, a packet at
 * a time, on buffers of the same number and size that stand warm in the cache like the worker's. Seal, open and raw
 * alternate; the medians of the rounds are told.
 *
 * Prints JSON lines: bench, case, value, unit, baseline (the raw figure), ratio.
 */
#include "agent/base/clock.h"
#include "agent/base/own.h"
#include "tools/bench/worker_lab.h"

#include <openssl/evp.h>
#include <stdio.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#else
#define __rdtsc() clock_now_ns() /* no such counter: cycles are then nanoseconds */
#endif

#define BURST	    PORT_BATCH
#define ROUNDS	    41
#define BURSTS_EACH 200
#define GCM_IV	    12
#define TAG_LEN	    16

struct suite_case {
	const char *name;
	uint16_t encr;
	uint16_t integ;
};

static const struct suite_case suites[] = {{"aes256gcm16", 20, 0}, {"aes256-sha256", 12, 12}};
static const uint32_t sizes[] = {64, 512, 1400};

struct sample {
	double ns;
	double cycles;
};

struct stopwatch {
	uint64_t ns;
	uint64_t cycles;
	uint64_t started_ns;
	uint64_t started_cycles;
};

static void stopwatch_start(struct stopwatch *watch)
{
	watch->started_ns = clock_now_ns();
	watch->started_cycles = __rdtsc();
}

static void stopwatch_stop(struct stopwatch *watch)
{
	watch->cycles += __rdtsc() - watch->started_cycles;
	watch->ns += clock_now_ns() - watch->started_ns;
}

static struct sample stopwatch_sample(const struct stopwatch *watch, double packets)
{
	return (struct sample){.ns = (double)watch->ns / packets, .cycles = (double)watch->cycles / packets};
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
	struct stopwatch *seal, struct stopwatch *open)
{
	static uint64_t now = GATEWAY_NOW_NS;
	struct frame frames[BURST];
	uint32_t count;

	now += 1000;
	for (uint32_t i = 0; i < BURST; i++)
		expect(gateway_push_plain(a, SLOT_LAN, 0, packet, size), "no room for a packet");
	stopwatch_start(seal);
	worker_turn(&a->worker, now);
	stopwatch_stop(seal);
	count = memory_port_pull(gateway_port(a, SLOT_WAN), 0, frames, BURST);
	expect(count == BURST, "a packet was not sealed");
	for (uint32_t i = 0; i < count; i++) {
		expect(gateway_push_esp(b, 0, &frames[i]), "no room for a packet");
		chunk_give(&a->cache, frames[i].chunk);
	}
	stopwatch_start(open);
	worker_turn(&b->worker, now);
	stopwatch_stop(open);
	count = memory_port_pull(gateway_port(b, SLOT_LAN), 0, frames, BURST);
	expect(count == BURST, "a packet was not opened");
	for (uint32_t i = 0; i < count; i++)
		chunk_give(&b->cache, frames[i].chunk);
}

static void pipeline_round(
	struct gateway *a, struct gateway *b, uint32_t size, struct sample *seal, struct sample *open)
{
	struct stopwatch sealing = {0}, opening = {0};
	uint8_t packet[2048];

	gateway_packet(packet, size, 0, true);
	for (unsigned i = 0; i < BURSTS_EACH; i++)
		pipeline_burst(a, b, packet, size, &sealing, &opening);
	*seal = stopwatch_sample(&sealing, (double)BURSTS_EACH * BURST);
	*open = stopwatch_sample(&opening, (double)BURSTS_EACH * BURST);
}

/* ---- the library alone: what ESP needs of it, nothing else */

struct raw {
	bool aead;
	EVP_CIPHER_CTX *seal;
	EVP_CIPHER_CTX *open;
	EVP_MAC *mac_kind;
	EVP_MAC_CTX *mac;
	uint8_t buffers[BURST][4096];
	uint8_t tags[BURST][32];
	uint64_t counter;
};

static void raw_init(struct raw *raw, const struct suite_case *suite)
{
	static const uint8_t key[32] = {7};
	const EVP_CIPHER *cipher = suite->integ ? EVP_aes_256_cbc() : EVP_aes_256_gcm();
	OSSL_PARAM digest[] = {OSSL_PARAM_utf8_string("digest", (char[]){"SHA256"}, 6), OSSL_PARAM_END};

	memset(raw, 0, sizeof(*raw));
	raw->aead = !suite->integ;
	raw->seal = EVP_CIPHER_CTX_new();
	raw->open = EVP_CIPHER_CTX_new();
	expect(EVP_EncryptInit_ex(raw->seal, cipher, NULL, key, NULL) &&
			EVP_DecryptInit_ex(raw->open, cipher, NULL, key, NULL),
		"the library has no such cipher");
	if (suite->integ) { /* GCM knows no padding */
		EVP_CIPHER_CTX_set_padding(raw->seal, 0);
		EVP_CIPHER_CTX_set_padding(raw->open, 0);
	}
	if (raw->aead)
		return;
	raw->mac_kind = EVP_MAC_fetch(NULL, "HMAC", NULL);
	raw->mac = EVP_MAC_CTX_new(raw->mac_kind);
	expect(raw->mac && EVP_MAC_init(raw->mac, key, sizeof(key), digest), "the library has no HMAC");
}

static void raw_clear(struct raw *raw)
{
	EVP_CIPHER_CTX_free(raw->seal);
	EVP_CIPHER_CTX_free(raw->open);
	EVP_MAC_CTX_free(raw->mac);
	EVP_MAC_free(raw->mac_kind);
}

static bool raw_mac(struct raw *raw, const uint8_t *data, uint32_t len, uint8_t tag[32])
{
	size_t tag_len;

	return EVP_MAC_init(raw->mac, NULL, 0, NULL) && EVP_MAC_update(raw->mac, data, len) &&
	       EVP_MAC_final(raw->mac, tag, &tag_len, 32);
}

static bool raw_seal(struct raw *raw, unsigned i, uint32_t len, const uint8_t iv[16])
{
	uint8_t *data = raw->buffers[i];
	int out;

	if (!EVP_EncryptInit_ex(raw->seal, NULL, NULL, NULL, iv))
		return false;
	if (!raw->aead)
		return EVP_EncryptUpdate(raw->seal, data, &out, data, (int)len) &&
		       raw_mac(raw, data, len, raw->tags[i]);
	return EVP_EncryptUpdate(raw->seal, NULL, &out, iv, 8) &&
	       EVP_EncryptUpdate(raw->seal, data, &out, data, (int)len) && EVP_EncryptFinal_ex(raw->seal, data, &out) &&
	       EVP_CIPHER_CTX_ctrl(raw->seal, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, raw->tags[i]);
}

static bool raw_open(struct raw *raw, unsigned i, uint32_t len, const uint8_t iv[16])
{
	uint8_t *data = raw->buffers[i];
	uint8_t tag[32];
	int out;

	if (!raw->aead)
		return raw_mac(raw, data, len, tag) && CRYPTO_memcmp(tag, raw->tags[i], TAG_LEN) == 0 &&
		       EVP_DecryptInit_ex(raw->open, NULL, NULL, NULL, iv) &&
		       EVP_DecryptUpdate(raw->open, data, &out, data, (int)len);
	return EVP_DecryptInit_ex(raw->open, NULL, NULL, NULL, iv) && EVP_DecryptUpdate(raw->open, NULL, &out, iv, 8) &&
	       EVP_DecryptUpdate(raw->open, data, &out, data, (int)len) &&
	       EVP_CIPHER_CTX_ctrl(raw->open, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, raw->tags[i]) &&
	       EVP_DecryptFinal_ex(raw->open, data, &out);
}

static void raw_round(struct raw *raw, uint32_t size, struct sample *seal, struct sample *open)
{
	struct stopwatch sealing = {0}, opening = {0};
	uint32_t len = (size + 2 + 15) & ~15u; /* with the ESP trailer, in whole blocks */
	uint8_t ivs[BURST][16] = {0};

	if (raw->aead)
		len = (size + 2 + 3) & ~3u;
	for (unsigned burst = 0; burst < BURSTS_EACH; burst++) {
		bool good = true;

		for (unsigned i = 0; i < BURST; i++, raw->counter++)
			memcpy(ivs[i], &raw->counter, sizeof(raw->counter));
		stopwatch_start(&sealing);
		for (unsigned i = 0; i < BURST; i++)
			good &= raw_seal(raw, i, len, ivs[i]);
		stopwatch_stop(&sealing);
		stopwatch_start(&opening);
		for (unsigned i = 0; i < BURST; i++)
			good &= raw_open(raw, i, len, ivs[i]);
		stopwatch_stop(&opening);
		expect(good, "the library failed");
	}
	*seal = stopwatch_sample(&sealing, (double)BURSTS_EACH * BURST);
	*open = stopwatch_sample(&opening, (double)BURSTS_EACH * BURST);
}

/* ---- telling */

static int double_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct sample median(const struct sample *samples)
{
	double ns[ROUNDS], cycles[ROUNDS];

	for (unsigned i = 0; i < ROUNDS; i++) {
		ns[i] = samples[i].ns;
		cycles[i] = samples[i].cycles;
	}
	qsort(ns, ROUNDS, sizeof(ns[0]), double_compare);
	qsort(cycles, ROUNDS, sizeof(cycles[0]), double_compare);
	return (struct sample){.ns = ns[ROUNDS / 2], .cycles = cycles[ROUNDS / 2]};
}

static void tell(
	const char *suite, const char *verb, uint32_t size, const struct sample *turns, const struct sample *raws)
{
	struct sample turn = median(turns), raw = median(raws);

	printf("{\"bench\": \"pipeline\", \"case\": \"%s %s %u\", \"value\": %.1f, \"unit\": \"ns\", \"baseline\": "
	       "%.1f, "
	       "\"ratio\": %.3f}\n",
		verb, suite, size, turn.ns, raw.ns, turn.ns / raw.ns);
	printf("{\"bench\": \"pipeline\", \"case\": \"%s %s %u\", \"value\": %.0f, \"unit\": \"cycles\", \"baseline\": "
	       "%.0f, "
	       "\"ratio\": %.3f}\n",
		verb, suite, size, turn.cycles, raw.cycles, turn.cycles / raw.cycles);
	printf("{\"bench\": \"pipeline\", \"case\": \"%s %s %u\", \"value\": %.3f, \"unit\": \"Mpps\", \"baseline\": "
	       "%.3f, "
	       "\"ratio\": %.3f}\n",
		verb, suite, size, 1000 / turn.ns, 1000 / raw.ns, raw.ns / turn.ns);
	fflush(stdout);
}

static void measure(const struct suite_case *suite, uint32_t size)
{
	static struct sample turns_seal[ROUNDS], turns_open[ROUNDS], raws_seal[ROUNDS], raws_open[ROUNDS];
	struct gateway *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
	struct raw *raw = calloc(1, sizeof(*raw));

	expect(a && b && raw && gateway_init(a, 0, suite->encr, suite->integ) == 0 &&
			gateway_init(b, 1, suite->encr, suite->integ) == 0,
		"out of memory");
	a->resolver.mtu = b->resolver.mtu = 1600; /* 1400 bytes inside must fit */
	raw_init(raw, suite);
	pipeline_round(a, b, size, &turns_seal[0], &turns_open[0]); /* warm */
	for (unsigned i = 0; i < ROUNDS; i++) {
		pipeline_round(a, b, size, &turns_seal[i], &turns_open[i]);
		raw_round(raw, size, &raws_seal[i], &raws_open[i]);
	}
	tell(suite->name, "seal", size, turns_seal, raws_seal);
	tell(suite->name, "open", size, turns_open, raws_open);
	raw_clear(raw);
	gateway_clear(a);
	gateway_clear(b);
	free(raw);
	free(a);
	free(b);
}

int main(void)
{
	for (unsigned s = 0; s < ARRAY_LEN(suites); s++)
		for (unsigned i = 0; i < ARRAY_LEN(sizes); i++)
			measure(&suites[s], sizes[i]);
	return 0;
}
