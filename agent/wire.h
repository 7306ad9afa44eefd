/* SPDX-License-Identifier: Apache-2.0 */
/* Integers in network byte order, and the header lengths and fields that every file of the data plane meets. */
#ifndef ESPALIER_AGENT_WIRE_H
#define ESPALIER_AGENT_WIRE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define WIRE_IPV4_LEN	   20u /* without options */
#define WIRE_IPV4_LEN_MAX  60u
#define WIRE_IPV4_PLAIN	   0x45u /* version and header length without options */
#define WIRE_IPV6_LEN	   40u
#define WIRE_UDP_LEN	   8u
#define WIRE_EXTENSION_LEN 8u /* the shortest, and the unit of their lengths (RFC 8200 4) */
#define WIRE_IPV4_DF	   0x4000u
#define WIRE_IPV4_MF	   0x2000u
#define WIRE_IPV4_OFFSET   0x1fffu
#define WIRE_IPV6_OFFSET   0xfff8u
#define WIRE_IPV6_MORE	   0x0001u
#define WIRE_FRAGMENT_UNIT 8u
#define WIRE_NEXT_DUMMY	   59u /* RFC 4303 2.6 */
#define WIRE_OPTION_END	   0u  /* types of IPv4 options, copy bit and class included (RFC 791 3.1) */
#define WIRE_OPTION_NOP	   1u
#define WIRE_OPTION_LSRR   131u
#define WIRE_OPTION_SSRR   137u
#define WIRE_PORT_ESP_UDP  4500u

static inline uint16_t wire_get16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return be16toh(value);
}

static inline uint32_t wire_get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return be32toh(value);
}

static inline void wire_put16(uint8_t *at, uint32_t value)
{
	uint16_t wire = htobe16((uint16_t)value);

	memcpy(at, &wire, sizeof(wire));
}

static inline void wire_put32(uint8_t *at, uint32_t value)
{
	uint32_t wire = htobe32(value);

	memcpy(at, &wire, sizeof(wire));
}

#endif
