/* SPDX-License-Identifier: Apache-2.0 */
/* The control thread's loop: what wakes it, and what it does then. */
#include "agent/agent_private.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/lifetime.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define COMPARE_US (TX_COMPARE_SECONDS * UINT64_C(1000000))

static void agent_wake_workers(struct agent *agent)
{
	for (uint32_t i = 0; i < agent->worker_count; i++)
		worker_wake(agent->workers[i]);
}

static int agent_on_watch(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct agent *agent = context;
	struct watch_news news = watch_read(&agent->watch, &agent->shared.news);

	(void)source;
	(void)fd;
	(void)events;
	if (news.links)
		agent_check_interfaces(agent);
	if (news.addresses || news.links || news.rules)
		agent_read_addresses(agent);
	if (news.any)
		atomic_fetch_add(&agent->shared.news.all, 1);
	if (news.any || news.neighbors)
		agent_wake_workers(agent);
	return 0;
}

static int agent_on_mail(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct agent *agent = context;
	struct agent_message message;
	uint64_t wakes;

	(void)source;
	(void)events;
	if (read(fd, &wakes, sizeof(wakes)) < 0 && errno != EAGAIN)
		return -errno;
	while (mailbox_take(&agent->mailbox, &message))
		control_broadcast(&agent->control, &message);
	return 0;
}

static int agent_on_lifetimes(sd_event_source *source, uint64_t usec, void *context)
{
	struct agent *agent = context;

	agent->lifetimes_swept =
		lifetime_sweep(&agent->shared.maps, agent->lifetimes_swept, clock_now_ns(), agent_tell_expired, agent);
	sd_event_source_set_time(source, usec + LIFETIME_SWEEP_US);
	return 0;
}

/* Does the port send by another engine now? */
static bool agent_compare(struct agent *agent, struct port *port)
{
	char reason[TX_REASON_BYTES];
	uint8_t before = tx_engines_of(&agent->tx, port, reason);

	tx_engines_compare(&agent->tx, &agent->netlink, port);
	return tx_engines_of(&agent->tx, port, reason) != before;
}

static int agent_on_compare(sd_event_source *source, uint64_t usec, void *context)
{
	struct agent *agent = context;
	bool changed = false;

	for (uint32_t i = 0; i < agent->interface_count; i++)
		if (agent->interfaces[i].port)
			changed |= agent_compare(agent, agent->interfaces[i].port);
	if (changed)
		agent_send_ports(agent, NULL);
	sd_event_source_set_time(source, usec + COMPARE_US);
	return 0;
}

static int agent_on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
	(void)context;
	log_info("stopped by signal %u; the XDP programs stay attached: protected traffic is dropped, not sent in "
		 "clear, until "
		 "an agent runs again (or `espalier-agent --detach`)",
		info->ssi_signo);
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* Again and again: the callback sets its next time. The timer is the event loop's. */
static int agent_make_timer(struct agent *agent, uint64_t usec, sd_event_time_handler_t callback)
{
	sd_event_source *timer;
	int err = sd_event_add_time_relative(agent->event, &timer, CLOCK_MONOTONIC, usec, 0, callback, agent);

	if (err >= 0)
		err = sd_event_source_set_enabled(timer, SD_EVENT_ON);
	if (err >= 0)
		err = sd_event_source_set_floating(timer, 1);
	if (err >= 0)
		sd_event_source_unref(timer);
	return err;
}

void agent_block_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

int agent_make_events(struct agent *agent, const struct agent_options *options, char error[static 256])
{
	int err = sd_event_new(&agent->event);

	if (err >= 0)
		err = sd_event_add_signal(agent->event, NULL, SIGINT, agent_on_signal, agent);
	if (err >= 0)
		err = sd_event_add_signal(agent->event, NULL, SIGTERM, agent_on_signal, agent);
	if (err >= 0)
		err = sd_event_add_io(agent->event, NULL, agent->mailbox.fd, EPOLLIN, agent_on_mail, agent);
	if (err >= 0)
		err = sd_event_add_io(agent->event, NULL, watch_fd(&agent->watch), EPOLLIN, agent_on_watch, agent);
	if (err >= 0 && agent->tx.count)
		err = agent_make_timer(agent, COMPARE_US, agent_on_compare);
	if (err >= 0)
		err = agent_make_timer(agent, LIFETIME_SWEEP_US, agent_on_lifetimes);
	if (err < 0) {
		snprintf(error, 256, "the event loop cannot be made: %s", strerror(-err));
		return err;
	}
	agent->control.on_message = agent_on_message;
	agent->control.context = agent;
	err = control_open(&agent->control, agent->event, options->socket_path);
	if (err)
		snprintf(
			error, 256, "the control socket %s cannot be opened: %s", options->socket_path, strerror(-err));
	return err;
}
