/* SPDX-License-Identifier: Apache-2.0 */
#if __has_include(<intel-ipsec-mb.h>)
#include "agent/suite_mb_keys.h"

#include "agent/base/secret.h"

#include <openssl/rand.h>
#include <string.h>

#define DIGEST_BLOCK_MAX 128u /* of SHA-384 and SHA-512 */
#define IPAD		 0x36u
#define OPAD		 0x5cu

/* ---- ciphers ------------------------------------------------------------------------------------------------- */

static void aes_expand(const uint8_t *key, uint32_t len, void *encrypt, void *decrypt)
{
	const IMB_MGR *mb = mb_functions();
	keyexp_t expand = len == 16 ? mb->keyexp_128 : len == 24 ? mb->keyexp_192 : mb->keyexp_256;

	expand(key, encrypt, decrypt);
}

/* An AES key that never leaves this schedule: counters encrypted under it are IVs that nobody can foresee (RFC 3602 2).
 */
static bool iv_key_init(struct mb_keys *keys)
{
	uint8_t key[16], decrypt[AES_SCHEDULE_MAX] __attribute__((aligned(MB_ALIGN)));
	bool good = RAND_priv_bytes(key, sizeof(key)) == 1;

	if (good)
		aes_expand(key, sizeof(key), keys->iv_key, decrypt);
	secret_wipe(key, sizeof(key));
	secret_wipe(decrypt, sizeof(decrypt));
	return good;
}

static bool cipher_init(struct mb_keys *keys, const struct esp_suite *suite, const struct sa *sa)
{
	IMB_JOB *job = &keys->job;

	job->enc_keys = keys->encrypt;
	job->dec_keys = keys->decrypt;
	job->key_len_in_bytes = suite->encr_key_len;
	job->iv_len_in_bytes = suite->salt_len + 8u;
	switch (suite->mode) {
	case SUITE_CHACHA20_POLY1305:
		job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
		job->dec_keys = keys->encrypt;
		memcpy(keys->encrypt, sa->encr_key, suite->encr_key_len);
		return true;
	case SUITE_CCM: /* CTR both ways, so one schedule */
		job->cipher_mode = IMB_CIPHER_CCM;
		job->dec_keys = keys->encrypt;
		break;
	case SUITE_CTR: /* the library puts the block counter behind an IV of 12 bytes, from 1 as RFC 3686 4 wants it */
		job->cipher_mode = IMB_CIPHER_CNTR;
		job->dec_keys = keys->encrypt;
		break;
	case SUITE_CBC:
		job->cipher_mode = IMB_CIPHER_CBC;
		job->iv_len_in_bytes = AES_BLOCK;
		if (sa->direction == SA_OUT && !iv_key_init(keys))
			return false;
		break;
	default:
		job->cipher_mode = IMB_CIPHER_NULL;
		return true;
	}
	aes_expand(sa->encr_key, suite->encr_key_len, keys->encrypt, keys->decrypt);
	return true;
}

/* ---- integrity ----------------------------------------------------------------------------------------------- */

static void hmac_half(
	hash_one_block_t hash, uint32_t block_len, const uint8_t *key, uint32_t key_len, uint8_t pad, uint8_t *state)
{
	uint8_t block[DIGEST_BLOCK_MAX];

	memset(block, pad, block_len);
	for (uint32_t i = 0; i < key_len; i++)
		block[i] = (uint8_t)(key[i] ^ pad);
	hash(block, state);
	secret_wipe(block, sizeof(block));
}

static void hmac_init(struct mb_keys *keys, const struct esp_suite *suite, const uint8_t *key, IMB_HASH_ALG algorithm,
	hash_one_block_t hash, uint32_t block_len)
{
	keys->job.hash_alg = algorithm;
	hmac_half(hash, block_len, key, suite->integ_key_len, IPAD, keys->hmac.inner);
	hmac_half(hash, block_len, key, suite->integ_key_len, OPAD, keys->hmac.outer);
	keys->job.u.HMAC._hashed_auth_key_xor_ipad = keys->hmac.inner;
	keys->job.u.HMAC._hashed_auth_key_xor_opad = keys->hmac.outer;
}

