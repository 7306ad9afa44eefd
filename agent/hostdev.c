/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hostdev.h"

#include "agent/base/log.h"
#include "agent/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define ROUTE_PROTOCOL 145  /* marks our routes in `ip route` */
#define THROW_METRIC   4500 /* behind a tunnel's route of the same prefix */
#define THROWS_AT_ONCE 64
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
struct rule {
	uint8_t family;
	uint8_t action; /* FR_ACT_* */
	uint32_t priority;
	uint32_t table;
	uint32_t mark; /* 0: any */
	uint32_t target;
	bool invert;
	bool local; /* only packets of this host */
	bool not_default;
	struct ip_prefix source; /* of length 0: any */
};

static uint8_t family_of(const struct ip_addr *addr)
{
	return addr->family == IP_V4 ? AF_INET : AF_INET6;
}

static int hostdev_rule(struct netlink *netlink, uint16_t type, const struct rule *rule)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct fib_rule_hdr *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

	request->nlmsg_type = type;
	request->nlmsg_flags = type == RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0;
	body->family = rule->family;
	body->action = rule->action;
	body->table = RT_TABLE_UNSPEC;
	body->flags = rule->invert ? FIB_RULE_INVERT : 0;
	mnl_attr_put_u32(request, FRA_PRIORITY, rule->priority);
	if (rule->mark) {
		mnl_attr_put_u32(request, FRA_FWMARK, rule->mark);
		mnl_attr_put_u32(request, FRA_FWMASK, UINT32_MAX);
	}
	if (rule->table)
		mnl_attr_put_u32(request, FRA_TABLE, rule->table);
	if (rule->target)
		mnl_attr_put_u32(request, FRA_GOTO, rule->target);
	if (rule->local)
		mnl_attr_put_strz(request, FRA_IIFNAME, "lo");
	if (rule->not_default)
		mnl_attr_put_u32(request, FRA_SUPPRESS_PREFIXLEN, 0);
	body->src_len = rule->source.len;
	if (rule->source.len)
		mnl_attr_put(request, FRA_SRC, addr_len(&rule->source.addr), rule->source.addr.bytes);
	return netlink_do(netlink, request);
}

static int hostdev_rule_add(struct netlink *netlink, const struct rule *rule)
{
	int err = hostdev_rule(netlink, RTM_NEWRULE, rule);

	return err == -EEXIST ? 0 : err;
}

/* All that stand at one priority; each request removes one. */
static void hostdev_rules_remove(struct netlink *netlink, uint8_t family, uint32_t priority)
{
	struct rule any = {.family = family, .priority = priority};

	while (hostdev_rule(netlink, RTM_DELRULE, &any) == 0)
		;
}

static struct rule rule_base(uint8_t family)
{
	return (struct rule){
		.family = family,
		.action = FR_ACT_TO_TBL,
		.priority = AGENT_RULE_PRIORITY,
		.table = AGENT_ROUTE_TABLE,
		.mark = AGENT_MARK,
		.invert = true,
	};
}

int hostdev_rules_add(struct netlink *netlink)
{
	struct rule v4 = rule_base(AF_INET), v6 = rule_base(AF_INET6);
	int err = hostdev_rule_add(netlink, &v4);

	if (err)
		return err;
	err = hostdev_rule_add(netlink, &v6);
	return err == -EAFNOSUPPORT ? 0 : err;
}

/* A rule that goes to the end: source within the half of all IPv6 addresses that begins with bit `high`. */
static struct rule rule_half(uint8_t high)
{
	return (struct rule){
		.family = AF_INET6,
		.action = FR_ACT_GOTO,
		.priority = AGENT_RULE_OTHERS,
		.target = AGENT_RULE_END,
		.source = {.addr = {.family = IP_V6, .bytes = {(uint8_t)(high << 7)}}, .len = 1},
	};
}

/*
 * A packet without a source: IPv4 looks it up as from 0.0.0.0, which a rule can name. IPv6 matches it with no rule that
 * names a source, so those that have one go on before.
 */
static int hostdev_unbound_add(struct netlink *netlink, uint8_t family)
{
	struct rule low = rule_half(0), high = rule_half(1);
	struct rule unbound = {.family = family,
		.action = FR_ACT_TO_TBL,
		.priority = AGENT_RULE_UNBOUND,
		.table = AGENT_ROUTE_TABLE_ALL,
		.local = true};
	int err = 0;

	if (family == AF_INET)
		unbound.source = (struct ip_prefix){.addr = {.family = IP_V4}, .len = 32};
	else if (!(err = hostdev_rule_add(netlink, &low)))
		err = hostdev_rule_add(netlink, &high);
	return err ? err : hostdev_rule_add(netlink, &unbound);
}

