/* SPDX-License-Identifier: Apache-2.0 */
/* `espalier up`, `down`, `rekey`, `reload`: ask, and for up and down see that it comes about. */
#include "tools/command.h"
#include "tools/field.h"
#include "tools/sheet.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define POLL_NS 200000000L
/*
 * So many polls after an error the tunnel counts as failed, although the daemon may go on trying: an error that is new
 * since the request counts from when it was seen, the one of before from the request (then it has failed the same way
 * again).
 */
#define GRACE_POLLS 10u

/* What `up` and `down` wait for. */
struct goal {
	const char *connection;
	const char *child; /* NULL: all of them */
	bool up;
	json_t *errors; /* "connection/child" -> last_error as known: before the request, later as told */
	json_t *told;	/* "connection/child" -> number of the poll that brought a new error */
};

static bool goal_concerns(const struct goal *goal, const json_t *tunnel)
{
	return strcmp(field_text(tunnel, "connection", ""), goal->connection) == 0 &&
	       (!goal->child || strcmp(field_text(tunnel, "child", ""), goal->child) == 0);
}

static const char *tunnel_name(const json_t *tunnel, char out[static 256])
{
	snprintf(out, 256, "%s/%s", field_text(tunnel, "connection", "?"), field_text(tunnel, "child", "?"));
	return out;
}

static bool state_is(const json_t *tunnel, const char *state)
{
	return strcmp(field_text(tunnel, "state", ""), state) == 0;
}

static bool goal_reached(const struct goal *goal, const json_t *tunnel)
{
	if (goal->up)
		return state_is(tunnel, "up");
	return state_is(tunnel, "down") || state_is(tunnel, "trapped");
}

static bool error_is_new(const struct goal *goal, const json_t *tunnel)
{
	char name[256];
	const char *error = field_text(tunnel, "last_error", "");

	return *error && strcmp(error, field_text(goal->errors, tunnel_name(tunnel, name), "")) != 0;
}

static void error_remember(struct goal *goal, const json_t *tunnel)
{
	char name[256];

	json_object_set_new(goal->errors, tunnel_name(tunnel, name), json_string(field_text(tunnel, "last_error", "")));
}

static void error_tell(const json_t *tunnel)
{
	char name[256];

	command_complain("%s: %s", tunnel_name(tunnel, name), field_text(tunnel, "last_error", ""));
}

/* Is something under way? A trapped tunnel stays "trapped" while its IKE SA is being set up. */
static bool tunnel_busy(const json_t *tunnel)
{
	return state_is(tunnel, "connecting") || field_present(tunnel, "ike");
}

enum verdict { VERDICT_WAIT, VERDICT_REACHED, VERDICT_FAILED };

/* Of a tunnel that should come up and has not yet. A new error is told at once. */
static enum verdict up_judge(struct goal *goal, const json_t *tunnel, unsigned polls)
{
	char name[256];
	const json_t *told;

	tunnel_name(tunnel, name);
	if (error_is_new(goal, tunnel)) {
		error_tell(tunnel);
		error_remember(goal, tunnel);
		json_object_set_new(goal->told, name, json_integer(polls));
	}
	told = json_object_get(goal->told, name);
	if (told)
		return !tunnel_busy(tunnel) || polls >= json_integer_value(told) + GRACE_POLLS ? VERDICT_FAILED
											       : VERDICT_WAIT;
	if (tunnel_busy(tunnel) || !*field_text(tunnel, "last_error", "") || polls < GRACE_POLLS)
		return VERDICT_WAIT;
	error_tell(tunnel);
	return VERDICT_FAILED;
}

static enum verdict tunnel_judge(struct goal *goal, const json_t *tunnel, unsigned polls)
{
	if (goal_reached(goal, tunnel))
		return VERDICT_REACHED;
	return goal->up ? up_judge(goal, tunnel, polls) : VERDICT_WAIT;
}

