/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/transform.h"

#include "agent/base/own.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Numbers: IANA "Internet Key Exchange Version 2 (IKEv2) Parameters". The first word of an entry is the one that is
 * printed. */
static const struct transform_info transforms[] = {
	/* word, type, id, key bits, key, salt, iv, icv, block, aead */
	{"aes128gcm16", TRANSFORM_ENCR, ENCR_AES_GCM_16, 128, 16, 4, 8, 16, 1, true},
	{"aes256gcm16", TRANSFORM_ENCR, ENCR_AES_GCM_16, 256, 32, 4, 8, 16, 1, true},
	{"aes128", TRANSFORM_ENCR, ENCR_AES_CBC, 128, 16, 0, 16, 0, 16, false},
	{"aes256", TRANSFORM_ENCR, ENCR_AES_CBC, 256, 32, 0, 16, 0, 16, false},
	{"prfsha256", TRANSFORM_PRF, PRF_HMAC_SHA2_256, 0, 32, 0, 0, 0, 0, false},
	{"prfsha384", TRANSFORM_PRF, PRF_HMAC_SHA2_384, 0, 48, 0, 0, 0, 0, false},
	{"prfsha512", TRANSFORM_PRF, PRF_HMAC_SHA2_512, 0, 64, 0, 0, 0, 0, false},
	{"sha256", TRANSFORM_INTEG, INTEG_HMAC_SHA2_256_128, 0, 32, 0, 0, 16, 0, false},
	{"sha384", TRANSFORM_INTEG, INTEG_HMAC_SHA2_384_192, 0, 48, 0, 0, 24, 0, false},
	{"sha512", TRANSFORM_INTEG, INTEG_HMAC_SHA2_512_256, 0, 64, 0, 0, 32, 0, false},
	{"x25519", TRANSFORM_KE, KE_X25519, 0, 0, 0, 0, 0, 0, false},
	{"ecp256", TRANSFORM_KE, KE_ECP_256, 0, 0, 0, 0, 0, 0, false},
	{"ecp384", TRANSFORM_KE, KE_ECP_384, 0, 0, 0, 0, 0, 0, false},
	{"modp2048", TRANSFORM_KE, KE_MODP_2048, 0, 0, 0, 0, 0, 0, false},
	{"noesn", TRANSFORM_ESN, ESN_NO, 0, 0, 0, 0, 0, 0, false},
	{"esn", TRANSFORM_ESN, ESN_YES, 0, 0, 0, 0, 0, 0, false},
};

/* Other spellings that strongSwan accepts. */
static const struct {
	const char *word;
	const char *means;
} synonyms[] = {
	{"curve25519", "x25519"},
	{"aes128gcm128", "aes128gcm16"},
	{"aes256gcm128", "aes256gcm16"},
	{"aes", "aes128"},
	{"sha2_256", "sha256"},
	{"sha2_384", "sha384"},
	{"sha2_512", "sha512"},
	{"aes128gcm", "aes128gcm16"},
	{"aes256gcm", "aes256gcm16"},
};

