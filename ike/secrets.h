/* SPDX-License-Identifier: Apache-2.0 */
/* The pre-shared keys of the configuration, as bytes with their owners. Only the keeper has them. */
#ifndef ESPALIER_IKE_SECRETS_H
#define ESPALIER_IKE_SECRETS_H

#include "agent/base/bytes.h"
#include "agent/base/config.h"
#include "ike/id.h"

#include <stdbool.h>

struct secrets; /* opaque */

/* Decode all secrets. NULL if memory is short or one does not decode; `error` says which. */
struct secrets *secrets_new(const struct config *config, char *error, size_t error_size);
/* Wipes. */
void secrets_free(struct secrets *secrets);

/*
 * The key for (local, remote), as swanctl finds it: the best match on the remote identity counts first, then that on
 * the local one; exact before pattern before none given. False: none matches at all. `secret` is borrowed.
 */
bool secrets_find(
	const struct secrets *secrets, const struct ike_id *local, const struct ike_id *remote, struct bytes *secret);

/* Text, "0x" hex or "0s" base64 to bytes: `out` has room for strlen(text). The length, or -1. */
int secret_decode(const char *text, uint8_t *out);

#endif