static void xcbc_init(struct mb_keys *keys, const uint8_t *key)
{
	keys->job.hash_alg = IMB_AUTH_AES_XCBC;
	mb_functions()->xcbc_keyexp(key, keys->xcbc.k1, keys->xcbc.k2, keys->xcbc.k3);
	keys->job.u.XCBC._k1_expanded = keys->xcbc.k1;
	keys->job.u.XCBC._k2 = keys->xcbc.k2;
	keys->job.u.XCBC._k3 = keys->xcbc.k3;
}

static void cmac_init(struct mb_keys *keys, const uint8_t *key)
{
	uint8_t decrypt[AES_SCHEDULE_MAX] __attribute__((aligned(MB_ALIGN)));

	keys->job.hash_alg = IMB_AUTH_AES_CMAC;
	aes_expand(key, 16, keys->cmac.key, decrypt);
	secret_wipe(decrypt, sizeof(decrypt));
	mb_functions()->cmac_subkey_gen_128(keys->cmac.key, keys->cmac.sub1, keys->cmac.sub2);
	keys->job.u.CMAC._key_expanded = keys->cmac.key;
	keys->job.u.CMAC._skey1 = keys->cmac.sub1;
	keys->job.u.CMAC._skey2 = keys->cmac.sub2;
}

static bool integrity_init(struct mb_keys *keys, const struct esp_suite *suite, const uint8_t *key)
{
	const IMB_MGR *mb = mb_functions();

	switch (suite->integ) {
	case AUTH_SHA1_96:
		hmac_init(keys, suite, key, IMB_AUTH_HMAC_SHA_1, mb->sha1_one_block, 64);
		return true;
	case AUTH_SHA256_128:
		hmac_init(keys, suite, key, IMB_AUTH_HMAC_SHA_256, mb->sha256_one_block, 64);
		return true;
	case AUTH_SHA384_192:
		hmac_init(keys, suite, key, IMB_AUTH_HMAC_SHA_384, mb->sha384_one_block, DIGEST_BLOCK_MAX);
		return true;
	case AUTH_SHA512_256:
		hmac_init(keys, suite, key, IMB_AUTH_HMAC_SHA_512, mb->sha512_one_block, DIGEST_BLOCK_MAX);
		return true;
	case AUTH_AES_XCBC_96:
		xcbc_init(keys, key);
		return true;
	case AUTH_AES_CMAC_96:
		cmac_init(keys, key);
		return true;
	default:
		return false;
	}
}

/* ---- the job ------------------------------------------------------------------------------------------------- */

bool mb_keys_init(struct mb_keys *keys, const struct esp_suite *suite, const struct sa *sa)
{
	IMB_JOB *job = &keys->job;
	bool seal = sa->direction == SA_OUT;

	job->cipher_direction = seal ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
	job->chain_order = seal ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
	job->cipher_start_src_offset_in_bytes = suite->mode == SUITE_AH ? 0 : ESP_HEADER_LEN + suite->iv_len;
	job->auth_tag_output_len_in_bytes = suite->icv_len;
	if (!cipher_init(keys, suite, sa))
		return false;
	switch (suite->mode) {
	case SUITE_CHACHA20_POLY1305:
		job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
		job->hash_start_src_offset_in_bytes = job->cipher_start_src_offset_in_bytes;
		return true;
	case SUITE_CCM: /* the other way round than one would think: the library's rule for CCM */
		job->hash_alg = IMB_AUTH_AES_CCM;
		job->chain_order = seal ? IMB_ORDER_HASH_CIPHER : IMB_ORDER_CIPHER_HASH;
		job->hash_start_src_offset_in_bytes = job->cipher_start_src_offset_in_bytes;
		return true;
	default:
		return integrity_init(keys, suite, sa->integ_key);
	}
}

#endif
