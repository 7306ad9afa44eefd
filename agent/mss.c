/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/mss.h"

#include "agent/checksum.h"

#include <netinet/in.h>
#include <string.h>

#define TCP_HEADER_LEN MSS_TCP_LEN
#define TCP_CHECK_OFF  16u
#define IPV4_LEN       20u
#define IPV6_LEN       40u
#define OPTION_END     0u
#define OPTION_NOP     1u
#define OPTION_MSS     2u
#define OPTION_MSS_LEN 4u

/* The value of the MSS option (RFC 9293 3.7.1), or NULL. */
static uint8_t *find_mss(uint8_t *tcp, uint32_t header_len)
{
	uint32_t at = TCP_HEADER_LEN;

	while (at < header_len && tcp[at] != OPTION_END) {
		uint32_t left = header_len - at;

		if (tcp[at] == OPTION_NOP) {
			at++;
			continue;
		}
		if (left < 2 || tcp[at + 1] < 2 || tcp[at + 1] > left)
			return NULL;
		if (tcp[at] == OPTION_MSS)
			return tcp[at + 1] == OPTION_MSS_LEN ? tcp + at + 2 : NULL;
		at += tcp[at + 1];
	}
	return NULL;
}

/* Put two bytes at any offset of a TCP header; at an odd offset they stand in two words of the checksum. */
static void replace(uint8_t *tcp, uint8_t *at, const uint8_t value[2])
{
	uint8_t *even = (at - tcp) & 1 ? at - 1 : at;
	uint8_t before[4];

	memcpy(before, even, sizeof(before));
	memcpy(at, value, 2);
	checksum_update16(tcp + TCP_CHECK_OFF, before, even);
	if (even != at)
		checksum_update16(tcp + TCP_CHECK_OFF, before + 2, even + 2);
}

bool mss_clamp(uint8_t *packet, const struct inner *inner, uint32_t mtu)
{
	uint32_t headers = (inner->family == 4 ? IPV4_LEN : IPV6_LEN) + TCP_HEADER_LEN;
	uint8_t *tcp = packet + inner->payload_off, *mss;
	uint32_t len = inner->len - inner->payload_off, header_len;
	uint8_t clamped[2];

	if (inner->protocol != IPPROTO_TCP || inner->later_fragment || len < TCP_HEADER_LEN ||
		!(tcp[13] & MSS_TCP_SYN) || mtu <= headers)
		return false;
	header_len = (uint32_t)(tcp[12] >> 4) * 4u;
	if (header_len > len)
		return false;
	mss = find_mss(tcp, header_len);
	if (!mss || (uint32_t)(mss[0] << 8 | mss[1]) <= mtu - headers)
		return false;
	clamped[0] = (uint8_t)((mtu - headers) >> 8);
	clamped[1] = (uint8_t)(mtu - headers);
	replace(tcp, mss, clamped);
	return true;
}
