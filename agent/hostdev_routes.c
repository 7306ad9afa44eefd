/* SPDX-License-Identifier: Apache-2.0 */
/* The routes into the host device, and those behind them. */
#include "agent/hostdev_private.h"

#include <errno.h>

#define NOWHERE_METRIC 4499 /* behind a tunnel's route of the same prefix */
#define THROW_METRIC   4500 /* behind both */

static struct nlmsghdr *route_request(
	void *buffer, uint16_t type, uint8_t kind, uint16_t flags, const struct ip_prefix *prefix)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct rtmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

	request->nlmsg_type = type;
	request->nlmsg_flags = flags;
	body->rtm_family = family_of(&prefix->addr);
	body->rtm_dst_len = prefix->len;
	body->rtm_protocol = type == RTM_NEWROUTE ? ROUTE_PROTOCOL : RTPROT_UNSPEC;
	body->rtm_scope = type == RTM_DELROUTE	? RT_SCOPE_NOWHERE
			  : kind == RTN_UNICAST ? RT_SCOPE_LINK
						: RT_SCOPE_UNIVERSE;
	body->rtm_type = kind;
	mnl_attr_put_u32(request, RTA_TABLE, prefix->len ? AGENT_ROUTE_TABLE : AGENT_ROUTE_TABLE_ALL);
	mnl_attr_put(request, RTA_DST, addr_len(&prefix->addr), prefix->addr.bytes);
	if (kind == RTN_THROW || kind == RTN_UNREACHABLE)
		mnl_attr_put_u32(request, RTA_PRIORITY, kind == RTN_THROW ? THROW_METRIC : NOWHERE_METRIC);
	return request;
}

int hostdev_nowhere(struct netlink *netlink, uint16_t type, uint16_t flags, const struct ip_prefix *prefix)
{
	REQUEST_BUFFER;

	return netlink_do(netlink, route_request(buffer, type, RTN_UNREACHABLE, flags, prefix));
}

int hostdev_route_add(struct netlink *netlink, uint32_t ifindex, const struct hostdev_route *route)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request;
	struct nlattr *metrics;
	int err = hostdev_nowhere(netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &route->prefix);

	if (err)
		return err;
	request = route_request(buffer, RTM_NEWROUTE, RTN_UNICAST, NLM_F_CREATE | NLM_F_REPLACE, &route->prefix);
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
	int err = netlink_do(netlink, route_request(buffer, RTM_DELROUTE, RTN_UNICAST, 0, prefix));

	hostdev_nowhere(netlink, RTM_DELROUTE, 0, prefix);
	return err;
}

int hostdev_throw_add(struct netlink *netlink, const struct ip_prefix *prefix)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = route_request(buffer, RTM_NEWROUTE, RTN_THROW, NLM_F_CREATE | NLM_F_REPLACE, prefix);

	return netlink_do(netlink, request);
}

int hostdev_throw_delete(struct netlink *netlink, const struct ip_prefix *prefix)
{
	REQUEST_BUFFER;

	return netlink_do(netlink, route_request(buffer, RTM_DELROUTE, RTN_THROW, 0, prefix));
}
