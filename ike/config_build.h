/* SPDX-License-Identifier: Apache-2.0 */
/* Between ike/config*.c: where a message goes to and which key is in hand. */
#ifndef ESPALIER_IKE_CONFIG_BUILD_H
#define ESPALIER_IKE_CONFIG_BUILD_H

#include "ike/config.h"

#include <stdbool.h>

#define BUILD_KEY_LEN 256u

struct config_build {
	const struct config *config;
	char *error;
	size_t error_size;
	char base[BUILD_KEY_LEN]; /* "connections.home" or "connections.home.children.net" */
};

/* Message at `base` + "." + `key`; always false. */
bool build_fail(const struct config_build *build, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* What is to stand between the rekey at `rekey_ns` and the end of an SA, where the file does not say. */
uint64_t build_overtime(uint64_t rekey_ns);
/* A duration by its text, or `fallback` where there is none. */
uint64_t build_duration(const char *text, uint64_t fallback);
bool build_proposals(const struct config_build *build, const char *key, char *const *texts, unsigned count,
	enum ike_protocol protocol, struct proposal_list *out);
bool build_child(const struct config_build *build, const struct config_child *from, struct child_config *to);
/* Messages are of this child from now on. */
void build_base_child(struct config_build *build, const struct conn_config *conn, const struct child_config *child);
/* Checks over all connections: two children that protect the same traffic; policies and tunnels past what the maps
 * hold.
 */
bool build_overlap_check(struct config_build *build, const struct engine_config *engine);
bool build_room_check(struct config_build *build, const struct engine_config *engine);

#endif
