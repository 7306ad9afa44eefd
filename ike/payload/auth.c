/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/payload/auth.h"

bool payload_auth_read(struct bytes body, struct payload_auth *out)
{
	struct reader r = reader_of(body.data, body.len);

	out->method = read_u8(&r);
	read_bytes(&r, 3); /* reserved */
	out->data = read_rest(&r);
	return reader_done(&r) && out->data.len > 0;
}

void payload_auth_write(struct message_writer *m, uint8_t method, struct bytes data)
{
	payload_begin(m, PAYLOAD_AUTH);
	write_u8(&m->w, method);
	write_u8(&m->w, 0);
	write_u16(&m->w, 0);
	write_bytes(&m->w, data.data, data.len);
	payload_end(m);
}
