/* SPDX-License-Identifier: Apache-2.0 */
/* What a driver says it can do with XDP, by the kernel's "netdev" generic netlink family (Linux 6.3). */
#ifndef ESPALIER_AGENT_XDP_FEATURES_H
#define ESPALIER_AGENT_XDP_FEATURES_H

#include <stdint.h>

enum xdp_feature {
	XDP_FEATURE_BASIC = 1,
	XDP_FEATURE_REDIRECT = 2,
	XDP_FEATURE_XMIT = 4, /* takes redirected frames for transmission, now */
	XDP_FEATURE_ZERO_COPY = 8,
	XDP_FEATURE_OFFLOAD = 16,
	XDP_FEATURE_RX_SG = 32,
	XDP_FEATURE_XMIT_SG = 64,
};

/* Bits of enum xdp_feature. -errno; -ENOENT: the kernel is too old to say. */
int xdp_features_read(uint32_t ifindex, uint64_t *features);

#endif
