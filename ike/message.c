/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/message.h"

#include "ike/sk.h"

#define PAYLOAD_HEADER_LEN 4u
#define PAYLOAD_CRITICAL   0x80u

static void header_read(struct reader *r, struct ike_header *out)
{
	out->spi_i = read_u64(r);
	out->spi_r = read_u64(r);
	out->next = read_u8(r);
	out->version = read_u8(r);
	out->exchange = read_u8(r);
	out->flags = read_u8(r);
	out->message_id = read_u32(r);
	out->length = read_u32(r);
}

/* Read payloads from `r` until its end, the first being of type `next`. An SK payload ends the chain (RFC 7296 3.14).
 */
static enum parse_error chain_read(struct reader *r, uint8_t next, struct ike_message *out)
{
	while (next != PAYLOAD_NONE) {
		struct payload payload = {.type = next};
		size_t len;

		next = read_u8(r);
		payload.critical = (read_u8(r) & PAYLOAD_CRITICAL) != 0;
		len = read_u16(r);
		if (r->error || len < PAYLOAD_HEADER_LEN)
			return PARSE_CHAIN;
		payload.body = (struct bytes){read_bytes(r, len - PAYLOAD_HEADER_LEN), len - PAYLOAD_HEADER_LEN};
		if (r->error)
			return PARSE_CHAIN;
		if (out->count == IKE_PAYLOADS_MAX)
			return PARSE_TOO_MANY;
		out->payloads[out->count++] = payload;
		if (payload.type == PAYLOAD_SK) {
			out->inner_first = next;
			break;
		}
	}
	return reader_done(r) ? PARSE_OK : PARSE_CHAIN;
}

enum parse_error message_read(struct bytes datagram, struct ike_message *out)
{
	struct reader r = reader_of(datagram.data, datagram.len);

	out->count = 0;
	out->inner_first = PAYLOAD_NONE;
	out->raw = datagram;
	header_read(&r, &out->header);
	if (r.error)
		return PARSE_SHORT;
	if (out->header.version >> 4 != IKE_VERSION >> 4)
		return PARSE_VERSION;
	if (out->header.length != datagram.len || datagram.len > IKE_MESSAGE_MAX)
		return PARSE_LENGTH;
	return chain_read(&r, out->header.next, out);
}

const struct payload *message_find(const struct ike_message *message, uint8_t type)
{
	for (unsigned i = 0; i < message->count; i++)
		if (message->payloads[i].type == type)
			return &message->payloads[i];
	return NULL;
}

const struct payload *message_unknown_critical(const struct ike_message *message)
{
	for (unsigned i = 0; i < message->count; i++) {
		const struct payload *payload = &message->payloads[i];

		/* RFC 7296 2.5: the critical bit of payloads that this version defines is ignored. */
		if (payload->critical && (payload->type < PAYLOAD_SA || payload->type > PAYLOAD_EAP))
			return payload;
	}
	return NULL;
}

/* Take the padding off and read the payloads inside. */
static enum parse_error inner_read(struct ike_message *message, const uint8_t *plain, size_t len)
{
	enum parse_error error;
	size_t pad_len;
	struct reader r;
	uint8_t first;

	if (len < 1)
		return PARSE_PADDING;
	pad_len = plain[len - 1];
	if (pad_len + 1 > len)
		return PARSE_PADDING;
	r = reader_of(plain, len - 1 - pad_len);
	message->count--; /* the SK payload, always the last */
	first = message->inner_first;
	message->inner_first = PAYLOAD_NONE;
	error = chain_read(&r, first, message);
	/* An SK payload within SK means nothing. */
	return !error && message_find(message, PAYLOAD_SK) ? PARSE_CHAIN : error;
}

enum parse_error message_open(struct ike_message *message, const struct sk_key *key, uint8_t *buffer, bool *authentic)
{
	const struct payload *sk = message_find(message, PAYLOAD_SK);
	size_t plain_len;

	*authentic = false;
	if (!sk)
		return PARSE_CHAIN;
	/* What is authenticated ends with the SK payload, and that ends the datagram: chain_read saw to it. */
	if (sk->body.len < (size_t)key->iv_len + key->icv_len + 1)
		return PARSE_INTEGRITY;
	plain_len = sk->body.len - key->iv_len - key->icv_len;
	if (plain_len % key->block || plain_len > IKE_MESSAGE_MAX)
		return PARSE_INTEGRITY;
	if (!sk_open(key, message->raw, sk->body, buffer))
		return PARSE_INTEGRITY;
	*authentic = true;
	return inner_read(message, buffer, plain_len);
}

