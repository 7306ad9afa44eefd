/* SPDX-License-Identifier: Apache-2.0 */
/* Key derivation (RFC 7296 2.13, 2.14, 2.17, 2.18). All structs here hold secrets: wipe them (agent/base/secret.h). */
#ifndef ESPALIER_IKE_KEYS_H
#define ESPALIER_IKE_KEYS_H

#include "agent/base/bytes.h"
#include "ike/prf.h"
#include "ike/proposal.h"

#include <stdbool.h>
#include <stdint.h>

struct child_keys;

/* One direction's protection of IKE messages. */
struct sk_key {
	uint16_t encr;		     /* enum encr_id */
	uint16_t integ;		     /* enum integ_id; INTEG_NONE with AEAD */
	uint8_t encr_len, integ_len; /* key lengths in bytes */
	uint8_t salt_len;	     /* AEAD: 4 */
	uint8_t iv_len, icv_len, block;
	uint8_t encr_key[32];
	uint8_t salt[4];
	uint8_t integ_key[64];
};

struct ike_keys {
	uint16_t prf; /* enum prf_id */
	uint8_t prf_len;
	uint8_t d[PRF_LEN_MAX];
	uint8_t pi[PRF_LEN_MAX];
	uint8_t pr[PRF_LEN_MAX];
	struct sk_key i; /* protects what the original initiator sends */
	struct sk_key r;
};

/*
 * SKEYSEED = prf(Ni | Nr, g^ir), then SK_* (2.14). With `old` (an IKE SA rekey, 2.18): SKEYSEED = prf(old SK_d, g^ir |
 * Ni | Nr) by the OLD prf. SPIs are the new IKE SA's, host order. False if the suite has an algorithm that is not known
 * or the library fails.
 */
bool ike_keys_derive(struct ike_keys *out, const struct suite *suite, struct bytes shared, struct bytes ni,
	struct bytes nr, uint64_t spi_i, uint64_t spi_r, const struct ike_keys *old);

/*
 * KEYMAT = prf+(SK_d, [g^ir |] Ni | Nr) (2.17). `shared` is empty without PFS. First the initiator's outbound keys,
 * then the responder's; `initiator`: are we the initiator of this exchange? Keys land in in/out as we use them.
 */
bool child_keys_derive(const struct ike_keys *keys, const struct suite *suite, struct bytes shared, struct bytes ni,
	struct bytes nr, bool initiator, struct child_keys *in, struct child_keys *out);

#endif
