/* SPDX-License-Identifier: Apache-2.0 */
/* Notify payload (RFC 7296 3.10). */
#ifndef ESPALIER_IKE_PAYLOAD_NOTIFY_H
#define ESPALIER_IKE_PAYLOAD_NOTIFY_H

#include "agent/base/bytes.h"
#include "ike/message.h"

/* RFC 7296 3.10.1 and the IANA registry; below 16384 errors, from there on status. 0: no notify. */
enum notify {
	NOTIFY_NONE = 0,
	UNSUPPORTED_CRITICAL_PAYLOAD = 1,
	INVALID_IKE_SPI = 4,
	INVALID_MAJOR_VERSION = 5,
	INVALID_SYNTAX = 7,
	INVALID_MESSAGE_ID = 9,
	INVALID_SPI = 11,
	NO_PROPOSAL_CHOSEN = 14,
	INVALID_KE_PAYLOAD = 17,
	AUTHENTICATION_FAILED = 24,
	SINGLE_PAIR_REQUIRED = 34,
	NO_ADDITIONAL_SAS = 35,
	INTERNAL_ADDRESS_FAILURE = 36,
	FAILED_CP_REQUIRED = 37,
	TS_UNACCEPTABLE = 38,
	INVALID_SELECTORS = 39,
	TEMPORARY_FAILURE = 43,
	CHILD_SA_NOT_FOUND = 44,
	INITIAL_CONTACT = 16384,
	SET_WINDOW_SIZE = 16385,
	ADDITIONAL_TS_POSSIBLE = 16386,
	IPCOMP_SUPPORTED = 16387,
	NAT_DETECTION_SOURCE_IP = 16388,
	NAT_DETECTION_DESTINATION_IP = 16389,
	COOKIE = 16390,
	USE_TRANSPORT_MODE = 16391,
	HTTP_CERT_LOOKUP_SUPPORTED = 16392,
	REKEY_SA = 16393,
	ESP_TFC_PADDING_NOT_SUPPORTED = 16394,
	NON_FIRST_FRAGMENTS_ALSO = 16395,
	MOBIKE_SUPPORTED = 16396,
	FRAGMENTATION_SUPPORTED = 16430,
	SIGNATURE_HASH_ALGORITHMS = 16431,
};

#define NOTIFY_STATUS_FIRST 16384

struct payload_notify {
	uint8_t protocol;  /* enum ike_protocol; 0 without SPI */
	uint16_t type;	   /* enum notify */
	struct bytes spi;  /* borrowed; 0, 4 or 8 bytes */
	struct bytes data; /* borrowed */
};

bool payload_notify_read(struct bytes body, struct payload_notify *out);
void payload_notify_write(struct message_writer *m, const struct payload_notify *notify);
/* Without SPI. */
void payload_notify_write_data(struct message_writer *m, uint16_t type, const void *data, size_t len);
/* The first well-formed notify of that type in the message; false if there is none. */
bool message_find_notify(const struct ike_message *message, uint16_t type, struct payload_notify *out);
/* The first error notify (type below NOTIFY_STATUS_FIRST); false if there is none. */
bool message_find_error(const struct ike_message *message, struct payload_notify *out);
const char *notify_name(uint16_t type); /* "NO_PROPOSAL_CHOSEN"; "notify" if not known */

#endif
