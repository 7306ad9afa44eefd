/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/payload/sa.h"

#define LAST		     0u
#define MORE_PROPOSALS	     2u
#define MORE_TRANSFORMS	     3u
#define ATTRIBUTE_KEY_LENGTH 14u
#define KEY_BITS_UNUSABLE    UINT16_MAX
#define ATTRIBUTE_SHORT	     0x8000u /* the value is the two bytes behind the type */

/* Attributes of one transform (RFC 7296 3.3.5). One that is not known makes the transform unacceptable: key_bits then
 * is one that no algorithm has. */
static bool attributes_read(struct reader *r, struct transform *out)
{
	while (reader_left(r)) {
		uint16_t type = read_u16(r);
		uint16_t value = read_u16(r);

		if (!(type & ATTRIBUTE_SHORT))
			read_bytes(r, value);
		if (type != (ATTRIBUTE_SHORT | ATTRIBUTE_KEY_LENGTH) || out->key_bits)
			value = KEY_BITS_UNUSABLE;
		out->key_bits = value;
	}
	return reader_done(r);
}

static bool transform_read(struct reader *r, bool last, struct transform *out)
{
	uint8_t more = read_u8(r);
	size_t len;
	struct reader attributes;

	read_u8(r); /* reserved */
	len = read_u16(r);
	if (r->error || len < 8 || more != (last ? LAST : MORE_TRANSFORMS))
		return false;
	*out = (struct transform){.type = read_u8(r)};
	read_u8(r);
	out->id = read_u16(r);
	attributes = read_sub(r, len - 8);
	return !r->error && attributes_read(&attributes, out);
}

/* RFC 7296 3.3.1: no SPI in IKE_SA_INIT, 8 bytes when an IKE SA is rekeyed, 4 for AH and ESP. */
static bool spi_len_valid(const struct proposal *proposal)
{
	switch (proposal->protocol) {
	case PROTOCOL_IKE:
		return proposal->spi_len == 0 || proposal->spi_len == IKE_SPI_LEN;
	case PROTOCOL_AH:
	case PROTOCOL_ESP:
		return proposal->spi_len == 4;
	default:
		return proposal->spi_len <= sizeof(proposal->spi);
	}
}

static bool proposal_body_read(struct reader *r, struct proposal *out)
{
	uint8_t count;

	memset(out, 0, sizeof(*out));
	out->number = read_u8(r);
	out->protocol = read_u8(r);
	out->spi_len = read_u8(r);
	count = read_u8(r);
	if (r->error || !spi_len_valid(out))
		return false;
	read_copy(r, out->spi, out->spi_len);
	for (unsigned i = 0; i < count; i++) {
		struct transform transform;

		if (!transform_read(r, i + 1 == count, &transform))
			return false;
		if (out->count < IKE_TRANSFORMS_MAX)
			out->transforms[out->count++] = transform;
		else if (!proposal_has(out, transform.type))
			out->protocol = PROTOCOL_NONE; /* a type that we would not see: the proposal cannot be chosen */
	}
	return reader_done(r);
}

bool payload_sa_read(struct bytes body, struct proposal_list *out)
{
	struct reader r = reader_of(body.data, body.len);
	uint8_t more = MORE_PROPOSALS;

	out->count = 0;
	while (more == MORE_PROPOSALS) {
		struct proposal proposal;
		struct reader sub;
		size_t len;

		more = read_u8(&r);
		read_u8(&r);
		len = read_u16(&r);
		if (r.error || len < 8 || (more != LAST && more != MORE_PROPOSALS))
			return false;
		sub = read_sub(&r, len - 4);
		if (r.error || !proposal_body_read(&sub, &proposal))
			return false;
		if (out->count < IKE_PROPOSALS_MAX)
			out->items[out->count++] = proposal;
	}
	return reader_done(&r);
}

static void transform_write(struct writer *w, const struct transform *transform, bool last)
{
	size_t at = writer_len(w), length_at;

	write_u8(w, last ? LAST : MORE_TRANSFORMS);
	write_u8(w, 0);
	length_at = write_reserve_u16(w);
	write_u8(w, transform->type);
	write_u8(w, 0);
	write_u16(w, transform->id);
	if (transform->key_bits) {
		write_u16(w, ATTRIBUTE_SHORT | ATTRIBUTE_KEY_LENGTH);
		write_u16(w, transform->key_bits);
	}
	write_length_here(w, length_at, at);
}

static void proposal_write(
	struct writer *w, const struct proposal *proposal, uint8_t number, bool last, const void *spi, uint8_t spi_len)
{
	size_t at = writer_len(w), length_at;

	write_u8(w, last ? LAST : MORE_PROPOSALS);
	write_u8(w, 0);
	length_at = write_reserve_u16(w);
	write_u8(w, number);
	write_u8(w, proposal->protocol);
	write_u8(w, spi_len);
	write_u8(w, proposal->count);
	write_bytes(w, spi, spi_len);
	for (unsigned i = 0; i < proposal->count; i++)
		transform_write(w, &proposal->transforms[i], i + 1u == proposal->count);
	write_length_here(w, length_at, at);
}

void payload_sa_write(struct message_writer *m, const struct proposal_list *list, const void *spi, uint8_t spi_len)
{
	payload_begin(m, PAYLOAD_SA);
	for (unsigned i = 0; i < list->count; i++) {
		const struct proposal *proposal = &list->items[i];
		uint8_t number = proposal->number ? proposal->number : (uint8_t)(i + 1);

		proposal_write(&m->w, proposal, number, i + 1u == list->count, spi, spi_len);
	}
	payload_end(m);
}

void payload_sa_write_chosen(struct message_writer *m, const struct suite *suite, const void *spi, uint8_t spi_len)
{
	const struct transform *all[] = {&suite->encr, &suite->prf, &suite->integ, &suite->ke, &suite->esn};
	struct proposal proposal = {.protocol = suite->protocol};

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i]->type)
			proposal.transforms[proposal.count++] = *all[i];
	payload_begin(m, PAYLOAD_SA);
	proposal_write(&m->w, &proposal, suite->proposal_number, true, spi, spi_len);
	payload_end(m);
}
