/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IKE messages (RFC 7296 3.1, 3.2, 3.14): header and payload chain to and from bytes. Reading gives structs and makes
 * no decisions; what is borrowed points into the datagram or into the caller's buffer.
 */
#ifndef ESPALIER_IKE_MESSAGE_H
#define ESPALIER_IKE_MESSAGE_H

#include "agent/base/bytes.h"
#include "ike/keys.h"
#include "ike/limits.h"
#include "ike/proposal.h"

#include <stdbool.h>
#include <stdint.h>

enum ike_exchange { IKE_SA_INIT = 34, IKE_AUTH = 35, CREATE_CHILD_SA = 36, INFORMATIONAL = 37 };

enum payload_type {
	PAYLOAD_NONE = 0,
	PAYLOAD_SA = 33,
	PAYLOAD_KE = 34,
	PAYLOAD_IDI = 35,
	PAYLOAD_IDR = 36,
	PAYLOAD_CERT = 37,
	PAYLOAD_CERTREQ = 38,
	PAYLOAD_AUTH = 39,
	PAYLOAD_NONCE = 40,
	PAYLOAD_NOTIFY = 41,
	PAYLOAD_DELETE = 42,
	PAYLOAD_VENDOR = 43,
	PAYLOAD_TSI = 44,
	PAYLOAD_TSR = 45,
	PAYLOAD_SK = 46,
	PAYLOAD_CP = 47,
	PAYLOAD_EAP = 48,
	PAYLOAD_SKF = 53,
};

#define IKE_FLAG_INITIATOR 0x08u /* sent by the original initiator of the IKE SA */
#define IKE_FLAG_VERSION   0x10u
#define IKE_FLAG_RESPONSE  0x20u
#define IKE_VERSION	   0x20u

struct ike_header {
	uint64_t spi_i; /* host order */
	uint64_t spi_r;
	uint8_t next; /* enum payload_type of the first payload */
	uint8_t version;
	uint8_t exchange; /* enum ike_exchange */
	uint8_t flags;
	uint32_t message_id;
	uint32_t length; /* of the whole message */
};

struct payload {
	uint8_t type;
	bool critical;
	struct bytes body; /* behind the generic payload header */
};

struct ike_message {
	struct ike_header header;
	unsigned count;
	struct payload payloads[IKE_PAYLOADS_MAX];
	struct bytes raw; /* the whole datagram; message_open authenticates it */
	/* The type that the first payload inside SK has (RFC 7296 3.14); PAYLOAD_NONE without SK. SK is then the last
	 * in `payloads`. */
	uint8_t inner_first;
};

enum parse_error {
	PARSE_OK = 0,
	PARSE_SHORT,	 /* not even a header */
	PARSE_VERSION,	 /* major version other than 2 */
	PARSE_LENGTH,	 /* the header's length is not the datagram's */
	PARSE_CHAIN,	 /* a payload runs past the end, is shorter than its header, or bytes are left over */
	PARSE_TOO_MANY,	 /* more than IKE_PAYLOADS_MAX */
	PARSE_INTEGRITY, /* message_open: altered, or other keys */
	PARSE_PADDING,	 /* message_open: decrypts, but its padding is wrong */
};

/* Read header and chain. On an error `out->header` is still set unless PARSE_SHORT. */
enum parse_error message_read(struct bytes datagram, struct ike_message *out);
/* The first payload of that type; NULL if there is none. */
const struct payload *message_find(const struct ike_message *message, uint8_t type);
/* The first payload of a type that RFC 7296 does not know and that is marked critical; NULL if there is none (2.5). */
const struct payload *message_unknown_critical(const struct ike_message *message);

/*
 * Verify and decrypt the SK payload of `message` with the sender's key; the payloads inside replace SK in the table.
 * The plaintext goes to `buffer` (IKE_MESSAGE_MAX bytes), which must live as long as the message is looked at and be
 * wiped then. PARSE_CHAIN: no SK payload, or a malformed chain in or around it. Only after PARSE_OK the message is
 * authentic.
 * `*authentic` is true as soon as the integrity check passed, even if the content is malformed (INVALID_SYNTAX may then
 * be answered).
 */
enum parse_error message_open(struct ike_message *message, const struct sk_key *key, uint8_t *buffer, bool *authentic);

/* Writing: begin, payloads, then finish (clear) or seal (SK). Sticky error in w.error. */
struct message_writer {
	struct writer w;
	size_t next_at;	  /* offset of the "next payload" byte to fill with the next payload's type */
	size_t length_at; /* offset of the open payload's length; payloads do not nest */
	size_t sk_at;	  /* offset of the SK payload's header; 0: none */
	uint8_t iv_len;
};

/* Start a message in `buffer`; header->next and ->length are filled in later. */
void message_begin(struct message_writer *m, void *buffer, size_t size, const struct ike_header *header);
/* Start an encrypted payload: everything that follows goes inside. Room for the IV is left. */
void message_begin_sk(struct message_writer *m, const struct sk_key *key);
/* Open a payload; write its body to m->w; close it. */
void payload_begin(struct message_writer *m, uint8_t type);
void payload_end(struct message_writer *m);
/* Fill in lengths. The length of the message; 0 if it did not fit. */
size_t message_finish(struct message_writer *m);
/*
 * Pad, encrypt and authenticate (RFC 7296 3.14, RFC 5282). `iv` gives key->iv_len bytes: for AES-GCM unique for the key
 * (a counter), for CBC unpredictable. The length of the message; 0 if it did not fit or the cipher failed.
 */
size_t message_seal(struct message_writer *m, const struct sk_key *key, const uint8_t *iv);

const char *exchange_name(uint8_t exchange);
const char *payload_name(uint8_t type);
const char *parse_error_text(enum parse_error error);

#endif
