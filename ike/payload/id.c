/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/payload/id.h"

bool payload_id_read(struct bytes body, struct ike_id *out)
{
	struct reader r = reader_of(body.data, body.len);
	struct bytes data;

	memset(out, 0, sizeof(*out));
	out->type = read_u8(&r);
	read_bytes(&r, 3); /* reserved */
	data = read_rest(&r);
	if (!reader_done(&r) || out->type == IKE_ID_ANY || data.len == 0 || data.len > IKE_ID_MAX)
		return false;
	if ((out->type == IKE_ID_IPV4 && data.len != 4) || (out->type == IKE_ID_IPV6 && data.len != 16))
		return false;
	out->len = (uint16_t)data.len;
	memcpy(out->data, data.data, data.len);
	return true;
}

size_t payload_id_body(const struct ike_id *id, uint8_t out[static PAYLOAD_ID_BODY_MAX])
{
	memset(out, 0, PAYLOAD_ID_BODY_MAX);
	out[0] = id->type; /* three reserved bytes follow */
	memcpy(out + 4, id->data, id->len);
	return 4u + id->len;
}

void payload_id_write(struct message_writer *m, uint8_t type, const struct ike_id *id)
{
	uint8_t body[PAYLOAD_ID_BODY_MAX];
	size_t len = payload_id_body(id, body);

	payload_begin(m, type);
	write_bytes(&m->w, body, len);
	payload_end(m);
}
