/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/host_rules.h"

#include "agent/contract.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <string.h>

struct rule {
	uint8_t family; /* AF_* */
	uint8_t source_len;
	uint32_t priority;
	struct ip_addr source;
	bool further; /* it looks at something that only the packet itself can tell */
};

static int rule_attr(const struct nlattr *attr, void *context)
{
	struct rule *rule = context;
	size_t len = mnl_attr_get_payload_len(attr);
	const char *device;

	switch (mnl_attr_get_type(attr)) {
	case FRA_PRIORITY:
		rule->priority = mnl_attr_get_u32(attr);
		break;
	case FRA_SRC:
		if (len == addr_len(&rule->source))
			memcpy(rule->source.bytes, mnl_attr_get_payload(attr), len);
		break;
	case FRA_IIFNAME:
		/* To the kernel the packet comes in by the host device, and the question from the host itself. */
		device = mnl_attr_get_str(attr);
		rule->further |= strcmp(device, HOST_DEVICE) == 0 || strcmp(device, "lo") == 0;
		break;
	case FRA_UNSPEC:
	case FRA_DST:
	case FRA_GOTO:
	case FRA_UNUSED2:
	case FRA_FWMARK:
	case FRA_FLOW:
	case FRA_TUN_ID:
	case FRA_SUPPRESS_IFGROUP:
	case FRA_SUPPRESS_PREFIXLEN:
	case FRA_TABLE:
	case FRA_FWMASK:
	case FRA_OIFNAME:
	case FRA_PAD:
	case FRA_L3MDEV:
	case FRA_PROTOCOL:
		break;
	default: /* ports, protocols, users, and whatever later kernels ask for */
		rule->further = true;
		break;
	}
	return MNL_CB_OK;
}

static bool rule_is_of_own(const struct rule *rule, const struct local_addr *own, uint32_t count)
{
	if (rule->source_len != addr_len(&rule->source) * 8)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (own[i].addr.family == rule->source.family &&
			memcmp(own[i].addr.bytes, rule->source.bytes, addr_len(&rule->source)) == 0)
			return true;
	return false;
}

bool host_rule_matters(const struct nlmsghdr *message, const struct local_addr *own, uint32_t count)
{
	const struct fib_rule_hdr *body = mnl_nlmsg_get_payload(message);
	struct rule rule = {0};

	if (message->nlmsg_type != RTM_NEWRULE || mnl_nlmsg_get_payload_len(message) < sizeof(*body))
		return false;
	rule.source.family = body->family == AF_INET ? IP_V4 : IP_V6;
	rule.source_len = body->src_len;
	mnl_attr_parse(message, sizeof(*body), rule_attr, &rule);
	if (rule.priority >= AGENT_RULE_PRIORITY && rule.priority <= AGENT_RULE_END)
		return false;
	return rule.further || body->tos || (rule.source_len && !rule_is_of_own(&rule, own, count));
}

struct search {
	const struct local_addr *own;
	uint32_t count;
	bool found;
};

static int rule_message(const struct nlmsghdr *message, void *context)
{
	struct search *search = context;

	search->found |= host_rule_matters(message, search->own, search->count);
	return MNL_CB_OK;
}

bool host_rules_matter(struct netlink *netlink, uint8_t family, const struct local_addr *own, uint32_t count)
{
	uint8_t buffer[NETLINK_REQUEST_BYTES] __attribute__((aligned(8)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct search search = {.own = own, .count = count};
	struct fib_rule_hdr *body;
	int err;

	request->nlmsg_type = RTM_GETRULE;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	body = mnl_nlmsg_put_extra_header(request, sizeof(*body));
	body->family = family;
	err = netlink_ask(netlink, request, rule_message, &search);
	return search.found || (err && err != -EAFNOSUPPORT && err != -EOPNOTSUPP);
}
