/* SPDX-License-Identifier: Apache-2.0 */
/* The table of subcommands and the table of options: parser, help, completion and manual page are checked against it.
 */
#ifndef ESPALIER_TOOLS_COMMAND_H
#define ESPALIER_TOOLS_COMMAND_H

#include "tools/client.h"

#include <stdbool.h>
#include <stddef.h>

/* Exit status of `espalier` (espalier(8)). */
enum command_exit {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,      /* refused by the daemon, tunnel failed, configuration wrong */
	EXIT_USAGE = 2,	      /* the command line makes no sense */
	EXIT_UNREACHABLE = 3, /* the daemon does not answer */
	EXIT_TIMEOUT = 4,     /* asked for, but not reached within --timeout */
};

#define COMMAND_TIMEOUT_DEFAULT	    30u /* seconds that `up` and `down` wait */
#define COMMAND_DUMMY_COUNT_DEFAULT 1u
#define COMMAND_DUMMY_SIZE_DEFAULT  64u

struct options {
	const char *socket;
	const char *config;
	bool json;
	bool watch;
	bool all;
	bool ike;
	bool help;
	bool version;
	unsigned timeout_seconds;
	unsigned count;
	unsigned size_bytes;
};

struct command {
	const char *name;
	const char *args; /* as shown in help */
	const char *help;
	unsigned args_min;
	unsigned args_max;
	int (*run)(const struct options *options, size_t count, char *const args[]);
};

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_NUMBER };

struct option_row {
	const char *name;  /* without the dashes */
	char letter;	   /* 0: none */
	const char *value; /* as shown in help; NULL for a flag */
	const char *help;
	enum option_kind kind;
	size_t offset; /* into struct options */
};

extern const struct command command_table[];
extern const size_t command_count;
extern const struct option_row option_table[];
extern const size_t option_count;

/* Run `espalier ARGS`: parse by the tables, call the subcommand. Gives enum command_exit. */
int command_main(int argc, char *argv[]);

/* The subcommands. `args` are those after the name, `count` within the table's bounds; each gives enum command_exit. */
int status_run(const struct options *options, size_t count, char *const args[]);
int up_run(const struct options *options, size_t count, char *const args[]);
int down_run(const struct options *options, size_t count, char *const args[]);
int rekey_run(const struct options *options, size_t count, char *const args[]);
int dummy_run(const struct options *options, size_t count, char *const args[]);
int reload_run(const struct options *options, size_t count, char *const args[]);
int sas_run(const struct options *options, size_t count, char *const args[]);
int drops_run(const struct options *options, size_t count, char *const args[]);
int events_run(const struct options *options, size_t count, char *const args[]);
int config_run(const struct options *options, size_t count, char *const args[]);
int doctor_run(const struct options *options, size_t count, char *const args[]);
int version_run(const struct options *options, size_t count, char *const args[]);
int help_run(const struct options *options, size_t count, char *const args[]);

/* "espalier: SENTENCE" on stderr, made safe for the terminal; further lines of the text are indented. */
void command_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Complain about what the client met; gives the exit status that fits. */
int command_client_failed(const struct client *client, enum client_result result);

/* --json: the object on stdout, as it came. */
void command_print_json(const json_t *json);

/* GET `path`; on failure complains, sets `*status` and gives NULL. The answer is the caller's. */
json_t *command_get(struct client *client, const char *path, int *status);

/* A subcommand that only shows: GET `path`, then JSON as it came, or `print`. Gives enum command_exit. */
int command_show(const struct options *options, const char *path,
	void (*print)(const struct options *options, const json_t *answer));

#endif
