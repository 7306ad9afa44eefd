/* SPDX-License-Identifier: Apache-2.0 */
/* What main process and keeper say to each other over their socket pair; both are this program. */
#ifndef ESPALIER_IKE_KEEPER_WIRE_H
#define ESPALIER_IKE_KEEPER_WIRE_H

#include "agent/base/config.h"
#include "ike/id.h"
#include "ike/limits.h"

#include <stddef.h>
#include <stdint.h>

enum keeper_kind {
	KEEPER_LOAD = 1, /* request: nothing; answer: KEEPER_TEXT or KEEPER_ERROR */
	KEEPER_AUTH, /* request: struct keeper_auth and the octets; answer: KEEPER_AUTH with the value, or nothing */
	KEEPER_TEXT,
	KEEPER_ERROR,
};

struct keeper_header {
	uint32_t kind;
	uint32_t len; /* of what follows */
};

struct keeper_auth {
	uint16_t prf;
	uint16_t reserved;
	struct ike_id local;
	struct ike_id remote;
};

/* The signed octets hold a whole message, a nonce and a MACed identity. */
#define KEEPER_OCTETS_MAX  (IKE_MESSAGE_MAX + IKE_NONCE_MAX + 64u)
#define KEEPER_REQUEST_MAX (sizeof(struct keeper_auth) + KEEPER_OCTETS_MAX)
#define KEEPER_ANSWER_MAX  (2u * CONFIG_BYTES_MAX + 16u)

/* All of it or -errno; -EPIPE: the other end is gone. */
int wire_send(int fd, uint32_t kind, const void *first, size_t first_len, const void *second, size_t second_len);
int wire_recv(int fd, void *out, size_t len);

/* The keeper's own side: serves until the other end closes, then exits. */
void keeper_serve(int fd, const char *path) __attribute__((noreturn));

#endif
