/* SPDX-License-Identifier: Apache-2.0 */
/* Every limit and timeout of the IKE engine, with its source. */
#ifndef ESPALIER_IKE_LIMITS_H
#define ESPALIER_IKE_LIMITS_H

#include "agent/base/clock.h"

#define IKE_PORT	   500u
#define IKE_NATT_PORT	   4500u
#define IKE_SPI_LEN	   8u
#define IKE_HEADER_LEN	   28u
#define IKE_MESSAGE_MAX	   16384u /* bytes of one message, both ways; RFC 7296 2: at least 3000 */
#define IKE_NONCE_LEN	   32u	  /* RFC 7296 2.10: at least half the PRF key, 16 to 256 */
#define IKE_NONCE_MIN	   16u
#define IKE_NONCE_MAX	   256u
#define IKE_COOKIE_MAX	   64u /* RFC 7296 2.6: 1 to 64 */
#define IKE_ID_MAX	   256u
#define IKE_PAYLOADS_MAX   64u /* payloads of one message that are looked at */
#define IKE_PROPOSALS_MAX  16u
#define IKE_TRANSFORMS_MAX 64u /* of one proposal; strongSwan with all plugins offers some 45 */
#define IKE_TS_MAX	   16u /* selectors of one TS payload that are looked at */
#define IKE_NAME_MAX	   64u

#define IKE_RETRANSMIT_FIRST_NS	     (2 * NS_PER_S)  /* then times 1.8 */
#define IKE_RETRANSMIT_TRIES	     5u		     /* sent again that often; about 75 s in all */
#define IKE_HALF_OPEN_TIMEOUT_NS     (30 * NS_PER_S) /* responder: IKE_SA_INIT answered, no IKE_AUTH */
#define IKE_COOKIE_SECRET_LIFE_NS    (60 * NS_PER_S) /* RFC 7296 2.6: change it often */
#define IKE_COOKIE_THRESHOLD_DEFAULT 32u
#define IKE_HALF_OPEN_MAX_DEFAULT    1024u
#define IKE_REDIAL_FIRST_NS	     (2 * NS_PER_S) /* a start_action connection that failed: again, doubling */
#define IKE_REDIAL_MAX_NS	     (60 * NS_PER_S)
#define IKE_REKEY_JITTER_PERCENT     10u /* rekey this much earlier at random, so that both ends rarely collide */
#define IKE_REKEY_RETRY_NS	     (10 * NS_PER_S) /* after TEMPORARY_FAILURE (RFC 7296 2.25) */
#define IKE_RETRANSMIT_FACTOR_TENTHS 18u	     /* each wait is 1.8 times the last */
#define IKE_INIT_RETRIES_MAX	     6u		     /* COOKIE and INVALID_KE_PAYLOAD of one attempt (RFC 7296 2.6.1) */
#define IKE_REFUSED_WAIT_NS                                                                                            \
	(4 * NS_PER_S) /* an unprotected error may be forged: the true answer may still come (RFC 7296 2.21.1) */
#define IKE_AUTH_WAIT_NS (30 * NS_PER_S) /* for the keeper */
#define IKE_CHILDREN_MAX 64u		 /* CHILD SAs of one IKE SA, old ones included; past it NO_ADDITIONAL_SAS */
#define IKE_LINGER_NS                                                                                                  \
	(90 * NS_PER_S) /* a replaced SA whose peer does not delete it; longer than all retransmissions                \
			 */
#define IKE_GRACE_NS	      (5 * NS_PER_S)   /* a replaced CHILD SA still takes packets that were on their way */
#define IKE_TEMPORARY_MAX_NS  (180 * NS_PER_S) /* TEMPORARY_FAILURE for so long: out of step, close (RFC 7296 2.25) */
#define IKE_CROSSING_NS	      (60 * NS_PER_S)  /* both ends dialled within this time: one tie-break on both sides */
#define IKE_UNPROTECTED_PER_S 20u	       /* unprotected error answers (RFC 7296 2.21.4) */
#define IKE_NAT_KEEPALIVE_NS  (20 * NS_PER_S)  /* RFC 3948 4 */

#endif
