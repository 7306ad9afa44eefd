/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/checksum.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define TCP_CHECK_OFF  16u
#define TCP_HEADER_LEN 20u
#define UDP_CHECK_OFF  6u
#define UDP_HEADER_LEN 8u
#define LANES_RUN      32u

typedef uint64_t lanes __attribute__((vector_size(16)));

/* Runs of LANES_RUN bytes, 32-bit words in 64-bit lanes: no carry is lost in any packet. Gives what is left. */
static uint32_t checksum_add_lanes(uint64_t *sum, const uint8_t *at, uint32_t len)
{
	const lanes low = {UINT32_MAX, UINT32_MAX};
	lanes even = {0}, odd = {0}, a, b;

	for (; len >= LANES_RUN; len -= LANES_RUN, at += LANES_RUN) {
		memcpy(&a, at, sizeof(a));
		memcpy(&b, at + sizeof(a), sizeof(b));
		even += (a & low) + (b & low);
		odd += (a >> 32) + (b >> 32);
	}
	even += odd;
	*sum += even[0] + even[1];
	return len;
}

uint64_t checksum_add(uint64_t sum, const void *data, uint32_t len)
{
	const uint8_t *at = data;
	uint32_t word;
	uint16_t half;

	if (len >= LANES_RUN) {
		at += len - len % LANES_RUN;
		len = checksum_add_lanes(&sum, data, len);
	}
	for (; len >= 4; len -= 4, at += 4) {
		memcpy(&word, at, 4);
		sum += word;
	}
	if (len >= 2) {
		memcpy(&half, at, 2);
		sum += half;
		at += 2;
		len -= 2;
	}
	if (len) {
		uint8_t last[2] = {*at, 0};

		memcpy(&half, last, 2);
		sum += half;
	}
	return sum;
}

uint64_t checksum_pseudo(const struct inner *inner, uint8_t protocol, uint32_t len)
{
	uint64_t sum = checksum_add(0, inner->source, inner_addr_len(inner));

	sum = checksum_add(sum, inner->destination, inner_addr_len(inner));
	return sum + htonl(len) + htons(protocol);
}

/* RFC 1624: HC' = ~(~HC + ~m + m'). */
void checksum_update16(uint8_t *check, const uint8_t old[2], const uint8_t new[2])
{
	uint16_t hc, before, after;

	memcpy(&hc, check, 2);
	memcpy(&before, old, 2);
	memcpy(&after, new, 2);
	hc = (uint16_t)~checksum_fold((uint64_t)(uint16_t)~hc + (uint16_t)~before + after);
	memcpy(check, &hc, 2);
}

void checksum_complete(uint8_t *packet, const struct inner *inner)
{
	uint8_t *transport = packet + inner->payload_off;
	uint32_t len = inner->len - inner->payload_off;
	uint32_t check_off = inner->protocol == IPPROTO_TCP ? TCP_CHECK_OFF : UDP_CHECK_OFF;
	uint32_t header_len = inner->protocol == IPPROTO_TCP ? TCP_HEADER_LEN : UDP_HEADER_LEN;
	uint64_t pseudo;
	uint16_t check;

	if ((inner->protocol != IPPROTO_TCP && inner->protocol != IPPROTO_UDP) || inner->fragment || len < header_len)
		return;
	pseudo = checksum_pseudo(inner, inner->protocol, len);
	memcpy(&check, transport + check_off, 2);
	if (check != checksum_fold(pseudo))
		return;
	/* The field still holds the pseudo header's sum: adding the whole segment counts it in. */
	check = (uint16_t)~checksum_fold(checksum_add(0, transport, len));
	if (inner->protocol == IPPROTO_UDP && !check)
		check = 0xffff; /* 0 would say "none" (RFC 768) */
	memcpy(transport + check_off, &check, 2);
}
