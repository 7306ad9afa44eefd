/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/policy_lens.h"

int policy_lens_next(const struct policy_lens *lens, uint32_t at)
{
	int next = __atomic_load_n(&lens->next[at], __ATOMIC_ACQUIRE) - 1;

	/* Only downwards: a list that somebody else broke must still end. */
	return next < (int)at ? next : -1;
}

/* The last member of the list above `len`. */
static uint32_t lens_before(const struct policy_lens *lens, uint8_t len)
{
	uint32_t at = POLICY_LENS_HEAD;
	int next;

	while ((next = policy_lens_next(lens, at)) > len)
		at = (uint32_t)next;
	return at;
}

static void lens_store(struct policy_lens *lens, uint32_t at, int next)
{
	__atomic_store_n(&lens->next[at], (uint8_t)(next + 1), __ATOMIC_RELEASE);
}

void policy_lens_insert(struct policy_lens *lens, uint8_t len)
{
	uint32_t before = lens_before(lens, len);
	int next = policy_lens_next(lens, before);

	if (next == len)
		return;
	lens_store(lens, len, next);
	lens_store(lens, before, len);
}

void policy_lens_remove(struct policy_lens *lens, uint8_t len)
{
	uint32_t before = lens_before(lens, len);

	/* The length keeps its successor: a reader may stand on it. */
	if (policy_lens_next(lens, before) == len)
		lens_store(lens, before, policy_lens_next(lens, len));
}
