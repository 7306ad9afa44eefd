/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The one place where the BPF programs count what they drop. */
#ifndef ESPALIER_BPF_DROP_BPF_H
#define ESPALIER_BPF_DROP_BPF_H

#include "bpf/maps.bpf.h"

static __always_inline void drop_count_add(__u32 reason)
{
	struct drop_count *count = bpf_map_lookup_elem(&xdp_drops, &reason);

	if (!count)
		return;
	count->packets++;
	count->last_ns = bpf_ktime_get_ns();
}

#endif
