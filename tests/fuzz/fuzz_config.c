/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration reader: any bytes give a configuration or a sentence, and so does what the engine's is made of it;
 * a redacted file loads like the file itself. */
#include "agent/base/config.h"
#include "ike/config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void build(const struct config *config)
{
	char error[CONFIG_ERROR_LEN] = "";
	struct engine_config *engine = ike_config_build(config, error, sizeof(error));

	if (!engine && !*error)
		abort();
	engine_config_free(engine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[CONFIG_ERROR_LEN];
	struct config *config = config_parse("fuzz.yaml", (const char *)data, size, error, sizeof(error));
	size_t len;
	char *redacted;

	if (!config)
		return 0;
	config_error_at(config, "connections.home.children.net.local_ts[0]", error, sizeof(error), "%s", "x");
	build(config);
	config_free(config);
	redacted = config_redact((const char *)data, size, &len);
	if (!redacted)
		return 0;
	config = config_parse("redacted.yaml", redacted, len, error, sizeof(error));
	if (!config)
		abort();
	config_free(config);
	free(redacted);
	return 0;
}
