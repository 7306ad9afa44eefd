/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration reader: any bytes give a configuration or a sentence; a redacted file loads like the file itself.
 */
#include "agent/base/config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[CONFIG_ERROR_LEN];
	struct config *config = config_parse("fuzz.yaml", (const char *)data, size, error, sizeof(error));
	size_t len;
	char *redacted;

	if (!config)
		return 0;
	config_error_at(config, "connections.home.children.net.local_ts[0]", error, sizeof(error), "%s", "x");
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
