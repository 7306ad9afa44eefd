/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/suite_choice.h"

#include "agent/base/own.h"

#include <string.h>

static const struct suite_engine *const engines[] = {&suite_mb, &suite_openssl};

const struct suite_engine *suite_engine_at(unsigned index)
{
	return index < ARRAY_LEN(engines) ? engines[index] : NULL;
}

const struct suite_engine *suite_engine_find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(engines); i++) {
		if (strcmp(engines[i]->name, name) == 0)
			return engines[i];
	}
	return NULL;
}

const struct suite_engine *suite_choice(const struct esp_suite *suite)
{
	return suite_mb.serves(suite) ? &suite_mb : &suite_openssl;
}
