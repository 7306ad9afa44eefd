/* SPDX-License-Identifier: Apache-2.0 */
/* The engines against each other: whatever one seals the other opens, and nothing that was altered. */
#include "agent/base/secret.h"
#include "agent/suite_choice.h"
#include "agent/suite_engine.h"
#include "tests/unit/esp_lab.h"

#include <endian.h>
#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define PACKET_MAX    2048u
#define AES_BLOCK_LEN 16u
#define SEQ	      UINT64_C(0x700000005)

static struct sa sa_of(const struct esp_suite *suite, uint8_t direction, bool esn)
{
	struct sa sa = lab_sa_out(suite, 4, esn ? SA_ESN : 0);

	sa.direction = direction;
	sa.protocol = suite->mode == SUITE_AH ? IPPROTO_AH : IPPROTO_ESP;
	return sa;
}

static void cipher_make(struct esp_cipher *cipher, const struct esp_suite *suite, const struct suite_engine *by,
	uint8_t direction, bool esn)
{
	struct sa sa = sa_of(suite, direction, esn);

	assert_int_equal(esp_cipher_init_by(cipher, &sa, by), 0);
	assert_ptr_equal(cipher->suite, suite);
}

/* An ESP header and `len` bytes of a pattern where the text belongs. */
static struct esp_job packet_make(struct esp_cipher *cipher, uint8_t *packet, uint32_t len, uint64_t seq)
{
	uint32_t spi = htonl(LAB_SPI), low = htonl((uint32_t)seq);
	uint8_t *text = packet + ESP_HEADER_LEN + cipher->suite->iv_len;

	memset(packet, 0xee, PACKET_MAX);
	memcpy(packet, &spi, 4);
	memcpy(packet + 4, &low, 4);
	for (uint32_t i = 0; i < len; i++)
		text[i] = (uint8_t)(i * 7 + len);
	return (struct esp_job){.cipher = cipher, .esp = packet, .seq = seq, .text_len = len};
}

static bool text_right(const struct esp_job *job)
{
	const uint8_t *text = job->esp + ESP_HEADER_LEN + job->cipher->suite->iv_len;

	for (uint32_t i = 0; i < job->text_len; i++) {
		if (text[i] != (uint8_t)(i * 7 + job->text_len))
			return false;
	}
	return true;
}

static uint32_t packet_len(const struct esp_suite *suite, uint32_t text_len)
{
	return ESP_HEADER_LEN + suite->iv_len + text_len + suite->icv_len;
}

/* ---- the table ----------------------------------------------------------------------------------------------- */

static void test_table(void **state)
{
	const struct esp_suite *suite;
	unsigned esp = 0, ah = 0;

	(void)state;
	for (; (suite = esp_suite_at(esp)); esp++) {
		assert_ptr_equal(esp_suite_find(suite->encr, suite->encr_key_bits, suite->integ), suite);
		assert_true(suite->mode != SUITE_AH && suite->icv_len >= 8);
		assert_true(suite->iv_len == 0 || suite->iv_len == 8 || suite->iv_len == 16);
		assert_true(suite->salt_len <= sizeof(((struct sa *)0)->salt));
	}
	for (; (suite = ah_suite_at(ah)); ah++) {
		assert_ptr_equal(ah_suite_find(suite->integ), suite);
		assert_true(suite->mode == SUITE_AH && suite->integ_key_len <= SA_INTEG_KEY_MAX);
	}
	/* GCM, CCM of three lengths and three ICVs, ChaCha20, GMAC, CBC and CTR with six, NULL with six, and 8750's. */
	assert_int_equal(esp, 9 + 9 + 1 + 3 + 2 * 18 + 6 + 3 + 3 + 1);
	assert_int_equal(ah, 6 + 3);
	assert_non_null(esp_suite_find(ENCR_CHACHA20_POLY1305, 0, 0));
}

