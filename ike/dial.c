/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses to dial to and from: the engine asks before each dial. Names are resolved anew each time, several remote
 * addresses are tried in turn, and the local address is the source of the route to the peer.
 */
#include "agent/base/log.h"
#include "ike/config.h"
#include "ike/daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dial {
	struct dial *next;
	char conn[IKE_NAME_MAX];
	unsigned turn; /* which remote address is next */
};

static struct dial *dial_find(struct daemon *d, const char *conn)
{
	struct dial *dial;

	for (dial = d->dials; dial; dial = dial->next)
		if (strcmp(dial->conn, conn) == 0)
			return dial;
	dial = calloc(1, sizeof(*dial));
	if (!dial)
		return NULL;
	snprintf(dial->conn, sizeof(dial->conn), "%s", conn);
	dial->next = d->dials;
	d->dials = dial;
	return dial;
}

void dial_free(struct daemon *d)
{
	while (d->dials) {
		struct dial *dial = d->dials;

		d->dials = dial->next;
		free(dial);
	}
}

static bool local_of(const struct config_connection *conn, struct ip_addr *local)
{
	memset(local, 0, sizeof(*local));
	return conn->local_addrs_count && addr_parse(conn->local_addrs[0], local);
}

static void answer_give(struct daemon *d, const struct config_connection *conn, const struct ip_addr *remote)
{
	struct engine_command command = {.kind = ENGINE_RESOLVED,
		.conn = conn->name,
		.child = "",
		.remote.addr = *remote,
		.remote.port = IKE_PORT};
	char text[ADDR_TEXT_LEN];

	if (remote->family != IP_NONE && !local_of(conn, &command.local) &&
		!socket_source_of(d->sockets, remote, &command.local))
		log_warn("connection %s: no route to %s; trying again later", conn->name, addr_format(remote, text));
	engine_command(d->engine, &command, clock_now_ns());
}

void dial_answer(void *context, const char *name, const struct ip_addr *addr)
{
	struct daemon *d = context;
	const struct config_connection *conn = ike_config_connection(d->config, name);

	if (!conn || !d->engine)
		return;
	answer_give(d, conn, addr);
	daemon_drain(d);
}

void dial_ask(struct daemon *d, const char *name)
{
	const struct config_connection *conn = ike_config_connection(d->config, name);
	struct dial *dial = conn ? dial_find(d, name) : NULL;
	struct ip_addr local, remote = {0};
	const char *wanted;
	int rc;

	if (!dial || !conn->remote_addrs_count)
		return;
	wanted = conn->remote_addrs[dial->turn++ % conn->remote_addrs_count];
	if (addr_parse(wanted, &remote)) {
		answer_give(d, conn, &remote);
		return;
	}
	local_of(conn, &local);
	rc = resolver_ask(d->resolver, conn->name, wanted, local.family);
	if (rc) {
		log_warn("connection %s: %s cannot be resolved now: %s", conn->name, wanted, strerror(-rc));
		answer_give(d, conn, &remote);
	}
}
