/* SPDX-License-Identifier: Apache-2.0 */
/* Fragments: a run of (length, seconds, family and offset, bytes); what comes out whole must parse as no fragment. */
#include "agent/base/clock.h"
#include "agent/reassembly.h"
#include "tests/unit/esp_lab.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(struct reassembly_packet *whole)
{
	static uint8_t chunk[JUMBO_SIZE];
	struct frame out = {.chunk = chunk, .size = sizeof(chunk)};

	reassembly_write(whole, &out);
	if (out.len != reassembly_len(whole) || FRAME_HEADROOM + out.len + FRAME_TAILROOM > sizeof(chunk))
		abort();
	if (out.data[0] >> 4 == 4 && (out.data[6] || out.data[7]))
		abort();
	reassembly_release(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reassembly *table = reassembly_new();
	struct reassembly_lost lost;
	uint64_t now = 1, kept = 0;

	if (!table)
		abort();
	while (size > 4) {
		uint32_t len = (uint32_t)(data[0] << 8 | data[1]) % 2048;
		struct reassembly_packet *whole;
		struct frame frame = {0};

		now += data[2] * NS_PER_S / 16;
		frame.meta.family = data[3] & 1 ? 6 : 4;
		frame.meta.l3_off = data[3] >> 4;
		data += 4;
		size -= 4;
		len = len < size ? len : (uint32_t)size;
		frame.chunk = frame.data = malloc(len ? len : 1);
		if (!frame.chunk)
			abort();
		memcpy(frame.data, data, len);
		frame.len = frame.size = len;
		if (reassembly_add(table, &frame, now, &whole) == DROP_NONE) {
			kept++;
			if (whole) {
				kept -= whole->fragments;
				take(whole);
			}
		}
		free(frame.chunk);
		data += len;
		size -= len;
	}
	/* Every fragment that was kept is accounted for. */
	reassembly_sweep(table, now + REASSEMBLY_S * NS_PER_S, &lost);
	if (lost.full + lost.timeout + lost.bad != kept)
		abort();
	reassembly_free(table);
	return 0;
}
