/* SPDX-License-Identifier: Apache-2.0 */
/* What drivers demand before they run XDP natively. */
#ifndef ESPALIER_TOOLS_NIC_LIMITS_H
#define ESPALIER_TOOLS_NIC_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

struct nic_limits {
	const char *driver;
	uint32_t mtu_max;	/* of native mode with one buffer a frame; 0: none known */
	bool several_buffers;	/* above it, native mode with several buffers a frame (AF_XDP: Linux 6.6) */
	bool half_the_channels; /* each receive queue needs a transmit queue of its own for XDP */
	const char *note;	/* NULL: none */
};

/* NULL: nothing is known of this driver. */
const struct nic_limits *nic_limits_find(const char *driver);

#endif
