/* SPDX-License-Identifier: Apache-2.0 */
/* espalier-ike(8): starting and ending, in order. */
#include "agent/base/log.h"
#include "agent/base/own.h"
#include "ike/config.h"
#include "ike/contract.h"
#include "ike/daemon.h"
#include "ike/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

static const char help[] = "espalier-ike [-c FILE] [--api-socket PATH] | --check | -h | -V\n"
			   "The IKEv2 daemon of the Espalier IPsec gateway.\n\n"
			   "  -c, --config FILE      configuration (default " CONFIG_FILE_DEFAULT ")\n"
			   "      --check            check the configuration and end\n"
			   "      --api-socket PATH  operator API (default: the file's ike.socket)\n"
			   "  -h, --help             this help\n"
			   "  -V, --version          version\n\n"
			   "Signals: SIGHUP reads the configuration again, SIGTERM ends.\n";

enum { OPTION_API = 256, OPTION_CHECK };

struct options {
	const char *path;
	const char *api_path;
	bool check;
};

/* -1: go on; else the exit status. */
static int options_read(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, OPTION_CHECK},
		{"api-socket", required_argument, NULL, OPTION_API},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:hV", known, NULL)) != -1) {
		switch (option) {
		case 'c':
			options->path = optarg;
			break;
		case OPTION_API:
			options->api_path = optarg;
			break;
		case OPTION_CHECK:
			options->check = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		case 'V':
			puts("espalier-ike " ESPALIER_VERSION);
			return 0;
		default:
			fputs("try espalier-ike --help\n", stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "espalier-ike: '%s' is not expected; try espalier-ike --help\n", argv[optind]);
		return 2;
	}
	return -1;
}

static int config_check_only(const char *path)
{
	char error[CONFIG_ERROR_LEN];
	struct config *config = config_load(path, error, sizeof(error));
	struct engine_config *engine = config ? ike_config_build(config, error, sizeof(error)) : NULL;

	if (engine)
		printf("%s: ok, %u connections\n", path, engine->conn_count);
	else
		fprintf(stderr, "%s\n", error);
	if (engine)
		engine_config_free(engine);
	config_free(config);
	return engine ? 0 : 1;
}

static const char *api_path(const struct daemon *d)
{
	if (d->api_path)
		return d->api_path;
	return d->config->ike && d->config->ike->socket ? d->config->ike->socket : IKE_API_SOCKET_DEFAULT;
}

static const char *agent_path(const struct daemon *d)
{
	return d->config->agent && d->config->agent->socket ? d->config->agent->socket : AGENT_SOCKET_DEFAULT;
}

/* One daemon for one API socket; its folder is made if it is missing. */
static int instance_lock(struct daemon *d)
{
	char path[PATH_MAX], folder[PATH_MAX];

	snprintf(path, sizeof(path), "%s.lock", api_path(d));
	snprintf(folder, sizeof(folder), "%s", api_path(d));
	mkdir(dirname(folder), 0755);
	d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock_fd < 0) {
		log_error("%s cannot be made: %s", path, strerror(errno));
		return -errno;
	}
	if (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		log_error("another espalier-ike is running (it holds %s)", path);
		return -EBUSY;
	}
	return 0;
}

static int config_begin(struct daemon *d)
{
	char error[CONFIG_ERROR_LEN];
	bool dead;
	int rc = keeper_start(d->path, &d->keeper);

	if (rc) {
		log_error("the keeper process could not be started: %s", strerror(-rc));
		return rc;
	}
	if (!daemon_read_config(d->keeper, d->path, &d->config, &d->waiting, error, sizeof(error), &dead)) {
		log_error("%s", error);
		return -EINVAL;
	}
	log_level_set(daemon_log_level(d->config));
	return 0;
}

/* What needs rights: after this they are given up. */
static int doors_open(struct daemon *d)
{
	char error[256];
	int rc = instance_lock(d);

	if (!rc)
		rc = socket_set_new(&d->sockets, error, sizeof(error));
	else
		return rc;
	if (rc)
		log_error("%s", error);
	return rc;
}

static int parts_start(struct daemon *d)
{
	int rc = sd_event_default(&d->event);

	if (rc >= 0)
		rc = daemon_sources_add(d);
	if (rc >= 0)
		rc = resolver_new(d->event, dial_answer, d, &d->resolver);
	if (rc >= 0)
		rc = agent_link_new(d->event, agent_path(d), daemon_agent_event, d, &d->link);
	if (rc >= 0)
		rc = api_new(d, api_path(d), &d->api);
	if (rc >= 0)
		rc = daemon_attach_begin(d);
	if (rc < 0)
		log_error("cannot start: %s", strerror(-rc));
	return rc < 0 ? rc : 0;
}

static void signals_block(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* In the reverse order of starting. The maps stay as they are: fail closed. */
static void daemon_clear(struct daemon *d)
{
	api_free(d->api);
	if (d->engine)
		engine_free(d->engine);
	if (d->waiting)
		engine_config_free(d->waiting);
	sd_event_source_disable_unref(d->ring);
	sd_event_source_disable_unref(d->timer);
	sd_event_source_disable_unref(d->attach);
	installer_free(d->installer);
	sadb_close(d->db);
	agent_link_free(d->link);
	resolver_free(d->resolver);
	dial_free(d);
	history_clear(&d->history);
	sd_event_unref(d->event);
	socket_set_free(d->sockets);
	keeper_free(d->keeper);
	config_free(d->config);
	own_close_(&d->lock_fd);
}

static int daemon_run(struct daemon *d)
{
	int rc;

	signals_block();
	if (config_begin(d) || doors_open(d))
		return 1;
	rc = sandbox_daemon();
	if (rc)
		log_warn("not all rights could be given up: %s", strerror(-rc));
	if (parts_start(d))
		return 1;
	log_info("espalier-ike " ESPALIER_VERSION " with %u connections of %s; operators: %s",
		d->config->connections_count, d->path, api_path(d));
	sd_notify(0, "READY=1");
	rc = sd_event_loop(d->event);
	return rc == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct options options = {.path = CONFIG_FILE_DEFAULT};
	static struct daemon d = {.lock_fd = -1};
	int status = options_read(argc, argv, &options);

	if (status >= 0)
		return status;
	if (options.check)
		return config_check_only(options.path);
	log_open("espalier-ike", LOG_LEVEL_INFO);
	d.path = options.path;
	d.api_path = options.api_path;
	d.since_ns = clock_now_ns();
	status = daemon_run(&d);
	daemon_clear(&d);
	return status;
}
