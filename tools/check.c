/* SPDX-License-Identifier: Apache-2.0 */
/* `espalier config check`: the daemon's own eye looks at the file, so that check and start can never disagree. */
#include "agent/base/config.h"
#include "agent/base/own.h"
#include "tools/command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define DAEMON	   "espalier-ike"
#define REPORT_MAX 65536u

extern char **environ;

static bool usable(const char *path)
{
	return access(path, X_OK) == 0;
}

/* Beside this program, in the sbin beside its bin, else the name alone for the search in PATH. */
static const char *daemon_find(char out[static PATH_MAX])
{
	static const char *const folders[] = {"", "/../sbin"};
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (len > 0) {
		self[len] = '\0';
		slash = strrchr(self, '/');
		for (size_t i = 0; slash && i < ARRAY_LEN(folders); i++) {
			int written =
				snprintf(out, PATH_MAX, "%.*s%s/%s", (int)(slash - self), self, folders[i], DAEMON);

			if (written > 0 && written < PATH_MAX && usable(out))
				return out;
		}
	}
	snprintf(out, PATH_MAX, "%s", usable("/usr/sbin/" DAEMON) ? "/usr/sbin/" DAEMON : DAEMON);
	return out;
}

/* Start it with both outputs on `out_fd`. 0 or -errno. */
static int daemon_spawn(const char *program, const char *file, int out_fd, pid_t *pid)
{
	char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t) "--check", (char *)(uintptr_t) "-c",
		(char *)(uintptr_t)file, NULL};
	posix_spawn_file_actions_t actions;
	int error = posix_spawn_file_actions_init(&actions);

	if (error)
		return -error;
	posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out_fd, STDERR_FILENO);
	error = posix_spawnp(pid, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -error;
}

/* All of what it writes, cut at REPORT_MAX; the newline at the end is taken off. */
static void report_read(int fd, char report[static REPORT_MAX])
{
	char rest[4096];
	size_t used = 0;
	ssize_t got;

	while ((got = read(fd, used + 1 < REPORT_MAX ? report + used : rest,
			used + 1 < REPORT_MAX ? REPORT_MAX - 1 - used : sizeof(rest))) > 0)
		if (used + 1 < REPORT_MAX)
			used += (size_t)got;
	while (used && report[used - 1] == '\n')
		used--;
	report[used] = '\0';
}

/* 0: the file is right; > 0: it is not; -errno: the check could not be made. `report` is what the daemon said. */
static int daemon_check(const char *file, char report[static REPORT_MAX])
{
	char program[PATH_MAX];
	OWN_FD int read_end = -1;
	OWN_FD int write_end = -1;
	int ends[2], error, state;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -errno;
	read_end = ends[0];
	write_end = ends[1];
	error = daemon_spawn(daemon_find(program), file, write_end, &pid);
	if (error)
		return error;
	close(TAKE_FD(write_end));
	report_read(read_end, report);
	while (waitpid(pid, &state, 0) < 0)
		if (errno != EINTR)
			return -errno;
	/* 127 is how some C libraries report that the program could not be executed. */
	if (WIFEXITED(state) && WEXITSTATUS(state) == 127)
		return -ENOENT;
	return WIFEXITED(state) && WEXITSTATUS(state) == 0 ? 0 : 1;
}

static int print_verdict(const struct options *options, const char *file, int verdict, const char *report)
{
	if (options->json) {
		json_t *object = verdict == 0 ? json_pack("{s:s, s:b}", "file", file, "ok", 1)
					      : json_pack("{s:s, s:b, s:s}", "file", file, "ok", 0, "error", report);

		command_print_json(object);
		json_decref(object);
	} else if (verdict == 0) {
		printf("%s%s\n", *report ? report : file, *report ? "" : " is right");
	} else {
		fprintf(stderr, "%s\n", *report ? report : "the check ended without a word");
	}
	return verdict == 0 ? EXIT_DONE : EXIT_FAILED;
}

int config_run(const struct options *options, size_t count, char *const args[])
{
	const char *file = count > 1 ? args[1] : options->config ? options->config : CONFIG_FILE_DEFAULT;
	OWN_PTR char *report = calloc(1, REPORT_MAX);
	int verdict;

	if (strcmp(args[0], "check") != 0) {
		command_complain("usage: espalier config check [FILE]");
		return EXIT_USAGE;
	}
	if (!report)
		return EXIT_FAILED;
	verdict = daemon_check(file, report);
	if (verdict < 0) {
		command_complain("%s, which checks configurations, could not be run: %s", DAEMON, strerror(-verdict));
		return EXIT_FAILED;
	}
	return print_verdict(options, file, verdict, report);
}
