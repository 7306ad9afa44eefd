/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/ts_pairs.h"

#include "ike/ts.h"

/* What a pair of selectors says of the protocol: either may leave it open. -1: they contradict each other. */
static int pair_protocol(const struct selector *local, const struct selector *remote)
{
	if (local->family != remote->family ||
		(local->protocol && remote->protocol && local->protocol != remote->protocol))
		return -1;
	return local->protocol ? local->protocol : remote->protocol;
}

/* Both remote selectors have something in common; has it a packet of either local one? */
static bool locals_overlap(const struct ts_pairs *a, const struct selector *a_remote, const struct ts_pairs *b,
	const struct selector *b_remote)
{
	struct selector common;

	for (unsigned i = 0; i < a->local_count; i++)
		for (unsigned j = 0; j < b->local_count; j++) {
			int one = pair_protocol(&a->local[i], a_remote), other = pair_protocol(&b->local[j], b_remote);

			if (one >= 0 && other >= 0 && (!one || !other || one == other) &&
				ts_intersect(&a->local[i], &b->local[j], &common))
				return true;
		}
	return false;
}

bool ts_pairs_overlap(const struct ts_pairs *a, const struct ts_pairs *b)
{
	struct selector common;

	for (unsigned i = 0; i < a->remote_count; i++)
		for (unsigned j = 0; j < b->remote_count; j++)
			if (ts_intersect(&a->remote[i], &b->remote[j], &common) &&
				locals_overlap(a, &a->remote[i], b, &b->remote[j]))
				return true;
	return false;
}

static bool local_same(const struct ts_pairs *a, const struct ts_pairs *b)
{
	for (unsigned i = 0; i < a->local_count; i++)
		for (unsigned j = 0; j < b->local_count; j++)
			if (ts_equal(&a->local[i], &b->local[j]))
				return true;
	return false;
}

int ts_pairs_same(const struct ts_pairs *a, const struct ts_pairs *b)
{
	for (unsigned i = 0; i < a->remote_count; i++)
		for (unsigned j = 0; j < b->remote_count; j++)
			if (ts_equal(&a->remote[i], &b->remote[j]) && local_same(a, b))
				return (int)i;
	return -1;
}
