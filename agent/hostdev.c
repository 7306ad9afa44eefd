/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hostdev.h"

#include "agent/base/log.h"
#include "agent/base/own.h"
#include "agent/contract.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define ROUTE_PROTOCOL 145 /* marks our routes in `ip route` */
#define REQUEST_BUFFER uint8_t buffer[NETLINK_REQUEST_BYTES] __attribute__((aligned(8)))

/* Settings of the host's side. A file may be missing (a kernel without IPv6): then there is nothing to set. */
static const struct {
	const char *path;
	const char *value;
} settings[] = {
	{"/proc/sys/net/ipv4/conf/" HOST_DEVICE "/rp_filter", "0"},
	{"/proc/sys/net/ipv4/conf/" HOST_DEVICE "/accept_local", "1"}, /* our own ICMP errors to the host */
	{"/proc/sys/net/ipv4/conf/" HOST_DEVICE "/send_redirects", "0"},
	{"/proc/sys/net/ipv6/conf/" HOST_DEVICE "/addr_gen_mode", "1"}, /* none */
	{"/proc/sys/net/ipv6/conf/" HOST_DEVICE "/accept_ra", "0"},
	{"/proc/sys/net/ipv6/conf/" HOST_DEVICE_PEER "/disable_ipv6", "1"},
};

static void hostdev_settings(void)
{
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		OWN_FD int fd = open(settings[i].path, O_WRONLY | O_CLOEXEC);

		if (fd >= 0 && write(fd, settings[i].value, strlen(settings[i].value)) < 0)
			log_warn("%s cannot be set to %s: %s", settings[i].path, settings[i].value, strerror(errno));
	}
}

static void put_link(struct nlmsghdr *request, const char *name, uint32_t queues)
{
	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	mnl_attr_put_u32(request, IFLA_MTU, HOST_DEVICE_LINK_MTU);
	mnl_attr_put_u32(request, IFLA_NUM_TX_QUEUES, queues);
	mnl_attr_put_u32(request, IFLA_NUM_RX_QUEUES, queues);
}

static int hostdev_create(struct netlink *netlink, uint32_t queues)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));
	struct nlattr *info, *data, *peer;

	request->nlmsg_type = RTM_NEWLINK;
	request->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	body->ifi_flags = IFF_NOARP;
	body->ifi_change = IFF_NOARP;
	put_link(request, HOST_DEVICE, queues);
	info = mnl_attr_nest_start(request, IFLA_LINKINFO);
	mnl_attr_put_strz(request, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(request, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(request, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
	put_link(request, HOST_DEVICE_PEER, queues);
	mnl_attr_nest_end(request, peer);
	mnl_attr_nest_end(request, data);
	mnl_attr_nest_end(request, info);
	return netlink_do(netlink, request);
}

static int hostdev_up(struct netlink *netlink, uint32_t ifindex)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

	request->nlmsg_type = RTM_NEWLINK;
	body->ifi_index = (int)ifindex;
	body->ifi_flags = IFF_UP | IFF_NOARP;
	body->ifi_change = IFF_UP | IFF_NOARP;
	mnl_attr_put_u32(request, IFLA_MTU, HOST_DEVICE_LINK_MTU);
	return netlink_do(netlink, request);
}

/* The pair that an earlier agent left: its queues follow the workers where the kernel allows. */
static void hostdev_adopt(uint32_t queues)
{
	if (link_queues(HOST_DEVICE_PEER) == queues)
		return;
	if (!link_set_queues(HOST_DEVICE_PEER, queues) || !link_set_queues(HOST_DEVICE, queues))
		log_warn("%s keeps its %u queues for %u workers; `espalier-agent --detach` first gives it the right "
			 "number",
			HOST_DEVICE, link_queues(HOST_DEVICE_PEER), queues);
}

int hostdev_make(struct netlink *netlink, uint32_t queues, struct link_info *host, struct link_info *peer,
	char error[static 256])
{
	int err = netlink_link(netlink, HOST_DEVICE, host);

	if (err) {
		err = hostdev_create(netlink, queues);
		if (err) {
			snprintf(error, 256, "the host device %s cannot be made: %s", HOST_DEVICE, strerror(-err));
			return err;
		}
		netlink_link(netlink, HOST_DEVICE, host);
	} else if (strcmp(host->kind, "veth") == 0) {
		hostdev_adopt(queues);
	}
	if (strcmp(host->kind, "veth") != 0 || netlink_link(netlink, HOST_DEVICE_PEER, peer)) {
		snprintf(error, 256, "an interface %s exists that is not ours; remove or rename it", HOST_DEVICE);
		return -EEXIST;
	}
	hostdev_settings();
	if (!link_checksum_offload_off(HOST_DEVICE))
		log_debug("%s keeps checksum offload; the agent completes checksums itself", HOST_DEVICE);
	err = hostdev_up(netlink, peer->ifindex);
	err = err ? err : hostdev_up(netlink, host->ifindex);
	if (err)
		snprintf(error, 256, "the host device %s cannot be brought up: %s", HOST_DEVICE, strerror(-err));
	return err;
}

/* ---- rules --------------------------------------------------------------------------------------------------- */

static int hostdev_rule(struct netlink *netlink, uint16_t type, uint16_t flags, uint8_t family)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct fib_rule_hdr *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

	request->nlmsg_type = type;
	request->nlmsg_flags = flags;
	body->family = family;
	body->action = FR_ACT_TO_TBL;
	body->table = RT_TABLE_UNSPEC;
	body->flags = FIB_RULE_INVERT;
	mnl_attr_put_u32(request, FRA_PRIORITY, AGENT_RULE_PRIORITY);
	mnl_attr_put_u32(request, FRA_FWMARK, AGENT_MARK);
	mnl_attr_put_u32(request, FRA_FWMASK, UINT32_MAX);
	mnl_attr_put_u32(request, FRA_TABLE, AGENT_ROUTE_TABLE);
	return netlink_do(netlink, request);
}

