/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/live_engine.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "bpf/transmit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define END_SIGNAL   SIGUSR1
#define RUNS_LEAVE   0xe0000000u /* the kernel's own count of runs ends soon: begin anew before it does */
#define FLUSHED_RUNS (2 * TRANSMIT_BATCH)
#define TICKS_PER_S  (NS_PER_S / LIVE_TICK_NS)

/* As the worker knows it. Asleep -> starting -> running -> leaving (takes nothing, empties the ring) -> stopping. */
enum phase { ASLEEP, STARTING, RUNNING, LEAVING, STOPPING };

struct live_engine {
	struct transmit *transmit;
	struct transmit_state *state;
	uint8_t *ring;
	/* the worker's */
	enum phase phase;
	uint32_t produced;
	uint32_t consumed; /* as last read */
	uint32_t runs_before;
	uint32_t noted; /* since the last tick */
	uint32_t quiet_ticks;
	uint32_t leaving_ticks;
	uint64_t ticked_ns;
	uint64_t given_up;
	uint64_t lost_told;
	/* the thread's, or shared */
	pthread_t thread;
	int wake_fd;
	_Atomic bool in_call;
	_Atomic bool quit;
	_Atomic int failed; /* -errno: it will not run again */
};

/* ---- the thread ---------------------------------------------------------------------------------------------- */

static void end_call(int signal)
{
	(void)signal;
}

static void *live_main(void *context)
{
	struct live_engine *engine = context;
	uint64_t wakes;
	int err;

	pthread_setname_np(pthread_self(), "live");
	while (!atomic_load(&engine->quit)) {
		if (read(engine->wake_fd, &wakes, sizeof(wakes)) < 0 || atomic_load(&engine->quit))
			continue;
		atomic_store(&engine->in_call, true);
		err = transmit_run(engine->transmit);
		if (err && err != -EINTR)
			atomic_store(&engine->failed, err);
		atomic_store(&engine->in_call, false);
	}
	return NULL;
}

/* The call ends with the thread's next look at its signals; one that comes before the call ends nothing and is sent
 * again. */
static void live_interrupt(struct live_engine *engine)
{
	pthread_kill(engine->thread, END_SIGNAL);
}

static int live_thread(struct live_engine *engine, int cpu)
{
	struct sigaction action = {.sa_handler = end_call}; /* without SA_RESTART */
	pthread_attr_t attributes;
	cpu_set_t cpus;
	int err;

	if (sigaction(END_SIGNAL, &action, NULL))
		return -errno;
	pthread_attr_init(&attributes);
	if (cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET((unsigned)cpu, &cpus);
		pthread_attr_setaffinity_np(&attributes, sizeof(cpus), &cpus);
	}
	err = pthread_create(&engine->thread, &attributes, live_main, engine);
	pthread_attr_destroy(&attributes);
	return -err;
}

int live_engine_new(int cpu, struct live_engine **out)
{
	struct live_engine *engine = calloc(1, sizeof(*engine));
	int err;

	if (!engine)
		return -ENOMEM;
	err = transmit_open(&engine->transmit);
	if (err) {
		free(engine);
		return err;
	}
	engine->state = transmit_state(engine->transmit);
	engine->ring = transmit_ring(engine->transmit)->bytes;
	engine->wake_fd = eventfd(0, EFD_CLOEXEC);
	err = engine->wake_fd < 0 ? -errno : live_thread(engine, cpu);
	if (err) {
		if (engine->wake_fd >= 0)
			close(engine->wake_fd);
		transmit_close(engine->transmit);
		free(engine);
		return err;
	}
	*out = engine;
	return 0;
}

static void live_wake(struct live_engine *engine)
{
	uint64_t one = 1;

	if (write(engine->wake_fd, &one, sizeof(one)) < 0)
		log_debug("live: it is awake already");
}

void live_engine_free(struct live_engine *engine)
{
	if (!engine)
		return;
	atomic_store(&engine->quit, true);
	live_wake(engine);
	while (pthread_tryjoin_np(engine->thread, NULL)) {
		live_interrupt(engine);
		usleep(1000);
	}
	close(engine->wake_fd);
	transmit_close(engine->transmit);
	free(engine);
}

int live_engine_set_port(struct live_engine *engine, uint32_t slot, uint32_t ifindex)
{
	return transmit_set_port(engine->transmit, slot, ifindex);
}

/* ---- the worker's end ---------------------------------------------------------------------------------------- */

static uint32_t live_runs(const struct live_engine *engine)
{
	return __atomic_load_n(&engine->state->runs, __ATOMIC_ACQUIRE);
}

static uint32_t live_waiting(struct live_engine *engine)
{
	engine->consumed = __atomic_load_n(&engine->state->consumed, __ATOMIC_ACQUIRE);
	return engine->produced - engine->consumed;
}

