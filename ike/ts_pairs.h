/* SPDX-License-Identifier: Apache-2.0 */
/* The traffic of a CHILD SA: every local selector with every remote one of the same family and protocol (RFC 7296 2.9).
 */
#ifndef ESPALIER_IKE_TS_PAIRS_H
#define ESPALIER_IKE_TS_PAIRS_H

#include "bpf/contract.h"

#include <stdbool.h>

/* The lists are borrowed. */
struct ts_pairs {
	const struct selector *local, *remote;
	unsigned local_count, remote_count;
};

/* Is there a packet that both speak of? */
bool ts_pairs_overlap(const struct ts_pairs *a, const struct ts_pairs *b);
/* The index of a remote selector of `a` that stands in `b` too, with the same local one; -1: none. */
int ts_pairs_same(const struct ts_pairs *a, const struct ts_pairs *b);

#endif
