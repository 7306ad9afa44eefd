/* SPDX-License-Identifier: Apache-2.0 */
/* The operator API of ike/contract.h: HTTP on a Unix socket (0600), driven by the daemon's loop. */
#ifndef ESPALIER_IKE_API_H
#define ESPALIER_IKE_API_H

#include <jansson.h>

struct api;
struct daemon;

/* Listen on `path` (an old socket there is replaced: the caller holds the instance's lock). -errno with a log line. */
int api_new(struct daemon *daemon, const char *path, struct api **api);
void api_free(struct api *api);

/* The answers, as JSON; NULL if memory is short. The caller owns them. */
json_t *api_version(const struct daemon *daemon);
json_t *api_status(struct daemon *daemon);
json_t *api_sas(const struct daemon *daemon);
json_t *api_drops(const struct daemon *daemon);
json_t *api_events(const struct daemon *daemon);
/* POSTs: *status gets the HTTP status. */
json_t *api_command(struct daemon *daemon, const char *verb, const json_t *body, unsigned *status);
json_t *api_dummy(struct daemon *daemon, const json_t *body, unsigned *status);
json_t *api_reload(struct daemon *daemon, unsigned *status);

/* {"error": "sentence"} */
json_t *api_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
