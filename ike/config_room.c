/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Do the policies of all children fit into the maps? They are worked out here as they will be there (policies.h,
 * bpf/policy_table.h): a child whose policies do not fit would leave its traffic without protection.
 */
#include "bpf/policy_table.h"
#include "ike/config_build.h"
#include "ike/policies.h"
#include "ike/ts.h"

#include <errno.h>
#include <stdio.h>

struct room {
	struct policy_table table;
	uint32_t policies; /* that stand in it; their ids are 1 to this */
	uint32_t tunnels;
	uint32_t policies_max; /* prefixes of one family */
	uint32_t tunnels_max;
};

static bool prefix_full(const struct config_build *build, const struct policy_prefix *where)
{
	struct ip_prefix prefix = {.addr = {.family = where->family}, .len = where->len};
	char text[ADDR_TEXT_LEN];

	memcpy(prefix.addr.bytes, where->bytes, sizeof(prefix.addr.bytes));
	return build_fail(build, "remote_ts",
		"at most %u pairs of selectors to %s/%u were expected, in all children together, those that cover it "
		"included, and this child is past that; use ranges of ports ([tcp/8000-8099]), wider prefixes, or no "
		"ports",
		POLICY_SELECTORS_MAX, addr_format(&prefix.addr, text), prefix.len);
}

static bool policy_fits(const struct config_build *build, struct room *room, const struct policy *policy)
{
	struct policy_prefix where;
	int rc = policy_table_add(&room->table, policy, room->policies + 1);

	if (rc == -ENOMEM)
		return build_fail(build, "", "out of memory");
	if (rc)
		return build_fail(build, "remote_ts", "selectors that go with those of local_ts were expected");
	room->policies++;
	if (policy_table_check(&room->table, room->policies, &where))
		return prefix_full(build, &where);
	return true;
}

/* Does the map of either family have an entry for each prefix? */
static bool map_fits(const struct config_build *build, const struct room *room)
{
	static const uint8_t families[] = {4, 6};

	for (unsigned i = 0; i < 2; i++)
		if (policy_table_prefixes(&room->table, families[i]) > room->policies_max)
			return build_fail(build, "remote_ts",
				"at most %u prefixes of IPv%u were expected, in all children together, and this child "
				"is past that; raise agent.policy_count",
				room->policies_max, families[i]);
	return true;
}

static bool child_fits(
	struct config_build *build, struct room *room, const struct conn_config *conn, const struct child_config *child)
{
	struct policy policies[PROTECTION_POLICIES_MAX];
	struct protection protection;
	unsigned count = protection_of_child(conn, child, &protection)
				 ? protection_policies(&protection, TUNNEL_NONE, policies)
				 : 0;
	uint32_t before = room->table.count;

	build_base_child(build, conn, child);
	room->tunnels += !child->shunt;
	if (room->tunnels > room->tunnels_max)
		return build_fail(build, "", "at most %u children with SAs were expected; raise agent.tunnel_count",
			room->tunnels_max);
	for (unsigned i = 0; i < count; i++)
		if (!policy_fits(build, room, &policies[i]))
			return false;
	return room->table.count == before || room->table.count <= room->policies_max || map_fits(build, room);
}

bool build_room_check(struct config_build *build, const struct engine_config *engine)
{
	const struct config_agent *agent = build->config->agent;
	struct room room = {
		.policies_max = agent && agent->policy_count ? agent->policy_count : POLICY_COUNT_DEFAULT,
		.tunnels_max = agent && agent->tunnel_count ? agent->tunnel_count : TUNNEL_COUNT_DEFAULT,
	};
	bool good = true;

	for (uint32_t i = 0; good && i < engine->conn_count; i++)
		for (uint32_t n = 0; good && n < engine->conns[i].child_count; n++)
			good = child_fits(build, &room, &engine->conns[i], &engine->conns[i].children[n]);
	policy_table_clear(&room.table);
	return good;
}
