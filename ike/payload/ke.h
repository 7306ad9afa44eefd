/* SPDX-License-Identifier: Apache-2.0 */
/* Key Exchange payload (RFC 7296 3.4). */
#ifndef ESPALIER_IKE_PAYLOAD_KE_H
#define ESPALIER_IKE_PAYLOAD_KE_H

#include "agent/base/bytes.h"
#include "ike/message.h"

struct payload_ke {
	uint16_t group;
	struct bytes value; /* borrowed */
};

bool payload_ke_read(struct bytes body, struct payload_ke *out);
void payload_ke_write(struct message_writer *m, uint16_t group, struct bytes value);

#endif
