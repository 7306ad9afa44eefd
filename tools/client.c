/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client.h"

#include "agent/base/own.h"
#include "tools/field.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <sys/un.h>

struct client {
	CURL *curl;
	const char *socket;
	char error[CLIENT_ERROR_LEN];
};

struct answer {
	char *bytes;
	size_t len;
};

struct client *client_new(const char *socket)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	client->socket = socket;
	client->curl = curl_easy_init();
	if (!client->curl) {
		free(client);
		return NULL;
	}
	return client;
}

void client_free(struct client *client)
{
	if (!client)
		return;
	curl_easy_cleanup(client->curl);
	free(client);
}

const char *client_error(const struct client *client)
{
	return client->error;
}

/* libcurl's write callback: anything but `size * count` ends the transfer. */
static size_t answer_append(char *bytes, size_t size, size_t count, void *user)
{
	struct answer *answer = user;
	size_t len = size * count;
	char *grown;

	if (len > CLIENT_ANSWER_MAX - answer->len)
		return 0;
	grown = realloc(answer->bytes, answer->len + len + 1);
	if (!grown)
		return 0;
	memcpy(grown + answer->len, bytes, len);
	answer->bytes = grown;
	answer->len += len;
	return len;
}

static enum client_result say_unreachable(struct client *client, CURLcode code)
{
	long os_error = 0;

	curl_easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &os_error);
	if (os_error == EACCES || os_error == EPERM)
		snprintf(client->error, sizeof(client->error), "no permission to use %s: run this as root",
			client->socket);
	else if (code == CURLE_COULDNT_CONNECT)
		snprintf(client->error, sizeof(client->error),
			"espalier-ike is not running, nothing listens on %s: start it with `systemctl start "
			"espalier-ike`, or name "
			"its socket with --socket",
			client->socket);
	else if (code == CURLE_OPERATION_TIMEDOUT)
		snprintf(client->error, sizeof(client->error),
			"espalier-ike did not answer on %s within %ld seconds: see `journalctl -u espalier-ike`",
			client->socket, CLIENT_TIMEOUT_SECONDS);
	else
		snprintf(client->error, sizeof(client->error), "the answer on %s could not be read: %s", client->socket,
			curl_easy_strerror(code));
	return CLIENT_UNREACHABLE;
}

static void prepare(struct client *client, const char *url, const char *body, struct answer *answer)
{
	CURL *curl = client->curl;

	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
	curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* not the one of the environment */
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, CLIENT_TIMEOUT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, answer_append);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	if (body)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
}

/* Judge the answer; takes nothing. */
static enum client_result read_answer(struct client *client, const struct answer *answer, json_t **out)
{
	json_t *json = json_loadb(answer->bytes ? answer->bytes : "", answer->len, 0, NULL);
	long status = 0;

	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200 && status < 300 && answer->len == 0) {
		json_decref(json);
		json = json_object(); /* 202 and 204 may come without a body */
	}
	if (status >= 200 && status < 300 && json) {
		*out = json;
		return CLIENT_OK;
	}
	if (field_present(json, "error"))
		snprintf(client->error, sizeof(client->error), "%s", field_text(json, "error", "?"));
	else
		snprintf(client->error, sizeof(client->error),
			"%s gave an answer that is not the operator API's (HTTP status %ld)", client->socket, status);
	json_decref(json);
	return CLIENT_REFUSED;
}

enum client_result client_ask(struct client *client, const char *path, const json_t *body, json_t **answer)
{
	OWN_PTR char *body_text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct answer bytes = {0};
	enum client_result result;
	struct curl_slist *headers = NULL;
	char url[128];
	CURLcode code;

	*answer = NULL;
	if (strlen(client->socket) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
		snprintf(client->error, sizeof(client->error), "the socket's path is too long for a Unix socket: %s",
			client->socket);
		return CLIENT_UNREACHABLE;
	}
	snprintf(url, sizeof(url), "http://localhost%s", path);
	prepare(client, url, body_text, &bytes);
	if (body) {
		headers = curl_slist_append(NULL, "Content-Type: application/json");
		curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
	}
	code = curl_easy_perform(client->curl);
	result = code == CURLE_OK ? read_answer(client, &bytes, answer) : say_unreachable(client, code);
	curl_slist_free_all(headers);
	free(bytes.bytes);
	return result;
}
