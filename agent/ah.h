/* SPDX-License-Identifier: Apache-2.0 */
/* The Authentication Header (RFC 4302), tunnel and transport mode: what sealing and opening have in common. */
#ifndef ESPALIER_AGENT_AH_H
#define ESPALIER_AGENT_AH_H

#include "agent/sa_context.h"
#include "agent/suite.h"

#include <stdbool.h>
#include <stdint.h>

#define AH_FIXED_LEN  12u /* next header, length, reserved, SPI, sequence number */
#define AH_NEXT_OFF   0u
#define AH_LEN_OFF    1u
#define AH_SPI_OFF    4u
#define AH_SEQ_OFF    8u
#define AH_IP_LEN_MAX 512u /* IP header with options or extension headers before AH; longer ones are refused */
#define AH_ESN_LEN    4u   /* the high half, behind the packet while the ICV is computed (RFC 4302 3.3.3.2.2) */

/* AH's length on the wire, padding included: a multiple of 4 in IPv4, of 8 in IPv6 (RFC 4302 3.3.3.2.1). */
uint32_t ah_len(const struct esp_suite *suite, uint8_t family);

/*
 * The ICV of the packet at `ip`, of `len` bytes with AH at offset `ah_off`. IV and ICV fields hold zero; AH_ESN_LEN
 * bytes behind the packet may be written. Headers are changed meanwhile and stand as before afterwards. False: they
 * cannot be read (then `*failed` is DROP_AH_MALFORMED), or the library failed (DROP_CRYPTO_ERROR).
 */
bool ah_icv(struct sa_context *ctx, uint8_t *ip, uint32_t len, uint32_t ah_off, uint64_t seq, const uint8_t *iv,
	uint8_t icv[ESP_ICV_MAX], enum drop_reason *failed);

#endif
