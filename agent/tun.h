/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of a TUN device: IP packets behind a virtio-net header, offloads agreed. */
#ifndef ESPALIER_AGENT_TUN_H
#define ESPALIER_AGENT_TUN_H

/*
 * Attach a queue to the device `name`, which is made if it is not there and stays when its queues are closed. Gives a
 * non-blocking descriptor (the caller closes it) that reads and writes one packet a call, behind one struct
 * virtio_net_hdr with little-endian fields. Large TCP packets go both ways, large UDP ones too where the kernel has
 * them (6.2). -errno; -EINVAL: the interface of this name is no such device, -EBUSY: another program's.
 */
int tun_open(const char *name);

#endif