/* All tunnels of the goal together: failed if one has failed, reached if all are there. */
static enum verdict goal_judge(struct goal *goal, const json_t *status, unsigned polls)
{
	enum verdict verdict = VERDICT_REACHED;
	const json_t *tunnel;
	size_t i;

	json_array_foreach(json_object_get(status, "tunnels"), i, tunnel)
	{
		enum verdict one;

		if (!goal_concerns(goal, tunnel))
			continue;
		one = tunnel_judge(goal, tunnel, polls);
		if (one == VERDICT_FAILED)
			return one;
		if (one == VERDICT_WAIT)
			verdict = one;
	}
	return verdict;
}

/* Print how the goal's tunnels stand now. */
static void goal_print(const struct goal *goal, const json_t *status, bool json)
{
	json_t *mine = json_array();
	json_t *tunnel;
	size_t i;
	char name[256];

	json_array_foreach(json_object_get(status, "tunnels"), i, tunnel)
	{
		if (!goal_concerns(goal, tunnel))
			continue;
		if (json) {
			json_array_append(mine, tunnel);
			continue;
		}
		sheet_cell(goal_reached(goal, tunnel) ? SHEET_GOOD : SHEET_BAD, "%s is %s", tunnel_name(tunnel, name),
			field_text(tunnel, "state", "?"));
		sheet_end_row();
	}
	if (json) {
		json_t *object = json_pack("{sO}", "tunnels", mine);

		command_print_json(object);
		json_decref(object);
	}
	json_decref(mine);
}

/* The time is over; the errors that the tunnels had before the request are better than no hint. */
static void complain_late(const struct goal *goal, const json_t *status, unsigned seconds)
{
	const json_t *tunnel;
	size_t i;

	json_array_foreach(json_object_get(status, "tunnels"), i, tunnel)
	{
		char name[256];

		if (goal_concerns(goal, tunnel) && !goal_reached(goal, tunnel) &&
			*field_text(tunnel, "last_error", "") &&
			!json_object_get(goal->told, tunnel_name(tunnel, name)))
			error_tell(tunnel);
	}
	command_complain("%s%s%s is not %s after %u seconds; the daemon goes on: see `espalier status`",
		goal->connection, goal->child ? "/" : "", goal->child ? goal->child : "", goal->up ? "up" : "down",
		seconds);
}

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int goal_await(struct client *client, struct goal *goal, const struct options *options)
{
	static const struct timespec pause = {.tv_nsec = POLL_NS};
	double deadline = now_seconds() + options->timeout_seconds;

	for (unsigned polls = 0;; polls++) {
		int result;
		json_t *status = command_get(client, "/v1/status", &result);
		enum verdict verdict;
		bool late = now_seconds() >= deadline;

		if (!status)
			return result;
		verdict = goal_judge(goal, status, polls);
		if (verdict == VERDICT_WAIT && !late) {
			json_decref(status);
			nanosleep(&pause, NULL);
			continue;
		}
		if (verdict == VERDICT_WAIT)
			complain_late(goal, status, options->timeout_seconds);
		goal_print(goal, status, options->json);
		json_decref(status);
		return verdict == VERDICT_REACHED ? EXIT_DONE : verdict == VERDICT_FAILED ? EXIT_FAILED : EXIT_TIMEOUT;
	}
}

/* Remember the errors of before; false (and said so) if there is no such connection or child. */
static bool goal_prepare(struct client *client, struct goal *goal, int *result)
{
	json_t *status = command_get(client, "/v1/status", result);
	const json_t *tunnel;
	size_t i;

	if (!status)
		return false;
	json_array_foreach(json_object_get(status, "tunnels"), i, tunnel)
	{
		if (goal_concerns(goal, tunnel))
			error_remember(goal, tunnel);
	}
	json_decref(status);
	if (json_object_size(goal->errors))
		return true;
	command_complain("no %s \"%s%s%s\" is configured; `espalier status` lists what is",
		goal->child ? "child" : "connection", goal->connection, goal->child ? "/" : "",
		goal->child ? goal->child : "");
	*result = EXIT_FAILED;
	return false;
}

