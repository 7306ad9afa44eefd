/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP: which path gives which answer. What stands in the answers is api_*.c's. */
#include "ike/api.h"

#include "agent/base/log.h"
#include "agent/base/own.h"
#include "ike/daemon.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define API_CONNECTIONS_MAX 32u
#define API_IDLE_S	    10u
#define API_BODY_MAX	    4096u
#define API_MEMORY	    (16u * 1024u) /* of one connection */
#define API_BACKLOG	    16

struct api {
	struct daemon *daemon;
	struct MHD_Daemon *http;
	sd_event_source *io;
	sd_event_source *timer;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
};

/* The body of a request in work. */
struct request {
	size_t len;
	bool too_long;
	char body[API_BODY_MAX];
};

/* ---- answers --------------------------------------------------------------------------------------------------- */
static enum MHD_Result answer_send(struct MHD_Connection *connection, unsigned status, json_t *answer)
{
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	struct MHD_Response *response;
	enum MHD_Result result;

	json_decref(answer);
	if (!text)
		return MHD_NO;
	response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Content-Type", "application/json");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static json_t *get_answer(struct daemon *d, const char *what)
{
	if (strcmp(what, "version") == 0)
		return api_version(d);
	if (strcmp(what, "status") == 0)
		return api_status(d);
	if (strcmp(what, "sas") == 0)
		return api_sas(d);
	if (strcmp(what, "drops") == 0)
		return api_drops(d);
	if (strcmp(what, "events") == 0)
		return api_events(d);
	return NULL;
}

static bool is_command(const char *what)
{
	return strcmp(what, "up") == 0 || strcmp(what, "down") == 0 || strcmp(what, "rekey") == 0;
}

static json_t *post_answer(struct daemon *d, const char *what, const struct request *request, unsigned *status)
{
	json_t *body, *answer;
	json_error_t error;

	*status = MHD_HTTP_NOT_FOUND;
	if (!is_command(what) && strcmp(what, "reload") != 0 && strcmp(what, "dummy") != 0)
		return api_error("there is no POST /v1/%s", what);
	*status = MHD_HTTP_BAD_REQUEST;
	if (request->too_long)
		return api_error("the body is longer than %u bytes", API_BODY_MAX);
	body = request->len ? json_loadb(request->body, request->len, 0, &error) : json_object();
	if (!json_is_object(body)) {
		json_decref(body);
		return api_error("a JSON object was expected: %s", request->len ? error.text : "out of memory");
	}
	if (is_command(what))
		answer = api_command(d, what, body, status);
	else
		answer = strcmp(what, "dummy") == 0 ? api_dummy(d, body, status) : api_reload(d, status);
	json_decref(body);
	return answer;
}

static enum MHD_Result request_answer(struct daemon *d, struct MHD_Connection *connection, const char *url,
	const char *method, const struct request *request)
{
	bool get = strcmp(method, "GET") == 0;
	unsigned status = MHD_HTTP_OK;
	json_t *answer;

	if (strncmp(url, "/v1/", 4) != 0)
		return answer_send(
			connection, MHD_HTTP_NOT_FOUND, api_error("there is no %s; paths begin with /v1/", url));
	if (!get && strcmp(method, "POST") != 0)
		return answer_send(connection, MHD_HTTP_METHOD_NOT_ALLOWED, api_error("GET or POST was expected"));
	answer = get ? get_answer(d, url + 4) : post_answer(d, url + 4, request, &status);
	if (!answer) {
		status = MHD_HTTP_NOT_FOUND;
		answer = api_error("there is no GET %s", url);
	}
	return answer_send(connection, status, answer);
}

/* The library calls once for the header, then for pieces of the body, then once more. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
	const char *version, const char *data, size_t *data_len, void **state)
{
	struct api *api = context;
	struct request *request = *state;

	(void)version;
	if (!request) {
		*state = calloc(1, sizeof(struct request));
		return *state ? MHD_YES : MHD_NO;
	}
	if (!*data_len)
		return request_answer(api->daemon, connection, url, method, request);
	if (*data_len > sizeof(request->body) - request->len) {
		request->too_long = true;
	} else {
		memcpy(request->body + request->len, data, *data_len);
		request->len += *data_len;
	}
	*data_len = 0;
	return MHD_YES;
}

static void on_request_done(
	void *context, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode why)
{
	(void)context;
	(void)connection;
	(void)why;
	free(*state);
	*state = NULL;
}

/* ---- loop ------------------------------------------------------------------------------------------------------ */
static void api_run(struct api *api)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms;

	MHD_run(api->http);
	if (MHD_get_timeout(api->http, &timeout_ms) != MHD_YES) {
		sd_event_source_set_enabled(api->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time_relative(api->timer, timeout_ms * 1000);
	sd_event_source_set_enabled(api->timer, SD_EVENT_ONESHOT);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *context)
{
	(void)source;
	(void)fd;
	(void)events;
	api_run(context);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *context)
{
	(void)source;
	(void)usec;
	api_run(context);
	return 0;
}

static int socket_listen(const char *path)
{
	OWN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	mode_t old;
	int rc;

	if (fd < 0)
		return -errno;
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	unlink(path);
	old = umask(0177); /* 0600 from the first moment on */
	rc = bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ? -errno : 0;
	umask(old);
	if (!rc && listen(fd, API_BACKLOG) < 0)
		rc = -errno;
	return rc ? rc : TAKE_FD(fd);
}

static int http_start(struct api *api)
{
	const union MHD_DaemonInfo *info;
	int fd = socket_listen(api->path);
	int rc;

	if (fd < 0)
		return fd;
	api->http = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, api,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_request_done, api,
		MHD_OPTION_CONNECTION_LIMIT, API_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, API_IDLE_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)API_MEMORY, MHD_OPTION_END);
	if (!api->http) {
		close(fd);
		return -EINVAL;
	}
	info = MHD_get_daemon_info(api->http, MHD_DAEMON_INFO_EPOLL_FD);
	rc = info ? sd_event_add_io(api->daemon->event, &api->io, info->epoll_fd, EPOLLIN, on_io, api) : -EINVAL;
	if (rc >= 0)
		rc = sd_event_add_time(api->daemon->event, &api->timer, CLOCK_MONOTONIC, 0, 0, on_timer, api);
	return rc < 0 ? rc : 0;
}

int api_new(struct daemon *daemon, const char *path, struct api **out)
{
	struct api *api = calloc(1, sizeof(*api));
	int rc;

	if (!api)
		return -ENOMEM;
	api->daemon = daemon;
	snprintf(api->path, sizeof(api->path), "%s", path);
	rc = http_start(api);
	if (rc) {
		log_error("the operator API on %s could not be opened: %s", path, strerror(-rc));
		api_free(api);
		return rc;
	}
	*out = api;
	return 0;
}

void api_free(struct api *api)
{
	if (!api)
		return;
	sd_event_source_disable_unref(api->io);
	sd_event_source_disable_unref(api->timer);
	if (api->http) {
		MHD_stop_daemon(api->http);
		unlink(api->path);
	}
	free(api);
}
