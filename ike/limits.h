/* SPDX-License-Identifier: Apache-2.0 */
/* Every limit and timeout of the IKE engine, with its source. */
#ifndef ESPALIER_IKE_LIMITS_H
#define ESPALIER_IKE_LIMITS_H

#include "agent/base/clock.h"

#define IKE_PORT 500u
#define IKE_NATT_PORT 4500u
#define IKE_SPI_LEN 8u
#define IKE_HEADER_LEN 28u
#define IKE_MESSAGE_MAX 16384u	/* bytes of one message, both ways; RFC 7296 2: at least 3000 */
#define IKE_NONCE_LEN 32u	/* RFC 7296 2.10: at least half the PRF key, 16 to 256 */
#define IKE_NONCE_MIN 16u
#define IKE_NONCE_MAX 256u
#define IKE_COOKIE_MAX 64u	/* RFC 7296 2.6: 1 to 64 */
#define IKE_ID_MAX 256u
#define IKE_PAYLOADS_MAX 64u	/* payloads of one message that are looked at */
#define IKE_PROPOSALS_MAX 16u
#define IKE_TRANSFORMS_MAX 64u /* of one proposal; strongSwan with all plugins offers some 45 */
#define IKE_TS_MAX 16u		/* selectors of one TS payload that are looked at */
#define IKE_NAME_MAX 64u

#define IKE_RETRANSMIT_FIRST_NS (2 * NS_PER_S) /* then times 1.8 */
#define IKE_RETRANSMIT_TRIES 5u		       /* sent again that often; about 75 s in all */
#define IKE_HALF_OPEN_TIMEOUT_NS (30 * NS_PER_S) /* responder: IKE_SA_INIT answered, no IKE_AUTH */
#define IKE_COOKIE_SECRET_LIFE_NS (60 * NS_PER_S) /* RFC 7296 2.6: change it often */
#define IKE_COOKIE_THRESHOLD_DEFAULT 32u
#define IKE_HALF_OPEN_MAX_DEFAULT 1024u
#define IKE_REDIAL_FIRST_NS (2 * NS_PER_S) /* a start_action connection that failed: again, doubling */
#define IKE_REDIAL_MAX_NS (60 * NS_PER_S)
#define IKE_REKEY_JITTER_PERCENT 10u	   /* rekey this much earlier at random, so that both ends rarely collide */
#define IKE_REKEY_RETRY_NS (10 * NS_PER_S) /* after TEMPORARY_FAILURE (RFC 7296 2.25) */
#define IKE_NAT_KEEPALIVE_NS (20 * NS_PER_S) /* RFC 3948 4 */

#endif
