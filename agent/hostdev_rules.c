/* SPDX-License-Identifier: Apache-2.0 */
/* The rules by which the host's packets ask for its routes (contract.h). */
#include "agent/hostdev_private.h"

#include "agent/base/own.h"

#include <errno.h>
#include <linux/fib_rules.h>

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

void hostdev_family_remove(struct netlink *netlink, uint8_t addr_family)
{
	uint8_t family = addr_family == IP_V4 ? AF_INET : AF_INET6;
	struct rule base = rule_base(family);

	hostdev_rules_remove(netlink, family, AGENT_RULE_SOURCE);
	hostdev_full_remove(netlink, addr_family);
	while (hostdev_rule(netlink, RTM_DELRULE, &base) == 0)
		;
}
