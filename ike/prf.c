/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/prf.h"

#include "agent/base/own.h"
#include "agent/base/secret.h"
#include "ike/proposal.h"

#include <openssl/evp.h>

#define PRF_PLUS_BLOCKS_MAX 255u /* RFC 7296 2.13: the counter is one byte */

static const char *prf_digest(uint16_t prf)
{
	switch (prf) {
	case PRF_HMAC_SHA2_256:
		return "SHA256";
	case PRF_HMAC_SHA2_384:
		return "SHA384";
	case PRF_HMAC_SHA2_512:
		return "SHA512";
	default:
		return NULL;
	}
}

size_t prf_len(uint16_t prf)
{
	switch (prf) {
	case PRF_HMAC_SHA2_256:
		return 32;
	case PRF_HMAC_SHA2_384:
		return 48;
	case PRF_HMAC_SHA2_512:
		return 64;
	default:
		return 0;
	}
}

static void mac_ctx_free(EVP_MAC_CTX **context)
{
	EVP_MAC_CTX_free(*context);
}

static void mac_free(EVP_MAC **mac)
{
	EVP_MAC_free(*mac);
}

bool prf_of(uint16_t prf, struct bytes key, const struct bytes *parts, unsigned count, uint8_t *out)
{
	__attribute__((cleanup(mac_free))) EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	__attribute__((cleanup(mac_ctx_free))) EVP_MAC_CTX *context = mac ? EVP_MAC_CTX_new(mac) : NULL;
	const char *digest = prf_digest(prf);
	OSSL_PARAM params[2];
	static const uint8_t empty[1];
	size_t len;

	if (!context || !digest)
		return false;
	params[0] = OSSL_PARAM_construct_utf8_string("digest", (char *)(uintptr_t)digest, 0);
	params[1] = OSSL_PARAM_construct_end();
	if (!EVP_MAC_init(context, key.len ? key.data : empty, key.len, params))
		return false;
	for (unsigned i = 0; i < count; i++)
		if (parts[i].len && !EVP_MAC_update(context, parts[i].data, parts[i].len))
			return false;
	return EVP_MAC_final(context, out, &len, prf_len(prf)) == 1;
}

bool prf_plus(uint16_t prf, struct bytes key, struct bytes seed, uint8_t *out, size_t len)
{
	size_t block_len = prf_len(prf), done = 0;
	uint8_t block[PRF_LEN_MAX];
	bool ok = block_len > 0 && len <= block_len * PRF_PLUS_BLOCKS_MAX;

	/* T1 = prf(K, S | 1), Tn = prf(K, Tn-1 | S | n) */
	for (uint8_t n = 1; ok && done < len; n++) {
		struct bytes parts[3] = {{block, n > 1 ? block_len : 0}, seed, {&n, 1}};
		size_t take = len - done < block_len ? len - done : block_len;

		ok = prf_of(prf, key, parts, 3, block);
		if (ok)
			memcpy(out + done, block, take);
		done += take;
	}
	secret_wipe(block, sizeof(block));
	return ok;
}

bool prf_psk_auth(uint16_t prf, struct bytes secret, struct bytes octets, uint8_t *out)
{
	static const char pad[] = "Key Pad for IKEv2"; /* RFC 7296 2.15: without the NUL */
	struct bytes pad_bytes = {(const uint8_t *)pad, sizeof(pad) - 1};
	uint8_t key[PRF_LEN_MAX];
	bool ok;

	ok = prf_of(prf, secret, &pad_bytes, 1, key) && prf_of(prf, (struct bytes){key, prf_len(prf)}, &octets, 1, out);
	secret_wipe(key, sizeof(key));
	return ok;
}

size_t prf_signed_octets(uint16_t prf, struct bytes sk_p, struct bytes message, struct bytes nonce,
	struct bytes id_body, uint8_t *out, size_t size)
{
	struct writer w = writer_of(out, size);
	uint8_t maced_id[PRF_LEN_MAX];

	if (!prf_of(prf, sk_p, &id_body, 1, maced_id))
		return 0;
	write_bytes(&w, message.data, message.len);
	write_bytes(&w, nonce.data, nonce.len);
	write_bytes(&w, maced_id, prf_len(prf));
	return w.error ? 0 : writer_len(&w);
}
