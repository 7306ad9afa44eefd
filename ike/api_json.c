/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/api_json.h"

#include "agent/base/clock.h"
#include "ike/api.h"
#include "ike/ts.h"

#include <stdarg.h>
#include <stdio.h>

#define SUITE_TEXT_LEN 128

json_t *api_error(const char *format, ...)
{
	json_t *object = json_object();
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_set_text(object, "error", text);
	return object;
}

/* Texts of peers are made printable where they come in; a text that still is not UTF-8 becomes "?". */
void json_set_text(json_t *object, const char *key, const char *text)
{
	json_t *value = json_string(text);

	json_object_set_new(object, key, value ? value : json_string("?"));
}

void json_set_count(json_t *object, const char *key, uint64_t count)
{
	json_object_set_new(object, key, json_integer((json_int_t)count));
}

void json_set_seconds(json_t *object, const char *key, uint64_t from_ns, uint64_t to_ns)
{
	double seconds = to_ns > from_ns ? (double)(to_ns - from_ns) / (double)NS_PER_S : 0;

	json_object_set_new(object, key, json_real((double)(int64_t)(seconds * 1000) / 1000));
}

void json_set_endpoint(json_t *object, const char *key, const struct endpoint *endpoint)
{
	char text[ADDR_TEXT_LEN];

	json_set_text(object, key, endpoint_format(endpoint, text));
}

void json_set_spi32(json_t *object, const char *key, uint32_t spi)
{
	char text[16];

	snprintf(text, sizeof(text), "0x%08x", spi);
	json_set_text(object, key, text);
}

void json_set_spi64(json_t *object, const char *key, uint64_t spi)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%016llx", (unsigned long long)spi);
	json_set_text(object, key, text);
}

void json_set_suite(json_t *object, const char *key, const struct suite *suite)
{
	char text[SUITE_TEXT_LEN];

	json_set_text(object, key, suite_format(suite, text, sizeof(text)));
}

void json_set_selectors(json_t *object, const char *key, const struct selector *items, unsigned count)
{
	json_t *list = json_array();
	char text[TS_TEXT_LEN];

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(list, json_string(ts_format(&items[i], text)));
	json_object_set_new(object, key, list);
}
