/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks the YAML nodes along the schema, before libcyaml loads them: same schema, but messages that say file, line, key
 * and what was expected.
 */
#include "agent/base/config_source.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 48 /* characters of a wrong value that a message repeats */

struct check {
	const struct config_source *source;
	const struct config_error *error;
	char key[CONFIG_KEY_PATH_LEN]; /* path of the node in hand */
};

static bool value_check(
	struct check *check, const yaml_node_t *node, const cyaml_schema_value_t *schema, const char *key);

static bool fail(const struct check *check, const yaml_node_t *node, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static bool fail(const struct check *check, const yaml_node_t *node, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	config_vfail(check->error, config_node_line(node), check->key, format, args);
	va_end(args);
	return false;
}

/* Goes one step down; gives the length to come back to with `path_up`. */
static size_t path_down(struct check *check, const char *word)
{
	size_t at = strlen(check->key);

	snprintf(check->key + at, sizeof(check->key) - at, "%s%.64s", at ? "." : "", word);
	return at;
}

static size_t path_item(struct check *check, size_t index)
{
	size_t at = strlen(check->key);

	snprintf(check->key + at, sizeof(check->key) - at, "[%zu]", index);
	return at;
}

static void path_up(struct check *check, size_t at)
{
	check->key[at] = '\0';
}

static const char *node_kind(const yaml_node_t *node)
{
	return node->type == YAML_MAPPING_NODE	  ? "a mapping"
	       : node->type == YAML_SEQUENCE_NODE ? "a list"
						  : "a single value";
}

/* ---- scalars --------------------------------------------------------------------------------------------------- */
static bool text_has_control(const yaml_node_t *node)
{
	for (size_t i = 0; i < node->data.scalar.length; i++)
		if (node->data.scalar.value[i] < 0x20 || node->data.scalar.value[i] == 0x7f)
			return true;
	return false;
}

static bool number_check(const struct check *check, const yaml_node_t *node, const cyaml_schema_value_t *schema)
{
	uint64_t max = schema->data_size >= 8 ? UINT64_MAX : (UINT64_C(1) << 8 * schema->data_size) - 1;
	const char *text = config_node_text(node);
	uint64_t value;

	errno = 0;
	value = strtoull(text, NULL, 10);
	if (!*text || strspn(text, "0123456789") != strlen(text) || errno || value > max || (text[0] == '0' && text[1]))
		return fail(check, node, "a number from 0 to %ju was expected, not '%.*s'", (uintmax_t)max, SHOWN_MAX,
			text);
	return true;
}

static bool flag_check(const struct check *check, const yaml_node_t *node)
{
	static const char *const words[] = {"true", "false", "yes", "no", "on", "off"};
	const char *text = config_node_text(node);

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(text, words[i]) == 0)
			return true;
	return fail(check, node, "true or false was expected, not '%.*s'", SHOWN_MAX, text);
}

static bool text_check(const struct check *check, const yaml_node_t *node, const cyaml_schema_value_t *schema)
{
	if (node->data.scalar.length < schema->string.min)
		return fail(check, node, "a text that is not empty was expected");
	if (node->data.scalar.length > schema->string.max)
		return fail(check, node, "a text of at most %u bytes was expected, not of %zu", schema->string.max,
			node->data.scalar.length);
	if (text_has_control(node))
		return fail(check, node, "a text without control characters and line breaks was expected");
	return true;
}

static bool scalar_check(
	const struct check *check, const yaml_node_t *node, const cyaml_schema_value_t *schema, const char *key)
{
	char buffer[128];
	const char *wanted;
	bool ok;

	if (node->type != YAML_SCALAR_NODE)
		return fail(check, node, "a single value was expected, not %s", node_kind(node));
	ok = schema->type == CYAML_UINT	  ? number_check(check, node, schema)
	     : schema->type == CYAML_BOOL ? flag_check(check, node)
					  : text_check(check, node, schema);
	if (!ok)
		return false;
	wanted = config_value_expected(key, config_node_text(node), buffer, sizeof(buffer));
	if (!wanted)
		return true;
	if (strcmp(key, "secret") == 0)
		return fail(check, node, "%s was expected", wanted);
	return fail(check, node, "%s was expected, not '%.*s'", wanted, SHOWN_MAX, config_node_text(node));
}

/* ---- mappings -------------------------------------------------------------------------------------------------- */
static const cyaml_schema_field_t *field_find(const cyaml_schema_field_t *fields, const char *key)
{
	for (; fields->key; fields++)
		if (strcmp(fields->key, key) == 0)
			return fields;
	return NULL;
}

static bool key_unknown(const struct check *check, const yaml_node_t *key, const cyaml_schema_field_t *fields)
{
	const char *near = config_suggest(config_node_text(key), fields);
	char known[CONFIG_KEY_PATH_LEN];
	size_t at = 0;

	known[0] = '\0';
	for (const cyaml_schema_field_t *field = fields; field->key && at < sizeof(known); field++)
		at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", at ? ", " : "", field->key);
	if (near)
		return fail(check, key, "unknown key; did you mean '%s'? (known here: %s)", near, known);
	return fail(check, key, "unknown key; known here: %s", known);
}

static bool key_check(const struct check *check, const yaml_node_t *mapping, const yaml_node_pair_t *pair)
{
	const yaml_node_t *key = config_source_node(check->source, pair->key);
	const yaml_node_t *first;

	if (key->type != YAML_SCALAR_NODE || key->data.scalar.length == 0 || text_has_control(key))
		return fail(check, key, "a key must be a single word");
	first = config_node_child(check->source, mapping, config_node_text(key));
	if (first && first != config_source_node(check->source, pair->value))
		return fail(check, key, "key '%.64s' is given twice; first on line %zu", config_node_text(key),
			config_node_line(first));
	return true;
}

