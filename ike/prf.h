/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo-random functions (RFC 7296 2.13, RFC 4868) and what is made of them for authentication (2.15). */
#ifndef ESPALIER_IKE_PRF_H
#define ESPALIER_IKE_PRF_H

#include "agent/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define PRF_LEN_MAX 64u

/* Output (and preferred key) length of `prf` (enum prf_id) in bytes; 0: not known. */
size_t prf_len(uint16_t prf);
/* out = prf(key, parts[0] | parts[1] | ...); prf_len(prf) bytes. False if the PRF is not known or the library fails. */
bool prf_of(uint16_t prf, struct bytes key, const struct bytes *parts, unsigned count, uint8_t *out);
/* prf+ (2.13): `len` bytes of key stream. False past 255 blocks. */
bool prf_plus(uint16_t prf, struct bytes key, struct bytes seed, uint8_t *out, size_t len);
/* AUTH of a pre-shared key (2.15): prf(prf(secret, "Key Pad for IKEv2"), octets). */
bool prf_psk_auth(uint16_t prf, struct bytes secret, struct bytes octets, uint8_t *out);
/* MACedIDForI/R and the signed octets: message | peer's nonce | prf(SK_p, ID payload body). `out` gets them; its length
 * or 0 if it does not fit. */
size_t prf_signed_octets(uint16_t prf, struct bytes sk_p, struct bytes message, struct bytes nonce,
	struct bytes id_body, uint8_t *out, size_t size);

#endif
