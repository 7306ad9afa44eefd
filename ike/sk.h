/* SPDX-License-Identifier: Apache-2.0 */
/* The cipher work of the SK payload (RFC 7296 3.14, RFC 5282), apart from its place in a message. */
#ifndef ESPALIER_IKE_SK_H
#define ESPALIER_IKE_SK_H

#include "agent/base/bytes.h"
#include "ike/keys.h"

#include <stdbool.h>

/* `body` (IV | ciphertext | ICV) is the end of `message`. The plaintext, padding included, goes to `out`. False: not
 * authentic. */
bool sk_open(const struct sk_key *key, struct bytes message, struct bytes body, uint8_t *out);
/* Encrypt `len` bytes at message + at in place, the IV stands before them; the ICV goes behind them. */
bool sk_seal(const struct sk_key *key, uint8_t *message, size_t at, size_t len);

#endif
