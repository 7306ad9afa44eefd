/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL as an engine: it serves every suite everywhere. Its contexts hold the packet at work, so one thread at a
 * time. */
#include "agent/suite_openssl.h"

#include "agent/base/secret.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Only block modes know padding; told to one that does not, the library would repeat it with every packet. */
EVP_CIPHER_CTX *openssl_schedule(const char *name, const uint8_t *key, bool encrypt)
{
	EVP_CIPHER *type = EVP_CIPHER_fetch(NULL, name, NULL);
	EVP_CIPHER_CTX *ctx = type ? EVP_CIPHER_CTX_new() : NULL;
	bool good = ctx && EVP_CipherInit_ex2(ctx, type, key, NULL, encrypt, NULL) == 1 &&
		    (EVP_CIPHER_get_block_size(type) == 1 || EVP_CIPHER_CTX_set_padding(ctx, 0) == 1);

	EVP_CIPHER_free(type);
	if (good)
		return ctx;
	EVP_CIPHER_CTX_free(ctx);
	return NULL;
}

void openssl_aes_name(char name[16], unsigned bits, const char *mode)
{
	snprintf(name, 16, "AES-%u-%s", bits, mode);
}

static bool serves(const struct esp_suite *suite)
{
	(void)suite;
	return true;
}

static void clear(void *state)
{
	struct openssl_state *own = state;

	EVP_CIPHER_CTX_free(own->ctx); /* the library wipes what it frees */
	EVP_CIPHER_CTX_free(own->iv_ctx);
	EVP_MAC_CTX_free(own->mac);
	EVP_CIPHER_CTX_free(own->xcbc.cbc);
	secret_wipe(own, sizeof(*own));
	free(own);
}

static bool ah_init(struct esp_cipher *cipher, const struct sa *sa)
{
	static const struct suite_work gmac = {.mac = openssl_gmac_mac};
	struct openssl_state *state = cipher->state;
	char name[16];

	if (!cipher->suite->iv_len) {
		cipher->work = &openssl_ah;
		return openssl_mac_init(state, cipher->suite, sa->integ_key);
	}
	cipher->work = &gmac;
	openssl_aes_name(name, cipher->suite->integ_key_len * 8u, "GCM");
	state->ctx = openssl_schedule(name, sa->integ_key, true);
	return state->ctx != NULL;
}

static bool schedule_all(struct esp_cipher *cipher, const struct sa *sa)
{
	switch (cipher->suite->mode) {
	case SUITE_GCM:
	case SUITE_CCM:
	case SUITE_CHACHA20_POLY1305:
	case SUITE_GMAC:
		return openssl_aead_init(cipher, sa);
	case SUITE_CTR:
	case SUITE_CBC:
	case SUITE_NULL:
		return openssl_pair_init(cipher, sa);
	case SUITE_AH:
		return ah_init(cipher, sa);
	}
	return false;
}

static int init(struct esp_cipher *cipher, const struct sa *sa)
{
	cipher->state = calloc(1, sizeof(struct openssl_state));
	if (!cipher->state)
		return -ENOMEM;
	if (schedule_all(cipher, sa))
		return 0;
	clear(cipher->state);
	cipher->state = NULL;
	return -EIO;
}

const struct suite_engine suite_openssl = {.name = "openssl", .serves = serves, .init = init, .clear = clear};