/* Encryption without integrity, neither of both, and a second integrity algorithm beside an AEAD are no suites. */
static void test_none(void **state)
{
	static const struct {
		uint16_t encr, bits, integ;
	} wrong[] = {
		{ENCR_AES_CBC, 128, AUTH_NONE},
		{ENCR_AES_CBC, 256, AUTH_NONE},
		{ENCR_AES_CTR, 128, AUTH_NONE},
		{ENCR_NULL, 0, AUTH_NONE},
		{ENCR_NONE, 0, AUTH_NONE},
		{ENCR_NONE, 0, AUTH_SHA256_128},
		{ENCR_AES_GCM_16, 256, AUTH_SHA256_128},
		{ENCR_AES_GMAC, 128, AUTH_SHA1_96},
		{ENCR_CHACHA20_POLY1305, 256, AUTH_SHA256_128},
		{ENCR_CHACHA20_POLY1305, 128, AUTH_NONE},
		{ENCR_AES_GCM_16, 0, AUTH_NONE},
		{ENCR_AES_CBC, 160, AUTH_SHA256_128},
		{ENCR_AES_CBC, 256, AUTH_AES_128_GMAC},
		{3, 192, AUTH_SHA256_128},
	};
	struct esp_cipher cipher;

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct sa sa = {.protocol = IPPROTO_ESP,
			.direction = SA_OUT,
			.encr = wrong[i].encr,
			.encr_key_bits = wrong[i].bits,
			.integ = wrong[i].integ};

		assert_null(esp_suite_find(wrong[i].encr, wrong[i].bits, wrong[i].integ));
		assert_int_equal(esp_cipher_init(&cipher, &sa), -EOPNOTSUPP);
		assert_null(cipher.state);
		esp_cipher_clear(&cipher);
	}
	assert_null(ah_suite_find(AUTH_NONE));
	assert_null(ah_suite_find(1));
}

/* ---- engine against engine ----------------------------------------------------------------------------------- */

static void cross(
	const struct esp_suite *suite, const struct suite_engine *by, const struct suite_engine *with, bool esn)
{
	static uint8_t packet[PACKET_MAX];
	struct esp_cipher out, in;
	struct esp_job job;

	cipher_make(&out, suite, by, SA_OUT, esn);
	cipher_make(&in, suite, with, SA_IN, esn);
	for (uint32_t len = suite->block; len <= 1600; len += len < 300 ? suite->block : 13u * suite->block) {
		uint64_t seq = esn ? SEQ + len : 5 + len;
		uint32_t end = packet_len(suite, len);

		job = packet_make(&out, packet, len, seq);
		esp_jobs_seal(&job, 1);
		assert_true(job.good);
		assert_int_equal(packet[end], 0xee); /* nothing behind the ICV is written */
		job = (struct esp_job){.cipher = &in, .esp = packet, .seq = seq, .text_len = len};
		esp_jobs_open(&job, 1);
		assert_true(job.good);
		assert_true(text_right(&job));
		assert_int_equal(packet[end], 0xee);
	}
	esp_cipher_clear(&out);
	esp_cipher_clear(&in);
}

/* Every suite by every pair of engines, each with itself too. */
static void test_engines_agree(void **state)
{
	const struct suite_engine *by, *with;
	const struct esp_suite *suite;
	unsigned served = 0;

	(void)state;
	for (unsigned i = 0; (suite = esp_suite_at(i)); i++) {
		for (unsigned j = 0; (by = suite_engine_at(j)); j++) {
			for (unsigned k = 0; (with = suite_engine_at(k)); k++) {
				if (!by->serves(suite) || !with->serves(suite))
					continue;
				served += by != with;
				cross(suite, by, with, false);
				cross(suite, by, with, true);
			}
		}
		assert_true(suite_openssl.serves(suite));
	}
	assert_int_equal(ERR_peek_error(), 0);
	if (!served) {
		print_message("skip: ipsec-mb or the processor's instructions for it are absent\n");
		skip();
	}
}

