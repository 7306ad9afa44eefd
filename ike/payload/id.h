/* SPDX-License-Identifier: Apache-2.0 */
/* Identification payloads (RFC 7296 3.5). */
#ifndef ESPALIER_IKE_PAYLOAD_ID_H
#define ESPALIER_IKE_PAYLOAD_ID_H

#include "agent/base/bytes.h"
#include "ike/id.h"
#include "ike/message.h"

#define PAYLOAD_ID_BODY_MAX (4 + IKE_ID_MAX)

/* False if malformed: an address of the wrong length, or longer than IKE_ID_MAX. */
bool payload_id_read(struct bytes body, struct ike_id *out);
/* `type`: PAYLOAD_IDI or PAYLOAD_IDR. */
void payload_id_write(struct message_writer *m, uint8_t type, const struct ike_id *id);
/* The payload's body alone, which AUTH covers (2.15): its length in `out`. */
size_t payload_id_body(const struct ike_id *id, uint8_t out[static PAYLOAD_ID_BODY_MAX]);

#endif
