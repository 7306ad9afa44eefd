/* SPDX-License-Identifier: Apache-2.0 */
/* The algorithms that exist here: the word of the notation, the number of the wire, the lengths. */
#ifndef ESPALIER_IKE_TRANSFORM_H
#define ESPALIER_IKE_TRANSFORM_H

#include "ike/proposal.h"

struct transform_info {
	const char *word; /* of the notation: "aes256gcm16", "prfsha384", "x25519" */
	uint8_t type;
	uint16_t id;
	uint16_t key_bits;
	uint8_t key_len;  /* bytes of key without salt */
	uint8_t salt_len; /* AEAD: 4 */
	uint8_t iv_len;
	uint8_t icv_len; /* AEAD and integrity */
	uint8_t block;	 /* cipher block for padding; 1 for AEAD */
	bool aead;
};

/* By what stands on the wire; NULL: not known here. */
const struct transform_info *transform_find(const struct transform *transform);
/* By its word (synonyms included); NULL: not known. */
const struct transform_info *transform_find_word(const char *word);
/* Is the word one that peers' notations know and that is not done here ("3des", "modp1024")? */
bool transform_foreign_word(const char *word);
/* The n-th; NULL past the end. */
const struct transform_info *transform_at(unsigned n);
/* "aes256gcm16"; for what is not known here the IANA name if it is a known one ("modp1024", "3des"), else
 * "ENCR-99/128". Returns `out`. */
const char *transform_format(const struct transform *transform, char *out, size_t size);
const char *transform_type_name(uint8_t type); /* "encryption", "PRF", ... */

#endif
