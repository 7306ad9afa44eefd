/* SPDX-License-Identifier: Apache-2.0 */
/* Internet checksums (RFC 1071): whole, by difference (RFC 1624), and the completion of those that an interface was to
 * finish. */
#ifndef ESPALIER_AGENT_CHECKSUM_H
#define ESPALIER_AGENT_CHECKSUM_H

#include "agent/inner.h"
#include "agent/sum.h"

#include <endian.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Add `len` bytes to a running sum (sum.h; start with 0; only the last run may have odd length). */
uint64_t checksum_add(uint64_t sum, const void *data, uint32_t len);
/* The pseudo header of `inner`'s addresses for `protocol` and a transport length (RFC 9293 3.1, RFC 8200 8.1). */
uint64_t checksum_pseudo(const struct inner *inner, uint8_t protocol, uint32_t len);
/* Change of a 16-bit word inside a checksummed run, from the bytes at `old` to those at `new`; updates the field at
 * `check`. */
void checksum_update16(uint8_t *check, const uint8_t old[2], const uint8_t new[2]);

/*
 * A packet sent from a virtual interface may carry only the pseudo header's sum in its TCP or UDP checksum field, left
 * to the hardware. If so, put the whole checksum there. Harmless for packets that are complete; does nothing for
 * fragments and other protocols.
 */
void checksum_complete(uint8_t *packet, const struct inner *inner);
/* Can it be such a packet? What it costs to know for the many that cannot. Of a plain packet of `total` bytes: */
__attribute__((always_inline)) static inline bool checksum_partial_plain(const uint8_t *packet, uint32_t total)
{
	uint8_t protocol = packet[9];
	uint32_t len = total - WIRE_IPV4_LEN;
	uint16_t check;

	if (len < 20)
		return true;
	memcpy(&check, packet + WIRE_IPV4_LEN + (protocol == IPPROTO_UDP ? 6 : 16), sizeof(check));
	/* Both addresses are one word; length and protocol have no carry together. */
	return check == checksum_fold(sum_around(sum_word64(packet + 12), htobe16((uint16_t)(len + protocol))));
}

static inline bool checksum_partial(const uint8_t *packet, const struct inner *inner)
{
	return !inner->plain || checksum_partial_plain(packet, inner->len);
}

#endif
