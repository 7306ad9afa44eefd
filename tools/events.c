/* SPDX-License-Identifier: Apache-2.0 */
/* `espalier events`: the daemon's memory of what happened. */
#include "tools/command.h"
#include "tools/field.h"
#include "tools/sheet.h"

#include <stdio.h>
#include <unistd.h>

#define FOLLOW_SECONDS 1u

static void print_event(const json_t *event)
{
	const char *connection = field_text(event, "connection", "");
	const char *child = field_text(event, "child", "");
	const char *remote = field_text(event, "remote", "");

	sheet_cell(SHEET_FAINT, "%s", field_text(event, "time", "?"));
	sheet_cell(SHEET_PLAIN, "  %-16s ", field_text(event, "kind", "?"));
	if (*connection)
		sheet_cell(SHEET_NOTE, "%s%s%s ", connection, *child ? "/" : "", child);
	if (*remote)
		sheet_cell(SHEET_FAINT, "%s ", remote);
	sheet_cell(SHEET_PLAIN, "%s", field_text(event, "text", ""));
	sheet_end_row();
}

/* Where the events that `last` does not know begin: behind its last occurrence; at the start if it is forgotten
 * already. */
static size_t events_unseen(const json_t *events, const json_t *last)
{
	for (size_t i = json_array_size(events); last && i-- > 0;)
		if (json_equal(json_array_get(events, i), last))
			return i + 1;
	return 0;
}

static void print_events(const json_t *events, size_t from, bool json)
{
	for (size_t i = from; i < json_array_size(events); i++) {
		const json_t *event = json_array_get(events, i);

		if (json) {
			json_dumpf(event, stdout, JSON_COMPACT);
			putchar('\n');
		} else {
			print_event(event);
		}
	}
	fflush(stdout);
}

/* One object per line with --json --watch: what follows has no end that a closing bracket could mark. */
static int events_follow(const struct options *options)
{
	struct client *client = client_new(options->socket);
	json_t *last = NULL;
	int result;

	if (!client)
		return EXIT_FAILED;
	do {
		json_t *answer = command_get(client, "/v1/events", &result);
		json_t *events = json_object_get(answer, "events");
		size_t count = json_array_size(events);

		print_events(events, events_unseen(events, last), options->json);
		if (count) {
			json_decref(last);
			last = json_incref(json_array_get(events, count - 1));
		}
		json_decref(answer);
	} while (result == EXIT_DONE && !ferror(stdout) && sleep(FOLLOW_SECONDS) == 0);
	json_decref(last);
	client_free(client);
	return result;
}

static void print_all(const struct options *options, const json_t *answer)
{
	(void)options;
	print_events(json_object_get(answer, "events"), 0, false);
}

int events_run(const struct options *options, size_t count, char *const args[])
{
	(void)count;
	(void)args;
	return options->watch ? events_follow(options) : command_show(options, "/v1/events", print_all);
}
