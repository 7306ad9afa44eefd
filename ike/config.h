/* SPDX-License-Identifier: Apache-2.0 */
/* From the file's texts (agent/base/config.h) to the engine's configuration: proposals, identities, selectors, times.
 */
#ifndef ESPALIER_IKE_CONFIG_H
#define ESPALIER_IKE_CONFIG_H

#include "agent/base/config.h"
#include "ike/engine.h"

#include <stddef.h>

/* Defaults of espalier.yaml(5). */
#define CONFIG_IKE_REKEY_NS   (4 * 3600 * NS_PER_S)
#define CONFIG_CHILD_REKEY_NS (3600 * NS_PER_S)
#define CONFIG_LIFE_PERCENT   10u /* the hard lifetime lies this much behind the soft one, */
#define CONFIG_LIFE_BEHIND_NS                                                                                          \
	(30 * NS_PER_S) /* but at least this: a rekey must have time to be lost and sent again                         \
			 */
#define CONFIG_DPD_NS	   (30 * NS_PER_S)
#define CONFIG_REPLAY_BITS 1024u

/*
 * Check everything and build the engine's configuration; the caller owns it (engine_config_free). NULL with a line
 * "FILE:LINE: KEY: what was expected" in `error` on the first mistake.
 */
struct engine_config *ike_config_build(const struct config *config, char *error, size_t error_size);

/* The connection of that name in the file, or NULL. */
const struct config_connection *ike_config_connection(const struct config *config, const char *name);

#endif
