/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Suites of ESP (RFC 4303) and AH (RFC 4302): what an algorithm or a pair of them needs on the wire, and one SA's keys
 * made ready for it. Everything above works by a suite's numbers and knows no algorithm. Two engines do the work,
 * OpenSSL and intel-ipsec-mb; a suite's engine is chosen once (suite_choice.h). A cipher is scheduled once per SA; per
 * packet only the IV is set. No allocation per packet.
 */
#ifndef ESPALIER_AGENT_SUITE_H
#define ESPALIER_AGENT_SUITE_H

#include "bpf/contract.h"

#include <stdbool.h>
#include <stdint.h>

#define ESP_HEADER_LEN	8u /* SPI and sequence number (RFC 4303 2) */
#define ESP_TRAILER_LEN 2u /* pad length and next header */
#define ESP_IV_MAX	16u
#define ESP_ICV_MAX	32u

/* IANA, IKEv2 transform type 1 and 3: what struct sa's encr and integ hold. */
enum encr_id {
	ENCR_NONE = 0, /* AH */
	ENCR_NULL = 11,
	ENCR_AES_CBC = 12,
	ENCR_AES_CTR = 13,
	ENCR_AES_CCM_8 = 14,
	ENCR_AES_CCM_12 = 15,
	ENCR_AES_CCM_16 = 16,
	ENCR_AES_GCM_8 = 18,
	ENCR_AES_GCM_12 = 19,
	ENCR_AES_GCM_16 = 20,
	ENCR_AES_GMAC = 21, /* authentication only (RFC 4543) */
	ENCR_CHACHA20_POLY1305 = 28,
	ENCR_AES_CCM_8_IIV = 29,
	ENCR_AES_GCM_16_IIV = 30,
	ENCR_CHACHA20_POLY1305_IIV = 31,
};

enum auth_id {
	AUTH_NONE = 0,
	AUTH_SHA1_96 = 2,
	AUTH_AES_XCBC_96 = 5,
	AUTH_AES_CMAC_96 = 8,
	AUTH_AES_128_GMAC = 9,
	AUTH_AES_192_GMAC = 10,
	AUTH_AES_256_GMAC = 11,
	AUTH_SHA256_128 = 12,
	AUTH_SHA384_192 = 13,
	AUTH_SHA512_256 = 14,
};

/* How a suite works; the ids above differ in lengths alone. */
enum suite_mode {
	SUITE_GCM,
	SUITE_CCM,
	SUITE_CHACHA20_POLY1305,
	SUITE_GMAC,
	SUITE_CTR, /* these three with a separate integrity algorithm */
	SUITE_CBC,
	SUITE_NULL,
	SUITE_AH, /* integrity alone, over a buffer */
};

struct esp_suite {
	const char *name; /* proposal notation: "aes256gcm16", "aes256-sha256", "null-sha1"; of AH "sha256" */
	enum suite_mode mode;
	uint16_t encr; /* IANA ids and key length, as in struct sa */
	uint16_t encr_key_bits;
	uint16_t integ;
	uint16_t encr_key_len; /* bytes, without salt */
	uint16_t integ_key_len;
	uint8_t salt_len; /* bytes at the end of the key material, before the integrity key; in struct sa's salt */
	uint8_t iv_len;	  /* bytes on the wire between ESP header and ciphertext, or before AH's ICV; may be 0 */
	uint8_t icv_len;  /* bytes behind the ciphertext */
	uint8_t block;	  /* plaintext with trailer is padded to a multiple of this; at least 4 (RFC 4303 2.4) */
};

struct suite_engine;
struct suite_work;

/* One direction's keys of one SA, scheduled. */
struct esp_cipher {
	const struct esp_suite *suite;
	const struct suite_engine *engine;
	const struct suite_work *work; /* the engine's functions for this suite */
	void *state;		       /* the engine's key schedules; wiped by esp_cipher_clear */
	uint8_t salt[4];
	bool esn; /* the integrity check covers the high half of the sequence number too (RFC 4303 2.2.1) */
	/* Several threads may work with this cipher at once. If not, one at a time, whichever it is. */
	bool concurrent;
};

/*
 * One packet for the cipher, in place. `esp` is the ESP header, already filled; behind it the suite's iv_len bytes
 * (when sealing to be filled by the engine), `text_len` bytes of padded plaintext or of ciphertext, a multiple of the
 * suite's block, and the ICV (when sealing: room for it). `seq` is the whole 64-bit number.
 */
struct esp_job {
	struct esp_cipher *cipher;
	uint8_t *esp;
	uint64_t seq;
	uint32_t text_len;
	bool good; /* out. Sealing: the library did it. Opening: the integrity check passed, and the ICV's bytes are
		      undefined. If not good, all bytes behind the ESP header are undefined. */
};

/* Do all jobs of a turn, of any suites and SAs, in any order; each job's `good` is set. No allocation, but for what a
 * thread keeps from its first call on. */
void esp_jobs_seal(struct esp_job *jobs, uint32_t count);
void esp_jobs_open(struct esp_job *jobs, uint32_t count);

/*
 * The ICV of AH: over `len` bytes at `data` (RFC 4302 3.3.3: headers with mutable fields zeroed, ICV field zeroed,
 * payload, implicit padding, with ESN the high half behind). `iv`: the suite's iv_len bytes, which must never repeat
 * under one key (esp_cipher_mac_iv); NULL if iv_len is 0. Writes the suite's icv_len bytes. False: the library failed.
 * The caller compares (secret_equal).
 */
bool esp_cipher_mac(struct esp_cipher *cipher, const uint8_t *data, uint32_t len, const uint8_t *iv, uint8_t *icv);
/* The IV to send with number `seq`: iv_len bytes (RFC 4543 3.1). */
void esp_cipher_mac_iv(const struct esp_cipher *cipher, uint64_t seq, uint8_t *iv);

/*
 * Make the schedule of one direction of one SA, of ESP or AH by sa->protocol: sets cipher->suite. 0, or -errno
 * (-EOPNOTSUPP: no such suite); then nothing is left to clear. Allocates.
 */
int esp_cipher_init(struct esp_cipher *cipher, const struct sa *sa);
/* The same by a given engine (suite_engine.h), for tests and measurements; -EOPNOTSUPP if it does not serve the suite.
 */
int esp_cipher_init_by(struct esp_cipher *cipher, const struct sa *sa, const struct suite_engine *engine);

/* The ESP suite of these IANA numbers (struct sa's encr, encr_key_bits, integ); NULL if this agent has none. Encryption
 * without integrity is none (RFC 4303 3.1). Key bits may be 0 where the algorithm leaves no choice. */
const struct esp_suite *esp_suite_find(uint16_t encr, uint16_t encr_key_bits, uint16_t integ);
/* The AH suite of this number; NULL if this agent has none. */
const struct esp_suite *ah_suite_find(uint16_t integ);
/* All of ESP, and all of AH behind them, for tests and `status`: the index-th, NULL past the end. */
const struct esp_suite *esp_suite_at(unsigned index);
const struct esp_suite *ah_suite_at(unsigned index);

/* Frees and wipes the schedules. Harmless on a zeroed or cleared cipher. */
void esp_cipher_clear(struct esp_cipher *cipher);

#endif