/* The thread has left the kernel: nobody takes what is in the ring. */
static void live_give_up(struct live_engine *engine)
{
	struct transmit_state *state = engine->state;

	while (state->taken != engine->produced) {
		uint32_t len;

		memcpy(&len, engine->ring + state->taken % TRANSMIT_UNITS * TRANSMIT_UNIT, sizeof(len));
		state->taken += transmit_units(len);
		engine->given_up++;
	}
	state->consumed = state->seen = engine->consumed = engine->produced;
	state->untold = 0;
}

void live_engine_start(struct live_engine *engine)
{
	if (engine->phase != ASLEEP || atomic_load(&engine->failed))
		return;
	engine->runs_before = live_runs(engine);
	engine->quiet_ticks = 0;
	engine->phase = STARTING;
	live_wake(engine);
}

void live_engine_stop(struct live_engine *engine)
{
	if (!live_engine_ready(engine))
		return;
	engine->leaving_ticks = 0;
	engine->phase = LEAVING;
}

bool live_engine_asleep(const struct live_engine *engine)
{
	return engine->phase == ASLEEP;
}

bool live_engine_ready(struct live_engine *engine)
{
	if (engine->phase == STARTING && live_runs(engine) != engine->runs_before)
		engine->phase = RUNNING;
	return engine->phase == RUNNING;
}

void live_engine_note(struct live_engine *engine, uint32_t count)
{
	engine->noted += count;
}

/* Move on through the phases that only wait. */
static void live_advance(struct live_engine *engine)
{
	bool in_call = atomic_load(&engine->in_call);

	if (engine->phase == STARTING && atomic_load(&engine->failed)) {
		log_warn("transmission by live frames failed: %s; AF_XDP carries all",
			strerror(-atomic_load(&engine->failed)));
		engine->phase = ASLEEP;
	}
	if (engine->phase == RUNNING && !in_call)
		engine->phase = LEAVING;
	/* Not before a tick has passed: ending the call takes long, and queues that change would wait for it. */
	if (engine->phase == LEAVING && (!in_call || (!live_waiting(engine) && engine->leaving_ticks++)))
		engine->phase = STOPPING;
	if (engine->phase != STOPPING)
		return;
	if (in_call) {
		live_interrupt(engine);
		return;
	}
	live_give_up(engine);
	engine->phase = ASLEEP;
}

void live_engine_tick(struct live_engine *engine, uint64_t now_ns)
{
	uint32_t noted = engine->noted;
	uint64_t elapsed = now_ns - engine->ticked_ns;
	uint64_t rate;

	if (elapsed < LIVE_TICK_NS)
		return;
	rate = noted * NS_PER_S / elapsed;
	engine->ticked_ns = now_ns;
	engine->noted = 0;
	live_advance(engine);
	if (engine->phase == ASLEEP && rate >= LIVE_START_RATE)
		live_engine_start(engine);
	if (!live_engine_ready(engine))
		return;
	engine->quiet_ticks =
		rate >= LIVE_STOP_RATE ? 0 : engine->quiet_ticks + 1 + (uint32_t)(elapsed / NS_PER_S) * LIVE_STOP_TICKS;
	if (engine->quiet_ticks >= LIVE_STOP_TICKS || live_runs(engine) - engine->runs_before > RUNS_LEAVE)
		live_engine_stop(engine);
}

static void live_write(uint8_t *at, uint32_t slot, const struct frame *frame)
{
	uint32_t head[2] = {frame->len, slot};

	memcpy(at, head, sizeof(head));
	memcpy(at + sizeof(head), frame->data, frame->len);
}

uint32_t live_engine_put(struct live_engine *engine, uint32_t slot, const struct frame *frames, uint32_t count)
{
	uint32_t produced = engine->produced, done = 0;

	for (; done < count; done++) {
		uint32_t units = transmit_units(frames[done].len);

		if (produced + units - engine->consumed > TRANSMIT_UNITS) {
			live_waiting(engine);
			if (produced + units - engine->consumed > TRANSMIT_UNITS)
				break;
		}
		live_write(engine->ring + produced % TRANSMIT_UNITS * TRANSMIT_UNIT, slot, &frames[done]);
		produced += units;
	}
	engine->produced = produced;
	__atomic_store_n(&engine->state->produced, produced, __ATOMIC_RELEASE);
	return done;
}

bool live_engine_drained(struct live_engine *engine, struct live_drain *drain)
{
	if (!atomic_load(&engine->in_call)) {
		if (engine->phase != ASLEEP)
			live_give_up(engine);
		return true;
	}
	if (!drain->begun) {
		drain->begun = true;
		drain->produced = engine->produced;
	}
	if (!drain->empty) {
		live_waiting(engine);
		if ((int32_t)(engine->consumed - drain->produced) < 0)
			return false;
		drain->empty = true;
		drain->runs = live_runs(engine);
	}
	/* what was redirected is sent at the end of its batch of runs */
	return live_runs(engine) - drain->runs >= FLUSHED_RUNS;
}

uint64_t live_engine_lost(struct live_engine *engine)
{
	uint64_t lost = engine->given_up + __atomic_load_n(&engine->state->malformed, __ATOMIC_RELAXED);
	uint64_t since = lost - engine->lost_told;

	engine->lost_told = lost;
	return since;
}
