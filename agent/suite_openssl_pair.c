/* SPDX-License-Identifier: Apache-2.0 */
/* AES-CBC (RFC 3602), AES-CTR (RFC 3686) and NULL (RFC 2410) with an integrity algorithm by OpenSSL: encrypt, then MAC
 * (RFC 4303 3.3.2). */
#include "agent/base/secret.h"
#include "agent/suite_nonce.h"
#include "agent/suite_openssl.h"

#include <openssl/rand.h>

/* An AES key that never leaves this context: counters encrypted under it are IVs that nobody can foresee (RFC 3602 2).
 */
static EVP_CIPHER_CTX *iv_schedule(void)
{
	uint8_t key[32];
	EVP_CIPHER_CTX *ctx;

	if (RAND_priv_bytes(key, sizeof(key)) != 1)
		return NULL;
	ctx = openssl_schedule("AES-256-ECB", key, true);
	secret_wipe(key, sizeof(key));
	return ctx;
}

static bool cbc_iv(struct openssl_state *state, uint8_t iv[AES_BLOCK])
{
	uint64_t count[2] = {state->iv_count++, 0};
	int len;

	return EVP_EncryptUpdate(state->iv_ctx, iv, &len, (const uint8_t *)count, sizeof(count)) == 1;
}

/* Counter block: nonce, IV, block counter from 1 (RFC 3686 4). */
static void ctr_block(uint8_t block[AES_BLOCK], const struct esp_cipher *cipher, const uint8_t *esp, uint64_t seq)
{
	const uint32_t first = htobe32(1);

	esp_nonce(block, cipher, esp, seq);
	memcpy(block + NONCE_MAX, &first, sizeof(first));
}

/* The ICV over ESP header, IV and ciphertext, and with ESN the high half of the sequence number behind them (RFC
 * 4303 2.2.1). */
static bool pair_icv(struct esp_cipher *cipher, const uint8_t *esp, uint32_t text_len, uint64_t seq, uint8_t *icv)
{
	uint32_t high = htobe32((uint32_t)(seq >> 32));

	return openssl_mac(cipher->state, esp, ESP_HEADER_LEN + cipher->suite->iv_len + text_len,
		(const uint8_t *)&high, cipher->esn ? sizeof(high) : 0, icv);
}

/* Encrypt or decrypt the text under the packet's IV. */
static bool pair_cipher(struct esp_cipher *cipher, uint8_t *esp, uint32_t text_len, uint64_t seq)
{
	EVP_CIPHER_CTX *ctx = ((struct openssl_state *)cipher->state)->ctx;
	uint8_t *text = esp_text(cipher, esp);
	uint8_t block[AES_BLOCK];
	const uint8_t *iv = esp + ESP_HEADER_LEN;
	int len;

	if (cipher->suite->mode == SUITE_NULL)
		return true;
	if (cipher->suite->mode == SUITE_CTR) {
		ctr_block(block, cipher, esp, seq);
		iv = block;
	}
	return EVP_CipherInit_ex2(ctx, NULL, NULL, iv, -1, NULL) == 1 &&
	       EVP_CipherUpdate(ctx, text, &len, text, (int)text_len) == 1;
}

static bool pair_seal(struct esp_cipher *cipher, uint8_t *esp, uint32_t text_len, uint64_t seq)
{
	enum suite_mode mode = cipher->suite->mode;
	uint8_t icv[EVP_MAX_MD_SIZE];

	if (mode == SUITE_CBC && !cbc_iv(cipher->state, esp + ESP_HEADER_LEN))
		return false;
	if (mode == SUITE_CTR)
		esp_put_count(esp + ESP_HEADER_LEN, seq);
	if (!pair_cipher(cipher, esp, text_len, seq) || !pair_icv(cipher, esp, text_len, seq, icv))
		return false;
	memcpy(esp_text(cipher, esp) + text_len, icv, cipher->suite->icv_len);
	return true;
}

static bool pair_open(struct esp_cipher *cipher, uint8_t *esp, uint32_t text_len, uint64_t seq)
{
	uint8_t icv[EVP_MAX_MD_SIZE];

	return pair_icv(cipher, esp, text_len, seq, icv) &&
	       secret_equal(icv, esp_text(cipher, esp) + text_len, cipher->suite->icv_len) &&
	       pair_cipher(cipher, esp, text_len, seq);
}

bool openssl_pair_init(struct esp_cipher *cipher, const struct sa *sa)
{
	static const struct suite_work work = {.seal = pair_seal, .open = pair_open};
	const struct esp_suite *suite = cipher->suite;
	struct openssl_state *state = cipher->state;
	bool outbound = sa->direction == SA_OUT, cbc = suite->mode == SUITE_CBC;
	char name[16];

	cipher->work = &work;
	if (!openssl_mac_init(state, suite, sa->integ_key))
		return false;
	if (suite->mode == SUITE_NULL)
		return true;
	openssl_aes_name(name, suite->encr_key_bits, cbc ? "CBC" : "CTR");
	state->ctx = openssl_schedule(name, sa->encr_key, outbound);
	if (cbc && outbound)
		state->iv_ctx = iv_schedule();
	return state->ctx && (!cbc || !outbound || state->iv_ctx);
}
