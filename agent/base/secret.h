/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets are wiped when they are no longer needed, compared in constant time, and never logged. */
#ifndef ESPALIER_BASE_SECRET_H
#define ESPALIER_BASE_SECRET_H

#include <openssl/crypto.h>
#include <stdbool.h>
#include <stddef.h>

/* Overwrite with zeroes in a way that the compiler may not drop. */
static inline void secret_wipe(void *secret, size_t len)
{
	OPENSSL_cleanse(secret, len);
}

/* True if both runs of `len` bytes are the same, in time that depends on `len` alone. */
static inline bool secret_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

#endif
