/* SPDX-License-Identifier: Apache-2.0 */
/* Key schedules as ipsec-mb's jobs want them, and the job of one SA filled as far as the SA says. */
#ifndef ESPALIER_AGENT_SUITE_MB_KEYS_H
#define ESPALIER_AGENT_SUITE_MB_KEYS_H

#include "agent/suite_mb.h"

#define AES_BLOCK	 16u
#define AES_SCHEDULE_MAX (15u * AES_BLOCK)
#define HMAC_STATE_MAX	 64u

/* Members are multiples of 16 bytes, as the library wants its keys aligned. */
struct mb_keys {
	uint8_t encrypt[AES_SCHEDULE_MAX]; /* or ChaCha20's key as it is */
	uint8_t decrypt[AES_SCHEDULE_MAX];
	union {
		struct {
			uint8_t inner[HMAC_STATE_MAX]; /* the digest's state after the key xor ipad, opad (RFC 2104 4)
							*/
			uint8_t outer[HMAC_STATE_MAX];
		} hmac;
		struct {
			uint32_t k1[44];
			uint8_t k2[AES_BLOCK];
			uint8_t k3[AES_BLOCK];
		} xcbc;
		struct {
			uint32_t key[44];
			uint8_t sub1[AES_BLOCK];
			uint8_t sub2[AES_BLOCK];
		} cmac;
	};
	uint8_t iv_key[AES_SCHEDULE_MAX]; /* CBC, outbound: AES-128 under a key of its own */
	uint64_t iv_count;
	IMB_JOB job; /* what is the same for every packet of the SA; its pointers point into this very struct */
};

/* Schedule the suite's algorithms and fill `job`. False: the library has none for it, or gave no random key. */
bool mb_keys_init(struct mb_keys *keys, const struct esp_suite *suite, const struct sa *sa);

#endif
