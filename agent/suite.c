/* SPDX-License-Identifier: Apache-2.0 */
/* The table of suites. */
#include "agent/suite.h"

#include "agent/base/own.h"

#define AES_BLOCK 16u

/* RFC 4106, RFC 8750: salt of 4 bytes. */
#define GCM(notation, id, bits, iv, icv)                                                                               \
	{                                                                                                              \
		.name = notation, .mode = SUITE_GCM, .encr = id, .encr_key_bits = bits, .encr_key_len = bits / 8,      \
		.salt_len = 4, .iv_len = iv, .icv_len = icv, .block = 4                                                \
	}
/* RFC 4309 4: salt of 3 bytes. */
#define CCM(notation, id, bits, iv, icv)                                                                               \
	{                                                                                                              \
		.name = notation, .mode = SUITE_CCM, .encr = id, .encr_key_bits = bits, .encr_key_len = bits / 8,      \
		.salt_len = 3, .iv_len = iv, .icv_len = icv, .block = 4                                                \
	}
#define CHACHA(notation, id, iv)                                                                                       \
	{                                                                                                              \
		.name = notation, .mode = SUITE_CHACHA20_POLY1305, .encr = id, .encr_key_bits = 256,                   \
		.encr_key_len = 32, .salt_len = 4, .iv_len = iv, .icv_len = 16, .block = 4                             \
	}
#define GMAC(notation, bits)                                                                                           \
	{                                                                                                              \
		.name = notation, .mode = SUITE_GMAC, .encr = ENCR_AES_GMAC, .encr_key_bits = bits,                    \
		.encr_key_len = bits / 8, .salt_len = 4, .iv_len = 8, .icv_len = 16, .block = 4                        \
	}
/* RFC 3686 4, 5.1: nonce of 4 bytes, in the place of a salt. */
#define CTR(notation, bits, auth, key_len, icv)                                                                        \
	{                                                                                                              \
		.name = notation, .mode = SUITE_CTR, .encr = ENCR_AES_CTR, .encr_key_bits = bits, .integ = auth,       \
		.encr_key_len = bits / 8, .integ_key_len = key_len, .salt_len = 4, .iv_len = 8, .icv_len = icv,        \
		.block = 4                                                                                             \
	}
#define CBC(notation, bits, auth, key_len, icv)                                                                        \
	{                                                                                                              \
		.name = notation, .mode = SUITE_CBC, .encr = ENCR_AES_CBC, .encr_key_bits = bits, .integ = auth,       \
		.encr_key_len = bits / 8, .integ_key_len = key_len, .iv_len = AES_BLOCK, .icv_len = icv,               \
		.block = AES_BLOCK                                                                                     \
	}
#define PLAIN(notation, auth, key_len, icv)                                                                            \
	{                                                                                                              \
		.name = notation, .mode = SUITE_NULL, .encr = ENCR_NULL, .integ = auth, .integ_key_len = key_len,      \
		.icv_len = icv, .block = 4                                                                             \
	}
#define AH(notation, auth, key_len, salt, iv, icv)                                                                     \
	{                                                                                                              \
		.name = notation, .mode = SUITE_AH, .integ = auth, .integ_key_len = key_len, .salt_len = salt,         \
		.iv_len = iv, .icv_len = icv, .block = 4                                                               \
	}

/* A cipher of three key lengths with each integrity algorithm. Key and ICV lengths: SHA-1 RFC 2404, SHA-2 RFC
 * 4868 2.1.1 and 2.3, XCBC RFC 3566 4, CMAC RFC 4494 3. */
#define WITH_EACH_INTEGRITY(ROW, cipher, ...)                                                                          \
	ROW(cipher "sha256", __VA_ARGS__ AUTH_SHA256_128, 32, 16),                                                     \
		ROW(cipher "sha384", __VA_ARGS__ AUTH_SHA384_192, 48, 24),                                             \
		ROW(cipher "sha512", __VA_ARGS__ AUTH_SHA512_256, 64, 32),                                             \
		ROW(cipher "sha1", __VA_ARGS__ AUTH_SHA1_96, 20, 12),                                                  \
		ROW(cipher "aesxcbc", __VA_ARGS__ AUTH_AES_XCBC_96, 16, 12),                                           \
		ROW(cipher "aescmac", __VA_ARGS__ AUTH_AES_CMAC_96, 16, 12)
#define COMMA ,

