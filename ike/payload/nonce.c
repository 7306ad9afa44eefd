/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/payload/nonce.h"

bool payload_nonce_read(struct bytes body, struct bytes *out)
{
	*out = body;
	return body.len >= IKE_NONCE_MIN && body.len <= IKE_NONCE_MAX;
}

void payload_nonce_write(struct message_writer *m, struct bytes nonce)
{
	payload_begin(m, PAYLOAD_NONCE);
	write_bytes(&m->w, nonce.data, nonce.len);
	payload_end(m);
}
