/* SPDX-License-Identifier: Apache-2.0 */
/* AES-GCM (RFC 4106), AES-CCM (RFC 4309), ChaCha20-Poly1305 (RFC 7634), AES-GMAC (RFC 4543) by OpenSSL. */
#include "agent/suite_nonce.h"
#include "agent/suite_openssl.h"

#include <openssl/err.h>

static EVP_CIPHER_CTX *ctx_of(const struct esp_cipher *cipher)
{
	return ((struct openssl_state *)cipher->state)->ctx;
}

/* ---- AES-GCM and ChaCha20-Poly1305 --------------------------------------------------------------------------- */

static bool aead_seal(struct esp_cipher *cipher, uint8_t *esp, uint32_t text_len, uint64_t seq)
{
	EVP_CIPHER_CTX *ctx = ctx_of(cipher);
	uint8_t *text = esp_text(cipher, esp);
	uint8_t nonce[NONCE_MAX], aad[ESP_AAD_MAX];
	int aad_len = (int)esp_aad(aad, cipher, esp, seq), len;

	esp_nonce_new(nonce, cipher, esp, seq);
	return EVP_EncryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1 &&
	       EVP_EncryptUpdate(ctx, NULL, &len, aad, aad_len) == 1 &&
	       EVP_EncryptUpdate(ctx, text, &len, text, (int)text_len) == 1 &&
	       EVP_EncryptFinal_ex(ctx, text + text_len, &len) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, cipher->suite->icv_len, text + text_len) == 1;
}

static bool aead_open(struct esp_cipher *cipher, uint8_t *esp, uint32_t text_len, uint64_t seq)
{
	EVP_CIPHER_CTX *ctx = ctx_of(cipher);
	uint8_t *text = esp_text(cipher, esp);
	uint8_t nonce[NONCE_MAX], aad[ESP_AAD_MAX];
	int aad_len = (int)esp_aad(aad, cipher, esp, seq), len;

	esp_nonce(nonce, cipher, esp, seq);
	return EVP_DecryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, cipher->suite->icv_len, text + text_len) == 1 &&
	       EVP_DecryptUpdate(ctx, NULL, &len, aad, aad_len) == 1 &&
	       EVP_DecryptUpdate(ctx, text, &len, text, (int)text_len) == 1 &&
	       EVP_DecryptFinal_ex(ctx, text + text_len, &len) == 1;
}

/* ---- AES-CCM: the library wants the text's length before the text, and checks the tag with the text ------------ */

static bool ccm_seal(struct esp_cipher *cipher, uint8_t *esp, uint32_t text_len, uint64_t seq)
{
	EVP_CIPHER_CTX *ctx = ctx_of(cipher);
	uint8_t *text = esp_text(cipher, esp);
	uint8_t nonce[NONCE_MAX], aad[ESP_AAD_MAX];
	int aad_len = (int)esp_aad(aad, cipher, esp, seq), len;

	esp_nonce_new(nonce, cipher, esp, seq);
	return EVP_EncryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1 &&
	       EVP_EncryptUpdate(ctx, NULL, &len, NULL, (int)text_len) == 1 &&
	       EVP_EncryptUpdate(ctx, NULL, &len, aad, aad_len) == 1 &&
	       EVP_EncryptUpdate(ctx, text, &len, text, (int)text_len) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, cipher->suite->icv_len, text + text_len) == 1;
}

static bool ccm_open(struct esp_cipher *cipher, uint8_t *esp, uint32_t text_len, uint64_t seq)
{
	EVP_CIPHER_CTX *ctx = ctx_of(cipher);
	uint8_t *text = esp_text(cipher, esp);
	uint8_t nonce[NONCE_MAX], aad[ESP_AAD_MAX];
	int aad_len = (int)esp_aad(aad, cipher, esp, seq), len;
	bool good;

	esp_nonce(nonce, cipher, esp, seq);
	good = EVP_DecryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, cipher->suite->icv_len, text + text_len) == 1 &&
	       EVP_DecryptUpdate(ctx, NULL, &len, NULL, (int)text_len) == 1 &&
	       EVP_DecryptUpdate(ctx, NULL, &len, aad, aad_len) == 1 &&
	       EVP_DecryptUpdate(ctx, text, &len, text, (int)text_len) == 1;
	if (!good)
		ERR_clear_error(); /* the library files a wrong tag as an error of its own */
	return good;
}

/* ---- AES-GMAC: all is additional data, from the SPI to the trailer, the IV too (RFC 4543 3.3) ------------------ */

static bool gmac_start(EVP_CIPHER_CTX *ctx, const uint8_t *nonce, bool encrypt)
{
	return EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, encrypt, NULL) == 1;
}

