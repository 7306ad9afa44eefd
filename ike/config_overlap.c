/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two children that protect the very same traffic: which of them gets a packet would be left to chance. A narrower
 * child inside a wider one is fine, the longer prefix wins. What only a negotiation tells is looked at then (rivals.h).
 */
#include "ike/config_build.h"
#include "ike/policies.h"
#include "ike/ts.h"

#include <stdio.h>
#include <stdlib.h>

/* One child with what it protects, as far as the file says. */
struct claim {
	const struct conn_config *conn;
	const struct child_config *child;
	struct protection protection;
};

static bool pair_check(struct config_build *build, const struct claim *claim, const struct claim *earlier)
{
	const struct ts_pairs ours = protection_pairs(&claim->protection),
			      theirs = protection_pairs(&earlier->protection);
	char key[32], text[TS_TEXT_LEN];
	int at;

	if (claim->protection.priority != earlier->protection.priority)
		return true; /* the file says which one is asked first */
	at = ts_pairs_same(&ours, &theirs);
	if (at < 0)
		return true;
	build_base_child(build, claim->conn, claim->child);
	snprintf(key, sizeof(key), claim->child->remote_count ? "remote_ts[%d]" : "remote_ts", at);
	return build_fail(build, key, "child '%s' of connection '%s' already protects the same traffic to %s",
		earlier->child->name, earlier->conn->name, ts_format(&ours.remote[at], text));
}

static bool claims_check(struct config_build *build, const struct claim *claims, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		for (uint32_t n = 0; n < i; n++)
			if (!pair_check(build, &claims[i], &claims[n]))
				return false;
	return true;
}

static uint32_t children_count(const struct engine_config *engine)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < engine->conn_count; i++)
		count += engine->conns[i].child_count;
	return count;
}

bool build_overlap_check(struct config_build *build, const struct engine_config *engine)
{
	struct claim *claims = calloc(children_count(engine) + 1, sizeof(*claims));
	uint32_t count = 0;
	bool good;

	if (!claims)
		return build_fail(build, "", "out of memory");
	for (uint32_t i = 0; i < engine->conn_count; i++)
		for (uint32_t n = 0; n < engine->conns[i].child_count; n++) {
			struct claim *claim = &claims[count];

			claim->conn = &engine->conns[i];
			claim->child = &claim->conn->children[n];
			count += protection_of_child(claim->conn, claim->child, &claim->protection);
		}
	good = claims_check(build, claims, count);
	free(claims);
	return good;
}
