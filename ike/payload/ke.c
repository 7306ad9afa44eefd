/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/payload/ke.h"

bool payload_ke_read(struct bytes body, struct payload_ke *out)
{
	struct reader r = reader_of(body.data, body.len);

	out->group = read_u16(&r);
	read_u16(&r); /* reserved */
	out->value = read_rest(&r);
	return reader_done(&r) && out->value.len > 0;
}

void payload_ke_write(struct message_writer *m, uint16_t group, struct bytes value)
{
	payload_begin(m, PAYLOAD_KE);
	write_u16(&m->w, group);
	write_u16(&m->w, 0);
	write_bytes(&m->w, value.data, value.len);
	payload_end(m);
}
