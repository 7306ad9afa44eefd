/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/xdp_features.h"

#include "agent/netlink.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdatomic.h>
#include <stdbool.h>

/* linux/netdev.h, which older headers lack */
#define NETDEV_FAMILY	    "netdev"
#define NETDEV_VERSION	    1
#define NETDEV_GET	    1 /* NETDEV_CMD_DEV_GET */
#define NETDEV_IFINDEX	    1 /* NETDEV_A_DEV_IFINDEX */
#define NETDEV_XDP_FEATURES 3 /* NETDEV_A_DEV_XDP_FEATURES, u64 */

static int family_attr(const struct nlattr *attr, void *context)
{
	if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
		*(uint16_t *)context = mnl_attr_get_u16(attr);
	return MNL_CB_OK;
}

static int features_attr(const struct nlattr *attr, void *context)
{
	if (mnl_attr_get_type(attr) == NETDEV_XDP_FEATURES && mnl_attr_get_payload_len(attr) == sizeof(uint64_t))
		*(uint64_t *)context = mnl_attr_get_u64(attr);
	return MNL_CB_OK;
}

static int family_message(const struct nlmsghdr *message, void *context)
{
	mnl_attr_parse(message, sizeof(struct genlmsghdr), family_attr, context);
	return MNL_CB_STOP;
}

static int features_message(const struct nlmsghdr *message, void *context)
{
	mnl_attr_parse(message, sizeof(struct genlmsghdr), features_attr, context);
	return MNL_CB_STOP;
}

static struct nlmsghdr *request_put(void *buffer, uint16_t type, uint8_t command, uint8_t version)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *head;

	request->nlmsg_type = type;
	request->nlmsg_flags = NLM_F_REQUEST;
	head = mnl_nlmsg_put_extra_header(request, sizeof(*head));
	head->cmd = command;
	head->version = version;
	return request;
}

/* For each question after a family that it does not have, the kernel would run modprobe, and let the caller wait. */
static _Atomic bool family_absent;

static int features_ask(struct netlink *netlink, uint32_t ifindex, uint64_t *features)
{
	uint8_t buffer[NETLINK_REQUEST_BYTES] __attribute__((aligned(8)));
	struct nlmsghdr *request = request_put(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
	uint16_t family = 0;
	int err;

	mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, NETDEV_FAMILY);
	err = netlink_ask(netlink, request, family_message, &family);
	if (err == -ENOENT)
		atomic_store(&family_absent, true);
	if (err || !family)
		return err ? err : -ENOENT;
	request = request_put(buffer, family, NETDEV_GET, NETDEV_VERSION);
	mnl_attr_put_u32(request, NETDEV_IFINDEX, ifindex);
	return netlink_ask(netlink, request, features_message, features);
}

int xdp_features_read(uint32_t ifindex, uint64_t *features)
{
	struct netlink netlink;
	int err;

	*features = 0;
	if (atomic_load(&family_absent))
		return -ENOENT;
	err = netlink_init_family(&netlink, NETLINK_GENERIC);
	if (err)
		return err;
	err = features_ask(&netlink, ifindex, features);
	netlink_clear(&netlink);
	return err;
}
