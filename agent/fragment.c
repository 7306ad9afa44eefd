/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fragment.h"

#include "agent/checksum.h"

#include <string.h>

#define IPV4_LEN      20u
#define IPV4_LEN_MAX  60u
#define IPV4_MF	      0x2000u
#define IPV4_OFFSET   0x1fffu
#define OFFSET_UNIT   8u
#define OPTION_END    0u
#define OPTION_NOP    1u
#define OPTION_COPIED 0x80u

/* The header of the second and later fragments: without the options that only the first one carries (RFC 791 3.1).
 * Gives its length. */
static uint32_t later_header(const uint8_t *packet, uint32_t header_len, uint8_t out[IPV4_LEN_MAX])
{
	uint32_t at = IPV4_LEN, len = IPV4_LEN;

	memcpy(out, packet, IPV4_LEN);
	while (at < header_len && packet[at] != OPTION_END) {
		uint32_t option_len = packet[at] == OPTION_NOP ? 1 : at + 1 < header_len ? packet[at + 1] : 0;

		if (option_len == 0 || option_len > header_len - at || (option_len == 1 && packet[at] != OPTION_NOP))
			break;
		if (packet[at] & OPTION_COPIED) {
			memcpy(out + len, packet + at, option_len);
			len += option_len;
		}
		at += option_len;
	}
	while (len % 4)
		out[len++] = OPTION_END;
	out[0] = (uint8_t)(0x40 | len / 4);
	return len;
}

/* The most payload that goes behind a header of `header_len`: all of what is left, or a multiple of 8. */
static uint32_t payload_fitting(uint32_t header_len, uint32_t mtu, uint32_t left)
{
	uint32_t room = mtu > header_len ? mtu - header_len : 0;

	return left <= room ? left : room / OFFSET_UNIT * OFFSET_UNIT;
}

unsigned fragment_count(const uint8_t *packet, const struct inner *inner, uint32_t mtu)
{
	uint8_t header[IPV4_LEN_MAX];
	uint32_t header_len = inner->payload_off, left = inner->len - header_len;
	unsigned count = 0;

	if (inner->family != 4 || inner->dont_fragment || mtu < INNER_IPV4_MTU_MIN || mtu > JUMBO_DATA_MAX)
		return 0;
	do {
		uint32_t take = payload_fitting(header_len, mtu, left);

		if (take == 0 && left)
			return 0;
		left -= take;
		if (count++ == 0)
			header_len = later_header(packet, header_len, header);
	} while (left && count <= FRAGMENTS_MAX);
	return count <= FRAGMENTS_MAX ? count : 0;
}

static void put_header(uint8_t *ip, uint32_t header_len, uint32_t len, uint32_t flags_offset)
{
	uint16_t check;

	ip[2] = (uint8_t)(len >> 8);
	ip[3] = (uint8_t)len;
	ip[6] = (uint8_t)(flags_offset >> 8);
	ip[7] = (uint8_t)flags_offset;
	memset(ip + 10, 0, 2);
	check = (uint16_t)~checksum_fold(checksum_add(0, ip, header_len));
	memcpy(ip + 10, &check, 2);
}

void fragment_split(const uint8_t *packet, const struct inner *inner, uint32_t mtu, struct frame *out, unsigned count)
{
	uint8_t header[IPV4_LEN_MAX];
	uint32_t flags_offset =
		(uint32_t)(packet[6] << 8 | packet[7]); /* of the packet, which may itself be a fragment */
	uint32_t header_len = inner->payload_off, done = 0;

	memcpy(header, packet, header_len);
	for (unsigned i = 0; i < count; i++) {
		uint32_t left = inner->len - inner->payload_off - done;
		uint32_t take = payload_fitting(header_len, mtu, left);
		uint32_t offset = (flags_offset & IPV4_OFFSET) + done / OFFSET_UNIT;
		uint32_t more = take < left ? IPV4_MF : flags_offset & IPV4_MF;

		out[i].data = out[i].chunk + FRAME_HEADROOM;
		out[i].len = header_len + take;
		memcpy(out[i].data, header, header_len);
		memcpy(out[i].data + header_len, packet + inner->payload_off + done, take);
		put_header(out[i].data, header_len, out[i].len, more | offset);
		done += take;
		if (i == 0)
			header_len = later_header(packet, header_len, header);
	}
}
