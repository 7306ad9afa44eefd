/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AH. First byte: form (FORM_*); then a whole outer packet with the offsets that XDP would have told, whose ICV is made
 * right if FORM_SIGNED, so that what stands behind it is reached; or a header alone, for the reader of mutable fields;
 * or a packet to seal, which must open to itself.
 */
#include "agent/ah.h"
#include "agent/ah_mutable.h"
#include "agent/ah_open.h"
#include "agent/ah_seal.h"
#include "tests/unit/esp_lab.h"

#include <sanitizer/asan_interface.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FORM_IPV6      0x01u
#define FORM_TRANSPORT 0x02u
#define FORM_ESN       0x04u
#define FORMS	       8u /* those that make an SA */
#define FORM_SIGNED    0x08u
#define FORM_HEADER    0x10u
#define FORM_SEAL      0x20u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct lab_pair *pair_of(unsigned form)
{
	static struct lab_pair *pairs[FORMS];
	struct tunnel tunnel = lab_tunnel_any();
	struct lab_pair **slot = &pairs[form];
	struct sa out =
		lab_sa_out(ah_suite_find(AUTH_SHA256_128), form & FORM_IPV6 ? 6 : 4, form & FORM_ESN ? SA_ESN : 0);
	struct sa in;

	out.protocol = IPPROTO_AH;
	out.mode = form & FORM_TRANSPORT ? SA_TRANSPORT : SA_TUNNEL;
	in = lab_sa_in(&out, 64);
	if (!*slot) {
		*slot = calloc(1, sizeof(**slot));
		if (!*slot || sa_context_init(&(*slot)->out, &out, &tunnel, &(*slot)->run_out) ||
			sa_context_init(&(*slot)->in, &in, &tunnel, &(*slot)->run_in))
			abort();
	}
	(*slot)->run_out = (struct sa_run){0};
	(*slot)->run_in = (struct sa_run){0};
	return *slot;
}

static void try_header(const uint8_t *data, size_t size, bool outbound)
{
	uint8_t *header = malloc(size);

	if (!header)
		abort();
	memcpy(header, data, size);
	ah_zero_mutable(header, (uint32_t)size, outbound);
	free(header);
}

/* The ICV that the peer would have put there, if the packet has room for one. */
static void sign(struct lab_pair *pair, struct frame *frame)
{
	const struct packet_meta *meta = &frame->meta;
	uint8_t icv[ESP_ICV_MAX], *ah = frame->data + meta->payload_off;
	uint32_t len = frame->len - meta->l3_off;
	enum drop_reason failed;

	if (meta->payload_off < meta->l3_off || frame->len < meta->payload_off + 28u)
		return;
	memcpy(ah + AH_SPI_OFF, &pair->in.sa.spi, 4);
	memcpy(ah + AH_SEQ_OFF, "\0\0\0\1", 4);
	memset(ah + 12, 0, 16);
	if (ah_icv(&pair->in, frame->data + meta->l3_off, len, (uint32_t)meta->payload_off - meta->l3_off, 1, NULL, icv,
		    &failed))
		memcpy(ah + 12, icv, 16);
}

static void try_open(struct lab_pair *pair, unsigned form, const uint8_t *data, size_t size)
{
	static struct lab_frame lab;
	struct frame *frame;
	struct inner inner;

	if (size < 2)
		return;
	frame = lab_frame_set(&lab, data + 2, size - 2);
	frame->meta = (struct packet_meta){.kind = META_AH_IN, .l3_off = data[0] & 15, .payload_off = data[1]};
	frame->meta.family = form & FORM_IPV6 ? 6 : 4;
	if (form & FORM_SIGNED)
		sign(pair, frame);
	/* Behind the packet only the high half of the number may be written. */
	ASAN_POISON_MEMORY_REGION(frame->data + frame->len + AH_ESN_LEN,
		(size_t)(lab.chunk + FRAME_SIZE - frame->data - frame->len - AH_ESN_LEN));
	if (ah_open(&pair->in, frame, &inner, 1) == DROP_NONE &&
		(!(form & FORM_SIGNED) || frame->data < lab.chunk || frame->len != inner.len))
		abort();
	ASAN_UNPOISON_MEMORY_REGION(lab.chunk, FRAME_SIZE);
}

static void try_seal(struct lab_pair *pair, const uint8_t *data, size_t size)
{
	static struct lab_frame lab;
	static uint8_t before[FRAME_SIZE];
	struct frame *frame = lab_frame_set(&lab, data, size);
	bool transport = pair->out.sa.mode == SA_TRANSPORT;
	uint32_t len;
	struct inner inner;

	if (!inner_parse(frame->data, frame->len, &inner) || (transport && inner.family != pair->out.outer_family))
		return;
	if (transport)
		lab_between_peers(frame->data);
	len = inner.len;
	memcpy(before, frame->data, len);
	if (ah_seal(&pair->out, frame, &inner, 1) != DROP_NONE)
		return;
	frame->meta = (struct packet_meta){.kind = META_AH_IN, .family = frame->data[0] >> 4};
	for (uint32_t at = 20; at + 28 <= frame->len && !frame->meta.payload_off; at += 4) {
		if (memcmp(frame->data + at + AH_SPI_OFF, &pair->out.sa.spi, 4) == 0 && frame->data[at + 11] == 1)
			frame->meta.payload_off = (uint16_t)at;
	}
	if (ah_open(&pair->in, frame, &inner, 1) != DROP_NONE)
		return; /* routing headers that did not run their course, and what looks like AH before AH */
	if (frame->len == len && memcmp(frame->data, before, len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned form;

	if (size < 2 || size > FRAME_DATA_MAX)
		return 0;
	form = data[0];
	if (form & FORM_HEADER)
		try_header(data + 1, size - 1, form & 1);
	else if (form & FORM_SEAL)
		try_seal(pair_of(form % FORMS), data + 1, size - 1);
	else
		try_open(pair_of(form % FORMS), form, data + 1, size - 1);
	return 0;
}
