/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two children that protect the very same traffic: which of them gets a packet would be left to chance. A narrower
 * child inside a wider one is fine, the longer prefix wins.
 */
#include "ike/config_build.h"
#include "ike/ts.h"

#include <stdio.h>

/* The index of a remote selector of `a` that stands in `b` too, with the same local one; -1: none. */
static int same_traffic(const struct child_config *a, const struct child_config *b)
{
	if (a->priority != b->priority)
		return -1; /* the file says which one is asked first */
	for (unsigned r = 0; r < a->remote_count; r++)
		for (unsigned s = 0; s < b->remote_count; s++) {
			if (!ts_equal(&a->remote[r], &b->remote[s]))
				continue;
			for (unsigned l = 0; l < a->local_count; l++)
				for (unsigned m = 0; m < b->local_count; m++)
					if (ts_equal(&a->local[l], &b->local[m]))
						return (int)r;
		}
	return -1;
}

static bool pair_check(struct config_build *build, const struct conn_config *conn, const struct child_config *child,
	const struct conn_config *other_conn, const struct child_config *other)
{
	int at = same_traffic(child, other);
	char key[32], text[TS_TEXT_LEN];

	if (at < 0)
		return true;
	snprintf(build->base, sizeof(build->base), "connections.%s.children.%s", conn->name, child->name);
	snprintf(key, sizeof(key), "remote_ts[%d]", at);
	return build_fail(build, key, "child '%s' of connection '%s' already protects the same traffic to %s",
		other->name, other_conn->name, ts_format(&child->remote[at], text));
}

/* `child` against all that stand before it. */
static bool child_check(struct config_build *build, const struct engine_config *engine, const struct conn_config *conn,
	const struct child_config *child)
{
	for (const struct conn_config *c = engine->conns; c <= conn; c++)
		for (uint32_t i = 0; i < c->child_count; i++) {
			if (&c->children[i] == child)
				return true;
			if (!pair_check(build, conn, child, c, &c->children[i]))
				return false;
		}
	return true;
}

bool build_overlap_check(struct config_build *build, const struct engine_config *engine)
{
	for (uint32_t i = 0; i < engine->conn_count; i++)
		for (uint32_t n = 0; n < engine->conns[i].child_count; n++)
			if (!child_check(build, engine, &engine->conns[i], &engine->conns[i].children[n]))
				return false;
	return true;
}
