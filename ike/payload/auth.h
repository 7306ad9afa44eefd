/* SPDX-License-Identifier: Apache-2.0 */
/* Authentication payload (RFC 7296 3.8). */
#ifndef ESPALIER_IKE_PAYLOAD_AUTH_H
#define ESPALIER_IKE_PAYLOAD_AUTH_H

#include "agent/base/bytes.h"
#include "ike/message.h"

struct payload_auth {
	uint8_t method;	   /* enum auth_method */
	struct bytes data; /* borrowed */
};

bool payload_auth_read(struct bytes body, struct payload_auth *out);
void payload_auth_write(struct message_writer *m, uint8_t method, struct bytes data);

#endif
