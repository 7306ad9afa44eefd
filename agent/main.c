/* SPDX-License-Identifier: Apache-2.0 */
/* espalier-agent: options, the configuration file, one instance; then agent.c. */
#include "agent/agent.h"
#include "agent/base/config.h"
#include "agent/base/log.h"
#include "agent/contract.h"
#include "agent/hostdev.h"
#include "agent/privilege.h"
#include "bpf/capture.h"
#include "bpf/dataplane.h"
#include "bpf/sadb.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

struct arguments {
	const char *config;
	const char *pin_dir;
	const char *socket_path;
	const char *interfaces[INTERFACES_MAX];
	uint32_t interface_count;
	bool detach;
	bool config_given;
	bool debug;
};

static const char usage[] =
	"usage: espalier-agent [options]\n"
	"The data plane of Espalier: carries ESP packets between XDP, AF_XDP and the host.\n"
	"\n"
	"  -c, --config FILE     configuration (" CONFIG_FILE_DEFAULT ")\n"
	"  -i, --interface NAME  serve this interface; repeat for more; replaces those of the file\n"
	"      --pin-dir DIR     folder of the pinned BPF maps (" PIN_DIR_DEFAULT ")\n"
	"      --socket PATH     control socket (" AGENT_SOCKET_DEFAULT ")\n"
	"      --detach          detach all programs, remove maps, " HOST_DEVICE " and rules, and exit: SAs are lost\n"
	"  -d, --debug           log more\n"
	"  -h, --help            this text\n"
	"  -V, --version         version\n";

/* 0: go on; else exit with (value - 1). */
static int arguments_read(struct arguments *arguments, int argc, char **argv)
{
	enum { OPT_PIN_DIR = 256, OPT_SOCKET, OPT_DETACH };
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"interface", required_argument, NULL, 'i'},
		{"pin-dir", required_argument, NULL, OPT_PIN_DIR},
		{"socket", required_argument, NULL, OPT_SOCKET},
		{"detach", no_argument, NULL, OPT_DETACH},
		{"debug", no_argument, NULL, 'd'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:i:dhV", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			arguments->config = optarg;
			arguments->config_given = true;
			break;
		case 'i':
			if (arguments->interface_count == INTERFACES_MAX) {
				fprintf(stderr, "espalier-agent: at most %u interfaces\n", INTERFACES_MAX);
				return 1 + EXIT_USAGE;
			}
			arguments->interfaces[arguments->interface_count++] = optarg;
			break;
		case OPT_PIN_DIR:
			arguments->pin_dir = optarg;
			break;
		case OPT_SOCKET:
			arguments->socket_path = optarg;
			break;
		case OPT_DETACH:
			arguments->detach = true;
			break;
		case 'd':
			arguments->debug = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 1 + EXIT_SUCCESS;
		case 'V':
			puts("espalier-agent " ESPALIER_VERSION);
			return 1 + EXIT_SUCCESS;
		default:
			fputs("`espalier-agent --help` lists the options\n", stderr);
			return 1 + EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "espalier-agent: unexpected argument %s\n", argv[optind]);
		return 1 + EXIT_USAGE;
	}
	return 0;
}

static bool options_from_file(struct agent_options *options, const struct config *config)
{
	const struct config_agent *agent = config ? config->agent : NULL;

	if (!agent)
		return true;
	if (!options->pin_dir)
		options->pin_dir = agent->pin_dir;
	if (!options->socket_path)
		options->socket_path = agent->socket;
	options->xdp_mode = agent->xdp_mode;
	options->dispatcher = agent->dispatcher;
	options->tx_engine = agent->tx_engine;
	options->busy_poll = agent->busy_poll && *agent->busy_poll;
	options->workers = agent->workers;
	options->lend = agent->lend;
	options->ring_size = agent->ring_size;
	options->sa_count = agent->sa_count;
	options->tunnel_count = agent->tunnel_count;
	options->policy_count = agent->policy_count;
	for (unsigned i = 0; !options->interface_count && i < agent->interfaces_count; i++) {
		if (agent->interfaces_count > INTERFACES_MAX)
			return false;
		options->interfaces[i] = agent->interfaces[i];
	}
	if (!options->interface_count)
		options->interface_count = agent->interfaces_count;
	return true;
}

/* File and command line, the command line wins. False: an error was written. */
static bool options_read(struct agent_options *options, const struct arguments *arguments, struct config **config)
{
	char error[512];

	options->pin_dir = arguments->pin_dir;
	options->socket_path = arguments->socket_path;
	options->interface_count = arguments->interface_count;
	memcpy(options->interfaces, arguments->interfaces, sizeof(options->interfaces));
	/* With everything on the command line no file is needed; one that was named must be right. */
	if (arguments->config_given || access(arguments->config, F_OK) == 0) {
		*config = config_load(arguments->config, error, sizeof(error));
		if (!*config) {
			log_error("%s", error);
			return false;
		}
		config_forget_secrets(*config);
	}
	if (!options_from_file(options, *config)) {
		log_error("%s: agent.interfaces: at most %u", arguments->config, INTERFACES_MAX);
		return false;
	}
	if (!options->pin_dir)
		options->pin_dir = PIN_DIR_DEFAULT;
	if (!options->socket_path)
		options->socket_path = AGENT_SOCKET_DEFAULT;
	return true;
}

/* Undo everything that stays behind an agent. */
static int detach(const struct agent_options *options)
{
	struct netlink netlink;
	int err;

	if (capture_keep_only(NULL, 0))
		log_error("not every tc filter of ours could be removed");
	err = dataplane_remove(options->pin_dir);

	if (err && err != -ENOENT)
		log_error("the programs and maps under %s cannot be removed: %s", options->pin_dir, strerror(-err));
	else
		err = 0;
	if (netlink_init(&netlink) == 0) {
		int host = hostdev_remove(&netlink);

		if (host)
			log_error("%s cannot be removed: %s", HOST_DEVICE, strerror(-host));
		err = err ? err : host;
		netlink_clear(&netlink);
	}
	if (!err)
		log_info("detached: no program, map, device or rule of Espalier is left");
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int serve(const struct agent_options *options)
{
	char error[256];
	struct agent *agent;
	int err;

	if (!options->interface_count) {
		log_error("no interface to serve: name them under agent.interfaces or with --interface");
		return EXIT_FAILURE;
	}
	err = agent_start(options, &agent, error);
	if (err) {
		log_error("%s", error);
		return EXIT_FAILURE;
	}
	err = agent_run(agent);
	agent_stop(agent);
	return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct arguments arguments = {.config = CONFIG_FILE_DEFAULT};
	struct agent_options options = {0};
	struct config *config = NULL;
	int status = arguments_read(&arguments, argc, argv);
	pid_t pid;
	int lock;

	if (status)
		return status - 1;
	log_open("espalier-agent", arguments.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	umask(0077);
	if (!options_read(&options, &arguments, &config))
		return EXIT_FAILURE;
	lock = instance_lock(options.socket_path, &pid);
	if (lock == -EBUSY)
		log_error("already running (pid %d)", (int)pid);
	else if (lock < 0)
		log_error("the lock beside %s cannot be taken: %s", options.socket_path, strerror(-lock));
	status = lock < 0 ? EXIT_FAILURE : arguments.detach ? detach(&options) : serve(&options);
	config_free(config);
	return status;
}
