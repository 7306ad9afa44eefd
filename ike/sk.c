/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/sk.h"

#include "agent/base/secret.h"
#include "ike/prf.h"

#include <openssl/evp.h>

#define GCM_NONCE_LEN 12u

static void cipher_ctx_free(EVP_CIPHER_CTX **context)
{
	EVP_CIPHER_CTX_free(*context);
}
#define OWN_CIPHER_CTX __attribute__((cleanup(cipher_ctx_free)))

static const EVP_CIPHER *sk_cipher(const struct sk_key *key)
{
	if (key->encr == ENCR_AES_GCM_16)
		return key->encr_len == 16   ? EVP_aes_128_gcm()
		       : key->encr_len == 24 ? EVP_aes_192_gcm()
					     : EVP_aes_256_gcm();
	if (key->encr == ENCR_AES_CBC)
		return key->encr_len == 16   ? EVP_aes_128_cbc()
		       : key->encr_len == 24 ? EVP_aes_192_cbc()
					     : EVP_aes_256_cbc();
	return NULL;
}

/* Truncated HMAC over the message without its ICV. HMAC-SHA2-n of RFC 4868 is the PRF of the same hash, cut to half. */
static bool sk_icv(const struct sk_key *key, struct bytes covered, uint8_t *full)
{
	uint16_t prf = key->integ == INTEG_HMAC_SHA2_256_128   ? PRF_HMAC_SHA2_256
		       : key->integ == INTEG_HMAC_SHA2_384_192 ? PRF_HMAC_SHA2_384
							       : PRF_HMAC_SHA2_512;

	return prf_of(prf, (struct bytes){key->integ_key, key->integ_len}, &covered, 1, full);
}

/* RFC 5282 4: nonce = salt | IV; 5.1: the associated data ends with the SK payload's generic header. */
static bool gcm_start(
	EVP_CIPHER_CTX *context, const struct sk_key *key, const uint8_t *iv, const uint8_t *message, bool encrypt)
{
	uint8_t nonce[GCM_NONCE_LEN];
	bool ok;
	int len;

	memcpy(nonce, key->salt, key->salt_len);
	memcpy(nonce + key->salt_len, iv, key->iv_len);
	ok = EVP_CipherInit_ex2(context, sk_cipher(key), key->encr_key, nonce, encrypt, NULL) == 1 &&
	     EVP_CipherUpdate(context, NULL, &len, message, (int)(iv - message)) == 1;
	secret_wipe(nonce, sizeof(nonce));
	return ok;
}

static bool gcm_open(
	EVP_CIPHER_CTX *context, const struct sk_key *key, struct bytes message, struct bytes body, uint8_t *out)
{
	size_t plain_len = body.len - key->iv_len - key->icv_len;
	uint8_t tag[16];
	int len;

	memcpy(tag, body.data + body.len - key->icv_len, key->icv_len);
	return gcm_start(context, key, body.data, message.data, false) &&
	       EVP_CipherUpdate(context, out, &len, body.data + key->iv_len, (int)plain_len) == 1 &&
	       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, key->icv_len, tag) == 1 &&
	       EVP_CipherFinal_ex(context, out + len, &len) == 1;
}

static bool cbc_open(
	EVP_CIPHER_CTX *context, const struct sk_key *key, struct bytes message, struct bytes body, uint8_t *out)
{
	size_t plain_len = body.len - key->iv_len - key->icv_len;
	uint8_t full[PRF_LEN_MAX];
	bool authentic;
	int len;

	/* First the integrity, then the cipher: nothing that a stranger wrote is decrypted. */
	authentic = sk_icv(key, (struct bytes){message.data, message.len - key->icv_len}, full) &&
		    secret_equal(full, body.data + body.len - key->icv_len, key->icv_len);
	secret_wipe(full, sizeof(full)); /* the ICV that a forgery would need */
	return authentic && EVP_CipherInit_ex2(context, sk_cipher(key), key->encr_key, body.data, 0, NULL) == 1 &&
	       EVP_CIPHER_CTX_set_padding(context, 0) == 1 &&
	       EVP_CipherUpdate(context, out, &len, body.data + key->iv_len, (int)plain_len) == 1 &&
	       (size_t)len == plain_len;
}

bool sk_open(const struct sk_key *key, struct bytes message, struct bytes body, uint8_t *out)
{
	OWN_CIPHER_CTX EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	bool ok;

	if (!context || !sk_cipher(key))
		return false;
	ok = key->integ == INTEG_NONE ? gcm_open(context, key, message, body, out)
				      : cbc_open(context, key, message, body, out);
	if (!ok)
		secret_wipe(out, body.len - key->iv_len - key->icv_len);
	return ok;
}

static bool gcm_seal(EVP_CIPHER_CTX *context, const struct sk_key *key, uint8_t *message, size_t at, size_t len)
{
	uint8_t *text = message + at;
	int done;

	return gcm_start(context, key, text - key->iv_len, message, true) &&
	       EVP_CipherUpdate(context, text, &done, text, (int)len) == 1 &&
	       EVP_CipherFinal_ex(context, text + done, &done) == 1 &&
	       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, key->icv_len, text + len) == 1;
}

static bool cbc_seal(EVP_CIPHER_CTX *context, const struct sk_key *key, uint8_t *message, size_t at, size_t len)
{
	uint8_t *text = message + at;
	uint8_t full[PRF_LEN_MAX];
	int done;

	if (EVP_CipherInit_ex2(context, sk_cipher(key), key->encr_key, text - key->iv_len, 1, NULL) != 1 ||
		EVP_CIPHER_CTX_set_padding(context, 0) != 1 ||
		EVP_CipherUpdate(context, text, &done, text, (int)len) != 1 || (size_t)done != len ||
		!sk_icv(key, (struct bytes){message, at + len}, full))
		return false;
	memcpy(text + len, full, key->icv_len);
	return true;
}

bool sk_seal(const struct sk_key *key, uint8_t *message, size_t at, size_t len)
{
	OWN_CIPHER_CTX EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

	if (!context || !sk_cipher(key))
		return false;
	return key->integ == INTEG_NONE ? gcm_seal(context, key, message, at, len)
					: cbc_seal(context, key, message, at, len);
}
