/* SPDX-License-Identifier: Apache-2.0 */
/* HMAC (RFC 2404, RFC 4868), AES-CMAC (RFC 4494) and AES-XCBC-MAC (RFC 3566) by OpenSSL. */
#include "agent/base/secret.h"
#include "agent/suite_openssl.h"

#include <openssl/core_names.h>
#include <stdio.h>
#include <string.h>

#define XCBC_KEY_LEN 16u
#define TAIL_MAX     4u /* what may come behind the data: the high half of a sequence number */

static const char *digest_name(const struct esp_suite *suite)
{
	switch (suite->integ) {
	case AUTH_SHA1_96:
		return "SHA1";
	case AUTH_SHA256_128:
		return "SHA2-256";
	case AUTH_SHA384_192:
		return "SHA2-384";
	default:
		return "SHA2-512";
	}
}

static EVP_MAC_CTX *mac_schedule(const struct esp_suite *suite, const uint8_t *key)
{
	bool cmac = suite->integ == AUTH_AES_CMAC_96;
	const char *parameter = cmac ? OSSL_MAC_PARAM_CIPHER : OSSL_MAC_PARAM_DIGEST;
	char value[16];
	OSSL_PARAM params[2];
	EVP_MAC *type = EVP_MAC_fetch(NULL, cmac ? "CMAC" : "HMAC", NULL);
	EVP_MAC_CTX *mac = type ? EVP_MAC_CTX_new(type) : NULL;

	snprintf(value, sizeof(value), "%s", cmac ? "AES-128-CBC" : digest_name(suite));
	params[0] = OSSL_PARAM_construct_utf8_string(parameter, value, 0);
	params[1] = OSSL_PARAM_construct_end();
	if (mac && EVP_MAC_init(mac, key, suite->integ_key_len, params) != 1) {
		EVP_MAC_CTX_free(mac);
		mac = NULL;
	}
	EVP_MAC_free(type);
	return mac;
}

/* ---- AES-XCBC-MAC -------------------------------------------------------------------------------------------- */

/* K1, K2, K3 are blocks of 1s, 2s, 3s under the key (RFC 3566 4). */
static bool xcbc_init(struct openssl_xcbc *xcbc, const uint8_t *key)
{
	EVP_CIPHER_CTX *ecb = openssl_schedule("AES-128-ECB", key, true);
	uint8_t keys[3][XCBC_KEY_LEN];
	int len;

	memset(keys[0], 1, XCBC_KEY_LEN);
	memset(keys[1], 2, XCBC_KEY_LEN);
	memset(keys[2], 3, XCBC_KEY_LEN);
	if (ecb && EVP_EncryptUpdate(ecb, keys[0], &len, keys[0], sizeof(keys)) == 1) {
		xcbc->cbc = openssl_schedule("AES-128-CBC", keys[0], true);
		memcpy(xcbc->last_whole, keys[1], AES_BLOCK);
		memcpy(xcbc->last_part, keys[2], AES_BLOCK);
	}
	EVP_CIPHER_CTX_free(ecb);
	secret_wipe(keys, sizeof(keys));
	return xcbc->cbc != NULL;
}

/* Whole blocks through CBC; what comes out of it is of no use but for the last. */
static bool xcbc_feed(const struct openssl_xcbc *xcbc, const uint8_t *data, size_t len)
{
	uint8_t out[16 * AES_BLOCK];
	int out_len;

	while (len) {
		size_t part = len < sizeof(out) ? len : sizeof(out);

		if (EVP_EncryptUpdate(xcbc->cbc, out, &out_len, data, (int)part) != 1)
			return false;
		data += part;
		len -= part;
	}
	return true;
}

/* The last block: whole under K2; part, or nothing at all, padded by a one and zeroes, under K3. */
static void xcbc_end(const struct openssl_xcbc *xcbc, uint8_t block[AES_BLOCK], size_t len)
{
	const uint8_t *mask = len == AES_BLOCK ? xcbc->last_whole : xcbc->last_part;

	if (len < AES_BLOCK) {
		memset(block + len, 0, AES_BLOCK - len);
		block[len] = 0x80;
	}
	for (unsigned i = 0; i < AES_BLOCK; i++)
		block[i] ^= mask[i];
}

static bool xcbc_mac(const struct openssl_xcbc *xcbc, const uint8_t *data, size_t data_len, const uint8_t *more,
	size_t more_len, uint8_t *icv)
{
	static const uint8_t zero[AES_BLOCK];
	/* The last one to two blocks, `more` among them; only whole blocks before. */
	uint8_t tail[2 * AES_BLOCK + TAIL_MAX];
	size_t before = data_len > AES_BLOCK ? (data_len - 1) / AES_BLOCK * AES_BLOCK : 0;
	size_t rest_len = data_len - before, tail_len = rest_len + more_len;
	int len;

	memcpy(tail, data + before, rest_len);
	memcpy(tail + rest_len, more, more_len);
	if (EVP_EncryptInit_ex2(xcbc->cbc, NULL, NULL, zero, NULL) != 1 || !xcbc_feed(xcbc, data, before))
		return false;
	if (tail_len > AES_BLOCK) {
		if (!xcbc_feed(xcbc, tail, AES_BLOCK))
			return false;
		tail_len -= AES_BLOCK;
		memmove(tail, tail + AES_BLOCK, tail_len);
	}
	xcbc_end(xcbc, tail, tail_len);
	return EVP_EncryptUpdate(xcbc->cbc, icv, &len, tail, AES_BLOCK) == 1;
}

/* ---- all of them --------------------------------------------------------------------------------------------- */

bool openssl_mac_init(struct openssl_state *state, const struct esp_suite *suite, const uint8_t *key)
{
	if (suite->integ == AUTH_AES_XCBC_96)
		return xcbc_init(&state->xcbc, key);
	state->mac = mac_schedule(suite, key);
	return state->mac != NULL;
}

bool openssl_mac(struct openssl_state *state, const uint8_t *data, size_t len, const uint8_t *more, size_t more_len,
	uint8_t *icv)
{
	size_t icv_len;

	if (!state->mac)
		return xcbc_mac(&state->xcbc, data, len, more, more_len, icv);
	return EVP_MAC_init(state->mac, NULL, 0, NULL) == 1 && EVP_MAC_update(state->mac, data, len) == 1 &&
	       (!more_len || EVP_MAC_update(state->mac, more, more_len) == 1) &&
	       EVP_MAC_final(state->mac, icv, &icv_len, EVP_MAX_MD_SIZE) == 1;
}

static bool ah_mac(struct esp_cipher *cipher, const uint8_t *data, uint32_t len, const uint8_t *iv, uint8_t *icv)
{
	static const uint8_t nothing[1];
	uint8_t whole[EVP_MAX_MD_SIZE];

	(void)iv;
	if (!openssl_mac(cipher->state, data, len, nothing, 0, whole))
		return false;
	memcpy(icv, whole, cipher->suite->icv_len);
	return true;
}

const struct suite_work openssl_ah = {.mac = ah_mac};
