/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/suite.h"

#include "agent/base/own.h"
#include "agent/base/secret.h"

#include <endian.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#define ENCR_AES_CBC	12u
#define ENCR_AES_GCM_16 20u
#define AUTH_NONE	0u
#define AUTH_SHA256_128 12u
#define AUTH_SHA384_192 13u
#define AUTH_SHA512_256 14u

#define GCM_NONCE_LEN 12u
#define AES_BLOCK     16u
#define AAD_MAX	      12u

/* ---- key schedules ------------------------------------------------------------------------------------------- */

/* A context with the key of `name` scheduled, IV to be set per packet. Only block modes know padding; told to one that
 * does not, the library would repeat it with every packet. */
static EVP_CIPHER_CTX *schedule(const char *name, const uint8_t *key, bool encrypt)
{
	EVP_CIPHER *type = EVP_CIPHER_fetch(NULL, name, NULL);
	EVP_CIPHER_CTX *ctx = type ? EVP_CIPHER_CTX_new() : NULL;

	if (ctx &&
		(EVP_CipherInit_ex2(ctx, type, key, NULL, encrypt, NULL) != 1 ||
			(EVP_CIPHER_get_mode(type) != EVP_CIPH_GCM_MODE && EVP_CIPHER_CTX_set_padding(ctx, 0) != 1))) {
		EVP_CIPHER_CTX_free(ctx);
		ctx = NULL;
	}
	EVP_CIPHER_free(type);
	return ctx;
}

static const char *cipher_name(const struct esp_suite *suite)
{
	bool gcm = suite->encr == ENCR_AES_GCM_16;

	switch (suite->encr_key_bits) {
	case 128:
		return gcm ? "AES-128-GCM" : "AES-128-CBC";
	case 192:
		return gcm ? "AES-192-GCM" : "AES-192-CBC";
	default:
		return gcm ? "AES-256-GCM" : "AES-256-CBC";
	}
}

static const char *digest_name(const struct esp_suite *suite)
{
	switch (suite->integ) {
	case AUTH_SHA256_128:
		return "SHA2-256";
	case AUTH_SHA384_192:
		return "SHA2-384";
	default:
		return "SHA2-512";
	}
}

static EVP_MAC_CTX *hmac_schedule(const struct esp_suite *suite, const uint8_t *key)
{
	char digest[16];
	OSSL_PARAM params[2];
	EVP_MAC *type = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *mac = type ? EVP_MAC_CTX_new(type) : NULL;

	snprintf(digest, sizeof(digest), "%s", digest_name(suite));
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
	params[1] = OSSL_PARAM_construct_end();
	if (mac && EVP_MAC_init(mac, key, suite->integ_key_len, params) != 1) {
		EVP_MAC_CTX_free(mac);
		mac = NULL;
	}
	EVP_MAC_free(type);
	return mac;
}

/* An AES key that never leaves this context: counters encrypted under it are IVs that nobody can foresee (RFC 3602 2).
 */
static EVP_CIPHER_CTX *iv_schedule(void)
{
	uint8_t key[32];
	EVP_CIPHER_CTX *ctx;

	if (RAND_priv_bytes(key, sizeof(key)) != 1)
		return NULL;
	ctx = schedule("AES-256-ECB", key, true);
	secret_wipe(key, sizeof(key));
	return ctx;
}

void esp_cipher_clear(struct esp_cipher *cipher)
{
	EVP_CIPHER_CTX_free(cipher->ctx);
	EVP_CIPHER_CTX_free(cipher->iv_ctx);
	EVP_MAC_CTX_free(cipher->mac);
	secret_wipe(cipher, sizeof(*cipher));
}

/* ---- AES-GCM with a 16-byte ICV: RFC 4106 -------------------------------------------------------------------- */

static int gcm_init(const struct esp_suite *suite, struct esp_cipher *cipher, const struct sa *sa)
{
	memset(cipher, 0, sizeof(*cipher));
	cipher->esn = sa->flags & SA_ESN;
	memcpy(cipher->salt, sa->salt, sizeof(cipher->salt));
	cipher->ctx = schedule(cipher_name(suite), sa->encr_key, sa->direction == SA_OUT);
	if (!cipher->ctx) {
		esp_cipher_clear(cipher);
		return -EIO;
	}
	return 0;
}

/* Additional data: SPI and sequence number, with ESN all 64 bits of it (RFC 4106 5). Gives its length. */
static int gcm_aad(uint8_t aad[AAD_MAX], const struct esp_cipher *cipher, const uint8_t *esp, uint64_t seq)
{
	uint32_t high = htobe32((uint32_t)(seq >> 32));

	if (!cipher->esn) {
		memcpy(aad, esp, ESP_HEADER_LEN);
		return ESP_HEADER_LEN;
	}
	memcpy(aad, esp, 4);
	memcpy(aad + 4, &high, 4);
	memcpy(aad + 8, esp + 4, 4);
	return AAD_MAX;
}