int hostdev_full_add(struct netlink *netlink, uint8_t addr_family, bool unbound)
{
	uint8_t family = addr_family == IP_V4 ? AF_INET : AF_INET6;
	const struct rule rules[] = {
		{.family = family, .action = FR_ACT_NOP, .priority = AGENT_RULE_END},
		{.family = family,
			.action = FR_ACT_GOTO,
			.priority = AGENT_RULE_MARKED,
			.mark = AGENT_MARK,
			.target = AGENT_RULE_END},
		{.family = family,
			.action = FR_ACT_TO_TBL,
			.priority = AGENT_RULE_MAIN,
			.table = RT_TABLE_MAIN,
			.not_default = true},
	};

	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		int err = hostdev_rule_add(netlink, &rules[i]);

		if (err)
			return err;
	}
	if (unbound)
		return hostdev_unbound_add(netlink, family);
	hostdev_rules_remove(netlink, family, AGENT_RULE_UNBOUND);
	return 0;
}

void hostdev_full_remove(struct netlink *netlink, uint8_t addr_family)
{
	uint8_t family = addr_family == IP_V4 ? AF_INET : AF_INET6;

	hostdev_rules_remove(netlink, family, AGENT_RULE_UNBOUND);
	hostdev_rules_remove(netlink, family, AGENT_RULE_OTHERS);
	hostdev_rules_remove(netlink, family, AGENT_RULE_MAIN);
	hostdev_rules_remove(netlink, family, AGENT_RULE_MARKED);
	hostdev_rules_remove(netlink, family, AGENT_RULE_END);
}

static struct rule rule_source(const struct ip_prefix *prefix)
{
	return (struct rule){
		.family = family_of(&prefix->addr),
		.action = FR_ACT_TO_TBL,
		.priority = AGENT_RULE_SOURCE,
		.table = AGENT_ROUTE_TABLE_ALL,
		.source = *prefix,
	};
}

int hostdev_source_add(struct netlink *netlink, const struct ip_prefix *prefix)
{
	struct rule rule = rule_source(prefix);

	return hostdev_rule_add(netlink, &rule);
}

int hostdev_source_delete(struct netlink *netlink, const struct ip_prefix *prefix)
{
	struct rule rule = rule_source(prefix);

	return hostdev_rule(netlink, RTM_DELRULE, &rule);
}

/* ---- routes -------------------------------------------------------------------------------------------------- */

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
	body->rtm_scope = type == RTM_DELROUTE ? RT_SCOPE_NOWHERE
			  : kind == RTN_THROW  ? RT_SCOPE_UNIVERSE
					       : RT_SCOPE_LINK;
	body->rtm_type = kind;
	mnl_attr_put_u32(request, RTA_TABLE, prefix->len ? AGENT_ROUTE_TABLE : AGENT_ROUTE_TABLE_ALL);
	mnl_attr_put(request, RTA_DST, addr_len(&prefix->addr), prefix->addr.bytes);
	if (kind == RTN_THROW)
		mnl_attr_put_u32(request, RTA_PRIORITY, THROW_METRIC);
	return request;
}

int hostdev_route_add(struct netlink *netlink, uint32_t ifindex, const struct hostdev_route *route)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request =
		route_request(buffer, RTM_NEWROUTE, RTN_UNICAST, NLM_F_CREATE | NLM_F_REPLACE, &route->prefix);
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

	return netlink_do(netlink, route_request(buffer, RTM_DELROUTE, RTN_UNICAST, 0, prefix));
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

/* ---- what is there ------------------------------------------------------------------------------------------- */

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

/* ---- removal ------------------------------------------------------------------------------------------------- */

struct throws {
	uint32_t count;
	struct ip_prefix prefixes[THROWS_AT_ONCE];
};

static void throws_collect(const struct ip_prefix *prefix, enum agent_route_use use, void *context)
{
	struct throws *throws = context;

	if (use == ROUTE_LOCAL && throws->count < THROWS_AT_ONCE)
		throws->prefixes[throws->count++] = *prefix;
}

/* Routes that name no device do not go with it. */
static void hostdev_throws_remove(struct netlink *netlink)
{
	struct throws throws;
	uint32_t gone;

	do {
		throws.count = gone = 0;
		hostdev_routes_each(netlink, throws_collect, &throws);
		for (uint32_t i = 0; i < throws.count; i++)
			gone += hostdev_throw_delete(netlink, &throws.prefixes[i]) == 0;
	} while (gone);
}

static void hostdev_family_remove(struct netlink *netlink, uint8_t addr_family)
{
	uint8_t family = addr_family == IP_V4 ? AF_INET : AF_INET6;
	struct rule base = rule_base(family);

	hostdev_rules_remove(netlink, family, AGENT_RULE_SOURCE);
	hostdev_full_remove(netlink, addr_family);
	while (hostdev_rule(netlink, RTM_DELRULE, &base) == 0)
		;
}

int hostdev_remove(struct netlink *netlink)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct link_info host;
	int err = 0;

	hostdev_throws_remove(netlink);
	if (netlink_link(netlink, HOST_DEVICE, &host) == 0 && strcmp(host.kind, "veth") == 0) {
		struct ifinfomsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

		request->nlmsg_type = RTM_DELLINK;
		body->ifi_index = (int)host.ifindex;
		err = netlink_do(netlink, request);
	}
	hostdev_family_remove(netlink, IP_V4);
	hostdev_family_remove(netlink, IP_V6);
	return err;
}
