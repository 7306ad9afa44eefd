/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/nic_limits.h"

#include "agent/base/own.h"

#include <stddef.h>
#include <string.h>

static const struct nic_limits table[] = {
	{"ena", 3498, false, true, "ENA has no zero-copy in Debian's kernels"},
	{"gve", 2032, false, true, NULL},
	{"virtio_net", 3506, true, false,
		"needs the device's large receive offloads off, or control of them (guest offloads)"},
	{"veth", 3504, true, false, "a pair in memory: copy mode"},
	{"hv_netvsc", 3506, false, false, "XDP runs on the synthetic device; LRO has to be off"},
	{"vmxnet3", 0, false, false, "native XDP from Linux 6.6 on"},
	{"bonding", 0, false, false, "served in generic mode: native XDP would see the members' packets"},
	{"802.1Q VLAN Support", 0, false, false,
		"generic mode only: serve the interface below, whose VLANs the agent tags itself"},
};

const struct nic_limits *nic_limits_find(const char *driver)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strcmp(table[i].driver, driver) == 0)
			return &table[i];
	return NULL;
}
