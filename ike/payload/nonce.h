/* SPDX-License-Identifier: Apache-2.0 */
/* Nonce payload (RFC 7296 3.9). */
#ifndef ESPALIER_IKE_PAYLOAD_NONCE_H
#define ESPALIER_IKE_PAYLOAD_NONCE_H

#include "agent/base/bytes.h"
#include "ike/message.h"

/* False unless IKE_NONCE_MIN to IKE_NONCE_MAX bytes. */
bool payload_nonce_read(struct bytes body, struct bytes *out);
void payload_nonce_write(struct message_writer *m, struct bytes nonce);

#endif
