/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hostdev.h"

#include "agent/base/log.h"
#include "agent/base/own.h"
#include "agent/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUTE_PROTOCOL 145  /* marks our routes in `ip route` */
#define NOWHERE_METRIC 4499 /* behind a tunnel's route of the same prefix */
#define THROW_METRIC   4500 /* behind both */
#define ROUTES_AT_ONCE 64
#define REQUEST_BUFFER uint8_t buffer[NETLINK_REQUEST_BYTES] __attribute__((aligned(8)))

/* The prefixes of the tunnels' routes; while the device is changed they lead nowhere instead of elsewhere. */
struct hostdev_kept {
	struct ip_prefix *prefixes; /* owned */
	uint32_t count;
};

static void hostdev_keep(struct netlink *netlink, struct hostdev_kept *kept);
static void hostdev_restore(struct netlink *netlink, uint32_t ifindex, const struct hostdev_kept *kept);
static void hostdev_kept_clear(struct hostdev_kept *kept);

/* Settings of the device. A file may be missing (a kernel without IPv6): then there is nothing to set. */
static const struct {
	const char *path;
	const char *value;
} settings[] = {
	{"/proc/sys/net/ipv4/conf/" HOST_DEVICE "/rp_filter", "2"},    /* any source to which there is a way at all */
	{"/proc/sys/net/ipv4/conf/" HOST_DEVICE "/accept_local", "1"}, /* our own ICMP errors to the host */
	{"/proc/sys/net/ipv4/conf/" HOST_DEVICE "/send_redirects", "0"},
	/* Without an agent there is no carrier. Its routes hold all the same: no other way is taken meanwhile. */
	{"/proc/sys/net/ipv4/conf/" HOST_DEVICE "/ignore_routes_with_linkdown", "0"},
	{"/proc/sys/net/ipv6/conf/" HOST_DEVICE "/ignore_routes_with_linkdown", "0"},
	{"/proc/sys/net/ipv6/conf/" HOST_DEVICE "/addr_gen_mode", "1"}, /* none */
	{"/proc/sys/net/ipv6/conf/" HOST_DEVICE "/accept_ra", "0"},
};

static void hostdev_settings(void)
{
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		OWN_FD int fd = open(settings[i].path, O_WRONLY | O_CLOEXEC);

		if (fd >= 0 && write(fd, settings[i].value, strlen(settings[i].value)) < 0)
			log_warn("%s cannot be set to %s: %s", settings[i].path, settings[i].value, strerror(errno));
	}
}

static int hostdev_up(struct netlink *netlink, uint32_t ifindex)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

	request->nlmsg_type = RTM_NEWLINK;
	body->ifi_index = (int)ifindex;
	body->ifi_flags = IFF_UP;
	body->ifi_change = IFF_UP;
	mnl_attr_put_u32(request, IFLA_MTU, HOST_DEVICE_LINK_MTU);
	mnl_attr_put_u32(request, IFLA_TXQLEN, HOST_DEVICE_TX_QUEUE);
	return netlink_do(netlink, request);
}

/* The device has a ring of its own per queue; a queue before it, for each of the 256 that it might have, would only
 * cost. A kernel that does not want this keeps its default. */
static void hostdev_queue_off(struct netlink *netlink, uint32_t ifindex)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct tcmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));
	int err;

	request->nlmsg_type = RTM_NEWQDISC;
	request->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
	body->tcm_ifindex = (int)ifindex;
	body->tcm_parent = TC_H_ROOT;
	mnl_attr_put_strz(request, TCA_KIND, "noqueue");
	err = netlink_do(netlink, request);
	if (err)
		log_debug("%s keeps its default queue: %s", HOST_DEVICE, strerror(-err));
}

/*
 * An IPv4 address that nobody speaks from or to (scope host, inside 127.0.0.0/8). Reverse path filtering, however
 * loose, takes from a device without any address only what goes back by that device; but answers to a captured packet's
 * peer, and the agent's own ICMP errors, have other ways.
 */
static int hostdev_address(struct netlink *netlink, uint32_t ifindex)
{
	static const uint8_t nobody[4] = {127, 69, 83, 80};
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifaddrmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

	request->nlmsg_type = RTM_NEWADDR;
	request->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
	body->ifa_family = AF_INET;
	body->ifa_prefixlen = 32;
	body->ifa_scope = RT_SCOPE_HOST;
	body->ifa_index = ifindex;
	mnl_attr_put(request, IFA_LOCAL, sizeof(nobody), nobody);
	mnl_attr_put(request, IFA_ADDRESS, sizeof(nobody), nobody);
	return netlink_do(netlink, request);
}

static int hostdev_delete(struct netlink *netlink, const struct link_info *link)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

	request->nlmsg_type = RTM_DELLINK;
	body->ifi_index = (int)link->ifindex;
	return netlink_do(netlink, request);
}

/* The device that agents before version 0.2 made: one end of a veth pair. */
static bool hostdev_is_old(struct netlink *netlink, const struct link_info *link)
{
	struct link_info peer;

	return strcmp(link->kind, "veth") == 0 && netlink_link(netlink, HOST_DEVICE "p", &peer) == 0 &&
	       strcmp(peer.kind, "veth") == 0;
}