void message_begin(struct message_writer *m, void *buffer, size_t size, const struct ike_header *header)
{
	*m = (struct message_writer){.w = writer_of(buffer, size < IKE_MESSAGE_MAX ? size : IKE_MESSAGE_MAX)};
	write_u64(&m->w, header->spi_i);
	write_u64(&m->w, header->spi_r);
	m->next_at = writer_len(&m->w);
	write_u8(&m->w, PAYLOAD_NONE);
	write_u8(&m->w, IKE_VERSION);
	write_u8(&m->w, header->exchange);
	write_u8(&m->w, header->flags);
	write_u32(&m->w, header->message_id);
	write_u32(&m->w, 0);
}

void payload_begin(struct message_writer *m, uint8_t type)
{
	size_t at = writer_len(&m->w);

	write_u8(&m->w, PAYLOAD_NONE);
	write_u8(&m->w, 0); /* RFC 7296 2.5: critical is 0 for payloads of this version */
	m->length_at = write_reserve_u16(&m->w);
	if (m->w.error)
		return;
	m->w.start[m->next_at] = type;
	m->next_at = at;
}

void payload_end(struct message_writer *m)
{
	write_length_here(&m->w, m->length_at, m->length_at - 2);
}

void message_begin_sk(struct message_writer *m, const struct sk_key *key)
{
	m->sk_at = writer_len(&m->w);
	payload_begin(m, PAYLOAD_SK);
	m->iv_len = key->iv_len;
	write_space(&m->w, key->iv_len);
}

/* The header's length field, at its end. */
static void header_length_set(struct message_writer *m, size_t len)
{
	for (unsigned i = 0; i < 4; i++)
		m->w.start[IKE_HEADER_LEN - 4 + i] = (uint8_t)(len >> (24 - 8 * i));
}

size_t message_finish(struct message_writer *m)
{
	if (m->w.error)
		return 0;
	header_length_set(m, writer_len(&m->w));
	return writer_len(&m->w);
}

size_t message_seal(struct message_writer *m, const struct sk_key *key, const uint8_t *iv)
{
	size_t plain_at = m->sk_at + PAYLOAD_HEADER_LEN + key->iv_len;
	size_t plain_len = writer_len(&m->w) - plain_at;
	uint8_t pad_len = (uint8_t)(key->block - 1 - plain_len % key->block);
	uint8_t *pad = write_space(&m->w, pad_len);

	if (pad)
		memset(pad, 0, pad_len);
	write_u8(&m->w, pad_len);
	write_space(&m->w, key->icv_len);
	write_length_here(&m->w, m->sk_at + 2, m->sk_at);
	if (m->w.error)
		return 0;
	header_length_set(m, writer_len(&m->w));
	memcpy(m->w.start + m->sk_at + PAYLOAD_HEADER_LEN, iv, key->iv_len);
	return sk_seal(key, m->w.start, plain_at, plain_len + pad_len + 1u) ? writer_len(&m->w) : 0;
}

const char *exchange_name(uint8_t exchange)
{
	switch (exchange) {
	case IKE_SA_INIT:
		return "IKE_SA_INIT";
	case IKE_AUTH:
		return "IKE_AUTH";
	case CREATE_CHILD_SA:
		return "CREATE_CHILD_SA";
	case INFORMATIONAL:
		return "INFORMATIONAL";
	default:
		return "unknown exchange";
	}
}

const char *payload_name(uint8_t type)
{
	static const char *const names[] = {"SA", "KE", "IDi", "IDr", "CERT", "CERTREQ", "AUTH", "Nonce", "N", "D", "V",
		"TSi", "TSr", "SK", "CP", "EAP"};

	if (type == PAYLOAD_SKF)
		return "SKF";
	return type >= PAYLOAD_SA && type <= PAYLOAD_EAP ? names[type - PAYLOAD_SA] : "unknown payload";
}

const char *parse_error_text(enum parse_error error)
{
	switch (error) {
	case PARSE_OK:
		return "well formed";
	case PARSE_SHORT:
		return "shorter than an IKE header";
	case PARSE_VERSION:
		return "another major version than 2";
	case PARSE_LENGTH:
		return "the header's length is not the datagram's";
	case PARSE_CHAIN:
		return "a payload does not fit into its message";
	case PARSE_TOO_MANY:
		return "too many payloads";
	case PARSE_INTEGRITY:
		return "the integrity check failed";
	case PARSE_PADDING:
		return "the padding of the encrypted payload is wrong";
	}
	return "unknown error";
}
