/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic below the Internet checksum (RFC 1071): running sums of 64 bits, in memory order. */
#ifndef ESPALIER_AGENT_SUM_H
#define ESPALIER_AGENT_SUM_H

#include <stdint.h>
#include <string.h>

/* Fold to 16 bits, not complemented; in memory order, as checksum_add reads: store it with memcpy. */
static inline uint16_t checksum_fold(uint64_t sum)
{
	uint32_t half;

	/* Added to itself with its halves swapped, the upper half gets both with their carry (RFC 1071 2 (2)). */
	sum += sum >> 32 | sum << 32;
	half = (uint32_t)(sum >> 32);
	half += half >> 16 | half << 16;
	return (uint16_t)(half >> 16);
}

/* The carry out of the top comes back in at the bottom. */
static inline uint64_t sum_around(uint64_t sum, uint64_t word)
{
	sum += word;
	return sum + (sum < word);
}

static inline uint64_t sum_word32(const uint8_t *at)
{
	uint32_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static inline uint64_t sum_word64(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* The sum of an IPv4 header without options. */
static inline uint64_t checksum_add20(const uint8_t *header)
{
	return sum_around(sum_around(sum_word64(header), sum_word64(header + 8)), sum_word32(header + 16));
}

#endif