static bool pair_check(struct check *check, const yaml_node_t *mapping, const yaml_node_pair_t *pair,
	const cyaml_schema_field_t *fields)
{
	const yaml_node_t *key = config_source_node(check->source, pair->key);
	const yaml_node_t *value = config_source_node(check->source, pair->value);
	const cyaml_schema_field_t *field;
	size_t at;
	bool ok;

	if (!key_check(check, mapping, pair))
		return false;
	field = field_find(fields, config_node_text(key));
	at = path_down(check, config_node_text(key));
	if (!field)
		ok = key_unknown(check, key, fields);
	else if (config_node_is_empty(value))
		ok = (field->value.flags & CYAML_FLAG_OPTIONAL) || fail(check, key, "a value was expected");
	else
		ok = value_check(check, value, &field->value, field->key);
	path_up(check, at);
	return ok;
}

/* `named`: the name was the key of this mapping. */
static bool required_check(
	const struct check *check, const yaml_node_t *node, const cyaml_schema_field_t *fields, bool named)
{
	for (const cyaml_schema_field_t *field = fields + named; field->key; field++)
		if (!(field->value.flags & CYAML_FLAG_OPTIONAL) && !config_node_child(check->source, node, field->key))
			return fail(check, node, "key '%s' is missing", field->key);
	return true;
}

static bool mapping_check(struct check *check, const yaml_node_t *node, const cyaml_schema_field_t *fields, bool named)
{
	if (node->type != YAML_MAPPING_NODE)
		return fail(check, node, "a mapping (key: value) was expected, not %s", node_kind(node));
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++)
		if (!pair_check(check, node, pair, fields + named))
			return false;
	return required_check(check, node, fields, named);
}

/* ---- lists ----------------------------------------------------------------------------------------------------- */
static bool count_check(
	const struct check *check, const yaml_node_t *node, const cyaml_schema_value_t *schema, size_t count)
{
	if (count < schema->sequence.min)
		return fail(check, node, "at least %u was expected", schema->sequence.min);
	if (count > schema->sequence.max)
		return fail(check, node, "at most %u were expected, not %zu", schema->sequence.max, count);
	return true;
}

/* swanctl's way: name: {...} */
static bool named_list_check(struct check *check, const yaml_node_t *node, const cyaml_schema_value_t *schema)
{
	const yaml_node_pair_t *start = node->data.mapping.pairs.start, *top = node->data.mapping.pairs.top;

	if (!count_check(check, node, schema, (size_t)(top - start)))
		return false;
	for (const yaml_node_pair_t *pair = start; pair < top; pair++) {
		const yaml_node_t *name = config_source_node(check->source, pair->key);
		const yaml_node_t *value = config_source_node(check->source, pair->value);
		const char *wanted;
		size_t at;
		bool ok;

		if (!key_check(check, node, pair))
			return false;
		at = path_down(check, config_node_text(name));
		wanted = config_value_expected("name", config_node_text(name), NULL, 0);
		ok = wanted ? fail(check, name, "%s was expected", wanted)
			    : mapping_check(check, value, schema->sequence.entry->mapping.fields, true);
		path_up(check, at);
		if (!ok)
			return false;
	}
	return true;
}

/* An entry is called by its name if it has one, else by its number. */
static size_t path_entry(
	struct check *check, const yaml_node_t *entry, const cyaml_schema_value_t *schema, size_t index)
{
	const yaml_node_t *name =
		config_schema_is_named_list(schema) ? config_node_child(check->source, entry, "name") : NULL;

	if (name && name->type == YAML_SCALAR_NODE && name->data.scalar.length && !text_has_control(name))
		return path_down(check, config_node_text(name));
	return path_item(check, index);
}

static bool list_check(
	struct check *check, const yaml_node_t *node, const cyaml_schema_value_t *schema, const char *key)
{
	const yaml_node_item_t *items = node->data.sequence.items.start;
	size_t count;

	if (config_schema_is_named_list(schema) && node->type == YAML_MAPPING_NODE)
		return named_list_check(check, node, schema);
	if (node->type == YAML_SCALAR_NODE && schema->sequence.entry->type == CYAML_STRING)
		return scalar_check(check, node, schema->sequence.entry, key);
	if (node->type != YAML_SEQUENCE_NODE)
		return fail(check, node, "a list was expected, not %s", node_kind(node));
	count = (size_t)(node->data.sequence.items.top - items);
	if (!count_check(check, node, schema, count))
		return false;
	for (size_t i = 0; i < count; i++) {
		const yaml_node_t *entry = config_source_node(check->source, items[i]);
		size_t at = path_entry(check, entry, schema, i);

		if (!value_check(check, entry, schema->sequence.entry, key))
			return false;
		path_up(check, at);
	}
	return true;
}

static bool value_check(
	struct check *check, const yaml_node_t *node, const cyaml_schema_value_t *schema, const char *key)
{
	if (schema->type == CYAML_MAPPING)
		return mapping_check(check, node, schema->mapping.fields, false);
	if (schema->type == CYAML_SEQUENCE)
		return list_check(check, node, schema, key);
	return scalar_check(check, node, schema, key);
}

bool config_check(const struct config_source *source, const struct config_error *error)
{
	struct check check = {.source = source, .error = error};
	const yaml_node_t *root = config_source_node(source, 1);

	if (!root || config_node_is_empty(root))
		return config_fail(error, 1, NULL, "the file is empty; 'connections:' was expected");
	return value_check(&check, root, &config_schema, "");
}
