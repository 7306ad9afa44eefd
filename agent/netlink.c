/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/netlink.h"

#include "agent/base/log.h"
#include "agent/base/own.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define ANSWER_BYTES   32768u
#define ANSWER_WAIT_US 500000 /* the kernel answers at once; a lost answer must not stop a thread */
#define ADDRESSES_MAX  LOCAL_ADDR_COUNT

int netlink_init_family(struct netlink *netlink, int protocol)
{
	struct timeval wait = {.tv_usec = ANSWER_WAIT_US};

	netlink->sequence = 0;
	netlink->socket = mnl_socket_open2(protocol, SOCK_CLOEXEC);
	if (!netlink->socket)
		return -errno;
	if (mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		int err = -errno;

		netlink_clear(netlink);
		return err;
	}
	setsockopt(mnl_socket_get_fd(netlink->socket), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return 0;
}

int netlink_init(struct netlink *netlink)
{
	return netlink_init_family(netlink, NETLINK_ROUTE);
}

void netlink_clear(struct netlink *netlink)
{
	if (netlink->socket)
		mnl_socket_close(netlink->socket);
	netlink->socket = NULL;
}

int netlink_ask(struct netlink *netlink, struct nlmsghdr *request, mnl_cb_t fn, void *context)
{
	uint8_t answer[ANSWER_BYTES] __attribute__((aligned(8)));
	uint32_t port = mnl_socket_get_portid(netlink->socket);
	int end = MNL_CB_OK;

	request->nlmsg_seq = ++netlink->sequence;
	if (mnl_socket_sendto(netlink->socket, request, request->nlmsg_len) < 0)
		return -errno;
	while (end > MNL_CB_STOP) {
		ssize_t len = mnl_socket_recvfrom(netlink->socket, answer, sizeof(answer));

		if (len < 0)
			return -errno;
		/* A late answer to an earlier request: skip it. */
		if (((const struct nlmsghdr *)answer)->nlmsg_seq != request->nlmsg_seq)
			continue;
		end = mnl_cb_run(answer, (size_t)len, request->nlmsg_seq, port, fn, context);
		if (end < MNL_CB_STOP)
			return -errno;
	}
	return 0;
}

static int ignore_message(const struct nlmsghdr *message, void *context)
{
	(void)message;
	(void)context;
	return MNL_CB_OK;
}

int netlink_do(struct netlink *netlink, struct nlmsghdr *request)
{
	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	return netlink_ask(netlink, request, ignore_message, NULL);
}

/* ---- links --------------------------------------------------------------------------------------------------- */

static uint16_t attr_u16(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) == sizeof(uint16_t) ? mnl_attr_get_u16(attr) : 0;
}

static uint32_t attr_u32(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) == sizeof(uint32_t) ? mnl_attr_get_u32(attr) : 0;
}

static int link_vlan_attr(const struct nlattr *attr, void *context)
{
	struct link_info *link = context;

	if (mnl_attr_get_type(attr) == IFLA_VLAN_ID)
		link->vlan_id = attr_u16(attr);
	else if (mnl_attr_get_type(attr) == IFLA_VLAN_PROTOCOL)
		link->vlan_protocol = ntohs(attr_u16(attr));
	return MNL_CB_OK;
}

static int link_tun_attr(const struct nlattr *attr, void *context)
{
	uint16_t type = mnl_attr_get_type(attr);
	unsigned *stays = context;

	if ((type == IFLA_TUN_PERSIST || type == IFLA_TUN_MULTI_QUEUE) && mnl_attr_get_u8(attr))
		(*stays)++;
	return MNL_CB_OK;
}

/* The kernel names the kind before its data. */
static int link_kind_attr(const struct nlattr *attr, void *context)
{
	struct link_info *link = context;
	unsigned stays = 0;

	if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
		snprintf(link->kind, sizeof(link->kind), "%.15s", mnl_attr_get_str(attr));
	else if (mnl_attr_get_type(attr) == IFLA_INFO_DATA && strcmp(link->kind, "vlan") == 0)
		return mnl_attr_parse_nested(attr, link_vlan_attr, link);
	else if (mnl_attr_get_type(attr) == IFLA_INFO_DATA && strcmp(link->kind, "tun") == 0) {
		mnl_attr_parse_nested(attr, link_tun_attr, &stays);
		link->tun_stays = stays == 2;
	}
	return MNL_CB_OK;
}

static int link_attr(const struct nlattr *attr, void *context)
{
	struct link_info *link = context;
	struct rtnl_link_stats64 stats;

	switch (mnl_attr_get_type(attr)) {
	case IFLA_MTU:
		link->mtu = mnl_attr_get_u32(attr);
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(attr) == sizeof(link->mac))
			memcpy(link->mac, mnl_attr_get_payload(attr), sizeof(link->mac));
		break;
	case IFLA_IFNAME:
		snprintf(link->name, sizeof(link->name), "%.15s", mnl_attr_get_str(attr));
		break;
	case IFLA_LINK:
		link->lower = attr_u32(attr);
		break;
	case IFLA_MASTER:
		link->master = attr_u32(attr);
		break;
	case IFLA_STATS64:
		if (mnl_attr_get_payload_len(attr) < offsetof(struct rtnl_link_stats64, multicast))
			break;
		memcpy(&stats, mnl_attr_get_payload(attr), offsetof(struct rtnl_link_stats64, multicast));
		link->tx_accounted = stats.tx_packets + stats.tx_errors + stats.tx_dropped;
		break;
	case IFLA_LINKINFO:
		return mnl_attr_parse_nested(attr, link_kind_attr, link);
	default:
		break;
	}
	return MNL_CB_OK;
}