static const struct esp_suite esp_suites[] = {
	GCM("aes128gcm16", ENCR_AES_GCM_16, 128, 8, 16),
	GCM("aes192gcm16", ENCR_AES_GCM_16, 192, 8, 16),
	GCM("aes256gcm16", ENCR_AES_GCM_16, 256, 8, 16),
	CHACHA("chacha20poly1305", ENCR_CHACHA20_POLY1305, 8),
	WITH_EACH_INTEGRITY(CBC, "aes128-", 128 COMMA),
	WITH_EACH_INTEGRITY(CBC, "aes192-", 192 COMMA),
	WITH_EACH_INTEGRITY(CBC, "aes256-", 256 COMMA),
	WITH_EACH_INTEGRITY(CTR, "aes128ctr-", 128 COMMA),
	WITH_EACH_INTEGRITY(CTR, "aes192ctr-", 192 COMMA),
	WITH_EACH_INTEGRITY(CTR, "aes256ctr-", 256 COMMA),
	CCM("aes128ccm16", ENCR_AES_CCM_16, 128, 8, 16),
	CCM("aes192ccm16", ENCR_AES_CCM_16, 192, 8, 16),
	CCM("aes256ccm16", ENCR_AES_CCM_16, 256, 8, 16),
	GMAC("aes128gmac", 128),
	GMAC("aes192gmac", 192),
	GMAC("aes256gmac", 256),
	WITH_EACH_INTEGRITY(PLAIN, "null-"),
	GCM("aes128gcm12", ENCR_AES_GCM_12, 128, 8, 12),
	GCM("aes192gcm12", ENCR_AES_GCM_12, 192, 8, 12),
	GCM("aes256gcm12", ENCR_AES_GCM_12, 256, 8, 12),
	GCM("aes128gcm8", ENCR_AES_GCM_8, 128, 8, 8),
	GCM("aes192gcm8", ENCR_AES_GCM_8, 192, 8, 8),
	GCM("aes256gcm8", ENCR_AES_GCM_8, 256, 8, 8),
	CCM("aes128ccm12", ENCR_AES_CCM_12, 128, 8, 12),
	CCM("aes192ccm12", ENCR_AES_CCM_12, 192, 8, 12),
	CCM("aes256ccm12", ENCR_AES_CCM_12, 256, 8, 12),
	CCM("aes128ccm8", ENCR_AES_CCM_8, 128, 8, 8),
	CCM("aes192ccm8", ENCR_AES_CCM_8, 192, 8, 8),
	CCM("aes256ccm8", ENCR_AES_CCM_8, 256, 8, 8),
	GCM("aes128gcm16iiv", ENCR_AES_GCM_16_IIV, 128, 0, 16),
	GCM("aes192gcm16iiv", ENCR_AES_GCM_16_IIV, 192, 0, 16),
	GCM("aes256gcm16iiv", ENCR_AES_GCM_16_IIV, 256, 0, 16),
	CCM("aes128ccm8iiv", ENCR_AES_CCM_8_IIV, 128, 0, 8),
	CCM("aes192ccm8iiv", ENCR_AES_CCM_8_IIV, 192, 0, 8),
	CCM("aes256ccm8iiv", ENCR_AES_CCM_8_IIV, 256, 0, 8),
	CHACHA("chacha20poly1305iiv", ENCR_CHACHA20_POLY1305_IIV, 0),
};

static const struct esp_suite ah_suites[] = {
	AH("sha256", AUTH_SHA256_128, 32, 0, 0, 16),
	AH("sha384", AUTH_SHA384_192, 48, 0, 0, 24),
	AH("sha512", AUTH_SHA512_256, 64, 0, 0, 32),
	AH("sha1", AUTH_SHA1_96, 20, 0, 0, 12),
	AH("aesxcbc", AUTH_AES_XCBC_96, 16, 0, 0, 12),
	AH("aescmac", AUTH_AES_CMAC_96, 16, 0, 0, 12),
	AH("aes128gmac", AUTH_AES_128_GMAC, 16, 4, 8, 16),
	AH("aes192gmac", AUTH_AES_192_GMAC, 24, 4, 8, 16),
	AH("aes256gmac", AUTH_AES_256_GMAC, 32, 4, 8, 16),
};

const struct esp_suite *esp_suite_at(unsigned index)
{
	return index < ARRAY_LEN(esp_suites) ? &esp_suites[index] : NULL;
}

const struct esp_suite *ah_suite_at(unsigned index)
{
	return index < ARRAY_LEN(ah_suites) ? &ah_suites[index] : NULL;
}

static bool key_fits(const struct esp_suite *suite, uint16_t bits)
{
	return suite->encr_key_bits == bits || (suite->mode == SUITE_CHACHA20_POLY1305 && bits == 0);
}

const struct esp_suite *esp_suite_find(uint16_t encr, uint16_t encr_key_bits, uint16_t integ)
{
	for (unsigned i = 0; i < ARRAY_LEN(esp_suites); i++) {
		const struct esp_suite *suite = &esp_suites[i];

		if (suite->encr == encr && suite->integ == integ && key_fits(suite, encr_key_bits))
			return suite;
	}
	return NULL;
}

const struct esp_suite *ah_suite_find(uint16_t integ)
{
	for (unsigned i = 0; i < ARRAY_LEN(ah_suites); i++) {
		if (ah_suites[i].integ == integ)
			return &ah_suites[i];
	}
	return NULL;
}
