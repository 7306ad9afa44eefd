/* SPDX-License-Identifier: Apache-2.0 */
/* The short answers: version, drops, events; and the commands. */
#include "ike/api_json.h"
#include "ike/daemon.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum {
	HTTP_OK = 200,
	HTTP_ACCEPTED = 202,
	HTTP_BAD_REQUEST = 400,
	HTTP_NOT_FOUND = 404,
	HTTP_CONFLICT = 409,
	HTTP_UNPROCESSABLE = 422,
	HTTP_UNAVAILABLE = 503
};

json_t *api_version(const struct daemon *d)
{
	json_t *object = json_object();

	(void)d;
	json_set_text(object, "version", ESPALIER_VERSION);
	json_set_count(object, "layout_version", LAYOUT_VERSION);
	json_set_text(object, "openssl", OpenSSL_version(OPENSSL_VERSION));
	return object;
}

/* ---- drops ----------------------------------------------------------------------------------------------------- */
static json_t *drop_json(const struct sadb *db, enum drop_reason reason, uint64_t now)
{
	struct drop_count sum = {0};
	json_t *object = json_object();

	if (db)
		sadb_drops(db, reason, &sum);
	json_set_text(object, "reason", drop_reason_name(reason));
	json_set_text(object, "severity", drop_reason_severity(reason));
	json_set_text(object, "sentence", drop_reason_sentence(reason));
	json_set_count(object, "count", sum.packets);
	if (sum.last_ns)
		json_set_seconds(object, "last", sum.last_ns, now);
	else
		json_object_set_new(object, "last", json_null());
	return object;
}

json_t *api_drops(const struct daemon *d)
{
	json_t *object = json_object(), *drops = json_array(), *ike = json_array();
	uint64_t now = clock_now_ns();

	for (unsigned reason = DROP_NONE + 1; reason < DROP_REASON_COUNT; reason++)
		json_array_append_new(drops, drop_json(d->db, reason, now));
	for (unsigned counter = 0; counter < IKE_COUNTER_COUNT; counter++) {
		json_t *item = json_object();

		json_set_text(item, "counter", ike_counter_name(counter));
		json_set_text(item, "sentence", ike_counter_sentence(counter));
		json_set_count(item, "count", d->engine ? engine_counter(d->engine, counter) : 0);
		json_array_append_new(ike, item);
	}
	json_object_set_new(object, "drops", drops);
	json_object_set_new(object, "ike", ike);
	return object;
}

/* ---- events ---------------------------------------------------------------------------------------------------- */
static json_t *event_json(const struct history_event *event)
{
	json_t *object = json_object();
	char text[40], time[64];
	struct tm parts;

	gmtime_r(&event->time.tv_sec, &parts);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(time, sizeof(time), "%s.%03ldZ", text, event->time.tv_nsec / 1000000);
	json_set_text(object, "time", time);
	json_set_text(object, "kind", event->kind);
	json_set_text(object, "connection", event->conn);
	json_set_text(object, "child", event->child);
	if (event->remote.addr.family != IP_NONE)
		json_set_endpoint(object, "remote", &event->remote);
	else
		json_set_text(object, "remote", "");
	json_set_text(object, "text", event->text ? event->text : "");
	return object;
}

json_t *api_events(const struct daemon *d)
{
	json_t *object = json_object(), *list = json_array();
	const struct history_event *event;

	for (unsigned n = 0; (event = history_at(&d->history, n)) != NULL; n++)
		json_array_append_new(list, event_json(event));
	json_object_set_new(object, "events", list);
	return object;
}

/* ---- commands -------------------------------------------------------------------------------------------------- */
static enum engine_command_kind command_kind(const char *verb, const char *what)
{
	if (strcmp(verb, "up") == 0)
		return ENGINE_UP;
	if (strcmp(verb, "down") == 0)
		return ENGINE_DOWN;
	return strcmp(what, "ike") == 0 ? ENGINE_REKEY_IKE : ENGINE_REKEY_CHILD;
}

static const char *body_text(const json_t *body, const char *key, const char *fallback)
{
	const json_t *value = json_object_get(body, key);

	if (!value || json_is_null(value))
		return fallback;
	return json_is_string(value) ? json_string_value(value) : NULL;
}

static json_t *command_answer(const struct engine_command *command, int rc, unsigned *status)
{
	const char *slash = command->child[0] ? "/" : "";

	if (rc == -ENOENT) {
		*status = HTTP_NOT_FOUND;
		return api_error("there is no %s%s%s in the configuration (or it has no SA)", command->conn, slash,
			command->child);
	}
	if (rc) {
		*status = HTTP_CONFLICT;
		return api_error("%s%s%s: this cannot be done now%s", command->conn, slash, command->child,
			command->kind == ENGINE_UP ? "; has the connection remote_addrs to dial?" : "; is it up?");
	}
	*status = HTTP_ACCEPTED;
	return json_object();
}

json_t *api_command(struct daemon *d, const char *verb, const json_t *body, unsigned *status)
{
	const char *what = body_text(body, "what", "child");
	struct engine_command command = {
		.conn = body_text(body, "connection", NULL), .child = body_text(body, "child", "")};
	int rc;

	*status = HTTP_BAD_REQUEST;
	if (!command.conn || !command.child)
		return api_error("\"connection\" (a text) was expected, and \"child\" (a text) may follow");
	if (!what || (strcmp(what, "ike") != 0 && strcmp(what, "child") != 0))
		return api_error("\"what\" must be \"ike\" or \"child\"");
	*status = HTTP_UNAVAILABLE;
	if (!d->engine || d->stopping)
		return api_error(
			d->stopping ? "espalier-ike is ending" : "waiting for espalier-agent, which makes the maps");
	command.kind = command_kind(verb, what);
	rc = engine_command(d->engine, &command, clock_now_ns());
	daemon_drain(d);
	return command_answer(&command, rc, status);
}

static json_t *names_json(char **names, unsigned count)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(list, json_string(names[i]));
	return list;
}

json_t *api_reload(struct daemon *d, unsigned *status)
{
	struct reload_result result = {0};
	char error[CONFIG_ERROR_LEN];
	json_t *answer;

	*status = HTTP_UNPROCESSABLE;
	if (d->stopping)
		return api_error("espalier-ike is ending");
	if (!daemon_reload(d, &result, error, sizeof(error)))
		return api_error("%s", error);
	*status = HTTP_OK;
	answer = json_object();
	json_object_set_new(answer, "changed", names_json(result.changed, result.changed_count));
	json_object_set_new(answer, "removed", names_json(result.removed, result.removed_count));
	json_object_set_new(answer, "added", names_json(result.added, result.added_count));
	reload_result_clear(&result);
	return answer;
}