/* POST {"connection", "child", "what"}. */
static int post(struct client *client, const char *path, const char *connection, const char *child, const char *what,
	json_t **answer)
{
	json_t *body = json_pack("{s:s}", "connection", connection);
	enum client_result asked;

	if (child)
		json_object_set_new(body, "child", json_string(child));
	if (what)
		json_object_set_new(body, "what", json_string(what));
	asked = client_ask(client, path, body, answer);
	json_decref(body);
	return asked == CLIENT_OK ? EXIT_DONE : command_client_failed(client, asked);
}

static int goal_pursue(struct client *client, struct goal *goal, const struct options *options)
{
	json_t *answer = NULL;
	int result;

	if (!goal_prepare(client, goal, &result))
		return result;
	result = post(client, goal->up ? "/v1/up" : "/v1/down", goal->connection, goal->child, NULL, &answer);
	if (result == EXIT_DONE && !options->timeout_seconds && options->json)
		command_print_json(answer);
	json_decref(answer);
	if (result != EXIT_DONE || !options->timeout_seconds)
		return result;
	return goal_await(client, goal, options);
}

static int up_or_down(const struct options *options, size_t count, char *const args[], bool up)
{
	struct goal goal = {.connection = args[0],
		.child = count > 1 ? args[1] : NULL,
		.up = up,
		.errors = json_object(),
		.told = json_object()};
	struct client *client = client_new(options->socket);
	int result = client ? goal_pursue(client, &goal, options) : EXIT_FAILED;

	client_free(client);
	json_decref(goal.errors);
	json_decref(goal.told);
	return result;
}

int up_run(const struct options *options, size_t count, char *const args[])
{
	return up_or_down(options, count, args, true);
}

int down_run(const struct options *options, size_t count, char *const args[])
{
	return up_or_down(options, count, args, false);
}

int rekey_run(const struct options *options, size_t count, char *const args[])
{
	struct client *client = client_new(options->socket);
	json_t *answer = NULL;
	int result;

	if (!client)
		return EXIT_FAILED;
	result =
		post(client, "/v1/rekey", args[0], count > 1 ? args[1] : NULL, options->ike ? "ike" : "child", &answer);
	if (result == EXIT_DONE && options->json)
		command_print_json(answer);
	else if (result == EXIT_DONE)
		puts("asked for; `espalier status` shows the new SPIs");
	json_decref(answer);
	client_free(client);
	return result;
}

static void print_names(const char *what, const json_t *answer, const char *key)
{
	char names[4096];

	if (json_array_size(json_object_get(answer, key))) {
		sheet_cell(SHEET_PLAIN, "%-9s%s", what, field_join(answer, key, names, sizeof(names)));
		sheet_end_row();
	}
}

static void print_reloaded(const json_t *answer)
{
	print_names("added", answer, "added");
	print_names("changed", answer, "changed");
	print_names("removed", answer, "removed");
	if (!json_array_size(json_object_get(answer, "added")) &&
		!json_array_size(json_object_get(answer, "changed")) &&
		!json_array_size(json_object_get(answer, "removed")))
		puts("nothing has changed");
}

int reload_run(const struct options *options, size_t count, char *const args[])
{
	struct client *client = client_new(options->socket);
	json_t *body = json_object(), *answer = NULL;
	enum client_result asked;
	int result;

	(void)count;
	(void)args;
	if (!client)
		return EXIT_FAILED;
	asked = client_ask(client, "/v1/reload", body, &answer);
	result = asked == CLIENT_OK ? EXIT_DONE : command_client_failed(client, asked);
	if (result == EXIT_DONE && options->json)
		command_print_json(answer);
	else if (result == EXIT_DONE)
		print_reloaded(answer);
	json_decref(answer);
	json_decref(body);
	client_free(client);
	return result;
}
