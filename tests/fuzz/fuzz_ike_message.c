/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever arrives on UDP 500: the message reader, every payload reader, and the SK payload with a known key. */
#include "ike/message.h"
#include "ike/payload/auth.h"
#include "ike/payload/delete.h"
#include "ike/payload/id.h"
#include "ike/payload/ke.h"
#include "ike/payload/nonce.h"
#include "ike/payload/notify.h"
#include "ike/payload/sa.h"
#include "ike/payload/ts.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Read a body by every reader, not by its own alone: none may trust a type. */
static void body_read(struct bytes body)
{
	struct proposal_list proposals, ours;
	struct payload_ke ke;
	struct ike_id id;
	struct payload_auth auth;
	struct bytes nonce;
	struct payload_notify notify;
	struct payload_delete delete_;
	struct ts_list selectors;
	struct suite suite;
	char text[2048], id_text[IKE_ID_TEXT_LEN];

	if (payload_sa_read(body, &proposals)) {
		proposal_defaults(PROTOCOL_IKE, &ours);
		if (!proposal_choose(&ours, &proposals, false, &suite))
			proposal_mismatch(&ours, &proposals, "fuzz", text, sizeof(text));
	}
	payload_ke_read(body, &ke);
	if (payload_id_read(body, &id))
		ike_id_format(&id, id_text);
	payload_auth_read(body, &auth);
	payload_nonce_read(body, &nonce);
	payload_notify_read(body, &notify);
	if (payload_delete_read(body, &delete_))
		for (unsigned i = 0; i < delete_.count; i++)
			payload_delete_spi(&delete_, i);
	if (payload_ts_read(body, &selectors)) {
		struct selector narrowed[SELECTORS_MAX];

		ts_narrow(selectors.items, selectors.count, selectors.items, selectors.count, narrowed);
		ts_list_format(selectors.items, selectors.count, text, sizeof(text));
	}
}

static void message_walk(struct ike_message *message)
{
	for (unsigned i = 0; i < message->count; i++)
		body_read(message->payloads[i].body);
	message_unknown_critical(message);
}

/* The input as the plaintext of a message that a peer who has the keys sealed. */
static void sealed_read(const uint8_t *data, size_t size)
{
	static const struct sk_key key = {
		.encr = ENCR_AES_GCM_16, .encr_len = 32, .salt_len = 4, .iv_len = 8, .icv_len = 16, .block = 1};
	static const struct ike_header header = {.spi_i = 1, .spi_r = 2, .exchange = IKE_AUTH};
	static const uint8_t iv[8] = {1};
	static uint8_t bytes[IKE_MESSAGE_MAX], plain[IKE_MESSAGE_MAX];
	struct message_writer m;
	struct ike_message message;
	bool authentic;
	size_t len;

	if (size < 1)
		return;
	message_begin(&m, bytes, sizeof(bytes), &header);
	message_begin_sk(&m, &key);
	if (m.w.error)
		return;
	bytes[m.sk_at] = data[0]; /* the type of the first payload inside */
	write_bytes(&m.w, data + 1, size - 1);
	len = message_seal(&m, &key, iv);
	if (!len)
		return;
	if (message_read((struct bytes){bytes, len}, &message) != PARSE_OK)
		abort();
	if (message_open(&message, &key, plain, &authentic) == PARSE_OK)
		message_walk(&message);
	if (!authentic)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct sk_key cbc = {.encr = ENCR_AES_CBC,
		.encr_len = 32,
		.integ = INTEG_HMAC_SHA2_256_128,
		.integ_len = 32,
		.iv_len = 16,
		.icv_len = 16,
		.block = 16};
	static uint8_t plain[IKE_MESSAGE_MAX];
	struct ike_message message;
	bool authentic;

	if (message_read((struct bytes){data, size}, &message) == PARSE_OK) {
		message_walk(&message);
		message_open(&message, &cbc, plain, &authentic);
	}
	sealed_read(data, size);
	return 0;
}