/* The nonce is salt and explicit IV (RFC 4106 4). The IV is the sequence number: it never repeats under one key (RFC
 * 4106 3.1). */
static bool gcm_seal(
	const struct esp_suite *suite, struct esp_cipher *cipher, uint8_t *esp, uint32_t plain_len, uint64_t seq)
{
	uint8_t *iv = esp + ESP_HEADER_LEN;
	uint8_t *text = iv + suite->iv_len;
	uint8_t nonce[GCM_NONCE_LEN], aad[AAD_MAX];
	uint64_t counter = htobe64(seq);
	int aad_len = gcm_aad(aad, cipher, esp, seq), len;

	memcpy(iv, &counter, sizeof(counter));
	memcpy(nonce, cipher->salt, sizeof(cipher->salt));
	memcpy(nonce + sizeof(cipher->salt), iv, suite->iv_len);
	return EVP_EncryptInit_ex2(cipher->ctx, NULL, NULL, nonce, NULL) == 1 &&
	       EVP_EncryptUpdate(cipher->ctx, NULL, &len, aad, aad_len) == 1 &&
	       EVP_EncryptUpdate(cipher->ctx, text, &len, text, (int)plain_len) == 1 &&
	       EVP_EncryptFinal_ex(cipher->ctx, text + plain_len, &len) == 1 &&
	       EVP_CIPHER_CTX_ctrl(cipher->ctx, EVP_CTRL_AEAD_GET_TAG, suite->icv_len, text + plain_len) == 1;
}

static bool gcm_open(
	const struct esp_suite *suite, struct esp_cipher *cipher, uint8_t *esp, uint32_t cipher_len, uint64_t seq)
{
	uint8_t *iv = esp + ESP_HEADER_LEN;
	uint8_t *text = iv + suite->iv_len;
	uint8_t nonce[GCM_NONCE_LEN], aad[AAD_MAX];
	int aad_len = gcm_aad(aad, cipher, esp, seq), len;

	memcpy(nonce, cipher->salt, sizeof(cipher->salt));
	memcpy(nonce + sizeof(cipher->salt), iv, suite->iv_len);
	return EVP_DecryptInit_ex2(cipher->ctx, NULL, NULL, nonce, NULL) == 1 &&
	       EVP_CIPHER_CTX_ctrl(cipher->ctx, EVP_CTRL_AEAD_SET_TAG, suite->icv_len, text + cipher_len) == 1 &&
	       EVP_DecryptUpdate(cipher->ctx, NULL, &len, aad, aad_len) == 1 &&
	       EVP_DecryptUpdate(cipher->ctx, text, &len, text, (int)cipher_len) == 1 &&
	       EVP_DecryptFinal_ex(cipher->ctx, text + cipher_len, &len) == 1;
}

/* ---- AES-CBC with HMAC: RFC 3602, RFC 4868; encrypt, then MAC (RFC 4303 3.3.2) -------------------------------- */

static int cbc_init(const struct esp_suite *suite, struct esp_cipher *cipher, const struct sa *sa)
{
	memset(cipher, 0, sizeof(*cipher));
	cipher->esn = sa->flags & SA_ESN;
	cipher->ctx = schedule(cipher_name(suite), sa->encr_key, sa->direction == SA_OUT);
	cipher->mac = hmac_schedule(suite, sa->integ_key);
	cipher->iv_ctx = sa->direction == SA_OUT ? iv_schedule() : NULL;
	if (!cipher->ctx || !cipher->mac || (sa->direction == SA_OUT && !cipher->iv_ctx)) {
		esp_cipher_clear(cipher);
		return -EIO;
	}
	return 0;
}

/* The ICV over ESP header, IV and ciphertext, and with ESN the high half of the sequence number behind them (RFC
 * 4303 2.2.1). */
static bool cbc_icv(
	struct esp_cipher *cipher, const uint8_t *esp, uint32_t len, uint64_t seq, uint8_t icv[EVP_MAX_MD_SIZE])
{
	uint32_t high = htobe32((uint32_t)(seq >> 32));
	size_t icv_len;

	return EVP_MAC_init(cipher->mac, NULL, 0, NULL) == 1 && EVP_MAC_update(cipher->mac, esp, len) == 1 &&
	       (!cipher->esn || EVP_MAC_update(cipher->mac, (const uint8_t *)&high, sizeof(high)) == 1) &&
	       EVP_MAC_final(cipher->mac, icv, &icv_len, EVP_MAX_MD_SIZE) == 1;
}

static bool cbc_iv(struct esp_cipher *cipher, uint8_t iv[AES_BLOCK])
{
	uint64_t counter[2] = {cipher->iv_counter++, 0};
	int len;

	return EVP_EncryptUpdate(cipher->iv_ctx, iv, &len, (const uint8_t *)counter, sizeof(counter)) == 1;
}

