/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transmission by live frames (bpf/transmit.h) for one worker: a thread that stays inside the kernel, and the worker's
 * end of the ring to it. The thread burns its CPU while it runs, so it runs only as long as there is much to send; what
 * decides is the worker's own count. All of this but _new, _free and _set_port is for the worker's thread alone.
 */
#ifndef ESPALIER_AGENT_LIVE_ENGINE_H
#define ESPALIER_AGENT_LIVE_ENGINE_H

#include "agent/frame.h"

#include <stdbool.h>
#include <stdint.h>

#define LIVE_TICK_NS	UINT64_C(100000000)
#define LIVE_START_RATE 100000u /* packets a second from which on it pays, and below which it no longer does */
#define LIVE_STOP_RATE	20000u
#define LIVE_STOP_TICKS 10u /* quiet for so long */

struct live_engine;

/* One question for live_engine_drained. */
struct live_drain {
	bool begun;
	bool empty; /* the ring is, as far as `produced` */
	uint32_t produced;
	uint32_t runs; /* when it was found empty */
};

/* The thread sleeps on `cpu` (-1: any) until it is started. -errno: the kernel has no live frames, or no rights. */
int live_engine_new(int cpu, struct live_engine **engine);
/* Stop and forget. What is in the ring is lost. */
void live_engine_free(struct live_engine *engine);
/* Port `slot` leads to this interface; 0: to none. -errno. */
int live_engine_set_port(struct live_engine *engine, uint32_t slot, uint32_t ifindex);

/* So many frames were sent in any way. */
void live_engine_note(struct live_engine *engine, uint32_t count);
/* At the end of a turn: start under load, stop without. */
void live_engine_tick(struct live_engine *engine, uint64_t now_ns);
/* Start and stop by hand (tests); both only ask, as does the tick. */
void live_engine_start(struct live_engine *engine);
void live_engine_stop(struct live_engine *engine);

/* Does it carry? It takes some 30 ms from start to yes. */
bool live_engine_ready(struct live_engine *engine);
/* It stopped, or never ran. */
bool live_engine_asleep(const struct live_engine *engine);

/* Copy frames into the ring. Gives how many, from the first on: the caller keeps all buffers. None may be longer than
 * TRANSMIT_FRAME_MAX. */
uint32_t live_engine_put(struct live_engine *engine, uint32_t slot, const struct frame *frames, uint32_t count);
/* Is everything on its way that was put before the first call with this `drain`, so that what is sent by other means
 * comes later? It begins zeroed, and is asked again after a no. If the thread has died, what is left is given up and
 * counted. */
bool live_engine_drained(struct live_engine *engine, struct live_drain *drain);
/* Frames that were put and could not be sent, since the last time it was asked. */
uint64_t live_engine_lost(struct live_engine *engine);

#endif
