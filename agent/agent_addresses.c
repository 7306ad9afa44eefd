/* SPDX-License-Identifier: Apache-2.0 */
/* This host's addresses, told to those who need them. */
#include "agent/agent_private.h"

#include "agent/base/log.h"

#include <string.h>

/* The source of our ICMP errors: an address on a served interface, else any that is not the loopback's. */
static void agent_choose_own(struct agent *agent, const struct local_addr *list, uint32_t count)
{
	struct addr16 own[2] = {0};
	uint32_t rank[2] = {0};

	for (uint32_t i = 0; i < count; i++) {
		bool v6 = list[i].addr.family == IP_V6;
		uint32_t worth = port_table_by_ifindex(&agent->shared.ports, list[i].ifindex) ? 2 : 1;

		if (list[i].scope != RT_SCOPE_UNIVERSE || worth <= rank[v6])
			continue;
		rank[v6] = worth;
		addr_to_mapped(&list[i].addr, own[v6].bytes);
	}
	atomic_fetch_add(&agent->shared.own_generation, 1); /* odd: being written */
	agent->shared.own_v4 = own[0];
	agent->shared.own_v6 = own[1];
	atomic_fetch_add(&agent->shared.own_generation, 1);
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
	routes_addresses(&agent->routes, list, count);
}
