/* SPDX-License-Identifier: Apache-2.0 */
/* Key exchange groups (RFC 7296 3.4; RFC 3526, 5903, 8031) through OpenSSL. */
#ifndef ESPALIER_IKE_DH_H
#define ESPALIER_IKE_DH_H

#include "agent/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define DH_PUBLIC_MAX 256u
#define DH_SHARED_MAX 256u

struct dh; /* opaque: our key pair */

bool dh_known(uint16_t group);
/* Length of a public value on the wire; 0: group not known. */
size_t dh_public_len(uint16_t group);
/* A fresh key pair; NULL if the group is not known or the library fails. The private key comes from OpenSSL's
 * generator. */
struct dh *dh_new(uint16_t group);
/* The same from a given private value (tests: published vectors); big endian, X25519: as in RFC 7748. */
struct dh *dh_from_private(uint16_t group, struct bytes private_value);
uint16_t dh_group(const struct dh *dh);
/* Our public value, dh_public_len bytes; borrowed. */
struct bytes dh_public(const struct dh *dh);
/*
 * The shared secret into `out` (DH_SHARED_MAX bytes); its length, or 0: the peer's value has the wrong length, is no
 * point of the curve, or is trivial (RFC 6989 2, RFC 8031 3.2). The caller wipes it.
 */
size_t dh_compute(const struct dh *dh, struct bytes peer, uint8_t out[static DH_SHARED_MAX]);
/* Wipes the private key. NULL is fine. */
void dh_free(struct dh *dh);

#endif