/* A TUN device of several queues that stays: what tun_open makes, and no other program's. */
static bool hostdev_is_ours(const struct link_info *link)
{
	return strcmp(link->kind, "tun") == 0 && link->tun_stays;
}

static void fds_close(int *fds, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		close(fds[i]);
}

static int hostdev_attach(uint32_t queues, int *fds, char error[static 256])
{
	for (uint32_t i = 0; i < queues; i++) {
		fds[i] = tun_open(HOST_DEVICE);
		if (fds[i] >= 0)
			continue;
		if (fds[i] == -EINVAL || fds[i] == -EBUSY)
			snprintf(error, 256, "an interface %s exists that is not ours; remove or rename it",
				HOST_DEVICE);
		else
			snprintf(error, 256, "the host device %s cannot be made: %s%s", HOST_DEVICE, strerror(-fds[i]),
				fds[i] == -ENOENT ? " (/dev/net/tun; is the kernel's module tun there?)" : "");
		fds_close(fds, i);
		return fds[i];
	}
	return 0;
}

int hostdev_make(struct netlink *netlink, uint32_t queues, int *fds, struct link_info *host, char error[static 256])
{
	struct hostdev_kept kept = {0};
	int err = netlink_link(netlink, HOST_DEVICE, host);

	if (!err && hostdev_is_old(netlink, host)) {
		hostdev_keep(netlink, &kept);
		hostdev_delete(netlink, host);
	}
	err = hostdev_attach(queues, fds, error);
	if (err) {
		hostdev_kept_clear(&kept);
		return err;
	}
	err = netlink_link(netlink, HOST_DEVICE, host);
	hostdev_settings();
	hostdev_queue_off(netlink, host->ifindex);
	err = err ? err : hostdev_up(netlink, host->ifindex);
	err = err ? err : hostdev_address(netlink, host->ifindex);
	if (err) {
		snprintf(error, 256, "the host device %s cannot be brought up: %s", HOST_DEVICE, strerror(-err));
		fds_close(fds, queues);
	}
	hostdev_restore(netlink, host->ifindex, &kept);
	hostdev_kept_clear(&kept);
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

/* Should the device be down, gone, or without carrier on a host that does not like that: nowhere, and not elsewhere. */
static int hostdev_nowhere(struct netlink *netlink, uint16_t type, uint16_t flags, const struct ip_prefix *prefix)
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

/* ---- a new device in place of an old one --------------------------------------------------------------------- */

static void kept_collect(const struct ip_prefix *prefix, enum agent_route_use use, void *context)
{
	struct hostdev_kept *kept = context;
	struct ip_prefix *grown;

	if (use != ROUTE_TUNNEL)
		return;
	grown = reallocarray(kept->prefixes, kept->count + 1, sizeof(*grown));
	if (!grown)
		return;
	kept->prefixes = grown;
	kept->prefixes[kept->count++] = *prefix;
}

static void hostdev_keep(struct netlink *netlink, struct hostdev_kept *kept)
{
	hostdev_routes_each(netlink, kept_collect, kept);
	for (uint32_t i = 0; i < kept->count; i++)
		hostdev_nowhere(netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &kept->prefixes[i]);
}

static void hostdev_restore(struct netlink *netlink, uint32_t ifindex, const struct hostdev_kept *kept)
{
	for (uint32_t i = 0; i < kept->count; i++) {
		const struct hostdev_route route = {.prefix = kept->prefixes[i]};

		hostdev_route_add(netlink, ifindex, &route);
	}
}

static void hostdev_kept_clear(struct hostdev_kept *kept)
{
	free(kept->prefixes);
	*kept = (struct hostdev_kept){0};
}

/* ---- removal ------------------------------------------------------------------------------------------------- */

struct left {
	uint32_t count;
	struct ip_prefix prefixes[ROUTES_AT_ONCE];
	enum agent_route_use uses[ROUTES_AT_ONCE];
};

static void left_collect(const struct ip_prefix *prefix, enum agent_route_use use, void *context)
{
	struct left *left = context;

	if (left->count == ROUTES_AT_ONCE)
		return;
	left->prefixes[left->count] = *prefix;
	left->uses[left->count++] = use;
}

/* Routes that name no device do not go with it. */
static void hostdev_left_remove(struct netlink *netlink)
{
	struct left left;
	uint32_t gone;

	do {
		left.count = gone = 0;
		hostdev_routes_each(netlink, left_collect, &left);
		for (uint32_t i = 0; i < left.count; i++)
			gone += (left.uses[i] == ROUTE_LOCAL
						? hostdev_throw_delete(netlink, &left.prefixes[i])
						: hostdev_nowhere(netlink, RTM_DELROUTE, 0, &left.prefixes[i])) == 0;
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
	struct link_info host;
	int err = 0;

	if (netlink_link(netlink, HOST_DEVICE, &host) == 0 &&
		(hostdev_is_ours(&host) || hostdev_is_old(netlink, &host)))
		err = hostdev_delete(netlink, &host);
	hostdev_left_remove(netlink);
	hostdev_family_remove(netlink, IP_V4);
	hostdev_family_remove(netlink, IP_V6);
	return err;
}
