/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/overhead.h"

#define IPV4_LEN 20u
#define IPV6_LEN 40u
#define UDP_LEN	 8u

/* All that does not depend on the packet's length. */
static uint32_t fixed_len(const struct esp_suite *suite, uint8_t outer_family, bool udp_encap)
{
	return (outer_family == 4 ? IPV4_LEN : IPV6_LEN) + (udp_encap ? UDP_LEN : 0) + ESP_HEADER_LEN + suite->iv_len +
	       suite->icv_len;
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
