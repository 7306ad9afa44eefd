/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of ESP suites: what an algorithm pair needs on the wire, and how to seal and open with it. Everything above
 * works by the table's numbers and knows no algorithm. A cipher is scheduled once per SA; per packet only the IV is
 * set. No allocation per packet.
 */
#ifndef ESPALIER_AGENT_SUITE_H
#define ESPALIER_AGENT_SUITE_H

#include "bpf/contract.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#define ESP_HEADER_LEN	8u /* SPI and sequence number (RFC 4303 2) */
#define ESP_TRAILER_LEN 2u /* pad length and next header */
#define ESP_IV_MAX	16u
#define ESP_ICV_MAX	32u

struct esp_suite;

/* One direction's key schedule of one SA. Owned by one thread at a time; never shared. */
struct esp_cipher {
	const struct esp_suite *suite;
	EVP_CIPHER_CTX *ctx;
	EVP_CIPHER_CTX *iv_ctx; /* suites with an unpredictable IV: encrypts a counter under a key of its own */
	EVP_MAC_CTX *mac;	/* suites with a separate integrity algorithm */
	uint64_t iv_counter;
	uint8_t salt[4];
	bool esn; /* the integrity check covers the high half of the sequence number too (RFC 4303 2.2.1) */
};

struct esp_suite {
	const char *name; /* proposal notation: "aes256gcm16", "aes256-sha256" */
	uint16_t encr;	  /* IANA ids and key length, as in struct sa */
	uint16_t encr_key_bits;
	uint16_t integ;
	uint16_t encr_key_len; /* bytes, without salt */
	uint16_t integ_key_len;
	uint8_t salt_len;
	uint8_t iv_len;	 /* bytes on the wire between ESP header and ciphertext */
	uint8_t icv_len; /* bytes behind the ciphertext */
	uint8_t block;	 /* plaintext with trailer is padded to a multiple of this; at least 4 (RFC 4303 2.4) */

	/* Make the schedule for one direction. 0, or -errno; then nothing is left to clear. Allocates. */
	int (*init)(const struct esp_suite *suite, struct esp_cipher *cipher, const struct sa *sa);
	/*
	 * Seal in place. `esp` is the ESP header, already filled; behind it iv_len bytes to be filled here, `plain_len`
	 * bytes of padded plaintext, and room for the ICV. `seq` is the whole 64-bit number. False: the library failed;
	 * the packet's bytes are then undefined.
	 */
	bool (*seal)(const struct esp_suite *suite, struct esp_cipher *cipher, uint8_t *esp, uint32_t plain_len,
		uint64_t seq);
	/* The reverse: `cipher_len` bytes between IV and ICV. False: the integrity check failed; the bytes are then
	 * undefined. */
	bool (*open)(const struct esp_suite *suite, struct esp_cipher *cipher, uint8_t *esp, uint32_t cipher_len,
		uint64_t seq);
};

/*
 * One packet for the cipher, in place. `esp` is the ESP header, already filled; behind it the suite's iv_len bytes
 * (when sealing to be filled by the engine), `text_len` bytes of padded plaintext or of ciphertext, and the ICV (when
 * sealing: room for it). `seq` is the whole 64-bit number.
 */
struct esp_job {
	struct esp_cipher *cipher;
	uint8_t *esp;
	uint64_t seq;
	uint32_t text_len;
	bool good; /* out. Sealing: the library did it. Opening: the integrity check passed. If not, the bytes are
		      undefined. */
};

/* Do all jobs of a turn, of any suites and SAs, in any order; each job's `good` is set. No allocation. */
void esp_jobs_seal(struct esp_job *jobs, uint32_t count);
void esp_jobs_open(struct esp_job *jobs, uint32_t count);

/* Make the schedule of one direction of one SA: sets cipher->suite. 0, or -errno (-EOPNOTSUPP: no such suite); then
 * nothing is left to clear. Allocates. */
int esp_cipher_init(struct esp_cipher *cipher, const struct sa *sa);

/* The suite of these IANA numbers (struct sa's encr, encr_key_bits, integ); NULL if this agent has none. */
const struct esp_suite *esp_suite_find(uint16_t encr, uint16_t encr_key_bits, uint16_t integ);
/* All of them, for tests and `version`: the index-th, NULL past the end. */
const struct esp_suite *esp_suite_at(unsigned index);

/* Frees the schedules (the library wipes them) and wipes the rest. Harmless on a zeroed or cleared cipher. */
void esp_cipher_clear(struct esp_cipher *cipher);

#endif
