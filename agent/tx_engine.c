/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tx_engine.h"

#include "agent/base/log.h"
#include "agent/contract.h"
#include "agent/cpu.h"
#include "agent/xdp_features.h"
#include "agent/xsk_port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COMPARE_SLACK 16384u /* frames that may be on their way between the two counts: two rings of small ones */

enum tx_choice tx_choice_named(const char *name)
{
	if (name && strcmp(name, "xsk") == 0)
		return TX_XSK;
	return name && strcmp(name, "live") == 0 ? TX_LIVE : TX_AUTO;
}

void tx_engines_open(struct tx_engines *engines, enum tx_choice choice, uint32_t workers, uint32_t cpus)
{
	uint32_t spare = cpus > workers ? cpus - workers : 0;
	uint32_t wanted = choice == TX_LIVE && cpus > 1 ? workers : workers < spare ? workers : spare;

	memset(engines, 0, sizeof(*engines));
	engines->choice = choice;
	if (choice == TX_XSK)
		return;
	if (!wanted)
		snprintf(engines->reason, sizeof(engines->reason), "%u CPU%s for %u worker%s: none is spare", cpus,
			cpus == 1 ? "" : "s", workers, workers == 1 ? "" : "s");
	while (engines->count < wanted && engines->count < WORKERS_MAX) {
		int cpu = workers > 1 ? cpu_at(workers + engines->count) : -1;
		int err = live_engine_new(cpu, &engines->live[engines->count]);

		if (err) {
			snprintf(engines->reason, sizeof(engines->reason), "the kernel has no live frames (%s)",
				strerror(-err));
			break;
		}
		engines->count++;
	}
	if (choice == TX_LIVE && !engines->count)
		log_warn("tx_engine is live, but AF_XDP sends: %s", engines->reason);
}

void tx_engines_close(struct tx_engines *engines)
{
	while (engines->count)
		live_engine_free(engines->live[--engines->count]);
}

/* Does the driver send redirected frames now? Before Linux 6.3 only the configuration's word is there to go by. */
static bool link_sends(const struct tx_engines *engines, const struct port *port)
{
	uint64_t features;
	int err = xdp_features_read(port->ifindex, &features);

	return err ? engines->choice == TX_LIVE : features & XDP_FEATURE_XMIT;
}

static bool port_may(const struct tx_engines *engines, const struct port *port)
{
	if (port->host || !engines->count)
		return false;
	return engines->choice == TX_LIVE || (engines->choice == TX_AUTO && !port->zero_copy);
}

void tx_engines_serve(struct tx_engines *engines, struct port *port)
{
	if (!port_may(engines, port))
		return;
	for (uint32_t i = 0; i < engines->count && i < port->queue_count; i++) {
		int err;

		if (port->queues[i]->shared)
			continue;
		err = live_engine_set_port(engines->live[i], port->slot, port->ifindex);
		err = err ? err : xsk_queue_use_live(port->queues[i], engines->live[i]);
		if (err) {
			log_warn("%s: not for live frames: %s", port->name, strerror(-err));
			continue;
		}
		port->live_capable = true;
	}
	atomic_store(&port->live_refused, !link_sends(engines, port));
}

void tx_engines_leave(struct tx_engines *engines, struct port *port)
{
	for (uint32_t i = 0; port->live_capable && i < engines->count; i++)
		live_engine_set_port(engines->live[i], port->slot, 0);
}

static const char *no_live_reason(const struct tx_engines *engines, const struct port *port)
{
	uint64_t features;

	if (port->host)
		return "";
	if (engines->choice == TX_XSK)
		return "tx_engine is xsk";
	if (engines->choice == TX_AUTO && port->zero_copy)
		return "zero-copy costs less than live frames";
	if (!engines->count)
		return engines->reason;
	if (!port->live_capable)
		return "no live frames: every queue of it is sent on by several workers";
	if (port->live_failed)
		return "no live frames: packets that were given to the driver vanished";
	if (xdp_features_read(port->ifindex, &features))
		return "no live frames: before Linux 6.3 a driver does not say that it sends them (tx_engine: live)";
	return "no live frames: the driver does not send redirected frames as it is set now";
}

uint8_t tx_engines_of(const struct tx_engines *engines, const struct port *port, char reason[static TX_REASON_BYTES])
{
	if (!port->live_capable || atomic_load(&port->live_refused)) {
		snprintf(reason, TX_REASON_BYTES, "%.127s", no_live_reason(engines, port));
		return TX_ENGINE_XSK;
	}
	if (atomic_load(&port->live_carries)) {
		snprintf(reason, TX_REASON_BYTES, "until fewer than %u packets a second are sent", LIVE_STOP_RATE);
		return TX_ENGINE_LIVE;
	}
	snprintf(reason, TX_REASON_BYTES, "live frames from %u packets a second on", LIVE_START_RATE);
	return TX_ENGINE_LIVE_READY;
}

static uint64_t port_live_sent(const struct port *port)
{
	uint64_t sent = 0;

	for (uint32_t i = 0; i < port->queue_count; i++)
		sent += xsk_queue_live_sent(port->queues[i]);
	return sent;
}

void tx_engines_compare(struct tx_engines *engines, struct netlink *netlink, struct port *port)
{
	uint64_t live, by_live, by_link;
	struct link_info link;
	bool sends;

	if (!port->live_capable || port->live_failed)
		return;
	live = port_live_sent(port);
	if (netlink_link(netlink, port->name, &link) || link.ifindex != port->ifindex)
		return;
	by_live = live - port->live_seen;
	by_link = link.tx_accounted - port->link_seen;
	port->live_seen = live;
	port->link_seen = link.tx_accounted;
	atomic_store(&port->live_carries, by_live > 0);
	sends = link_sends(engines, port);
	if (by_live > COMPARE_SLACK && by_link + COMPARE_SLACK < by_live) {
		log_warn("%s: the live engine was given %lu packets in a second, the link counts %lu: AF_XDP sends "
			 "from now on",
			port->name, by_live, by_link);
		atomic_fetch_add(&port->live_vanished, by_live - by_link);
		port->live_failed = true;
		sends = false;
	}
	atomic_store(&port->live_refused, !sends);
}
