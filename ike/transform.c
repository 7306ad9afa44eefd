/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/transform.h"

#include "agent/base/own.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define WORD_MAX     32u
#define AES_MODE_LEN 9u /* "aes128gcm" */

/*
 * Numbers: IANA "Internet Key Exchange Version 2 (IKEv2) Parameters". The first word of an entry is the one that is
 * printed; words are strongSwan's, and where it has none (implicit IVs) of the same make. Lengths in bytes: key, salt
 * (or nonce), IV, ICV, block.
 */
#define IKE	  FOR_IKE
#define ESP	  FOR_ESP
#define AH	  FOR_AH
#define VARIANT	  FOR_VARIANT
#define KE_ALL	  (FOR_IKE | FOR_ESP | FOR_AH)
#define SEQ_BOTH  (FOR_ESP | FOR_AH)
#define INTEG_ALL (FOR_IKE | FOR_ESP | FOR_AH)
#define INTEG_SA  (FOR_ESP | FOR_AH)

static const struct transform_info transforms[] = {
	/* word, type, id, key bits, key, salt, iv, icv, block, aead, uses */
	/* RFC 4106, RFC 5282 */
	{"aes128gcm16", TRANSFORM_ENCR, ENCR_AES_GCM_16, 128, 16, 4, 8, 16, 1, true, IKE | ESP},
	{"aes192gcm16", TRANSFORM_ENCR, ENCR_AES_GCM_16, 192, 24, 4, 8, 16, 1, true, IKE | ESP | VARIANT},
	{"aes256gcm16", TRANSFORM_ENCR, ENCR_AES_GCM_16, 256, 32, 4, 8, 16, 1, true, IKE | ESP},
	{"aes128gcm12", TRANSFORM_ENCR, ENCR_AES_GCM_12, 128, 16, 4, 8, 12, 1, true, ESP | VARIANT},
	{"aes192gcm12", TRANSFORM_ENCR, ENCR_AES_GCM_12, 192, 24, 4, 8, 12, 1, true, ESP | VARIANT},
	{"aes256gcm12", TRANSFORM_ENCR, ENCR_AES_GCM_12, 256, 32, 4, 8, 12, 1, true, ESP | VARIANT},
	{"aes128gcm8", TRANSFORM_ENCR, ENCR_AES_GCM_8, 128, 16, 4, 8, 8, 1, true, ESP | VARIANT},
	{"aes192gcm8", TRANSFORM_ENCR, ENCR_AES_GCM_8, 192, 24, 4, 8, 8, 1, true, ESP | VARIANT},
	{"aes256gcm8", TRANSFORM_ENCR, ENCR_AES_GCM_8, 256, 32, 4, 8, 8, 1, true, ESP | VARIANT},
	/* RFC 7634 2: no key-length attribute */
	{"chacha20poly1305", TRANSFORM_ENCR, ENCR_CHACHA20_POLY1305, 0, 32, 4, 8, 16, 1, true, ESP},
	/* RFC 4309 7.1: three bytes of salt */
	{"aes128ccm16", TRANSFORM_ENCR, ENCR_AES_CCM_16, 128, 16, 3, 8, 16, 1, true, ESP | VARIANT},
	{"aes192ccm16", TRANSFORM_ENCR, ENCR_AES_CCM_16, 192, 24, 3, 8, 16, 1, true, ESP | VARIANT},
	{"aes256ccm16", TRANSFORM_ENCR, ENCR_AES_CCM_16, 256, 32, 3, 8, 16, 1, true, ESP},
	{"aes128ccm12", TRANSFORM_ENCR, ENCR_AES_CCM_12, 128, 16, 3, 8, 12, 1, true, ESP | VARIANT},
	{"aes192ccm12", TRANSFORM_ENCR, ENCR_AES_CCM_12, 192, 24, 3, 8, 12, 1, true, ESP | VARIANT},
	{"aes256ccm12", TRANSFORM_ENCR, ENCR_AES_CCM_12, 256, 32, 3, 8, 12, 1, true, ESP | VARIANT},
	{"aes128ccm8", TRANSFORM_ENCR, ENCR_AES_CCM_8, 128, 16, 3, 8, 8, 1, true, ESP | VARIANT},
	{"aes192ccm8", TRANSFORM_ENCR, ENCR_AES_CCM_8, 192, 24, 3, 8, 8, 1, true, ESP | VARIANT},
	{"aes256ccm8", TRANSFORM_ENCR, ENCR_AES_CCM_8, 256, 32, 3, 8, 8, 1, true, ESP | VARIANT},
	/* RFC 8750: the IV is the sequence number and does not travel */
	{"aes128gcm16iiv", TRANSFORM_ENCR, ENCR_AES_GCM_16_IIV, 128, 16, 4, 0, 16, 1, true, ESP | VARIANT},
	{"aes192gcm16iiv", TRANSFORM_ENCR, ENCR_AES_GCM_16_IIV, 192, 24, 4, 0, 16, 1, true, ESP | VARIANT},
	{"aes256gcm16iiv", TRANSFORM_ENCR, ENCR_AES_GCM_16_IIV, 256, 32, 4, 0, 16, 1, true, ESP},
	{"chacha20poly1305iiv", TRANSFORM_ENCR, ENCR_CHACHA20_POLY1305_IIV, 0, 32, 4, 0, 16, 1, true, ESP | VARIANT},
	{"aes128ccm8iiv", TRANSFORM_ENCR, ENCR_AES_CCM_8_IIV, 128, 16, 3, 0, 8, 1, true, ESP | VARIANT},
	{"aes192ccm8iiv", TRANSFORM_ENCR, ENCR_AES_CCM_8_IIV, 192, 24, 3, 0, 8, 1, true, ESP | VARIANT},
	{"aes256ccm8iiv", TRANSFORM_ENCR, ENCR_AES_CCM_8_IIV, 256, 32, 3, 0, 8, 1, true, ESP | VARIANT},
	/* RFC 4543 9: authentication alone, but from one key as an AEAD */
	{"aes128gmac", TRANSFORM_ENCR, ENCR_NULL_AES_GMAC, 128, 16, 4, 8, 16, 1, true, ESP | VARIANT},
	{"aes192gmac", TRANSFORM_ENCR, ENCR_NULL_AES_GMAC, 192, 24, 4, 8, 16, 1, true, ESP | VARIANT},
	{"aes256gmac", TRANSFORM_ENCR, ENCR_NULL_AES_GMAC, 256, 32, 4, 8, 16, 1, true, ESP},
	/* RFC 3602 */
	{"aes128", TRANSFORM_ENCR, ENCR_AES_CBC, 128, 16, 0, 16, 0, 16, false, IKE | ESP},
	{"aes192", TRANSFORM_ENCR, ENCR_AES_CBC, 192, 24, 0, 16, 0, 16, false, IKE | ESP | VARIANT},
	{"aes256", TRANSFORM_ENCR, ENCR_AES_CBC, 256, 32, 0, 16, 0, 16, false, IKE | ESP},
	/* RFC 3686 5.1: the nonce ends the key material */
	{"aes128ctr", TRANSFORM_ENCR, ENCR_AES_CTR, 128, 16, 4, 8, 0, 1, false, ESP | VARIANT},
	{"aes192ctr", TRANSFORM_ENCR, ENCR_AES_CTR, 192, 24, 4, 8, 0, 1, false, ESP | VARIANT},
	{"aes256ctr", TRANSFORM_ENCR, ENCR_AES_CTR, 256, 32, 4, 8, 0, 1, false, ESP},
	/* RFC 2410 */
	{"null", TRANSFORM_ENCR, ENCR_NULL, 0, 0, 0, 0, 0, 1, false, ESP},
	{"prfsha256", TRANSFORM_PRF, PRF_HMAC_SHA2_256, 0, 32, 0, 0, 0, 0, false, IKE},
	{"prfsha384", TRANSFORM_PRF, PRF_HMAC_SHA2_384, 0, 48, 0, 0, 0, 0, false, IKE},
	{"prfsha512", TRANSFORM_PRF, PRF_HMAC_SHA2_512, 0, 64, 0, 0, 0, 0, false, IKE},
	/* RFC 4868, RFC 2404, RFC 3566, RFC 4494 */
	{"sha256", TRANSFORM_INTEG, INTEG_HMAC_SHA2_256_128, 0, 32, 0, 0, 16, 0, false, INTEG_ALL},
	{"sha384", TRANSFORM_INTEG, INTEG_HMAC_SHA2_384_192, 0, 48, 0, 0, 24, 0, false, INTEG_ALL},
	{"sha512", TRANSFORM_INTEG, INTEG_HMAC_SHA2_512_256, 0, 64, 0, 0, 32, 0, false, INTEG_ALL},
	{"sha1", TRANSFORM_INTEG, INTEG_HMAC_SHA1_96, 0, 20, 0, 0, 12, 0, false, INTEG_SA},
	{"aesxcbc", TRANSFORM_INTEG, INTEG_AES_XCBC_96, 0, 16, 0, 0, 12, 0, false, INTEG_SA},
	{"aescmac", TRANSFORM_INTEG, INTEG_AES_CMAC_96, 0, 16, 0, 0, 12, 0, false, INTEG_SA},
	/* RFC 4543 9: in AH the key length is part of the number, and the salt of the key */
	{"aes128gmac", TRANSFORM_INTEG, INTEG_AES_128_GMAC, 0, 16, 4, 8, 16, 0, false, AH},
	{"aes192gmac", TRANSFORM_INTEG, INTEG_AES_192_GMAC, 0, 24, 4, 8, 16, 0, false, AH | VARIANT},
	{"aes256gmac", TRANSFORM_INTEG, INTEG_AES_256_GMAC, 0, 32, 4, 8, 16, 0, false, AH},
	{"x25519", TRANSFORM_KE, KE_X25519, 0, 0, 0, 0, 0, 0, false, KE_ALL},
	{"ecp256", TRANSFORM_KE, KE_ECP_256, 0, 0, 0, 0, 0, 0, false, KE_ALL},
	{"ecp384", TRANSFORM_KE, KE_ECP_384, 0, 0, 0, 0, 0, 0, false, KE_ALL},
	{"modp2048", TRANSFORM_KE, KE_MODP_2048, 0, 0, 0, 0, 0, 0, false, KE_ALL},
	{"noesn", TRANSFORM_ESN, ESN_NO, 0, 0, 0, 0, 0, 0, false, SEQ_BOTH},
	{"esn", TRANSFORM_ESN, ESN_YES, 0, 0, 0, 0, 0, 0, false, SEQ_BOTH},
};

