/* SPDX-License-Identifier: Apache-2.0 */
/* Which of our routes and rules the kernel has. */
#include "agent/hostdev_private.h"

#include <linux/fib_rules.h>
#include <string.h>

struct walk {
	hostdev_each_fn fn;
	void *context;
	struct ip_prefix prefix;
	uint16_t addr_attr;
	uint16_t table_attr;
	uint16_t priority_attr;
	uint32_t table;
	uint32_t priority;
};

static int walk_attr(const struct nlattr *attr, void *context)
{
	struct walk *walk = context;
	uint16_t type = mnl_attr_get_type(attr);

	if (type == walk->addr_attr && mnl_attr_get_payload_len(attr) == addr_len(&walk->prefix.addr))
		memcpy(walk->prefix.addr.bytes, mnl_attr_get_payload(attr), addr_len(&walk->prefix.addr));
	if (type == walk->table_attr)
		walk->table = mnl_attr_get_u32(attr);
	if (type == walk->priority_attr)
		walk->priority = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

/* struct rtmsg and struct fib_rule_hdr begin alike: family, lengths of destination and source. */
static bool walk_read(struct walk *walk, const struct nlmsghdr *message, uint8_t family, uint8_t len, size_t body)
{
	if (family != AF_INET && family != AF_INET6)
		return false;
	memset(&walk->prefix, 0, sizeof(walk->prefix));
	walk->table = walk->priority = 0;
	walk->prefix.addr.family = family == AF_INET ? IP_V4 : IP_V6;
	walk->prefix.len = len;
	mnl_attr_parse(message, (unsigned)body, walk_attr, walk);
	return true;
}

static int walk_route(const struct nlmsghdr *message, void *context)
{
	const struct rtmsg *body = mnl_nlmsg_get_payload(message);
	struct walk *walk = context;

	if (message->nlmsg_type != RTM_NEWROUTE || body->rtm_protocol != ROUTE_PROTOCOL ||
		!walk_read(walk, message, body->rtm_family, body->rtm_dst_len, sizeof(*body)))
		return MNL_CB_OK;
	if (walk->table == (walk->prefix.len ? AGENT_ROUTE_TABLE : AGENT_ROUTE_TABLE_ALL))
		walk->fn(&walk->prefix, body->rtm_type == RTN_THROW ? ROUTE_LOCAL : ROUTE_TUNNEL, walk->context);
	return MNL_CB_OK;
}

static int walk_rule(const struct nlmsghdr *message, void *context)
{
	const struct fib_rule_hdr *body = mnl_nlmsg_get_payload(message);
	struct walk *walk = context;

	if (message->nlmsg_type == RTM_NEWRULE &&
		walk_read(walk, message, body->family, body->src_len, sizeof(*body)) &&
		walk->priority == AGENT_RULE_SOURCE && walk->table == AGENT_ROUTE_TABLE_ALL)
		walk->fn(&walk->prefix, ROUTE_SOURCE, walk->context);
	return MNL_CB_OK;
}

int hostdev_routes_each(struct netlink *netlink, hostdev_each_fn fn, void *context)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct walk walk = {.fn = fn, .context = context, .addr_attr = RTA_DST, .table_attr = RTA_TABLE};

	request->nlmsg_type = RTM_GETROUTE;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	mnl_nlmsg_put_extra_header(request, sizeof(struct rtmsg));
	return netlink_ask(netlink, request, walk_route, &walk);
}

int hostdev_sources_each(struct netlink *netlink, hostdev_each_fn fn, void *context)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct walk walk = {.fn = fn,
		.context = context,
		.addr_attr = FRA_SRC,
		.table_attr = FRA_TABLE,
		.priority_attr = FRA_PRIORITY};

	request->nlmsg_type = RTM_GETRULE;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	mnl_nlmsg_put_extra_header(request, sizeof(struct fib_rule_hdr));
	return netlink_ask(netlink, request, walk_rule, &walk);
}
