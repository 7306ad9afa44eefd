/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's process: one loop that owns everything and moves things between the engine and the world.
 *
 *   options.c   command line                    perform.c  the engine's effects, carried out
 *   main.c      order of starting and ending    agent_events.c  what the agent tells, as commands for the engine
 *   loop.c      sockets, timer, signals         dial.c     addresses to dial to and from
 *   attach.c    waits for the agent's maps      reload.c   the configuration, read again
 */
#ifndef ESPALIER_IKE_DAEMON_H
#define ESPALIER_IKE_DAEMON_H

#include "agent/base/config.h"
#include "agent/base/log.h"
#include "bpf/sadb.h"
#include "ike/agent_link.h"
#include "ike/api.h"
#include "ike/engine.h"
#include "ike/history.h"
#include "ike/install.h"
#include "ike/keeper.h"
#include "ike/resolve.h"
#include "ike/socket.h"

#include <stdbool.h>
#include <systemd/sd-event.h>

#define DAEMON_ATTACH_RETRY_US	(500 * 1000)	  /* look for the agent's maps */
#define DAEMON_SHUTDOWN_WAIT_US (2 * 1000 * 1000) /* for answers to our DELETEs */
#define DAEMON_CHECK_US		(5 * 1000 * 1000) /* are the maps still those that are pinned? */
#define DAEMON_FAILED_MAX	1024u /* CHILD SAs that could not be installed, to be taken down after the turn */

struct dial; /* dial.c */

struct daemon {
	const char *path;     /* of the configuration */
	const char *api_path; /* option; NULL: from the configuration */
	int lock_fd;
	sd_event *event;
	struct keeper *keeper;
	struct config *config;	       /* running, without secrets */
	struct engine_config *waiting; /* for the engine, until the SADB is there */
	struct socket_set *sockets;
	struct agent_link *link;
	struct resolver *resolver;
	struct api *api;
	struct history history;
	struct dial *dials;
	/* from here on NULL until the agent's maps are there */
	struct sadb *db;
	struct installer *installer;
	struct ike_engine *engine;
	sd_event_source *timer;	 /* the engine's deadline */
	sd_event_source *attach; /* look for the maps; later: are they still the same */
	sd_event_source *ring;	 /* XDP's events */
	unsigned long pin_id;	 /* of the maps that are open */
	uint64_t spi_told_ns;
	uint64_t since_ns;
	bool attach_told;
	bool stopping;
	uint32_t failed[DAEMON_FAILED_MAX]; /* child_id */
	unsigned failed_count;
};

/* loop.c: 0 or -errno, with a log line. */
int daemon_sources_add(struct daemon *d);
/* Take and carry out all effects, then set the timer. After every call of the engine that takes the time. */
void daemon_drain(struct daemon *d);
void daemon_stop(struct daemon *d);

/* perform.c */
void daemon_perform(struct daemon *d, const struct effect *effect);

/* attach.c: begin to look for the agent's maps; the engine starts with them. */
int daemon_attach_begin(struct daemon *d);

/* agent_events.c */
void daemon_agent_event(void *context, const struct agent_message *message);

/* dial.c */
void dial_ask(struct daemon *d, const char *conn);
void dial_answer(void *context, const char *conn, const struct ip_addr *addr);
void dial_free(struct daemon *d);

/* What a reload did, by connection names. */
struct reload_result {
	char **added;
	char **changed;
	char **removed;
	unsigned added_count, changed_count, removed_count;
};
/* reload.c: false with the message; then nothing has changed. The names are freed with reload_result_clear. */
bool daemon_reload(struct daemon *d, struct reload_result *result, char *error, size_t error_size);
void reload_result_clear(struct reload_result *result);
/* "FILE:LINE: KEY: ..." for a configuration whose policies and tunnels the maps could not take (installer_configure).
 */
void daemon_config_unfit(
	const struct config *config, const struct child_place *failed, int rc, char *error, size_t error_size);
/* The file's ike.log_level, or its default. */
enum log_level daemon_log_level(const struct config *config);
/* Ask the keeper for the file: sets *config and *engine. False with the message. `*dead`: the keeper is gone. */
bool daemon_read_config(struct keeper *keeper, const char *path, struct config **config, struct engine_config **engine,
	char *error, size_t error_size, bool *dead);

#endif
