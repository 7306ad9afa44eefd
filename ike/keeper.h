/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper: a child process that alone reads the configuration file with its secrets. The process that parses the
 * internet gets the text without them and asks for AUTH values; it never holds a secret.
 *
 * Calls are synchronous and bounded by KEEPER_TIMEOUT_S: the keeper only computes and reads one small file.
 */
#ifndef ESPALIER_IKE_KEEPER_H
#define ESPALIER_IKE_KEEPER_H

#include "agent/base/bytes.h"
#include "ike/id.h"
#include "ike/prf.h"

#include <stdbool.h>
#include <stddef.h>

#define KEEPER_TIMEOUT_S 10

struct keeper; /* opaque */

/*
 * Fork the keeper of file `path`. Call before threads and rights are gone: the child gives up its own. It ends when
 * this process does. -errno. The caller ends it with keeper_free.
 */
int keeper_start(const char *path, struct keeper **keeper);
void keeper_free(struct keeper *keeper);

/* Readable (at its end) when the keeper has died. */
int keeper_fd(const struct keeper *keeper);

/*
 * Read and validate the file. On success the keeper uses its secrets from now on and the redacted text is returned
 * (malloc'd, the caller frees). NULL: `error` has the sentence, and the keeper goes on with what it had. `*dead` is set
 * if it did not answer.
 */
char *keeper_load(struct keeper *keeper, size_t *len, char *error, size_t error_size, bool *dead);

/*
 * AUTH of the pre-shared key for (local, remote) over `octets` (RFC 7296 2.15). Length, 0 if there is no such secret;
 * negative: the keeper is dead.
 */
int keeper_psk_auth(struct keeper *keeper, uint16_t prf, const struct ike_id *local, const struct ike_id *remote,
	struct bytes octets, uint8_t auth[static PRF_LEN_MAX]);

#endif
