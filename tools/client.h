/* SPDX-License-Identifier: Apache-2.0 */
/* The operator API of espalier-ike (ike/contract.h) as seen from outside: HTTP over a Unix socket. */
#ifndef ESPALIER_TOOLS_CLIENT_H
#define ESPALIER_TOOLS_CLIENT_H

#include <jansson.h>

#define CLIENT_ERROR_LEN       4096u
#define CLIENT_TIMEOUT_SECONDS 10L
#define CLIENT_ANSWER_MAX      (64u * 1024 * 1024)

enum client_result {
	CLIENT_OK = 0,
	CLIENT_REFUSED,	    /* the daemon answered with an error: `error` is its sentence */
	CLIENT_UNREACHABLE, /* nobody answers: `error` says what to do */
};

struct client;

/* Never NULL but for want of memory. `socket` is borrowed for the client's life. */
struct client *client_new(const char *socket);
void client_free(struct client *client);

/*
 * One request. `body` NULL: GET, else POST with it (borrowed). On CLIENT_OK `*answer` is the caller's to json_decref;
 * otherwise it is NULL and error() gives one sentence.
 */
enum client_result client_ask(struct client *client, const char *path, const json_t *body, json_t **answer);
const char *client_error(const struct client *client);

#endif
