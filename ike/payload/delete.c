/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/payload/delete.h"

#define ESP_SPI_LEN 4u

bool payload_delete_read(struct bytes body, struct payload_delete *out)
{
	struct reader r = reader_of(body.data, body.len);
	uint8_t spi_len;

	out->protocol = read_u8(&r);
	spi_len = read_u8(&r);
	out->count = read_u16(&r);
	out->spis = read_rest(&r);
	if (!reader_done(&r))
		return false;
	if (out->protocol == PROTOCOL_IKE) {
		out->count = 0; /* some count the IKE SA itself */
		return spi_len == 0 && out->spis.len == 0;
	}
	return (out->protocol == PROTOCOL_ESP || out->protocol == PROTOCOL_AH) && spi_len == ESP_SPI_LEN &&
	       out->spis.len == (size_t)out->count * ESP_SPI_LEN;
}

uint32_t payload_delete_spi(const struct payload_delete *delete_, unsigned n)
{
	struct reader r = reader_of(delete_->spis.data, delete_->spis.len);

	read_bytes(&r, (size_t)n * ESP_SPI_LEN);
	return read_u32(&r);
}

void payload_delete_write_ike(struct message_writer *m)
{
	payload_begin(m, PAYLOAD_DELETE);
	write_u8(&m->w, PROTOCOL_IKE);
	write_u8(&m->w, 0);
	write_u16(&m->w, 0);
	payload_end(m);
}

void payload_delete_write(struct message_writer *m, uint8_t protocol, const uint32_t *spis, uint16_t count)
{
	payload_begin(m, PAYLOAD_DELETE);
	write_u8(&m->w, protocol);
	write_u8(&m->w, ESP_SPI_LEN);
	write_u16(&m->w, count);
	for (unsigned i = 0; i < count; i++)
		write_u32(&m->w, spis[i]);
	payload_end(m);
}