static bool cbc_seal(
	const struct esp_suite *suite, struct esp_cipher *cipher, uint8_t *esp, uint32_t plain_len, uint64_t seq)
{
	uint8_t *iv = esp + ESP_HEADER_LEN;
	uint8_t *text = iv + suite->iv_len;
	uint8_t icv[EVP_MAX_MD_SIZE];
	int len;

	if (!cbc_iv(cipher, iv) || EVP_EncryptInit_ex2(cipher->ctx, NULL, NULL, iv, NULL) != 1 ||
		EVP_EncryptUpdate(cipher->ctx, text, &len, text, (int)plain_len) != 1 ||
		!cbc_icv(cipher, esp, ESP_HEADER_LEN + suite->iv_len + plain_len, seq, icv))
		return false;
	memcpy(text + plain_len, icv, suite->icv_len);
	return true;
}

static bool cbc_open(
	const struct esp_suite *suite, struct esp_cipher *cipher, uint8_t *esp, uint32_t cipher_len, uint64_t seq)
{
	uint8_t *iv = esp + ESP_HEADER_LEN;
	uint8_t *text = iv + suite->iv_len;
	uint8_t icv[EVP_MAX_MD_SIZE];
	int len;

	if (!cbc_icv(cipher, esp, ESP_HEADER_LEN + suite->iv_len + cipher_len, seq, icv) ||
		!secret_equal(icv, text + cipher_len, suite->icv_len))
		return false;
	return EVP_DecryptInit_ex2(cipher->ctx, NULL, NULL, iv, NULL) == 1 &&
	       EVP_DecryptUpdate(cipher->ctx, text, &len, text, (int)cipher_len) == 1;
}

/* ---- jobs ---------------------------------------------------------------------------------------------------- */

int esp_cipher_init(struct esp_cipher *cipher, const struct sa *sa)
{
	const struct esp_suite *suite = esp_suite_find(sa->encr, sa->encr_key_bits, sa->integ);
	int error = suite ? suite->init(suite, cipher, sa) : -EOPNOTSUPP;

	if (!error)
		cipher->suite = suite;
	return error;
}

void esp_jobs_seal(struct esp_job *jobs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct esp_suite *suite = jobs[i].cipher->suite;

		jobs[i].good = suite->seal(suite, jobs[i].cipher, jobs[i].esp, jobs[i].text_len, jobs[i].seq);
	}
}

void esp_jobs_open(struct esp_job *jobs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct esp_suite *suite = jobs[i].cipher->suite;

		jobs[i].good = suite->open(suite, jobs[i].cipher, jobs[i].esp, jobs[i].text_len, jobs[i].seq);
	}
}

/* ---- the table ----------------------------------------------------------------------------------------------- */

#define GCM(notation, bits)                                                                                            \
	{                                                                                                              \
		.name = notation, .encr = ENCR_AES_GCM_16, .encr_key_bits = bits, .integ = AUTH_NONE,                  \
		.encr_key_len = bits / 8, .salt_len = 4, .iv_len = 8, .icv_len = 16, .block = 4, .init = gcm_init,     \
		.seal = gcm_seal, .open = gcm_open                                                                     \
	}
/* HMAC keys are as long as the digest, ICVs half of it (RFC 4868 2.1.1, 2.3). */
#define CBC(notation, bits, auth, digest_len)                                                                          \
	{                                                                                                              \
		.name = notation, .encr = ENCR_AES_CBC, .encr_key_bits = bits, .integ = auth,                          \
		.encr_key_len = bits / 8, .integ_key_len = digest_len, .iv_len = AES_BLOCK, .icv_len = digest_len / 2, \
		.block = AES_BLOCK, .init = cbc_init, .seal = cbc_seal, .open = cbc_open                               \
	}

static const struct esp_suite suites[] = {
	GCM("aes128gcm16", 128),
	GCM("aes192gcm16", 192),
	GCM("aes256gcm16", 256),
	CBC("aes128-sha256", 128, AUTH_SHA256_128, 32),
	CBC("aes192-sha256", 192, AUTH_SHA256_128, 32),
	CBC("aes256-sha256", 256, AUTH_SHA256_128, 32),
	CBC("aes128-sha384", 128, AUTH_SHA384_192, 48),
	CBC("aes192-sha384", 192, AUTH_SHA384_192, 48),
	CBC("aes256-sha384", 256, AUTH_SHA384_192, 48),
	CBC("aes128-sha512", 128, AUTH_SHA512_256, 64),
	CBC("aes192-sha512", 192, AUTH_SHA512_256, 64),
	CBC("aes256-sha512", 256, AUTH_SHA512_256, 64),
};

const struct esp_suite *esp_suite_at(unsigned index)
{
	return index < ARRAY_LEN(suites) ? &suites[index] : NULL;
}

const struct esp_suite *esp_suite_find(uint16_t encr, uint16_t encr_key_bits, uint16_t integ)
{
	for (unsigned i = 0; i < ARRAY_LEN(suites); i++) {
		const struct esp_suite *suite = &suites[i];

		if (suite->encr == encr && suite->encr_key_bits == encr_key_bits && suite->integ == integ)
			return suite;
	}
	return NULL;
}
