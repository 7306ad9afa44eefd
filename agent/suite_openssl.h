/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the OpenSSL engine: what its files share. */
#ifndef ESPALIER_AGENT_SUITE_OPENSSL_H
#define ESPALIER_AGENT_SUITE_OPENSSL_H

#include "agent/suite_engine.h"

#include <openssl/evp.h>

#define AES_BLOCK 16u

/* AES-XCBC-MAC has no algorithm of its own in OpenSSL: CBC under K1, and K2, K3 for the last block (RFC 3566 4). */
struct openssl_xcbc {
	EVP_CIPHER_CTX *cbc;
	uint8_t last_whole[AES_BLOCK]; /* K2 */
	uint8_t last_part[AES_BLOCK];  /* K3 */
};

struct openssl_state {
	EVP_CIPHER_CTX *ctx;
	EVP_CIPHER_CTX *iv_ctx; /* CBC, outbound: encrypts a counter under a key of its own */
	uint64_t iv_count;
	EVP_MAC_CTX *mac; /* HMAC and CMAC */
	struct openssl_xcbc xcbc;
};

/* A context with the key of `name` scheduled, IV to be set per packet; NULL: the library failed. */
EVP_CIPHER_CTX *openssl_schedule(const char *name, const uint8_t *key, bool encrypt);
/* "AES-256-GCM" from 256 and "GCM". */
void openssl_aes_name(char name[16], unsigned bits, const char *mode);

/* Schedule the suite's integrity algorithm. */
bool openssl_mac_init(struct openssl_state *state, const struct esp_suite *suite, const uint8_t *key);
/* The ICV, untruncated (at most EVP_MAX_MD_SIZE bytes), over `len` bytes at `data` and `more_len` (at most 4) at
 * `more`. */
bool openssl_mac(struct openssl_state *state, const uint8_t *data, size_t len, const uint8_t *more, size_t more_len,
	uint8_t *icv);

/* Schedule one suite's cipher: sets cipher->work. */
bool openssl_aead_init(struct esp_cipher *cipher, const struct sa *sa);
bool openssl_pair_init(struct esp_cipher *cipher, const struct sa *sa);

extern const struct suite_work openssl_ah;
bool openssl_gmac_mac(struct esp_cipher *cipher, const uint8_t *data, uint32_t len, const uint8_t *iv, uint8_t *icv);

#endif
