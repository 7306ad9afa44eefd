/* SPDX-License-Identifier: Apache-2.0 */
/* This host's addresses, told to those who need them. */
#include "agent/agent_private.h"

#include "agent/base/log.h"
#include "agent/host_rules.h"

#include <string.h>

/* Addresses by family, IPv4 first. */
struct own_addresses {
	struct addr16 list[2][OWN_ADDRESSES_MAX];
	uint32_t count[2];
};

/* Those of global scope, on served interfaces or on others. */
static void own_collect(
	struct agent *agent, const struct local_addr *list, uint32_t count, bool served, struct own_addresses *own)
{
	for (uint32_t i = 0; i < count; i++) {
		bool v6 = list[i].addr.family == IP_V6;

		if (list[i].scope != RT_SCOPE_UNIVERSE || own->count[v6] == OWN_ADDRESSES_MAX ||
			served != !!port_table_by_ifindex(&agent->shared.ports, list[i].ifindex))
			continue;
		addr_to_mapped(&list[i].addr, own->list[v6][own->count[v6]++].bytes);
	}
}

/* The sources of our ICMP errors: addresses on served interfaces before others. */
static void agent_choose_own(struct agent *agent, const struct local_addr *list, uint32_t count)
{
	struct own_addresses own = {0};

	own_collect(agent, list, count, true, &own);
	own_collect(agent, list, count, false, &own);
	atomic_fetch_add(&agent->shared.own_generation, 1); /* odd: being written */
	memcpy(agent->shared.own_v4, own.list[0], sizeof(agent->shared.own_v4));
	memcpy(agent->shared.own_v6, own.list[1], sizeof(agent->shared.own_v6));
	atomic_fetch_add(&agent->shared.own_generation, 1);
}

/* Who routes the packets out of tunnels: the workers, or by such rules the host? */
static void agent_read_rules(struct agent *agent, const struct local_addr *list, uint32_t count)
{
	static const uint8_t families[2] = {AF_INET, AF_INET6};

	for (unsigned i = 0; i < 2; i++) {
		bool further = host_rules_matter(&agent->netlink, families[i], list, count);

		if (further == atomic_exchange(&agent->shared.news.further[i], further))
			continue;
		log_info("IPv%u packets out of tunnels are routed by %s", i ? 6u : 4u,
			further ? "the host: it has rules (ip rule) that look at more than their destination"
				: "the agent again");
	}
}

void agent_read_addresses(struct agent *agent)
{
	struct addr16 mapped[LOCAL_ADDR_COUNT];
	uint32_t ifindexes[LOCAL_ADDR_COUNT];
	struct local_addr *list;
	uint32_t count;
	int err = netlink_addresses(&agent->netlink, &list, &count);

	if (err) {
		log_error("this host's addresses cannot be read: %s", strerror(-err));
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		addr_to_mapped(&list[i].addr, mapped[i].bytes);
		ifindexes[i] = list[i].ifindex;
	}
	err = dataplane_local_addr_set(agent->dataplane, mapped, ifindexes, count);
	if (err)
		log_error("this host's addresses cannot be told to the XDP program: %s", strerror(-err));
	agent_choose_own(agent, list, count);
	agent_read_rules(agent, list, count);
	routes_addresses(&agent->routes, list, count);
}
