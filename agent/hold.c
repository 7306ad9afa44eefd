/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hold.h"

bool hold_add(struct hold *hold, uint64_t key, const struct frame *frame, uint64_t now_ns)
{
	uint32_t same = 0;

	if (hold->count == HOLD_MAX)
		return false;
	for (uint32_t i = 0; i < hold->count; i++)
		same += hold->items[i].key == key;
	if (same >= HOLD_KEY_MAX)
		return false;
	hold->items[hold->count++] = (struct held){.key = key, .until_ns = now_ns + HOLD_NS, .frame = *frame};
	return true;
}

void hold_sweep(struct hold *hold, uint64_t now_ns,
	enum held_fate (*judge)(void *context, uint64_t key, struct frame *frame, bool expired), void *context)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < hold->count; i++) {
		struct held *item = &hold->items[i];
		bool expired = now_ns >= item->until_ns;

		if (judge(context, item->key, &item->frame, expired) == HELD_TAKEN || expired)
			continue;
		if (kept != i)
			hold->items[kept] = *item;
		kept++;
	}
	hold->count = kept;
}