/* One bit of any byte, the high half of the number among them, and the packet is not good. */
static void tamper(const struct esp_suite *suite, const struct suite_engine *engine, bool esn)
{
	static uint8_t sealed[PACKET_MAX], packet[PACKET_MAX];
	uint32_t len = 4u * suite->block, end = packet_len(suite, len);
	struct esp_cipher out, in;
	struct esp_job job;

	cipher_make(&out, suite, engine, SA_OUT, esn);
	cipher_make(&in, suite, engine, SA_IN, esn);
	job = packet_make(&out, sealed, len, SEQ);
	esp_jobs_seal(&job, 1);
	for (uint32_t at = 0; at <= end; at++) {
		memcpy(packet, sealed, end);
		job = (struct esp_job){.cipher = &in, .esp = packet, .seq = SEQ, .text_len = len};
		if (at < end)
			packet[at] ^= (uint8_t)(1 << at % 8);
		esp_jobs_open(&job, 1);
		assert_int_equal(job.good, at == end);
	}
	memcpy(packet, sealed, end);
	job = (struct esp_job){.cipher = &in, .esp = packet, .seq = SEQ + (UINT64_C(1) << 32), .text_len = len};
	esp_jobs_open(&job, 1);
	/* An implicit IV has all 64 bits in any case. */
	assert_int_equal(job.good, !esn && (suite->iv_len || suite->mode == SUITE_NULL));
	esp_cipher_clear(&out);
	esp_cipher_clear(&in);
}

static void test_tampered(void **state)
{
	const struct suite_engine *engine;
	const struct esp_suite *suite;

	(void)state;
	for (unsigned i = 0; (suite = esp_suite_at(i)); i++) {
		for (unsigned j = 0; (engine = suite_engine_at(j)); j++) {
			if (!engine->serves(suite))
				continue;
			tamper(suite, engine, false);
			tamper(suite, engine, true);
		}
	}
	assert_int_equal(ERR_peek_error(), 0);
}

/* A wrong key of either kind, and a wrong salt. */
static void test_wrong_key(void **state)
{
	static uint8_t packet[PACKET_MAX];
	const struct esp_suite *suite;

	(void)state;
	for (unsigned i = 0; (suite = esp_suite_at(i)); i++) {
		for (unsigned which = 0; which < 3; which++) {
			struct sa sa = sa_of(suite, SA_IN, false);
			struct esp_cipher out, in;
			struct esp_job job;

			if (which == 0)
				sa.encr_key[suite->encr_key_len / 2] ^= 1;
			else if (which == 1)
				sa.integ_key[suite->integ_key_len / 2] ^= 1;
			else
				sa.salt[0] ^= 1;
			cipher_make(&out, suite, suite_choice(suite), SA_OUT, false);
			assert_int_equal(esp_cipher_init(&in, &sa), 0);
			job = packet_make(&out, packet, 4u * suite->block, 9);
			esp_jobs_seal(&job, 1);
			job.cipher = &in;
			esp_jobs_open(&job, 1);
			assert_false(job.good && text_right(&job) && (which != 2 || suite->salt_len) &&
				     (which != 0 || suite->encr_key_len) && (which != 1 || suite->integ_key_len));
			esp_cipher_clear(&out);
			esp_cipher_clear(&in);
		}
	}
}

/* ---- many jobs ----------------------------------------------------------------------------------------------- */

#define MIXED_JOBS 150u

