/* SPDX-License-Identifier: Apache-2.0 */
/* The algorithms that exist here: the word of the notation, the number of the wire, the lengths. */
#ifndef ESPALIER_IKE_TRANSFORM_H
#define ESPALIER_IKE_TRANSFORM_H

#include "ike/proposal.h"

/* Where an algorithm may be proposed. */
#define FOR_IKE	    0x01u
#define FOR_ESP	    0x02u
#define FOR_AH	    0x04u
#define FOR_VARIANT 0x80u /* a sibling by key or ICV length: left out of the lists in messages */

struct transform_info {
	const char *word; /* of the notation: "aes256gcm16", "prfsha384", "x25519" */
	uint8_t type;
	uint16_t id;
	uint16_t key_bits;
	uint8_t key_len;  /* bytes of key without salt */
	uint8_t salt_len; /* from the end of the key material: AEAD and counter mode */
	uint8_t iv_len;
	uint8_t icv_len; /* AEAD and integrity */
	uint8_t block;	 /* cipher block for padding; 1 for AEAD */
	bool aead;	 /* brings its own integrity */
	uint8_t uses;	 /* FOR_* */
};

/* By what stands on the wire; NULL: not known here. */
const struct transform_info *transform_find(const struct transform *transform);
/* By its word (synonyms included), one for `uses` (FOR_*) before others; NULL: not known. */
const struct transform_info *transform_find_word(const char *word, unsigned uses);
/* Is the word one that peers' notations know and that is not done here ("3des", "modp1024")? */
bool transform_foreign_word(const char *word);
/* The n-th; NULL past the end. */
const struct transform_info *transform_at(unsigned n);
/* "aes256gcm16"; for what is not known here the IANA name if it is a known one ("modp1024", "3des"), else
 * "ENCR-99/128". Returns `out`. */
const char *transform_format(const struct transform *transform, char *out, size_t size);
const char *transform_type_name(uint8_t type); /* "encryption", "PRF", ... */

#endif