/* What peers offer and we do not do: names for the reports alone. */
static const struct {
	uint8_t type;
	uint16_t id;
	const char *word;
} foreign[] = {
	{TRANSFORM_ENCR, 3, "3des"},
	{TRANSFORM_ENCR, 11, "null"},
	{TRANSFORM_ENCR, 13, "aesctr"},
	{TRANSFORM_ENCR, 14, "aesccm8"},
	{TRANSFORM_ENCR, 15, "aesccm12"},
	{TRANSFORM_ENCR, 16, "aesccm16"},
	{TRANSFORM_ENCR, 12, "aes"},
	{TRANSFORM_ENCR, 20, "aesgcm16"},
	{TRANSFORM_ENCR, 2, "des"},
	{TRANSFORM_ENCR, 18, "aesgcm8"},
	{TRANSFORM_ENCR, 19, "aesgcm12"},
	{TRANSFORM_ENCR, 21, "aesgmac"},
	{TRANSFORM_ENCR, 23, "camellia"},
	{TRANSFORM_ENCR, 28, "chacha20poly1305"},
	{TRANSFORM_PRF, 1, "prfmd5"},
	{TRANSFORM_PRF, 2, "prfsha1"},
	{TRANSFORM_PRF, 4, "prfaesxcbc"},
	{TRANSFORM_PRF, 8, "prfaescmac"},
	{TRANSFORM_INTEG, 1, "md5"},
	{TRANSFORM_INTEG, 2, "sha1"},
	{TRANSFORM_INTEG, 5, "aesxcbc"},
	{TRANSFORM_INTEG, 8, "aescmac"},
	{TRANSFORM_KE, 0, "none"},
	{TRANSFORM_KE, 1, "modp768"},
	{TRANSFORM_KE, 2, "modp1024"},
	{TRANSFORM_KE, 5, "modp1536"},
	{TRANSFORM_KE, 15, "modp3072"},
	{TRANSFORM_KE, 16, "modp4096"},
	{TRANSFORM_KE, 17, "modp6144"},
	{TRANSFORM_KE, 18, "modp8192"},
	{TRANSFORM_KE, 21, "ecp521"},
	{TRANSFORM_KE, 22, "modp1024s160"},
	{TRANSFORM_KE, 23, "modp2048s224"},
	{TRANSFORM_KE, 24, "modp2048s256"},
	{TRANSFORM_KE, 27, "ecp224bp"},
	{TRANSFORM_KE, 28, "ecp256bp"},
	{TRANSFORM_KE, 29, "ecp384bp"},
	{TRANSFORM_KE, 30, "ecp512bp"},
	{TRANSFORM_KE, 32, "x448"},
	{TRANSFORM_KE, 35, "mlkem512"},
	{TRANSFORM_KE, 36, "mlkem768"},
	{TRANSFORM_KE, 37, "mlkem1024"},
};

const struct transform_info *transform_find(const struct transform *transform)
{
	for (size_t i = 0; i < ARRAY_LEN(transforms); i++)
		if (transforms[i].type == transform->type && transforms[i].id == transform->id &&
			transforms[i].key_bits == transform->key_bits)
			return &transforms[i];
	return NULL;
}

const struct transform_info *transform_find_word(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(synonyms); i++)
		if (strcasecmp(synonyms[i].word, word) == 0)
			word = synonyms[i].means;
	for (size_t i = 0; i < ARRAY_LEN(transforms); i++)
		if (strcasecmp(transforms[i].word, word) == 0)
			return &transforms[i];
	return NULL;
}

bool transform_foreign_word(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
		if (strcasecmp(foreign[i].word, word) == 0)
			return true;
	return false;
}

const struct transform_info *transform_at(unsigned n)
{
	return n < ARRAY_LEN(transforms) ? &transforms[n] : NULL;
}

const char *transform_format(const struct transform *transform, char *out, size_t size)
{
	const struct transform_info *info = transform_find(transform);

	if (info) {
		snprintf(out, size, "%s", info->word);
		return out;
	}
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
		if (foreign[i].type != transform->type || foreign[i].id != transform->id)
			continue;
		if (transform->key_bits)
			snprintf(out, size, "%s/%u", foreign[i].word, transform->key_bits);
		else
			snprintf(out, size, "%s", foreign[i].word);
		return out;
	}
	snprintf(out, size, "%s %u/%u", transform_type_name(transform->type), transform->id, transform->key_bits);
	return out;
}

const char *transform_type_name(uint8_t type)
{
	switch (type) {
	case TRANSFORM_ENCR:
		return "encryption";
	case TRANSFORM_PRF:
		return "PRF";
	case TRANSFORM_INTEG:
		return "integrity";
	case TRANSFORM_KE:
		return "key exchange";
	case TRANSFORM_ESN:
		return "extended sequence numbers";
	default:
		return "unknown transform";
	}
}