static bool gmac_feed(const struct esp_cipher *cipher, const uint8_t *esp, uint32_t text_len, uint64_t seq)
{
	EVP_CIPHER_CTX *ctx = ctx_of(cipher);
	uint8_t aad[ESP_AAD_MAX], none[1];
	int aad_len = (int)esp_aad(aad, cipher, esp, seq), len;

	return EVP_CipherUpdate(ctx, NULL, &len, aad, aad_len) == 1 &&
	       EVP_CipherUpdate(ctx, NULL, &len, esp + ESP_HEADER_LEN, (int)(cipher->suite->iv_len + text_len)) == 1 &&
	       EVP_CipherFinal_ex(ctx, none, &len) == 1;
}

static bool gmac_seal(struct esp_cipher *cipher, uint8_t *esp, uint32_t text_len, uint64_t seq)
{
	uint8_t nonce[NONCE_MAX];

	esp_nonce_new(nonce, cipher, esp, seq);
	return gmac_start(ctx_of(cipher), nonce, true) && gmac_feed(cipher, esp, text_len, seq) &&
	       EVP_CIPHER_CTX_ctrl(ctx_of(cipher), EVP_CTRL_AEAD_GET_TAG, cipher->suite->icv_len,
		       esp_text(cipher, esp) + text_len) == 1;
}

static bool gmac_open(struct esp_cipher *cipher, uint8_t *esp, uint32_t text_len, uint64_t seq)
{
	uint8_t nonce[NONCE_MAX];

	esp_nonce(nonce, cipher, esp, seq);
	return gmac_start(ctx_of(cipher), nonce, false) &&
	       EVP_CIPHER_CTX_ctrl(ctx_of(cipher), EVP_CTRL_AEAD_SET_TAG, cipher->suite->icv_len,
		       esp_text(cipher, esp) + text_len) == 1 &&
	       gmac_feed(cipher, esp, text_len, seq);
}

/* For AH (RFC 4543 4). */
bool openssl_gmac_mac(
	struct esp_cipher *cipher, const uint8_t *data, uint32_t data_len, const uint8_t *iv, uint8_t *icv)
{
	EVP_CIPHER_CTX *ctx = ctx_of(cipher);
	uint8_t nonce[NONCE_MAX], none[1];
	int len;

	memcpy(nonce, cipher->salt, sizeof(cipher->salt));
	memcpy(nonce + sizeof(cipher->salt), iv, NONCE_COUNT_LEN);
	return gmac_start(ctx, nonce, true) && EVP_EncryptUpdate(ctx, NULL, &len, data, (int)data_len) == 1 &&
	       EVP_EncryptFinal_ex(ctx, none, &len) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, cipher->suite->icv_len, icv) == 1;
}

/* ---- key schedules ------------------------------------------------------------------------------------------- */

/* Lengths of nonce and tag shape the CCM key schedule's use, so they come before the key. */
static EVP_CIPHER_CTX *ccm_schedule(const struct esp_suite *suite, const char *name, const uint8_t *key, bool encrypt)
{
	EVP_CIPHER *type = EVP_CIPHER_fetch(NULL, name, NULL);
	EVP_CIPHER_CTX *ctx = type ? EVP_CIPHER_CTX_new() : NULL;
	bool good =
		ctx && EVP_CipherInit_ex2(ctx, type, NULL, NULL, encrypt, NULL) == 1 &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, suite->salt_len + (int)NONCE_COUNT_LEN, NULL) == 1 &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, suite->icv_len, NULL) == 1 &&
		EVP_CipherInit_ex2(ctx, NULL, key, NULL, encrypt, NULL) == 1;

	EVP_CIPHER_free(type);
	if (good)
		return ctx;
	EVP_CIPHER_CTX_free(ctx);
	return NULL;
}

bool openssl_aead_init(struct esp_cipher *cipher, const struct sa *sa)
{
	static const struct suite_work aead = {.seal = aead_seal, .open = aead_open};
	static const struct suite_work ccm = {.seal = ccm_seal, .open = ccm_open};
	static const struct suite_work gmac = {.seal = gmac_seal, .open = gmac_open};
	const struct esp_suite *suite = cipher->suite;
	struct openssl_state *state = cipher->state;
	bool outbound = sa->direction == SA_OUT;
	char name[16];

	if (suite->mode == SUITE_CHACHA20_POLY1305) {
		cipher->work = &aead;
		state->ctx = openssl_schedule("ChaCha20-Poly1305", sa->encr_key, outbound);
		return state->ctx != NULL;
	}
	openssl_aes_name(name, suite->encr_key_bits, suite->mode == SUITE_CCM ? "CCM" : "GCM");
	cipher->work = suite->mode == SUITE_GCM ? &aead : suite->mode == SUITE_CCM ? &ccm : &gmac;
	state->ctx = suite->mode == SUITE_CCM ? ccm_schedule(suite, name, sa->encr_key, outbound)
					      : openssl_schedule(name, sa->encr_key, outbound);
	return state->ctx != NULL;
}