/* Other spellings that strongSwan accepts. Those of AES-GCM and AES-CCM by bits ("aes128gcm128") are in
 * word_canonical. */
static const struct {
	const char *word;
	const char *means;
} synonyms[] = {
	{"curve25519", "x25519"},
	{"aes", "aes128"},
	{"aesctr", "aes128ctr"},
	{"sha", "sha1"},
	{"sha2_256", "sha256"},
	{"sha2_384", "sha384"},
	{"sha2_512", "sha512"},
};

/* What peers offer and we do not do: names for the reports alone. */
static const struct {
	uint8_t type;
	uint16_t id;
	const char *word;
} foreign[] = {
	{TRANSFORM_ENCR, 3, "3des"},
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
	{TRANSFORM_PRF, 1, "prfmd5"},
	{TRANSFORM_PRF, 2, "prfsha1"},
	{TRANSFORM_PRF, 4, "prfaesxcbc"},
	{TRANSFORM_PRF, 8, "prfaescmac"},
	{TRANSFORM_INTEG, 1, "md5"},
	{TRANSFORM_INTEG, 6, "md5_128"},
	{TRANSFORM_INTEG, 7, "sha1_160"},
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

/* "aes128gcm128" and "aes128gcm" as "aes128gcm16": the ICV in bits, or none named (16 bytes). */
static const char *word_canonical(const char *word, char out[static WORD_MAX])
{
	static const struct {
		const char *bits, *bytes;
	} icvs[] = {{"64", "8"}, {"96", "12"}, {"128", "16"}, {"", "16"}};
	const char *icv = word + AES_MODE_LEN;

	if (strlen(word) < AES_MODE_LEN || strncasecmp(word, "aes", 3) != 0 ||
		(strncasecmp(word + 6, "gcm", 3) != 0 && strncasecmp(word + 6, "ccm", 3) != 0))
		return word;
	for (size_t i = 0; i < ARRAY_LEN(icvs); i++)
		if (strcmp(icv, icvs[i].bits) == 0) {
			snprintf(out, WORD_MAX, "%.*s%s", (int)AES_MODE_LEN, word, icvs[i].bytes);
			return out;
		}
	return word;
}

const struct transform_info *transform_find_word(const char *word, unsigned uses)
{
	const struct transform_info *found = NULL;
	char buffer[WORD_MAX];

	for (size_t i = 0; i < ARRAY_LEN(synonyms); i++)
		if (strcasecmp(synonyms[i].word, word) == 0)
			word = synonyms[i].means;
	word = word_canonical(word, buffer);
	for (size_t i = 0; i < ARRAY_LEN(transforms); i++) {
		if (strcasecmp(transforms[i].word, word) != 0)
			continue;
		if (transforms[i].uses & uses)
			return &transforms[i];
		found = found ? found : &transforms[i];
	}
	return found;
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
