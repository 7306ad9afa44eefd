/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/payload/ts.h"

#define TS_IPV4_ADDR_RANGE 7u
#define TS_IPV6_ADDR_RANGE 8u
#define TS_HEADER_LEN	   8u

/* One selector of a type that is known; the substructure's length has been taken off. */
static bool selector_read(struct reader *r, uint8_t type, struct selector *out)
{
	size_t len = type == TS_IPV4_ADDR_RANGE ? 4 : 16;

	*out = (struct selector){.family = type == TS_IPV4_ADDR_RANGE ? IP_V4 : IP_V6, .protocol = read_u8(r)};
	read_u16(r); /* length, known */
	out->port_first = read_u16(r);
	out->port_last = read_u16(r);
	read_copy(r, out->first, len);
	read_copy(r, out->last, len);
	/* Ports 65535-0 mean OPAQUE (3.13.1) and stay as they are; an address range that runs backwards means nothing.
	 */
	return reader_done(r) && memcmp(out->first, out->last, len) <= 0;
}

bool payload_ts_read(struct bytes body, struct ts_list *out)
{
	struct reader r = reader_of(body.data, body.len);
	uint8_t count = read_u8(&r);

	read_bytes(&r, 3); /* reserved */
	out->count = 0;
	if (count == 0)
		return false;
	for (unsigned i = 0; i < count; i++) {
		struct reader peek = r, sub;
		uint8_t type = read_u8(&peek);
		struct selector selector;
		size_t len;

		read_u8(&peek);
		len = read_u16(&peek);
		if (peek.error || len < TS_HEADER_LEN)
			return false;
		sub = read_sub(&r, len);
		if (r.error)
			return false;
		if (type != TS_IPV4_ADDR_RANGE && type != TS_IPV6_ADDR_RANGE)
			continue;
		read_u8(&sub);
		if (!selector_read(&sub, type, &selector))
			return false;
		if (out->count < IKE_TS_MAX)
			out->items[out->count++] = selector;
	}
	return reader_done(&r);
}

void payload_ts_write(struct message_writer *m, uint8_t type, const struct selector *items, unsigned count)
{
	payload_begin(m, type);
	write_u8(&m->w, (uint8_t)count);
	write_u8(&m->w, 0);
	write_u16(&m->w, 0);
	for (unsigned i = 0; i < count; i++) {
		size_t len = items[i].family == IP_V4 ? 4 : 16;

		write_u8(&m->w, items[i].family == IP_V4 ? TS_IPV4_ADDR_RANGE : TS_IPV6_ADDR_RANGE);
		write_u8(&m->w, items[i].protocol);
		write_u16(&m->w, (uint16_t)(TS_HEADER_LEN + 2 * len));
		write_u16(&m->w, items[i].port_first);
		write_u16(&m->w, items[i].port_last);
		write_bytes(&m->w, items[i].first, len);
		write_bytes(&m->w, items[i].last, len);
	}
	payload_end(m);
}
