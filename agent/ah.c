/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ah.h"

#include "agent/ah_mutable.h"
#include "agent/wire.h"

#include <string.h>

uint32_t ah_len(const struct esp_suite *suite, uint8_t family)
{
	uint32_t unit = family == 4 ? 4 : 8, len = AH_FIXED_LEN + suite->iv_len + suite->icv_len;

	return (len + unit - 1) / unit * unit;
}

bool ah_icv(struct sa_context *ctx, uint8_t *ip, uint32_t len, uint32_t ah_off, uint64_t seq, const uint8_t *iv,
	uint8_t icv[ESP_ICV_MAX], enum drop_reason *failed)
{
	bool outbound = ctx->sa.direction == SA_OUT, good;
	uint8_t header[AH_IP_LEN_MAX];

	*failed = DROP_AH_MALFORMED;
	if (ah_off > sizeof(header))
		return false;
	memcpy(header, ip, ah_off);
	good = ah_zero_mutable(ip, ah_off, outbound);
	if (good) {
		*failed = DROP_CRYPTO_ERROR;
		if (ctx->sa.flags & SA_ESN) {
			wire_put32(ip + len, (uint32_t)(seq >> 32));
			len += AH_ESN_LEN;
		}
		good = esp_cipher_mac(&ctx->cipher, ip, len, iv, icv);
	}
	memcpy(ip, header, ah_off);
	return good;
}
