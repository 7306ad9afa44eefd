/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP errors: two bytes of offsets, then the frame. With the top bit of the first the ICMP checksum is made right. */
#include "agent/pmtu.h"
#include "tests/unit/esp_lab.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fix_checksum(struct frame *frame)
{
	const struct packet_meta *meta = &frame->meta;
	uint8_t *ip = frame->data + meta->l3_off, *icmp = frame->data + meta->payload_off;
	uint32_t len;
	uint64_t sum = 0;
	uint16_t check;

	if (frame->len < meta->payload_off + 8u || frame->len < meta->l3_off + 40u)
		return;
	len = frame->len - meta->payload_off;
	if (meta->family == 6)
		sum = checksum_add(0, ip + 8, 32) + htonl(len) + htons(58);
	memset(icmp + 2, 0, 2);
	check = (uint16_t)~checksum_fold(checksum_add(sum, icmp, len));
	memcpy(icmp + 2, &check, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sa sa = lab_sa_out(esp_suite_find(20, 256, 0), 4, 0);
	struct pmtu_quote quote;
	struct frame frame = {0};

	if (size < 3 || size > FRAME_SIZE)
		return 0;
	frame.size = frame.len = (uint32_t)size - 2;
	frame.chunk = frame.data = malloc(frame.len);
	if (!frame.chunk)
		abort();
	memcpy(frame.data, data + 2, frame.len);
	frame.meta = (struct packet_meta){.kind = META_ICMP_IN, .l3_off = data[0] & 0x0f, .payload_off = data[1]};
	frame.meta.family = data[0] & 0x40 ? 6 : 4;
	if (data[0] & 0x80)
		fix_checksum(&frame);
	if (pmtu_read(&frame, &quote))
		pmtu_believe(&quote, &sa, 10, 100);
	free(frame.chunk);
	return 0;
}
