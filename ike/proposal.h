/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proposals (RFC 7296 3.3): what algorithms a side offers, chosen and explained. Notation is strongSwan's:
 * "aes256gcm16-prfsha384-x25519", "aes256-sha256-modp2048" (the PRF follows the integrity algorithm if none is named).
 */
#ifndef ESPALIER_IKE_PROPOSAL_H
#define ESPALIER_IKE_PROPOSAL_H

#include "ike/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ike_protocol { PROTOCOL_NONE = 0, PROTOCOL_IKE = 1, PROTOCOL_AH = 2, PROTOCOL_ESP = 3 };

/* RFC 7296 3.3.2 and the IANA registry "Internet Key Exchange Version 2 (IKEv2) Parameters". */
enum transform_type {
	TRANSFORM_ENCR = 1,
	TRANSFORM_PRF = 2,
	TRANSFORM_INTEG = 3,
	TRANSFORM_KE = 4,
	TRANSFORM_ESN = 5,
};

enum encr_id {
	ENCR_NULL = 11,
	ENCR_AES_CBC = 12,
	ENCR_AES_CTR = 13,
	ENCR_AES_CCM_8 = 14,
	ENCR_AES_CCM_12 = 15,
	ENCR_AES_CCM_16 = 16,
	ENCR_AES_GCM_8 = 18,
	ENCR_AES_GCM_12 = 19,
	ENCR_AES_GCM_16 = 20,
	ENCR_NULL_AES_GMAC = 21,
	ENCR_CHACHA20_POLY1305 = 28,
	ENCR_AES_CCM_8_IIV = 29,
	ENCR_AES_GCM_16_IIV = 30,
	ENCR_CHACHA20_POLY1305_IIV = 31,
};
enum prf_id { PRF_HMAC_SHA2_256 = 5, PRF_HMAC_SHA2_384 = 6, PRF_HMAC_SHA2_512 = 7 };
enum integ_id {
	INTEG_NONE = 0,
	INTEG_HMAC_SHA1_96 = 2,
	INTEG_AES_XCBC_96 = 5,
	INTEG_AES_CMAC_96 = 8,
	INTEG_AES_128_GMAC = 9,
	INTEG_AES_192_GMAC = 10,
	INTEG_AES_256_GMAC = 11,
	INTEG_HMAC_SHA2_256_128 = 12,
	INTEG_HMAC_SHA2_384_192 = 13,
	INTEG_HMAC_SHA2_512_256 = 14,
};
enum ke_id { KE_NONE = 0, KE_MODP_2048 = 14, KE_ECP_256 = 19, KE_ECP_384 = 20, KE_X25519 = 31 };
enum esn_id { ESN_NO = 0, ESN_YES = 1 };

struct transform {
	uint8_t type;
	uint16_t id;
	uint16_t key_bits; /* key-length attribute; 0: none */
};

/* The struct has padding: compare by field. */
static inline bool transform_equal(const struct transform *a, const struct transform *b)
{
	return a->type == b->type && a->id == b->id && a->key_bits == b->key_bits;
}

struct proposal {
	uint8_t number;	  /* as on the wire, from 1; 0 in the configuration */
	uint8_t protocol; /* enum ike_protocol */
	uint8_t spi_len;
	uint8_t spi[8];
	uint8_t count;
	struct transform transforms[IKE_TRANSFORMS_MAX]; /* in order of preference within a type */
};

struct proposal_list {
	uint8_t count;
	struct proposal items[IKE_PROPOSALS_MAX];
};

/* One transform of each type: what both sides agreed on. key_bits 0 where the transform has no such attribute. */
struct suite {
	uint8_t protocol;
	uint8_t proposal_number;
	struct transform encr, prf, integ, ke, esn; /* .type 0: not part of it */
	uint8_t spi_len;
	uint8_t spi[8]; /* the peer's, from the chosen proposal */
};

/*
 * Parse one proposal in notation, for IKE, ESP or AH. The latter get ESN_NO unless "esn" (then ESN first, and "noesn"
 * if named too). On failure false, and `error` names the word and what would be right.
 */
bool proposal_parse(const char *text, enum ike_protocol protocol, struct proposal *out, char *error, size_t error_size);
/* The project's defaults (strong, interoperable; README of the room says why). */
void proposal_defaults(enum ike_protocol protocol, struct proposal_list *out);
/* "aes256gcm16-prfsha384-x25519"; cut short to fit. Returns `out`. */
const char *proposal_format(const struct proposal *proposal, char *out, size_t size);
const char *suite_format(const struct suite *suite, char *out, size_t size);

/* Does the proposal have a transform of that type? */
bool proposal_has(const struct proposal *proposal, uint8_t type);
/* Are all its transforms of the types above? */
bool proposal_types_known(const struct proposal *proposal);

/*
 * Choose (RFC 7296 2.7, 3.3.6): our order of preference, the first of our proposals that one of theirs satisfies. KE is
 * ignored with `without_ke` (the CHILD SA of IKE_AUTH). ESP: a peer's proposal without an ESN transform counts as
 * ESN_NO. A peer's proposal with a transform type that is not known here is never chosen (3.3.6).
 */
bool proposal_choose(
	const struct proposal_list *ours, const struct proposal_list *theirs, bool without_ke, struct suite *out);

/*
 * Why nothing fits, for a person: for each type that has nothing in common, what was offered, what is configured, and
 * what to change on which side. Several lines, each ending in '\n'. Returns the length (cut to `size`).
 */
size_t proposal_mismatch(const struct proposal_list *ours, const struct proposal_list *theirs, const char *where,
	char *out, size_t size);

/* Is the answer `theirs` (one proposal) one that we offered in `ours`? The initiator's check (RFC 7296 2.7). */
bool proposal_accept(
	const struct proposal_list *ours, const struct proposal_list *theirs, bool without_ke, struct suite *out);

#endif
