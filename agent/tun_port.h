/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host device as a port: queues of a TUN device. What the host sends arrives as large packets and is received in
 * pieces, already judged by the policies; what is sent to the host leaves as large packets again. Frames have no link
 * header.
 */
#ifndef ESPALIER_AGENT_TUN_PORT_H
#define ESPALIER_AGENT_TUN_PORT_H

#include "agent/host_policy.h"
#include "agent/netlink.h"
#include "agent/port.h"

/*
 * The port of the host device `link` at `slot`, one queue to each of the `count` descriptors of hostdev_make, which are
 * the port's from then on, also on failure. `policy` and `umem` are borrowed and outlive it. -ENOMEM.
 */
int tun_port_open(const struct link_info *link, uint32_t slot, const int *fds, uint32_t count,
	struct host_policy *policy, struct umem *umem, struct port **out);

#endif