int hostdev_rules_add(struct netlink *netlink)
{
	int err = hostdev_rule(netlink, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, AF_INET);

	if (err && err != -EEXIST)
		return err;
	err = hostdev_rule(netlink, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, AF_INET6);
	return err == -EEXIST || err == -EAFNOSUPPORT ? 0 : err;
}

int hostdev_remove(struct netlink *netlink)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct link_info host;
	int err = 0;

	if (netlink_link(netlink, HOST_DEVICE, &host) == 0 && strcmp(host.kind, "veth") == 0) {
		struct ifinfomsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

		request->nlmsg_type = RTM_DELLINK;
		body->ifi_index = (int)host.ifindex;
		err = netlink_do(netlink, request);
	}
	/* More than one rule may stand there; each call removes one. */
	while (hostdev_rule(netlink, RTM_DELRULE, 0, AF_INET) == 0)
		;
	while (hostdev_rule(netlink, RTM_DELRULE, 0, AF_INET6) == 0)
		;
	return err;
}

/* ---- routes -------------------------------------------------------------------------------------------------- */

static struct nlmsghdr *route_request(void *buffer, uint16_t type, uint16_t flags, const struct ip_prefix *prefix)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct rtmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

	request->nlmsg_type = type;
	request->nlmsg_flags = flags;
	body->rtm_family = prefix->addr.family == IP_V4 ? AF_INET : AF_INET6;
	body->rtm_dst_len = prefix->len;
	body->rtm_protocol = type == RTM_NEWROUTE ? ROUTE_PROTOCOL : RTPROT_UNSPEC;
	body->rtm_scope = type == RTM_NEWROUTE ? RT_SCOPE_LINK : RT_SCOPE_NOWHERE;
	body->rtm_type = type == RTM_NEWROUTE ? RTN_UNICAST : RTN_UNSPEC;
	mnl_attr_put_u32(request, RTA_TABLE, AGENT_ROUTE_TABLE);
	mnl_attr_put(request, RTA_DST, addr_len(&prefix->addr), prefix->addr.bytes);
	return request;
}

int hostdev_route_add(struct netlink *netlink, uint32_t ifindex, const struct hostdev_route *route)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = route_request(buffer, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &route->prefix);
	struct nlattr *metrics;
	int err;

	mnl_attr_put_u32(request, RTA_OIF, ifindex);
	metrics = mnl_attr_nest_start(request, RTA_METRICS);
	mnl_attr_put_u32(request, RTAX_MTU, HOST_DEVICE_MTU);
	mnl_attr_nest_end(request, metrics);
	if (route->source.family != route->prefix.addr.family)
		return netlink_do(netlink, request);
	mnl_attr_put(request, RTA_PREFSRC, addr_len(&route->source), route->source.bytes);
	err = netlink_do(netlink, request);
	if (err == -EINVAL) { /* the address is not usable (yet): rather without it than no protection */
		struct hostdev_route plain = {.prefix = route->prefix};

		return hostdev_route_add(netlink, ifindex, &plain);
	}
	return err;
}

int hostdev_route_delete(struct netlink *netlink, const struct ip_prefix *prefix)
{
	REQUEST_BUFFER;

	return netlink_do(netlink, route_request(buffer, RTM_DELROUTE, 0, prefix));
}

struct route_walk {
	void (*fn)(const struct ip_prefix *prefix, void *context);
	void *context;
	struct ip_prefix prefix;
	uint32_t table;
};

static int route_walk_attr(const struct nlattr *attr, void *context)
{
	struct route_walk *walk = context;

	if (mnl_attr_get_type(attr) == RTA_DST && mnl_attr_get_payload_len(attr) == addr_len(&walk->prefix.addr))
		memcpy(walk->prefix.addr.bytes, mnl_attr_get_payload(attr), addr_len(&walk->prefix.addr));
	if (mnl_attr_get_type(attr) == RTA_TABLE)
		walk->table = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static int route_walk_message(const struct nlmsghdr *message, void *context)
{
	const struct rtmsg *body = mnl_nlmsg_get_payload(message);
	struct route_walk *walk = context;

	if (message->nlmsg_type != RTM_NEWROUTE || (body->rtm_family != AF_INET && body->rtm_family != AF_INET6))
		return MNL_CB_OK;
	memset(&walk->prefix, 0, sizeof(walk->prefix));
	walk->table = body->rtm_table;
	walk->prefix.addr.family = body->rtm_family == AF_INET ? IP_V4 : IP_V6;
	walk->prefix.len = body->rtm_dst_len;
	mnl_attr_parse(message, sizeof(*body), route_walk_attr, walk);
	if (walk->table == AGENT_ROUTE_TABLE && body->rtm_protocol == ROUTE_PROTOCOL)
		walk->fn(&walk->prefix, walk->context);
	return MNL_CB_OK;
}

int hostdev_routes_each(
	struct netlink *netlink, void (*fn)(const struct ip_prefix *prefix, void *context), void *context)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct route_walk walk = {.fn = fn, .context = context};

	request->nlmsg_type = RTM_GETROUTE;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	mnl_nlmsg_put_extra_header(request, sizeof(struct rtmsg));
	return netlink_ask(netlink, request, route_walk_message, &walk);
}
