/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/command.h"

#include "agent/base/config.h"
#include "agent/base/own.h"
#include "ike/contract.h"
#include "tools/format.h"
#include "tools/sheet.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX   16
#define COMPLAINT_MAX 8192

const struct command command_table[] = {
	{"status", "[CONNECTION]", "tunnels: state, peer, selectors, bytes, rate", 0, 1, status_run},
	{"up", "CONNECTION [CHILD]", "bring up a connection, or one child of it, and wait until it stands", 1, 2,
		up_run},
	{"down", "CONNECTION [CHILD]", "take down a connection, or one child of it", 1, 2, down_run},
	{"rekey", "CONNECTION [CHILD]", "fresh keys for the CHILD SAs, or with --ike for the IKE SA", 1, 2, rekey_run},
	{"dummy", "CONNECTION [CHILD]", "send dummy packets, which the other end throws away", 1, 2, dummy_run},
	{"reload", "", "read the configuration again; unchanged tunnels are not touched", 0, 0, reload_run},
	{"sas", "", "ESP SAs and policies as they stand in the data path", 0, 0, sas_run},
	{"drops", "", "why packets died: reason, count, last time", 0, 0, drops_run},
	{"events", "", "what happened lately, oldest first", 0, 0, events_run},
	{"config", "check [FILE]", "check a configuration file without touching anything", 1, 2, config_run},
	{"doctor", "", "look over kernel, host, interfaces and daemons: what is wrong, why, what to do", 0, 0,
		doctor_run},
	{"version", "", "version of this program and of the running daemon", 0, 0, version_run},
	{"help", "[COMMAND]", "this list, or one command", 0, 1, help_run},
};
const size_t command_count = ARRAY_LEN(command_table);

const struct option_row option_table[] = {
	{"json", 'j', NULL, "print JSON, as the operator API gives it", OPTION_FLAG, offsetof(struct options, json)},
	{"socket", 's', "PATH", "socket of espalier-ike", OPTION_TEXT, offsetof(struct options, socket)},
	{"config", 'c', "FILE", "configuration file, for its socket and for `config check`", OPTION_TEXT,
		offsetof(struct options, config)},
	{"watch", 'w', NULL, "status: again every second; events: go on with new ones", OPTION_FLAG,
		offsetof(struct options, watch)},
	{"all", 'a', NULL, "drops: reasons that never happened as well; status: each engine's suites by name",
		OPTION_FLAG, offsetof(struct options, all)},
	{"ike", 0, NULL, "rekey: the IKE SA instead of its children", OPTION_FLAG, offsetof(struct options, ike)},
	{"timeout", 't', "SECONDS", "up, down: how long to wait (default 30; 0: do not wait)", OPTION_NUMBER,
		offsetof(struct options, timeout_seconds)},
	{"count", 'n', "N", "dummy: how many packets (default 1)", OPTION_NUMBER, offsetof(struct options, count)},
	{"size", 'b', "BYTES", "dummy: bytes in each, as far as the path carries them (default 64)", OPTION_NUMBER,
		offsetof(struct options, size_bytes)},
	{"help", 'h', NULL, "help, also for one command", OPTION_FLAG, offsetof(struct options, help)},
	{"version", 'V', NULL, "version of this program", OPTION_FLAG, offsetof(struct options, version)},
};
const size_t option_count = ARRAY_LEN(option_table);
_Static_assert(ARRAY_LEN(option_table) < OPTIONS_MAX, "one entry must be left for getopt's end mark");

void command_complain(const char *format, ...)
{
	char text[COMPLAINT_MAX], safe[COMPLAINT_MAX];
	char *rest = text;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (const char *lead = "espalier: "; rest; lead = "  ")
		fprintf(stderr, "%s%s\n", lead, format_safe(strsep(&rest, "\n"), safe, sizeof(safe)));
}

int command_client_failed(const struct client *client, enum client_result result)
{
	command_complain("%s", client_error(client));
	return result == CLIENT_UNREACHABLE ? EXIT_UNREACHABLE : EXIT_FAILED;
}

void command_print_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
}

json_t *command_get(struct client *client, const char *path, int *status)
{
	json_t *answer;
	enum client_result result = client_ask(client, path, NULL, &answer);

	*status = result == CLIENT_OK ? EXIT_DONE : command_client_failed(client, result);
	return answer;
}

int command_show(const struct options *options, const char *path,
	void (*print)(const struct options *options, const json_t *answer))
{
	struct client *client = client_new(options->socket);
	json_t *answer;
	int result;

	if (!client)
		return EXIT_FAILED;
	answer = command_get(client, path, &result);
	if (answer && options->json)
		command_print_json(answer);
	else if (answer)
		print(options, answer);
	json_decref(answer);
	client_free(client);
	return result;
}

