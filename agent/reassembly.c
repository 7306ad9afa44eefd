/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/reassembly.h"

#include "agent/base/clock.h"
#include "agent/checksum.h"
#include "agent/inner.h"
#include "agent/wire.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ECN_MASK    0x03u
#define ECN_NOT_ECT 0u
#define ECN_CE	    3u

/* One fragment as its headers tell. */
struct fragment {
	struct reassembly_key key;
	const uint8_t *header;
	uint32_t header_len;
	uint8_t next_off;
	uint8_t next;
	uint8_t ecn;
	const uint8_t *data;
	uint32_t len;
	uint32_t offset;
	bool more;
};

struct reassembly *reassembly_new(void)
{
	struct reassembly *table = calloc(1, sizeof(*table));

	if (table && pthread_mutex_init(&table->lock, NULL)) {
		free(table);
		return NULL;
	}
	return table;
}

void reassembly_free(struct reassembly *table)
{
	if (!table)
		return;
	pthread_mutex_destroy(&table->lock);
	free(table);
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static bool read_ipv4(const uint8_t *ip, uint32_t len, struct fragment *fragment)
{
	uint32_t header_len, total;

	if (len < WIRE_IPV4_LEN || ip[0] >> 4 != 4)
		return false;
	header_len = (ip[0] & 15u) * 4u;
	total = wire_get16(ip + 2);
	if (header_len < WIRE_IPV4_LEN || total < header_len || total > len)
		return false;
	fragment->key.family = 4;
	fragment->key.protocol = ip[9];
	fragment->key.id = wire_get16(ip + 4);
	memset(fragment->key.source.bytes + 10, 0xff, 2);
	memcpy(fragment->key.source.bytes + 12, ip + 12, 4);
	memset(fragment->key.destination.bytes + 10, 0xff, 2);
	memcpy(fragment->key.destination.bytes + 12, ip + 16, 4);
	fragment->header_len = header_len;
	fragment->ecn = ip[1] & ECN_MASK;
	fragment->offset = (wire_get16(ip + 6) & WIRE_IPV4_OFFSET) * WIRE_FRAGMENT_UNIT;
	fragment->more = wire_get16(ip + 6) & WIRE_IPV4_MF;
	fragment->data = ip + header_len;
	fragment->len = total - header_len;
	return true;
}

/* To the fragment header, over what stands before it. False: there is none. */
static bool find_fragment_header(const uint8_t *ip, uint32_t end, uint32_t *at, uint32_t *next_off)
{
	*at = WIRE_IPV6_LEN;
	*next_off = 6;
	for (unsigned i = 0; i <= INNER_EXTENSIONS_MAX; i++) {
		uint8_t header = ip[*next_off];

		if (*at + WIRE_EXTENSION_LEN > end)
			return false;
		if (header == IPPROTO_FRAGMENT)
			return true;
		if (header != IPPROTO_HOPOPTS && header != IPPROTO_ROUTING && header != IPPROTO_DSTOPTS)
			return false;
		*next_off = *at;
		*at += (ip[*at + 1] + 1u) * WIRE_EXTENSION_LEN;
	}
	return false;
}

static bool read_ipv6(const uint8_t *ip, uint32_t len, struct fragment *fragment)
{
	uint32_t end, at, next_off;
	const uint8_t *header;

	if (len < WIRE_IPV6_LEN || ip[0] >> 4 != 6)
		return false;
	end = WIRE_IPV6_LEN + wire_get16(ip + 4);
	if (end > len || !find_fragment_header(ip, end, &at, &next_off) || at > REASSEMBLY_HEADER_MAX)
		return false;
	header = ip + at;
	fragment->key.family = 6;
	fragment->key.id = wire_get32(header + 4);
	memcpy(fragment->key.source.bytes, ip + 8, 16);
	memcpy(fragment->key.destination.bytes, ip + 24, 16);
	fragment->header_len = at;
	fragment->next_off = (uint8_t)next_off;
	fragment->next = header[0];
	fragment->ecn = (ip[1] >> 4) & ECN_MASK;
	fragment->offset = wire_get16(header + 2) & WIRE_IPV6_OFFSET;
	fragment->more = wire_get16(header + 2) & WIRE_IPV6_MORE;
	fragment->data = header + WIRE_EXTENSION_LEN;
	fragment->len = end - at - WIRE_EXTENSION_LEN;
	return true;
}

static enum drop_reason read_fragment(const struct frame *frame, struct fragment *fragment)
{
	const struct packet_meta *meta = &frame->meta;
	const uint8_t *ip = frame->data + meta->l3_off;
	bool read;

	memset(fragment, 0, sizeof(*fragment));
	if (frame->len < meta->l3_off)
		return DROP_PACKET_MALFORMED;
	read = meta->family == 4 ? read_ipv4(ip, frame->len - meta->l3_off, fragment)
				 : read_ipv6(ip, frame->len - meta->l3_off, fragment);
	if (!read)
		return DROP_PACKET_MALFORMED;
	fragment->header = ip;
	if (!fragment->len || (fragment->more && fragment->len % WIRE_FRAGMENT_UNIT) ||
		fragment->offset + fragment->len > REASSEMBLY_PAYLOAD_MAX)
		return DROP_REASSEMBLY_BAD;
	return DROP_NONE;
}

/* ---- the table ----------------------------------------------------------------------------------------------- */

static void forget(struct reassembly_packet *packet, uint64_t *lost)
{
	*lost += packet->fragments;
	packet->used = false;
}

/* Another worker's clock may be a little ahead of this one's. */
static bool expired(const struct reassembly_packet *packet, uint64_t now_ns)
{
	return now_ns >= packet->started_ns + REASSEMBLY_S * NS_PER_S;
}

/* Room for one more packet of this source: a free place, or that of the oldest one, of the same source if it has its
 * share. */
static struct reassembly_packet *make_room(struct reassembly *table, const struct addr16 *source)
{
	struct reassembly_packet *unused = NULL, *oldest = NULL, *own = NULL;
	unsigned count = 0;

	for (unsigned i = 0; i < REASSEMBLY_PACKETS; i++) {
		struct reassembly_packet *packet = &table->packets[i];

		if (!packet->used) {
			unused = packet;
			continue;
		}
		if (!oldest || packet->started_ns < oldest->started_ns)
			oldest = packet;
		if (memcmp(&packet->key.source, source, sizeof(*source)) != 0)
			continue;
		count++;
		if (!own || packet->started_ns < own->started_ns)
			own = packet;
	}
	if (count >= REASSEMBLY_SOURCE_PACKETS) {
		forget(own, &table->lost.full);
		return own;
	}
	if (!unused)
		forget(oldest, &table->lost.full);
	return unused ? unused : oldest;
}

static struct reassembly_packet *find(struct reassembly *table, const struct reassembly_key *key, uint64_t now_ns)
{
	struct reassembly_packet *found = NULL;

	for (unsigned i = 0; i < REASSEMBLY_PACKETS; i++) {
		struct reassembly_packet *packet = &table->packets[i];

		if (packet->used && expired(packet, now_ns))
			forget(packet, &table->lost.timeout);
		if (packet->used && memcmp(&packet->key, key, sizeof(*key)) == 0)
			found = packet;
	}
	if (found)
		return found;
	found = make_room(table, &key->source);
	memset(found, 0, offsetof(struct reassembly_packet, header));
	found->key = *key;
	found->used = true;
	found->started_ns = now_ns;
	return found;
}

/* ---- one packet ---------------------------------------------------------------------------------------------- */

/* How many of the fragment's units are there already. */
static uint32_t units_present(const struct reassembly_packet *packet, const struct fragment *fragment)
{
	uint32_t first = fragment->offset / WIRE_FRAGMENT_UNIT, count = 0;
	uint32_t end = (fragment->offset + fragment->len + WIRE_FRAGMENT_UNIT - 1) / WIRE_FRAGMENT_UNIT;

	for (uint32_t unit = first; unit < end; unit++)
		count += (uint32_t)(packet->units[unit / 64] >> (unit % 64) & 1);
	return count;
}

static void units_mark(struct reassembly_packet *packet, const struct fragment *fragment)
{
	uint32_t end = (fragment->offset + fragment->len + WIRE_FRAGMENT_UNIT - 1) / WIRE_FRAGMENT_UNIT;

	for (uint32_t unit = fragment->offset / WIRE_FRAGMENT_UNIT; unit < end; unit++)
		packet->units[unit / 64] |= UINT64_C(1) << (unit % 64);
}

/* The network may have doubled it (RFC 8200 4.5): it brings no byte that is not there already. */
static bool is_duplicate(const struct reassembly_packet *packet, const struct fragment *fragment, uint32_t present)
{
	uint32_t units = (fragment->len + WIRE_FRAGMENT_UNIT - 1) / WIRE_FRAGMENT_UNIT;
	uint32_t end = fragment->offset + fragment->len;

	return present == units && end <= packet->end && (fragment->more || packet->total == end) &&
	       memcmp(packet->payload + fragment->offset, fragment->data, fragment->len) == 0;
}

/* Does it end where all others lie before? */
static bool fits(const struct reassembly_packet *packet, const struct fragment *fragment)
{
	uint32_t end = fragment->offset + fragment->len;

	if (!fragment->more)
		return (!packet->total || packet->total == end) && packet->end <= end;
	return !packet->total || end <= packet->total;
}

static enum drop_reason keep(struct reassembly_packet *packet, const struct fragment *fragment)
{
	uint32_t end = fragment->offset + fragment->len;

	packet->ecn_seen |= (uint8_t)(1u << fragment->ecn);
	if (packet->ecn_seen & 1u << ECN_CE && packet->ecn_seen & 1u << ECN_NOT_ECT)
		return DROP_REASSEMBLY_BAD; /* RFC 3168 5.3 */
	if (!fragment->offset) {
		if (fragment->header_len > REASSEMBLY_HEADER_MAX)
			return DROP_REASSEMBLY_BAD;
		memcpy(packet->header, fragment->header, fragment->header_len);
		packet->header_len = fragment->header_len;
		packet->next_off = fragment->next_off;
		packet->next = fragment->next;
	}
	memcpy(packet->payload + fragment->offset, fragment->data, fragment->len);
	units_mark(packet, fragment);
	packet->received += fragment->len;
	packet->fragments++;
	if (end > packet->end)
		packet->end = end;
	if (!fragment->more)
		packet->total = end;
	return DROP_NONE;
}

enum drop_reason reassembly_add(
	struct reassembly *table, const struct frame *frame, uint64_t now_ns, struct reassembly_packet **whole)
{
	struct reassembly_packet *packet;
	struct fragment fragment;
	enum drop_reason reason = read_fragment(frame, &fragment);
	uint32_t present;

	*whole = NULL;
	if (reason != DROP_NONE)
		return reason;
	packet = find(table, &fragment.key, now_ns);
	present = units_present(packet, &fragment);
	if (present && is_duplicate(packet, &fragment, present))
		return DROP_REASSEMBLY_BAD;
	reason = present || !fits(packet, &fragment) ? DROP_REASSEMBLY_BAD : keep(packet, &fragment);
	if (reason != DROP_NONE) {
		forget(packet, &table->lost.bad);
		return reason;
	}
	if (packet->total && packet->received == packet->total)
		*whole = packet;
	return DROP_NONE;
}

uint32_t reassembly_len(const struct reassembly_packet *whole)
{
	return whole->header_len + whole->total;
}

static void set_congestion(uint8_t *ip, const struct reassembly_packet *whole)
{
	if (!(whole->ecn_seen & 1u << ECN_CE))
		return;
	if (whole->key.family == 4)
		ip[1] |= ECN_CE;
	else
		ip[1] |= ECN_CE << 4;
}

void reassembly_write(const struct reassembly_packet *whole, struct frame *frame)
{
	uint8_t *ip = frame->chunk + FRAME_HEADROOM;
	uint16_t check;

	frame->data = ip;
	frame->len = reassembly_len(whole);
	memcpy(ip, whole->header, whole->header_len);
	memcpy(ip + whole->header_len, whole->payload, whole->total);
	set_congestion(ip, whole);
	if (whole->key.family == 6) {
		wire_put16(ip + 4, frame->len - WIRE_IPV6_LEN);
		ip[whole->next_off] = whole->next;
		return;
	}
	wire_put16(ip + 2, frame->len);
	memset(ip + 6, 0, 2); /* RFC 4303 3.4.1: reassembled, it must not look like a fragment */
	memset(ip + 10, 0, 2);
	check = (uint16_t)~checksum_fold(checksum_add(0, ip, whole->header_len));
	memcpy(ip + 10, &check, 2);
}

void reassembly_release(struct reassembly_packet *whole)
{
	whole->used = false;
}

void reassembly_sweep(struct reassembly *table, uint64_t now_ns, struct reassembly_lost *lost)
{
	for (unsigned i = 0; i < REASSEMBLY_PACKETS; i++) {
		if (table->packets[i].used && expired(&table->packets[i], now_ns))
			forget(&table->packets[i], &table->lost.timeout);
	}
	*lost = table->lost;
	table->lost = (struct reassembly_lost){0};
}
