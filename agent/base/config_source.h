/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file as YAML nodes with their lines; between the config_*.c files only. */
#ifndef ESPALIER_BASE_CONFIG_SOURCE_H
#define ESPALIER_BASE_CONFIG_SOURCE_H

#include <cyaml/cyaml.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#define CONFIG_KEY_PATH_LEN 256u

struct config_source {
	yaml_document_t document;
	const char *path; /* of the file, for messages; borrowed */
};

/* Where a message goes to. */
struct config_error {
	const char *path;
	char *text;
	size_t size;
};

/* "FILE:LINE: KEY: message"; `key` may be NULL. Always false, so that callers can return it. */
bool config_fail(const struct config_error *error, size_t line, const char *key, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
bool config_vfail(const struct config_error *error, size_t line, const char *key, const char *format, va_list args);

/*
 * Parse one YAML document of plain lists, mappings and scalars. NULL with a message on bad syntax, or if there are
 * anchors, aliases, tags or more documents than one.
 */
struct config_source *config_source_new(const char *text, size_t len, const struct config_error *error);
/* Wipes all values: they may be secrets. */
void config_source_free(struct config_source *source);
/* Overwrite the values of all keys called "secret". */
void config_source_wipe_secrets(struct config_source *source);

static inline size_t config_node_line(const yaml_node_t *node)
{
	return node->start_mark.line + 1;
}
static inline const char *config_node_text(const yaml_node_t *node)
{
	return (const char *)node->data.scalar.value;
}
yaml_node_t *config_source_node(const struct config_source *source, int id);
/* A key without a value ("socket:"): as if it were not there. */
bool config_node_is_empty(const yaml_node_t *node);
/* The value of `key` in a mapping, or NULL. */
yaml_node_t *config_node_child(const struct config_source *source, const yaml_node_t *mapping, const char *key);
/* The line of the value at "connections.home.proposals[0]", or of the nearest parent that is there. */
size_t config_source_line(const struct config_source *source, const char *key_path);

/* The schema of the whole file, and of its top-level mapping. */
extern const cyaml_schema_value_t config_schema;
extern const cyaml_schema_value_t config_connection_schema; /* of one connection */
/* Lists of mappings may also be written as a mapping of names (swanctl's way): true for these. */
bool config_schema_is_named_list(const cyaml_schema_value_t *schema);

/* Check all nodes against the schema and the rules for values. */
bool config_check(const struct config_source *source, const struct config_error *error);
/* The rule for the value of `key`: NULL if it is kept, else what was expected. `buffer` may hold the sentence. */
const char *config_value_expected(const char *key, const char *text, char *buffer, size_t size);
/* The candidate most like `word`, or NULL if none is near. */
const char *config_suggest(const char *word, const cyaml_schema_field_t *fields);

/* The document as the schema wants it: named lists as lists, single values as lists of one, empty values left out.
 * malloc'd; NULL if memory is short. */
char *config_normalize(const struct config_source *source, size_t *len);

#endif
