/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tun.h"

#include "agent/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef TUN_F_USO4 /* Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define DEVICE	     "/dev/net/tun"
#define OFFLOADS     (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
#define OFFLOADS_UDP (TUN_F_USO4 | TUN_F_USO6)

static int tun_agree(int fd)
{
	int little_endian = 1, header_size = sizeof(struct virtio_net_hdr);

	if (ioctl(fd, TUNSETVNETLE, &little_endian) || ioctl(fd, TUNSETVNETHDRSZ, &header_size))
		return -errno;
	if (ioctl(fd, TUNSETOFFLOAD, OFFLOADS | OFFLOADS_UDP) == 0)
		return 0;
	return ioctl(fd, TUNSETOFFLOAD, OFFLOADS) ? -errno : 0;
}

int tun_open(const char *name)
{
	struct ifreq request = {.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE)};
	OWN_FD int fd = open(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request))
		return -errno;
	err = tun_agree(fd);
	if (!err && ioctl(fd, TUNSETPERSIST, 1))
		err = -errno;
	return err ? err : TAKE_FD(fd);
}
