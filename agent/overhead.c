/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/overhead.h"

#include "agent/ah.h"
#include "agent/wire.h"

#include <netinet/in.h>

/* All that does not depend on the packet's length. */
static uint32_t fixed_len(const struct esp_suite *suite, uint8_t outer_family, bool udp_encap)
{
	return (outer_family == 4 ? WIRE_IPV4_LEN : WIRE_IPV6_LEN) + (udp_encap ? WIRE_UDP_LEN : 0) + ESP_HEADER_LEN +
	       suite->iv_len + suite->icv_len;
}

uint32_t overhead_outer_len(const struct esp_suite *suite, uint8_t outer_family, bool udp_encap, uint32_t inner_len)
{
	uint32_t plain = inner_len + ESP_TRAILER_LEN;

	return fixed_len(suite, outer_family, udp_encap) + (plain + suite->block - 1) / suite->block * suite->block;
}

uint32_t overhead_inner_mtu(const struct esp_suite *suite, uint8_t outer_family, bool udp_encap, uint32_t outer_mtu)
{
	uint32_t fixed = fixed_len(suite, outer_family, udp_encap);
	uint32_t plain = outer_mtu > fixed ? (outer_mtu - fixed) / suite->block * suite->block : 0;

	return plain > ESP_TRAILER_LEN ? plain - ESP_TRAILER_LEN : 0;
}

uint32_t overhead_transport_mtu(const struct esp_suite *suite, uint8_t family, bool udp_encap, uint32_t outer_mtu)
{
	uint32_t header_len = family == 4 ? WIRE_IPV4_LEN : WIRE_IPV6_LEN, least = UINT32_MAX;

	/* Headers are multiples of 4 bytes; how the payload fills its last block depends on theirs. */
	for (uint32_t more = 0; more < suite->block; more += 4) {
		uint32_t fixed = fixed_len(suite, family, udp_encap) + more;
		uint32_t plain = outer_mtu > fixed ? (outer_mtu - fixed) / suite->block * suite->block : 0;
		uint32_t len = plain > ESP_TRAILER_LEN ? header_len + more + plain - ESP_TRAILER_LEN : 0;

		least = len < least ? len : least;
	}
	return least;
}

static uint32_t ah_carries(const struct sa_context *ctx, uint32_t outer_mtu)
{
	uint32_t fixed = ah_len(ctx->suite, ctx->outer_family) + (ctx->sa.mode == SA_TUNNEL ? ctx->outer_len : 0u);

	return outer_mtu > fixed ? outer_mtu - fixed : 0;
}

uint32_t overhead_carries(const struct sa_context *ctx, uint32_t outer_mtu)
{
	bool udp = ctx->sa.flags & SA_UDP_ENCAP;

	if (ctx->sa.protocol == IPPROTO_AH)
		return ah_carries(ctx, outer_mtu);
	if (ctx->sa.mode == SA_TRANSPORT)
		return overhead_transport_mtu(ctx->suite, ctx->outer_family, udp, outer_mtu);
	return overhead_inner_mtu(ctx->suite, ctx->outer_family, udp, outer_mtu);
}
