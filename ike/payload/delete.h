/* SPDX-License-Identifier: Apache-2.0 */
/* Delete payload (RFC 7296 3.11). */
#ifndef ESPALIER_IKE_PAYLOAD_DELETE_H
#define ESPALIER_IKE_PAYLOAD_DELETE_H

#include "agent/base/bytes.h"
#include "ike/message.h"

struct payload_delete {
	uint8_t protocol;  /* enum ike_protocol */
	uint16_t count;	   /* of SPIs */
	struct bytes spis; /* borrowed: count times 4 bytes; empty for IKE */
};

/* False if malformed: SPI size other than 0 for IKE and 4 for AH and ESP, or a count that lies. */
bool payload_delete_read(struct bytes body, struct payload_delete *out);
/* The n-th SPI in host order; n < count. */
uint32_t payload_delete_spi(const struct payload_delete *delete_, unsigned n);
void payload_delete_write_ike(struct message_writer *m);
/* Of ESP or AH (enum ike_protocol). */
void payload_delete_write(struct message_writer *m, uint8_t protocol, const uint32_t *spis, uint16_t count);

#endif