/* All suites of both engines in one turn, several packets each, some of them altered. */
static void test_mixed(void **state)
{
	static uint8_t packets[MIXED_JOBS][PACKET_MAX];
	static struct esp_cipher out[MIXED_JOBS], in[MIXED_JOBS];
	static struct esp_job jobs[MIXED_JOBS];
	uint64_t random = 1;

	(void)state;
	for (unsigned i = 0, count = 0; i < MIXED_JOBS; i++) {
		const struct esp_suite *suite = esp_suite_at(count++);
		const struct suite_engine *engine = suite_engine_at(i % 2);

		if (!suite) {
			suite = esp_suite_at(0);
			count = 1;
		}
		engine = engine->serves(suite) ? engine : &suite_openssl;
		cipher_make(&out[i], suite, engine, SA_OUT, i % 3 == 0);
		cipher_make(&in[i], suite, engine, SA_IN, i % 3 == 0);
		jobs[i] = packet_make(&out[i], packets[i], (1 + lab_random(&random) % 90) * suite->block, SEQ + i);
	}
	esp_jobs_seal(jobs, MIXED_JOBS);
	for (unsigned i = 0; i < MIXED_JOBS; i++) {
		assert_true(jobs[i].good);
		jobs[i].cipher = &in[i];
		jobs[i].good = i % 2;
		if (i % 7 == 3)
			packets[i][packet_len(in[i].suite, jobs[i].text_len) - 1 - i % 5] ^= 0x40;
	}
	esp_jobs_open(jobs, MIXED_JOBS);
	for (unsigned i = 0; i < MIXED_JOBS; i++) {
		assert_int_equal(jobs[i].good, i % 7 != 3);
		assert_true(i % 7 == 3 || text_right(&jobs[i]));
		esp_cipher_clear(&out[i]);
		esp_cipher_clear(&in[i]);
	}
	esp_jobs_seal(jobs, 0);
	esp_jobs_open(jobs, 0);
}

/* CBC's IVs differ from packet to packet and from context to context of the same key: none can be foreseen (RFC 3602
 * 2). */
static void test_cbc_iv(void **state)
{
	const struct suite_engine *engine;
	const struct esp_suite *suite = esp_suite_find(ENCR_AES_CBC, 256, AUTH_SHA256_128);
	static uint8_t ivs[64][AES_BLOCK_LEN], packet[PACKET_MAX];
	unsigned count = 0;

	(void)state;
	for (unsigned i = 0; (engine = suite_engine_at(i)); i++) {
		for (unsigned j = 0; engine->serves(suite) && j < 2; j++) {
			struct esp_cipher cipher;

			cipher_make(&cipher, suite, engine, SA_OUT, false);
			for (unsigned k = 0; k < 16; k++) {
				struct esp_job job = packet_make(&cipher, packet, 16, k + 1);

				esp_jobs_seal(&job, 1);
				memcpy(ivs[count++], packet + ESP_HEADER_LEN, AES_BLOCK_LEN);
			}
			esp_cipher_clear(&cipher);
		}
	}
	for (unsigned i = 0; i < count; i++) {
		for (unsigned j = 0; j < i; j++)
			assert_memory_not_equal(ivs[i], ivs[j], 8); /* neither half stays */
	}
}

/* In every counter mode the IV on the wire is the sequence number: never twice under one key. */
static void test_counter_iv(void **state)
{
	static uint8_t packet[PACKET_MAX];
	const struct esp_suite *suite;
	const struct suite_engine *engine;

	(void)state;
	for (unsigned i = 0; (suite = esp_suite_at(i)); i++) {
		for (unsigned j = 0; suite->iv_len == 8 && (engine = suite_engine_at(j)); j++) {
			struct esp_cipher cipher;
			struct esp_job job;
			uint64_t iv;

			if (!engine->serves(suite))
				continue;
			cipher_make(&cipher, suite, engine, SA_OUT, true);
			job = packet_make(&cipher, packet, 16, SEQ);
			esp_jobs_seal(&job, 1);
			memcpy(&iv, packet + ESP_HEADER_LEN, sizeof(iv));
			assert_int_equal(be64toh(iv), SEQ);
			esp_cipher_clear(&cipher);
		}
	}
}

/* ---- ciphers ------------------------------------------------------------------------------------------------- */

struct sharer {
	struct esp_cipher *out;
	struct esp_cipher *in;
	unsigned bad;
	uint64_t seq;
};

