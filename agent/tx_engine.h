/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By which engine ports send: AF_XDP, or live frames (live_engine.h). The choice of the configuration, the engines that
 * the machine has CPUs for, and a watch over whether the links really send what they are given. Control thread.
 */
#ifndef ESPALIER_AGENT_TX_ENGINE_H
#define ESPALIER_AGENT_TX_ENGINE_H

#include "agent/live_engine.h"
#include "agent/netlink.h"
#include "agent/port.h"

#define TX_COMPARE_SECONDS 1u
#define TX_REASON_BYTES	   128u

enum tx_choice {
	TX_AUTO, /* live frames where AF_XDP has to copy, the driver says that it sends redirected frames, and a CPU is
		    spare */
	TX_XSK,
	TX_LIVE, /* also without the driver's word, on every CPU */
};

struct tx_engines {
	enum tx_choice choice;
	uint32_t count;
	struct live_engine *live[WORKERS_MAX]; /* by worker; the first `count` workers have one */
	char reason[160];		       /* why there are none; "" */
};

/* "auto" (or NULL), "xsk", "live". */
enum tx_choice tx_choice_named(const char *name);

/* Make the engines of `workers` workers on a machine of `cpus` CPUs. That there are none is no error. */
void tx_engines_open(struct tx_engines *engines, enum tx_choice choice, uint32_t workers, uint32_t cpus);
/* After the workers have ended. */
void tx_engines_close(struct tx_engines *engines);

/* Give the port its engines, if it may have them. Before any worker sees it. */
void tx_engines_serve(struct tx_engines *engines, struct port *port);
/* After no worker sees it any more. */
void tx_engines_leave(struct tx_engines *engines, struct port *port);
/* By what the port sends now (enum agent_tx_engine), and in `reason` why, and why by nothing else. */
uint8_t tx_engines_of(const struct tx_engines *engines, const struct port *port, char reason[static TX_REASON_BYTES]);
/* Every TX_COMPARE_SECONDS: hold what the engines were given against what the link counted. If packets vanish, or the
 * driver no longer takes any, AF_XDP carries from now on. */
void tx_engines_compare(struct tx_engines *engines, struct netlink *netlink, struct port *port);

#endif
