/* SPDX-License-Identifier: Apache-2.0 */
/* Compares loaded values along the schema: a key that is added there is compared without more ado. */
#include "agent/base/config.h"
#include "agent/base/config_source.h"

#include <stdint.h>
#include <string.h>

static bool value_equal(const cyaml_schema_value_t *schema, const uint8_t *a, const uint8_t *b);

static const uint8_t *pointed(const uint8_t *at)
{
	const uint8_t *target;

	memcpy(&target, at, sizeof(target));
	return target;
}

static bool list_equal(const cyaml_schema_field_t *field, const uint8_t *a, const uint8_t *b)
{
	const cyaml_schema_value_t *entry = field->value.sequence.entry;
	size_t step = entry->flags & CYAML_FLAG_POINTER ? sizeof(void *) : entry->data_size;
	const uint8_t *items_a = pointed(a + field->data_offset), *items_b = pointed(b + field->data_offset);
	unsigned count, other;

	memcpy(&count, a + field->count_offset, sizeof(count));
	memcpy(&other, b + field->count_offset, sizeof(other));
	if (count != other)
		return false;
	for (unsigned i = 0; i < count; i++)
		if (!value_equal(entry, items_a + i * step, items_b + i * step))
			return false;
	return true;
}

static bool mapping_equal(const cyaml_schema_field_t *fields, const uint8_t *a, const uint8_t *b)
{
	for (const cyaml_schema_field_t *field = fields; field->key; field++) {
		bool equal = field->value.type == CYAML_SEQUENCE
				     ? list_equal(field, a, b)
				     : value_equal(&field->value, a + field->data_offset, b + field->data_offset);

		if (!equal)
			return false;
	}
	return true;
}

/* Where a value is a pointer, `a` and `b` stand at the pointers. */
static bool value_equal(const cyaml_schema_value_t *schema, const uint8_t *a, const uint8_t *b)
{
	if (schema->flags & CYAML_FLAG_POINTER) {
		a = pointed(a);
		b = pointed(b);
		if (!a || !b)
			return a == b;
	}
	if (schema->type == CYAML_STRING)
		return strcmp((const char *)a, (const char *)b) == 0;
	if (schema->type == CYAML_MAPPING)
		return mapping_equal(schema->mapping.fields, a, b);
	return memcmp(a, b, schema->data_size) == 0;
}

bool config_connection_equal(const struct config_connection *a, const struct config_connection *b)
{
	return value_equal(&config_connection_schema, (const uint8_t *)a, (const uint8_t *)b);
}
