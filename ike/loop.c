/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets, timer and signals of the daemon's loop, and the one place that takes effects out of the engine. */
#include "agent/base/log.h"
#include "agent/base/secret.h"
#include "ike/daemon.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>

/* ---- the engine's turn ----------------------------------------------------------------------------------------- */
static void failed_take_down(struct daemon *d)
{
	while (d->failed_count) {
		struct engine_command command = {.kind = ENGINE_UNUSABLE, .child_id = d->failed[--d->failed_count]};

		engine_command(d->engine, &command, clock_now_ns());
	}
}

static void effects_take(struct daemon *d)
{
	struct effect effect;

	while (engine_next(d->engine, &effect))
		daemon_perform(d, &effect);
	secret_wipe(&effect, sizeof(effect));
}

static void timer_set(struct daemon *d)
{
	uint64_t deadline = engine_deadline(d->engine);

	if (deadline == UINT64_MAX) {
		sd_event_source_set_enabled(d->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(d->timer, deadline / NS_PER_US + 1);
	sd_event_source_set_enabled(d->timer, SD_EVENT_ONESHOT);
}

static void count_one(const struct ike_info *info, void *context)
{
	(void)info;
	++*(unsigned *)context;
}

static void stop_if_done(struct daemon *d)
{
	unsigned left = 0;

	engine_each(d->engine, count_one, &left);
	if (!left)
		sd_event_exit(d->event, 0);
}

void daemon_drain(struct daemon *d)
{
	effects_take(d);
	if (d->failed_count) {
		failed_take_down(d);
		effects_take(d);
	}
	timer_set(d);
	if (d->stopping)
		stop_if_done(d);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *context)
{
	struct daemon *d = context;

	(void)source;
	(void)usec;
	if (!d->engine)
		return 0;
	engine_tick(d->engine, clock_now_ns());
	daemon_drain(d);
	return 0;
}

/* ---- sockets --------------------------------------------------------------------------------------------------- */
static void datagram_recv(
	void *context, const struct endpoint *local, const struct endpoint *remote, struct bytes bytes)
{
	struct daemon *d = context;

	if (!d->engine)
		return; /* peers ask again */
	engine_recv(d->engine, local, remote, bytes, clock_now_ns());
	daemon_drain(d);
}

static int on_socket(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct daemon *d = context;

	(void)source;
	(void)events;
	for (enum socket_index i = 0; i < SOCKET_COUNT; i++)
		if (socket_fd(d->sockets, i) == fd)
			socket_recv(d->sockets, i, datagram_recv, d);
	return 0;
}

static int on_keeper(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct daemon *d = context;

	(void)source;
	(void)fd;
	(void)events;
	log_error("the keeper process, which holds the secrets, has died; ending");
	return sd_event_exit(d->event, 1);
}

/* ---- signals --------------------------------------------------------------------------------------------------- */
static int on_stop_time(sd_event_source *source, uint64_t usec, void *context)
{
	struct daemon *d = context;

	(void)source;
	(void)usec;
	log_info("not every peer has answered the goodbye; ending all the same");
	return sd_event_exit(d->event, 0);
}

void daemon_stop(struct daemon *d)
{
	if (d->stopping)
		return;
	d->stopping = true;
	sd_notify(0, "STOPPING=1");
	log_info("ending: telling the peers; their traffic stays protected and waits");
	if (!d->engine) {
		sd_event_exit(d->event, 0);
		return;
	}
	sd_event_add_time_relative(d->event, NULL, CLOCK_MONOTONIC, DAEMON_SHUTDOWN_WAIT_US, 0, on_stop_time, d);
	engine_shutdown(d->engine, clock_now_ns());
	daemon_drain(d);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
	struct daemon *d = context;
	struct reload_result result = {0};
	char error[CONFIG_ERROR_LEN];

	(void)source;
	if (info->ssi_signo != SIGHUP) {
		daemon_stop(d);
		return 0;
	}
	if (!daemon_reload(d, &result, error, sizeof(error)))
		log_error("reload: %s; the running configuration stays", error);
	reload_result_clear(&result);
	return 0;
}

/* ---- all together ---------------------------------------------------------------------------------------------- */
static int signals_add(struct daemon *d)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		rc = sd_event_add_signal(d->event, NULL, numbers[i], on_signal, d);
	return rc;
}

int daemon_sources_add(struct daemon *d)
{
	int rc = signals_add(d);

	if (rc >= 0)
		rc = sd_event_add_io(d->event, NULL, keeper_fd(d->keeper), EPOLLIN, on_keeper, d);
	for (enum socket_index i = 0; rc >= 0 && i < SOCKET_COUNT; i++)
		if (socket_fd(d->sockets, i) >= 0)
			rc = sd_event_add_io(d->event, NULL, socket_fd(d->sockets, i), EPOLLIN, on_socket, d);
	if (rc >= 0)
		rc = sd_event_add_time(d->event, &d->timer, CLOCK_MONOTONIC, UINT64_MAX, 1, on_timer, d);
	if (rc >= 0)
		rc = sd_event_set_watchdog(d->event, true);
	if (rc < 0)
		log_error("the event loop could not be set up: %s", strerror(-rc));
	return rc < 0 ? rc : 0;
}
