/* SPDX-License-Identifier: Apache-2.0 */
/* Several workers of one gateway in memory. The first is the gateway's own, driven by the caller; the others run as
 * threads when they are started. */
#ifndef ESPALIER_TOOLS_BENCH_WORKER_TEAM_H
#define ESPALIER_TOOLS_BENCH_WORKER_TEAM_H

#include "tools/bench/worker_lab.h"

#define TEAM_MAX 4u

struct team {
	struct gateway *gateway;
	uint32_t count;
	struct worker_stat stats[TEAM_MAX];
	_Atomic uint64_t owners[GATEWAY_SAS];
	struct worker *workers[TEAM_MAX]; /* [0] is the gateway's */
};

/* Ports of `queues` queues in the place of the gateway's. */
static inline int team_ports(struct gateway *gateway, uint32_t queues)
{
	for (uint32_t slot = SLOT_HOST; slot <= SLOT_WAN; slot++) {
		struct port *port = memory_port_new(slot, queues, gateway_mac);

		if (!port)
			return -1;
		port->host = slot == SLOT_HOST;
		port_free(gateway->shared.ports.ports[slot]);
		atomic_store(&gateway->shared.ports.ports[slot], port);
	}
	return 0;
}

/* Make `count` workers of a fresh gateway over ports of `queues` queues; they lend if `lend`. Not 0: no memory. */
static inline int team_init(struct team *team, struct gateway *gateway, uint32_t count, uint32_t queues, bool lend)
{
	memset(team, 0, sizeof(*team));
	team->gateway = gateway;
	worker_clear(&gateway->worker);
	if (team_ports(gateway, queues))
		return -1;
	gateway->shared.worker_count = count;
	gateway->shared.stats = team->stats;
	gateway->shared.owners = team->owners;
	gateway->shared.workers = team->workers;
	gateway->shared.board = lend ? lend_board_new() : NULL;
	if (lend && !gateway->shared.board)
		return -1;
	for (uint32_t i = 0; i < count; i++) {
		team->workers[i] = i ? calloc(1, sizeof(struct worker)) : &gateway->worker;
		if (!team->workers[i] ||
			worker_init(team->workers[i], &gateway->shared, i, &gateway->resolver.resolver))
			return -1;
		team->count++;
	}
	return 0;
}

/* All but the first start, each on a CPU of its own if `pin`. */
static inline int team_start(struct team *team, bool pin)
{
	int err = 0;

	for (uint32_t i = 1; i < team->count && !err; i++)
		err = worker_start(team->workers[i], pin ? (int)i : -1);
	return err;
}

static inline void team_stop(struct team *team)
{
	atomic_store(&team->gateway->shared.stop, true);
	for (uint32_t i = 1; i < team->count; i++) {
		worker_wake(team->workers[i]);
		worker_join(team->workers[i]);
	}
}

/* Before gateway_clear. */
static inline void team_clear(struct team *team)
{
	team_stop(team);
	for (uint32_t i = 1; i < team->count; i++) {
		worker_clear(team->workers[i]);
		free(team->workers[i]);
	}
	free(team->gateway->shared.board);
	team->gateway->shared.board = NULL;
}

#endif