/* getopt's two views of the option table. A long option's `val` is its place in the table, counted from behind all
 * letters. */
static void options_for_getopt(struct option longs[OPTIONS_MAX], char shorts[2 * OPTIONS_MAX + 1])
{
	char *at = shorts;

	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_table[i];

		longs[i] = (struct option){
			row->name, row->value ? required_argument : no_argument, NULL, UCHAR_MAX + 1 + (int)i};
		if (row->letter)
			*at++ = row->letter;
		if (row->letter && row->value)
			*at++ = ':';
	}
	longs[option_count] = (struct option){0};
	*at = '\0';
}

static const struct option_row *option_find(int found)
{
	for (size_t i = 0; i < option_count; i++)
		if (found == UCHAR_MAX + 1 + (int)i || found == option_table[i].letter)
			return &option_table[i];
	return NULL;
}

static bool option_store(const struct option_row *row, const char *value, struct options *options)
{
	char *at = (char *)options + row->offset;
	unsigned long number;
	char *rest;

	switch (row->kind) {
	case OPTION_FLAG:
		*(bool *)(void *)at = true;
		return true;
	case OPTION_TEXT:
		*(const char **)(void *)at = value;
		return true;
	case OPTION_NUMBER:
		errno = 0;
		number = strtoul(value, &rest, 10);
		if (*value < '0' || *value > '9' || *rest || errno || number > INT_MAX) {
			command_complain("--%s takes a number, not \"%s\"", row->name, value);
			return false;
		}
		*(unsigned *)(void *)at = (unsigned)number;
		return true;
	}
	return false;
}

/* Fills `options`; `optind` then stands at the first argument that is no option. */
static bool options_parse(int argc, char *argv[], struct options *options)
{
	struct option longs[OPTIONS_MAX];
	char shorts[2 * OPTIONS_MAX + 1];
	int found;

	options_for_getopt(longs, shorts);
	while ((found = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct option_row *row = option_find(found);

		if (!row) { /* getopt has said what is wrong */
			fputs("espalier: `espalier help` lists commands and options\n", stderr);
			return false;
		}
		if (!option_store(row, optarg, options))
			return false;
	}
	return true;
}

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < command_count; i++)
		if (strcmp(command_table[i].name, name) == 0)
			return &command_table[i];
	return NULL;
}

/* The socket if --socket does not name it: $ESPALIER_SOCKET, else the configuration's, else the default. */
static const char *socket_choose(const struct options *options, char **owned)
{
	const char *from_environment = getenv("ESPALIER_SOCKET");
	const char *path = options->config ? options->config : CONFIG_FILE_DEFAULT;
	char error[CLIENT_ERROR_LEN];
	struct config *config;

	if (!options->config && from_environment && *from_environment)
		return from_environment;
	if (access(path, R_OK) != 0)
		return IKE_API_SOCKET_DEFAULT;
	config = config_load(path, error, sizeof(error));
	if (config && config->ike && config->ike->socket)
		*owned = strdup(config->ike->socket);
	config_free(config);
	return *owned ? *owned : IKE_API_SOCKET_DEFAULT;
}

static int command_run(const struct command *command, struct options *options, size_t count, char *const args[])
{
	OWN_PTR char *owned = NULL;

	if (count < command->args_min || count > command->args_max) {
		command_complain("usage: espalier %s %s", command->name, command->args);
		return EXIT_USAGE;
	}
	if (!options->socket)
		options->socket = socket_choose(options, &owned);
	return command->run(options, count, args);
}

int command_main(int argc, char *argv[])
{
	struct options options = {.timeout_seconds = COMMAND_TIMEOUT_DEFAULT,
		.count = COMMAND_DUMMY_COUNT_DEFAULT,
		.size_bytes = COMMAND_DUMMY_SIZE_DEFAULT};
	const struct command *command;

	sheet_init();
	if (!options_parse(argc, argv, &options))
		return EXIT_USAGE;
	if (options.version) {
		puts("espalier " ESPALIER_VERSION);
		return EXIT_DONE;
	}
	if (options.help)
		return help_run(&options, optind < argc ? 1 : 0, argv + optind);
	if (optind == argc) /* like wg: what everybody wants to see */
		return command_run(command_find("status"), &options, 0, argv + optind);
	command = command_find(argv[optind]);
	if (!command) {
		command_complain("there is no command \"%s\"; `espalier help` lists them", argv[optind]);
		return EXIT_USAGE;
	}
	return command_run(command, &options, (size_t)(argc - optind - 1), argv + optind + 1);
}
