/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration, read by the keeper: at the start, and again while running. A bad file changes nothing. */
#include "agent/base/log.h"
#include "agent/base/own.h"
#include "ike/config.h"
#include "ike/daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool daemon_read_config(struct keeper *keeper, const char *path, struct config **config, struct engine_config **engine,
	char *error, size_t error_size, bool *dead)
{
	size_t len = 0;
	OWN_PTR char *text = keeper_load(keeper, &len, error, error_size, dead);

	if (!text)
		return false;
	*config = config_parse(path, text, len, error, error_size);
	if (!*config)
		return false;
	*engine = ike_config_build(*config, error, error_size);
	if (*engine)
		return true;
	config_free(*config);
	*config = NULL;
	return false;
}

enum log_level daemon_log_level(const struct config *config)
{
	const char *name = config->ike && config->ike->log_level ? config->ike->log_level : "info";

	return strcmp(name, "debug") == 0   ? LOG_LEVEL_DEBUG
	       : strcmp(name, "warn") == 0  ? LOG_LEVEL_WARN
	       : strcmp(name, "error") == 0 ? LOG_LEVEL_ERROR
					    : LOG_LEVEL_INFO;
}

/* ---- what has changed ------------------------------------------------------------------------------------------ */
static void name_add(char ***names, unsigned *count, const char *name)
{
	char **grown = reallocarray(*names, *count + 1, sizeof(*grown));

	if (!grown)
		return;
	*names = grown;
	grown[*count] = strdup(name);
	*count += grown[*count] != NULL;
}

static void result_compare(struct reload_result *result, const struct config *old, const struct config *new)
{
	for (unsigned i = 0; i < new->connections_count; i++) {
		const struct config_connection *now = &new->connections[i],
					       *was = ike_config_connection(old, now->name);

		if (!was)
			name_add(&result->added, &result->added_count, now->name);
		else if (!config_connection_equal(was, now))
			name_add(&result->changed, &result->changed_count, now->name);
	}
	for (unsigned i = 0; i < old->connections_count; i++)
		if (!ike_config_connection(new, old->connections[i].name))
			name_add(&result->removed, &result->removed_count, old->connections[i].name);
}

static void names_free(char **names, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

void reload_result_clear(struct reload_result *result)
{
	names_free(result->added, result->added_count);
	names_free(result->changed, result->changed_count);
	names_free(result->removed, result->removed_count);
	memset(result, 0, sizeof(*result));
}

/* ---- reload ---------------------------------------------------------------------------------------------------- */
void daemon_config_unfit(
	const struct config *config, const struct child_place *failed, int rc, char *error, size_t error_size)
{
	char key[2 * IKE_NAME_MAX + 32];

	snprintf(key, sizeof(key), "connections.%s.children.%s", failed->conn, failed->child);
	config_error_at(
		config, key, error, error_size, "its policies do not fit into the maps: %s", installer_reason(rc));
}

/* New policies first: nothing is in clear between an old tunnel and its successor. False: not all of them fit, and all
 * is as before. */
static bool policies_apply(struct daemon *d, const struct config *config, const struct engine_config *engine,
	char *error, size_t error_size)
{
	struct child_place failed;
	int rc;

	if (!d->engine)
		return true; /* once the maps are there */
	installer_clamp_mss(d->installer, config_mss_clamp(config));
	rc = installer_configure(d->installer, engine, &failed);
	if (!rc)
		return true;
	installer_clamp_mss(d->installer, config_mss_clamp(d->config));
	daemon_config_unfit(config, &failed, rc, error, error_size);
	return false;
}

static void config_apply(struct daemon *d, struct config *config, struct engine_config *engine)
{
	config_free(d->config);
	d->config = config;
	log_level_set(daemon_log_level(config));
	if (!d->engine) {
		engine_config_free(d->waiting);
		d->waiting = engine;
		return;
	}
	engine_reconfigure(d->engine, engine, clock_now_ns());
	daemon_drain(d);
}

bool daemon_reload(struct daemon *d, struct reload_result *result, char *error, size_t error_size)
{
	struct config *config = NULL;
	struct engine_config *engine = NULL;
	bool dead = false;

	if (!daemon_read_config(d->keeper, d->path, &config, &engine, error, error_size, &dead)) {
		if (dead)
			sd_event_exit(d->event, 1);
		return false;
	}
	if (!policies_apply(d, config, engine, error, error_size)) {
		engine_config_free(engine);
		config_free(config);
		return false;
	}
	result_compare(result, d->config, config);
	config_apply(d, config, engine);
	log_info("configuration read again: %u connections (%u added, %u changed, %u removed)",
		config->connections_count, result->added_count, result->changed_count, result->removed_count);
	history_add(&d->history, "reloaded", "", "", NULL, "configuration read again");
	return true;
}
