/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 8200 4.5: a source cuts its packet. */
#include "agent/fragment.h"

#include "agent/wire.h"

#include <netinet/in.h>
#include <string.h>

/* What every fragment repeats. */
struct repeated {
	uint32_t len;
	uint32_t next_off; /* the byte in it that names what follows */
};

/* False: it is a fragment, or its headers are cut short. */
static bool find_repeated(const uint8_t *packet, uint32_t len, struct repeated *repeated)
{
	uint32_t at = WIRE_IPV6_LEN, next_off = 6;

	*repeated = (struct repeated){.len = at, .next_off = next_off};
	for (unsigned i = 0; i < INNER_EXTENSIONS_MAX; i++) {
		uint8_t header = packet[next_off];

		if (header == IPPROTO_FRAGMENT)
			return false;
		if (header != IPPROTO_HOPOPTS && header != IPPROTO_ROUTING && header != IPPROTO_DSTOPTS)
			return true;
		if (at + WIRE_EXTENSION_LEN > len)
			return false;
		next_off = at;
		at += (packet[at + 1] + 1u) * WIRE_EXTENSION_LEN;
		if (at > len)
			return false;
		if (header != IPPROTO_DSTOPTS) /* those before a routing header go along with it */
			*repeated = (struct repeated){.len = at, .next_off = next_off};
	}
	return true;
}

/* How much of what is `left` goes into one fragment. */
static uint32_t piece_len(const struct repeated *repeated, uint32_t mtu, uint32_t left)
{
	uint32_t headers = repeated->len + WIRE_EXTENSION_LEN, room = mtu > headers ? mtu - headers : 0;

	return left <= room ? left : room / WIRE_FRAGMENT_UNIT * WIRE_FRAGMENT_UNIT;
}

unsigned fragment6_count(const uint8_t *packet, uint32_t len, uint32_t mtu)
{
	struct repeated repeated;
	unsigned count = 0;

	if (len < WIRE_IPV6_LEN || mtu < INNER_IPV6_MTU_MIN || mtu > JUMBO_DATA_MAX ||
		!find_repeated(packet, len, &repeated))
		return 0;
	for (uint32_t left = len - repeated.len; left && count <= FRAGMENTS_MAX; count++) {
		uint32_t take = piece_len(&repeated, mtu, left);

		if (!take)
			return 0;
		left -= take;
	}
	return count <= FRAGMENTS_MAX ? count : 0;
}

void fragment6_split(const uint8_t *packet, uint32_t len, uint32_t mtu, uint32_t id, struct frame *out, unsigned count)
{
	struct repeated repeated;
	uint32_t done = 0;

	if (!find_repeated(packet, len, &repeated))
		return;
	for (unsigned i = 0; i < count; i++) {
		uint32_t left = len - repeated.len - done, take = piece_len(&repeated, mtu, left);
		uint8_t *ip = out[i].chunk + FRAME_HEADROOM, *header = ip + repeated.len;

		memcpy(ip, packet, repeated.len);
		header[0] = ip[repeated.next_off];
		header[1] = 0;
		wire_put16(header + 2, done | (take < left ? WIRE_IPV6_MORE : 0));
		wire_put32(header + 4, id);
		ip[repeated.next_off] = IPPROTO_FRAGMENT;
		memcpy(header + WIRE_EXTENSION_LEN, packet + repeated.len + done, take);
		out[i].data = ip;
		out[i].len = repeated.len + WIRE_EXTENSION_LEN + take;
		wire_put16(ip + 4, out[i].len - WIRE_IPV6_LEN);
		done += take;
	}
}
