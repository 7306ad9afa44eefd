/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/field.h"

#include <stdio.h>

const char *field_text(const json_t *object, const char *key, const char *fallback)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : fallback;
}

uint64_t field_count(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 ? (uint64_t)value : 0;
}

double field_number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

bool field_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

bool field_present(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return value && !json_is_null(value);
}

const char *field_join(const json_t *object, const char *key, char *out, size_t size)
{
	const json_t *array = json_object_get(object, key);
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < json_array_size(array) && used < size; i++) {
		const char *text = json_string_value(json_array_get(array, i));
		int written = snprintf(out + used, size - used, "%s%s", i ? ", " : "", text ? text : "?");

		used += written > 0 ? (size_t)written : 0;
	}
	return out;
}
