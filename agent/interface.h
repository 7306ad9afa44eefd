/* SPDX-License-Identifier: Apache-2.0 */
/* From an interface to a port: the XDP program attached, a socket on every queue, each difficulty said in a sentence.
 */
#ifndef ESPALIER_AGENT_INTERFACE_H
#define ESPALIER_AGENT_INTERFACE_H

#include "agent/netlink.h"
#include "agent/port.h"
#include "agent/umem.h"
#include "agent/xsk_port.h"
#include "bpf/capture.h"
#include "bpf/dataplane.h"

struct interface_options {
	struct dataplane *dataplane;
	const struct capture *capture;
	struct netlink *netlink;
	struct umem *umem;
	uint32_t worker_count;
	struct xsk_options xsk;
	bool allow_native;
	bool allow_generic;
};

/*
 * Attach to the interface `link` as port `slot` and open its sockets. The port is not yet in any table; port_free ends
 * it (the program stays attached). port->reason tells what is less than best. -errno: `error` has a sentence; -EBUSY:
 * another XDP program is there; -EOPNOTSUPP: no mode that the options allow.
 */
int interface_open(const struct interface_options *options, const struct link_info *link, uint32_t slot,
	struct port **port, char error[static 256]);

#endif
