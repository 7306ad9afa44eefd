/* SPDX-License-Identifier: Apache-2.0 */
/* Traffic Selector payloads (RFC 7296 3.13). */
#ifndef ESPALIER_IKE_PAYLOAD_TS_H
#define ESPALIER_IKE_PAYLOAD_TS_H

#include "agent/base/bytes.h"
#include "ike/message.h"
#include "ike/ts.h"

/* False if malformed. Selectors of types that are not known (3.13.1) and those past IKE_TS_MAX are left out. */
bool payload_ts_read(struct bytes body, struct ts_list *out);
/* `type`: PAYLOAD_TSI or PAYLOAD_TSR. */
void payload_ts_write(struct message_writer *m, uint8_t type, const struct selector *items, unsigned count);

#endif
