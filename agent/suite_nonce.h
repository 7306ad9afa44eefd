/* SPDX-License-Identifier: Apache-2.0 */
/* What all engines put together in the same way: IVs, nonces and additional data. */
#ifndef ESPALIER_AGENT_SUITE_NONCE_H
#define ESPALIER_AGENT_SUITE_NONCE_H

#include "agent/suite.h"

#include <endian.h>
#include <string.h>

#define ESP_AAD_MAX	12u
#define NONCE_COUNT_LEN 8u  /* of the IV in every counter mode */
#define NONCE_MAX	12u /* salt and IV */

/* Additional data: SPI and sequence number, with ESN all 64 bits of it (RFC 4106 5, RFC 4309 5, RFC 7634 2.1). Gives
 * its length. */
static inline uint32_t esp_aad(
	uint8_t aad[ESP_AAD_MAX], const struct esp_cipher *cipher, const uint8_t *esp, uint64_t seq)
{
	uint32_t high = htobe32((uint32_t)(seq >> 32));

	if (!cipher->esn) {
		memcpy(aad, esp, ESP_HEADER_LEN);
		return ESP_HEADER_LEN;
	}
	memcpy(aad, esp, 4);
	memcpy(aad + 4, &high, 4);
	memcpy(aad + 8, esp + 4, 4);
	return ESP_AAD_MAX;
}

/* The IV to send: the sequence number, which never repeats under one key (RFC 4106 3.1, RFC 3686 3.1). */
static inline void esp_put_count(uint8_t *iv, uint64_t seq)
{
	uint64_t count = htobe64(seq);

	memcpy(iv, &count, sizeof(count));
}

/* Salt and IV (RFC 4106 4, RFC 4309 4, RFC 7634 2); an implicit IV is the sequence number (RFC 8750 4). Salt and IV
 * fill salt_len + 8 bytes. */
static inline void esp_nonce(
	uint8_t nonce[NONCE_MAX], const struct esp_cipher *cipher, const uint8_t *esp, uint64_t seq)
{
	const struct esp_suite *suite = cipher->suite;

	memcpy(nonce, cipher->salt, sizeof(cipher->salt));
	if (suite->iv_len)
		memcpy(nonce + suite->salt_len, esp + ESP_HEADER_LEN, NONCE_COUNT_LEN);
	else
		esp_put_count(nonce + suite->salt_len, seq);
}

/* The nonce of a packet to be sealed; puts the IV into the packet if it goes on the wire. */
static inline void esp_nonce_new(uint8_t nonce[NONCE_MAX], const struct esp_cipher *cipher, uint8_t *esp, uint64_t seq)
{
	if (cipher->suite->iv_len)
		esp_put_count(esp + ESP_HEADER_LEN, seq);
	esp_nonce(nonce, cipher, esp, seq);
}

static inline uint8_t *esp_text(const struct esp_cipher *cipher, uint8_t *esp)
{
	return esp + ESP_HEADER_LEN + cipher->suite->iv_len;
}

#endif
