/* SPDX-License-Identifier: Apache-2.0 */
/* Identities (RFC 7296 3.5). */
#ifndef ESPALIER_IKE_ID_H
#define ESPALIER_IKE_ID_H

#include "agent/base/addr.h"
#include "ike/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ike_id_type {
	IKE_ID_ANY = 0, /* configuration only: "%any" */
	IKE_ID_IPV4 = 1,
	IKE_ID_FQDN = 2,
	IKE_ID_EMAIL = 3,
	IKE_ID_IPV6 = 5,
	IKE_ID_DN = 9,
	IKE_ID_KEY_ID = 11,
};

struct ike_id {
	uint8_t type; /* enum ike_id_type */
	uint16_t len;
	uint8_t data[IKE_ID_MAX];
};

#define IKE_ID_TEXT_LEN (IKE_ID_MAX + 16)

/*
 * "192.0.2.1", "2001:db8::1", "gw.example.com", "user@example.com", "%any", and swanctl's prefixes "fqdn:", "email:",
 * "keyid:", "@" (FQDN), "@@" (e-mail). False for what is too long, and for a distinguished name ("C=CH, ..."), which
 * needs certificates.
 */
bool ike_id_parse(const char *text, struct ike_id *out);
void ike_id_of_addr(const struct ip_addr *addr, struct ike_id *out);
/* Same type and bytes; FQDN and e-mail without regard to case. */
bool ike_id_equal(const struct ike_id *a, const struct ike_id *b);
/* Does `id` satisfy the configured `pattern` (IKE_ID_ANY matches all; "*.example.com" and "*@example.com" match by
 * suffix)? */
bool ike_id_matches(const struct ike_id *pattern, const struct ike_id *id);
/* Printable, control characters escaped. Returns `out`. */
const char *ike_id_format(const struct ike_id *id, char out[static IKE_ID_TEXT_LEN]);

#endif
