/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/payload/notify.h"

#include "agent/base/own.h"

static const struct {
	uint16_t type;
	const char *name;
} names[] = {
#define NAME(type)                                                                                                     \
	{                                                                                                              \
		type, #type                                                                                            \
	}
	NAME(UNSUPPORTED_CRITICAL_PAYLOAD),
	NAME(INVALID_IKE_SPI),
	NAME(INVALID_MAJOR_VERSION),
	NAME(INVALID_SYNTAX),
	NAME(INVALID_MESSAGE_ID),
	NAME(INVALID_SPI),
	NAME(NO_PROPOSAL_CHOSEN),
	NAME(INVALID_KE_PAYLOAD),
	NAME(AUTHENTICATION_FAILED),
	NAME(SINGLE_PAIR_REQUIRED),
	NAME(NO_ADDITIONAL_SAS),
	NAME(INTERNAL_ADDRESS_FAILURE),
	NAME(FAILED_CP_REQUIRED),
	NAME(TS_UNACCEPTABLE),
	NAME(INVALID_SELECTORS),
	NAME(TEMPORARY_FAILURE),
	NAME(CHILD_SA_NOT_FOUND),
	NAME(INITIAL_CONTACT),
	NAME(SET_WINDOW_SIZE),
	NAME(ADDITIONAL_TS_POSSIBLE),
	NAME(IPCOMP_SUPPORTED),
	NAME(NAT_DETECTION_SOURCE_IP),
	NAME(NAT_DETECTION_DESTINATION_IP),
	NAME(COOKIE),
	NAME(USE_TRANSPORT_MODE),
	NAME(HTTP_CERT_LOOKUP_SUPPORTED),
	NAME(REKEY_SA),
	NAME(ESP_TFC_PADDING_NOT_SUPPORTED),
	NAME(NON_FIRST_FRAGMENTS_ALSO),
	NAME(MOBIKE_SUPPORTED),
	NAME(FRAGMENTATION_SUPPORTED),
	NAME(SIGNATURE_HASH_ALGORITHMS),
#undef NAME
};

bool payload_notify_read(struct bytes body, struct payload_notify *out)
{
	struct reader r = reader_of(body.data, body.len);
	uint8_t spi_len;

	out->protocol = read_u8(&r);
	spi_len = read_u8(&r);
	out->type = read_u16(&r);
	out->spi = (struct bytes){read_bytes(&r, spi_len), spi_len};
	out->data = read_rest(&r);
	return reader_done(&r);
}

void payload_notify_write(struct message_writer *m, const struct payload_notify *notify)
{
	payload_begin(m, PAYLOAD_NOTIFY);
	write_u8(&m->w, notify->protocol);
	write_u8(&m->w, (uint8_t)notify->spi.len);
	write_u16(&m->w, notify->type);
	write_bytes(&m->w, notify->spi.data, notify->spi.len);
	write_bytes(&m->w, notify->data.data, notify->data.len);
	payload_end(m);
}

void payload_notify_write_data(struct message_writer *m, uint16_t type, const void *data, size_t len)
{
	struct payload_notify notify = {.type = type, .data = {data, len}};

	payload_notify_write(m, &notify);
}

bool message_find_notify(const struct ike_message *message, uint16_t type, struct payload_notify *out)
{
	for (unsigned i = 0; i < message->count; i++)
		if (message->payloads[i].type == PAYLOAD_NOTIFY &&
			payload_notify_read(message->payloads[i].body, out) && out->type == type)
			return true;
	return false;
}

bool message_find_error(const struct ike_message *message, struct payload_notify *out)
{
	for (unsigned i = 0; i < message->count; i++)
		if (message->payloads[i].type == PAYLOAD_NOTIFY &&
			payload_notify_read(message->payloads[i].body, out) && out->type < NOTIFY_STATUS_FIRST)
			return true;
	return false;
}

const char *notify_name(uint16_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].type == type)
			return names[i].name;
	return "notify";
}