bool link_info_read(const struct nlmsghdr *message, struct link_info *link)
{
	const struct ifinfomsg *body = mnl_nlmsg_get_payload(message);

	memset(link, 0, sizeof(*link));
	if (message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof(*body))
		return false;
	link->ifindex = (uint32_t)body->ifi_index;
	link->up = body->ifi_flags & IFF_UP && body->ifi_flags & IFF_RUNNING;
	mnl_attr_parse(message, sizeof(*body), link_attr, link);
	return true;
}

static int link_message(const struct nlmsghdr *message, void *context)
{
	return link_info_read(message, context) ? MNL_CB_STOP : MNL_CB_OK;
}

int netlink_link(struct netlink *netlink, const char *name, struct link_info *link)
{
	uint8_t buffer[NETLINK_REQUEST_BYTES] __attribute__((aligned(8)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);

	memset(link, 0, sizeof(*link));
	request->nlmsg_type = RTM_GETLINK;
	request->nlmsg_flags = NLM_F_REQUEST;
	mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	return netlink_ask(netlink, request, link_message, link);
}

int netlink_link_by_index(struct netlink *netlink, uint32_t ifindex, struct link_info *link)
{
	uint8_t buffer[NETLINK_REQUEST_BYTES] __attribute__((aligned(8)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

	memset(link, 0, sizeof(*link));
	request->nlmsg_type = RTM_GETLINK;
	request->nlmsg_flags = NLM_F_REQUEST;
	body->ifi_index = (int)ifindex;
	return netlink_ask(netlink, request, link_message, link);
}

struct member_list {
	uint32_t master;
	int count;
	char (*names)[IF_NAMESIZE];
};

static int member_message(const struct nlmsghdr *message, void *context)
{
	struct member_list *list = context;
	struct link_info link;

	if (link_info_read(message, &link) && link.master == list->master && list->count < (int)LINK_MEMBERS_MAX)
		memcpy(list->names[list->count++], link.name, sizeof(link.name));
	return MNL_CB_OK;
}

int netlink_link_members(struct netlink *netlink, uint32_t master, char names[LINK_MEMBERS_MAX][IF_NAMESIZE])
{
	uint8_t buffer[NETLINK_REQUEST_BYTES] __attribute__((aligned(8)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct member_list list = {.master = master, .names = names};
	int err;

	request->nlmsg_type = RTM_GETLINK;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
	err = netlink_ask(netlink, request, member_message, &list);
	return err ? err : list.count;
}

/* ---- addresses ----------------------------------------------------------------------------------------------- */

struct address_list {
	struct local_addr *items;
	uint32_t count;
};

static int address_attr(const struct nlattr *attr, void *context)
{
	struct local_addr *addr = context;
	uint16_t type = mnl_attr_get_type(attr);
	size_t len = mnl_attr_get_payload_len(attr);

	/* IFA_LOCAL is the own end of a point-to-point link and comes after IFA_ADDRESS. */
	if ((type == IFA_ADDRESS || type == IFA_LOCAL) && len == addr_len(&addr->addr))
		memcpy(addr->addr.bytes, mnl_attr_get_payload(attr), len);
	return MNL_CB_OK;
}

static int address_message(const struct nlmsghdr *message, void *context)
{
	const struct ifaddrmsg *body = mnl_nlmsg_get_payload(message);
	struct address_list *list = context;
	struct local_addr *addr;

	if (message->nlmsg_type != RTM_NEWADDR || list->count == ADDRESSES_MAX)
		return MNL_CB_OK;
	if (body->ifa_family != AF_INET && body->ifa_family != AF_INET6)
		return MNL_CB_OK;
	addr = &list->items[list->count++];
	addr->addr.family = body->ifa_family == AF_INET ? IP_V4 : IP_V6;
	addr->ifindex = body->ifa_index;
	addr->scope = body->ifa_scope;
	mnl_attr_parse(message, sizeof(*body), address_attr, addr);
	return MNL_CB_OK;
}

int netlink_addresses(struct netlink *netlink, struct local_addr **items, uint32_t *count)
{
	uint8_t buffer[NETLINK_REQUEST_BYTES] __attribute__((aligned(8)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct address_list list = {0};
	int err;

	list.items = calloc(ADDRESSES_MAX, sizeof(*list.items));
	if (!list.items)
		return -ENOMEM;
	request->nlmsg_type = RTM_GETADDR;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	mnl_nlmsg_put_extra_header(request, sizeof(struct ifaddrmsg)); /* AF_UNSPEC: both families */
	err = netlink_ask(netlink, request, address_message, &list);
	if (err) {
		free(list.items);
		return err;
	}
	if (list.count == ADDRESSES_MAX)
		log_warn("this host has %u addresses or more: traffic to those past that is taken for transit",
			ADDRESSES_MAX);
	*items = list.items;
	*count = list.count;
	return 0;
}

/* ---- ethtool ------------------------------------------------------------------------------------------------- */

static bool link_ethtool(const char *name, void *command)
{
	OWN_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_data = command};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%.15s", name);
	return fd >= 0 && ioctl(fd, SIOCETHTOOL, &request) == 0;
}

uint32_t link_queues(const char *name)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	uint32_t queues;

	if (!link_ethtool(name, &channels))
		return 1;
	queues = channels.combined_count + channels.rx_count;
	return queues ? queues : 1;
}

bool link_merging_off(const char *name)
{
	struct ethtool_value gro = {.cmd = ETHTOOL_SGRO, .data = 0};
	struct ethtool_value flags = {.cmd = ETHTOOL_GFLAGS};

	if (link_ethtool(name, &flags) && flags.data & ETH_FLAG_LRO) {
		flags.cmd = ETHTOOL_SFLAGS;
		flags.data &= ~(uint32_t)ETH_FLAG_LRO;
		link_ethtool(name, &flags);
	}
	return link_ethtool(name, &gro);
}