static void *share(void *context)
{
	struct sharer *sharer = context;
	uint8_t packet[PACKET_MAX];

	for (unsigned i = 0; i < 300; i++) {
		struct esp_job job = packet_make(sharer->out, packet, 64 + i % 10 * 16, sharer->seq + i);

		esp_jobs_seal(&job, 1);
		job.cipher = sharer->in;
		esp_jobs_open(&job, 1);
		sharer->bad += !job.good || !text_right(&job);
	}
	return NULL;
}

/* Two threads at the same ciphers, where a cipher says that it bears it. */
static void test_concurrent(void **state)
{
	const struct esp_suite *suite;
	const struct suite_engine *engine;

	(void)state;
	for (unsigned i = 0; (suite = esp_suite_at(i)); i += 3) {
		for (unsigned j = 0; (engine = suite_engine_at(j)); j++) {
			struct esp_cipher out, in;
			struct sharer sharers[2] = {{&out, &in, 0, 1}, {&out, &in, 0, 100000}};
			pthread_t thread;

			if (!engine->serves(suite))
				continue;
			cipher_make(&out, suite, engine, SA_OUT, true);
			cipher_make(&in, suite, engine, SA_IN, true);
			if (out.concurrent && in.concurrent) {
				assert_int_equal(pthread_create(&thread, NULL, share, &sharers[0]), 0);
				share(&sharers[1]);
				assert_int_equal(pthread_join(thread, NULL), 0);
				assert_int_equal(sharers[0].bad + sharers[1].bad, 0);
			}
			esp_cipher_clear(&out);
			esp_cipher_clear(&in);
		}
	}
}

static void test_cleared(void **state)
{
	static const struct esp_cipher zero;
	struct esp_cipher cipher = zero;
	struct sa sa = sa_of(esp_suite_at(0), SA_OUT, false);

	(void)state;
	esp_cipher_clear(&cipher);
	assert_int_equal(esp_cipher_init(&cipher, &sa), 0);
	esp_cipher_clear(&cipher);
	assert_memory_equal(&cipher, &zero, sizeof(zero));
	esp_cipher_clear(&cipher);
}

/* ---- AH ------------------------------------------------------------------------------------------------------ */

static void test_ah_engines_agree(void **state)
{
	static uint8_t data[1500];
	const struct esp_suite *suite;
	const struct suite_engine *engine;

	(void)state;
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 11);
	for (unsigned i = 0; (suite = ah_suite_at(i)); i++) {
		uint8_t iv[8], icv[2][ESP_ICV_MAX];
		struct esp_cipher reference, cipher;

		cipher_make(&reference, suite, &suite_openssl, SA_OUT, false);
		esp_cipher_mac_iv(&reference, SEQ, iv);
		for (unsigned j = 0; (engine = suite_engine_at(j)); j++) {
			if (!engine->serves(suite))
				continue;
			cipher_make(&cipher, suite, engine, SA_IN, false);
			for (uint32_t len = 1; len <= sizeof(data); len += len < 300 ? 1 : 97) {
				memset(icv, 0xee, sizeof(icv));
				assert_true(esp_cipher_mac(&reference, data, len, iv, icv[0]));
				assert_true(esp_cipher_mac(&cipher, data, len, iv, icv[1]));
				assert_memory_equal(icv[0], icv[1], sizeof(icv[0]));
				data[len / 2] ^= 1;
				assert_true(esp_cipher_mac(&cipher, data, len, iv, icv[1]));
				assert_memory_not_equal(icv[0], icv[1], suite->icv_len);
			}
			esp_cipher_clear(&cipher);
		}
		esp_cipher_clear(&reference);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_engines_agree),
		cmocka_unit_test(test_tampered),
		cmocka_unit_test(test_wrong_key),
		cmocka_unit_test(test_mixed),
		cmocka_unit_test(test_cbc_iv),
		cmocka_unit_test(test_counter_iv),
		cmocka_unit_test(test_concurrent),
		cmocka_unit_test(test_cleared),
		cmocka_unit_test(test_ah_engines_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
