/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent tells, as commands for the engine. */
#include "agent/base/log.h"
#include "ike/daemon.h"

#include <arpa/inet.h>
#include <string.h>

/* Traffic waits for a tunnel: bring it up, if the configuration lets traffic do that. */
static bool acquire_command(
	const struct tunnel_entry *entry, const struct agent_message *message, struct engine_command *command)
{
	if (!entry || entry->start_action == CHILD_NONE)
		return false;
	command->kind = ENGINE_ACQUIRE;
	command->conn = entry->conn;
	command->child = entry->child;
	command->packet_local = message->acquire.local;
	command->packet_remote = message->acquire.remote;
	return true;
}

/* Slots are used again: the SPI says whether the event is still about the SA that stands there. */
static struct sa_pair *pair_of(struct tunnel_table *table, uint32_t sa, __be32 spi)
{
	struct sa_pair *pair = NULL;

	if (!tunnel_find_sa(table, sa, &pair))
		return NULL;
	return ntohl(spi) == (pair->sa_in == sa ? pair->spi_in : pair->spi_out) ? pair : NULL;
}

static bool expire_command(
	struct tunnel_table *table, const struct agent_message *message, struct engine_command *command)
{
	struct sa_pair *pair = pair_of(table, message->expire.sa, message->expire.spi);

	if (!pair)
		return false;
	command->kind = ENGINE_EXPIRE;
	command->child_id = pair->child_id;
	command->hard = message->expire.kind == AGENT_EXPIRE_HARD;
	return true;
}

static bool moved_command(
	struct tunnel_table *table, const struct agent_message *message, struct engine_command *command)
{
	struct sa_pair *pair = pair_of(table, message->moved.sa, message->moved.spi);

	if (!pair)
		return false;
	command->kind = ENGINE_PEER_MOVED;
	command->child_id = pair->child_id;
	addr_from_mapped(message->moved.remote.bytes, &command->remote.addr);
	command->remote.port = message->moved.remote_port;
	return true;
}

void daemon_agent_event(void *context, const struct agent_message *message)
{
	struct daemon *d = context;
	struct tunnel_table *table = d->installer ? installer_tunnels(d->installer) : NULL;
	struct engine_command command = {.conn = "", .child = ""};
	bool known = false;

	if (!d->engine || d->stopping)
		return;
	if (message->kind == AGENT_ACQUIRE)
		known = acquire_command(tunnel_find_id(table, message->acquire.tunnel), message, &command);
	else if (message->kind == AGENT_EXPIRE)
		known = expire_command(table, message, &command);
	else if (message->kind == AGENT_PEER_MOVED)
		known = moved_command(table, message, &command);
	if (!known)
		return;
	engine_command(d->engine, &command, clock_now_ns());
	daemon_drain(d);
}
