/* SPDX-License-Identifier: Apache-2.0 */
/* Dummy packets, on their way into a tunnel. */
#include "agent/dummy.h"
#include "agent/esp_seal.h"
#include "agent/out.h"
#include "agent/turn.h"
#include "agent/wire.h"

#include <netinet/in.h>
#include <string.h>

/* What the SA carries. In transport mode that is said of whole packets, and a dummy is only what stands behind the
 * header. */
static uint32_t dummy_len_max(struct worker *worker, struct sa_slot *slot)
{
	uint32_t header_len = slot->context.outer_family == 4 ? WIRE_IPV4_LEN : WIRE_IPV6_LEN;
	uint32_t len = worker_inner_mtu(worker, slot);

	if (slot->context.sa.mode != SA_TRANSPORT)
		return len;
	return len > header_len ? len - header_len : 0;
}

enum drop_reason out_dummy(struct worker *worker, struct frame *frame)
{
	enum drop_reason reason;
	struct bundle *bundle;
	struct sa_slot *slot;
	uint32_t index, owner, max;

	if (!sa_table_tunnel(&worker->sas, frame->meta.index, worker->index, &index) || index == SA_NONE)
		return DROP_SA_MISSING; /* nobody waits for a dummy */
	slot = sa_table_find(&worker->sas, index, SA_OUT, DROP_SA_MISSING, &reason);
	if (!slot)
		return reason;
	if (slot->context.sa.protocol != IPPROTO_ESP || slot->context.sa.tunnel != frame->meta.index)
		return DROP_SA_MISSING;
	if (!worker_owns(worker, slot, &owner))
		return worker_hand_over(worker, frame, owner);
	worker_touch(worker, slot);
	max = dummy_len_max(worker, slot);
	frame->len = frame->len < max ? frame->len : max;
	bundle = turn_sealing(worker);
	reason = esp_seal_dummy_begin(&slot->context, frame, worker->now_ns, &bundle->jobs[bundle->count]);
	if (!reason)
		bundle_add(bundle, frame, slot);
	return reason;
}

uint32_t out_make_dummies(struct worker *worker, struct frame *frames, uint32_t max)
{
	struct dummy_request part;
	uint32_t made = 0;

	if (!dummy_take(worker->shared->dummies, max, &part))
		return 0;
	for (; made < part.count; made++) {
		struct frame *frame = &frames[made];

		if (!frame_alloc(&worker->cache, frame, part.len))
			break;
		memset(frame->data, 0, part.len);
		frame->len = part.len;
		frame->meta = (struct packet_meta){.kind = META_DUMMY_OUT, .index = part.tunnel};
	}
	worker_count_lost(worker, DROP_NO_FRAME, part.count - made);
	return made;
}
