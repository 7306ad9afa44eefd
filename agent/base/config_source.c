/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/config_source.h"

#include "agent/base/own.h"
#include "agent/base/secret.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool config_vfail(const struct config_error *error, size_t line, const char *key, const char *format, va_list args)
{
	int len = snprintf(error->text, error->size, "%s:%zu: %s%s", error->path, line, key && *key ? key : "",
		key && *key ? ": " : "");

	if (len >= 0 && (size_t)len < error->size)
		vsnprintf(error->text + len, error->size - (size_t)len, format, args);
	return false;
}

bool config_fail(const struct config_error *error, size_t line, const char *key, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	config_vfail(error, line, key, format, args);
	va_end(args);
	return false;
}

static void parser_open(yaml_parser_t *parser, const char *text, size_t len)
{
	yaml_parser_set_input_string(parser, (const unsigned char *)text, len);
	yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
}

static bool parser_fail(const yaml_parser_t *parser, const struct config_error *error)
{
	return config_fail(error, parser->problem_mark.line + 1, NULL, "YAML syntax: %s%s%s",
		parser->problem ? parser->problem : "out of memory", parser->context ? ", " : "",
		parser->context ? parser->context : "");
}

/* What this file format does not use; refused so that every value stands where it is read, and secrets are found by
 * their key. */
static const char *token_refused(yaml_token_type_t type)
{
	switch (type) {
	case YAML_ANCHOR_TOKEN:
	case YAML_ALIAS_TOKEN:
		return "anchors (&name) and aliases (*name) are not supported; quote the text if it is one";
	case YAML_TAG_TOKEN:
		return "tags (!name) are not supported; quote the text if it is one";
	case YAML_VERSION_DIRECTIVE_TOKEN:
	case YAML_TAG_DIRECTIVE_TOKEN:
		return "directives (%%NAME) are not supported";
	default:
		return NULL;
	}
}

static bool tokens_check(const char *text, size_t len, const struct config_error *error)
{
	yaml_parser_t parser;
	bool ok = true, end = false;

	if (!yaml_parser_initialize(&parser))
		return config_fail(error, 1, NULL, "out of memory");
	parser_open(&parser, text, len);
	while (ok && !end) {
		yaml_token_t token;
		const char *refused;

		if (!yaml_parser_scan(&parser, &token)) {
			ok = parser_fail(&parser, error);
			break;
		}
		refused = token_refused(token.type);
		if (refused)
			ok = config_fail(error, token.start_mark.line + 1, NULL, "%s", refused);
		end = token.type == YAML_STREAM_END_TOKEN;
		yaml_token_delete(&token);
	}
	yaml_parser_delete(&parser);
	return ok;
}

/* Is the stream at its end after the first document? */
static bool stream_ends(yaml_parser_t *parser, const struct config_error *error)
{
	yaml_document_t next;
	yaml_node_t *root;
	bool ok = true;

	if (!yaml_parser_load(parser, &next))
		return parser_fail(parser, error);
	root = yaml_document_get_root_node(&next);
	if (root)
		ok = config_fail(error, config_node_line(root), NULL, "a second YAML document (---); one was expected");
	yaml_document_delete(&next);
	return ok;
}

struct config_source *config_source_new(const char *text, size_t len, const struct config_error *error)
{
	OWN_PTR struct config_source *source = calloc(1, sizeof(*source));
	yaml_parser_t parser;
	bool ok;

	if (!tokens_check(text, len, error))
		return NULL;
	if (!source || !yaml_parser_initialize(&parser)) {
		config_fail(error, 1, NULL, "out of memory");
		return NULL;
	}
	parser_open(&parser, text, len);
	ok = yaml_parser_load(&parser, &source->document);
	if (!ok) {
		parser_fail(&parser, error);
	} else if (yaml_document_get_root_node(&source->document) && !stream_ends(&parser, error)) {
		yaml_document_delete(&source->document);
		ok = false;
	}
	yaml_parser_delete(&parser);
	if (!ok)
		return NULL;
	source->path = error->path;
	return TAKE_PTR(source);
}

void config_source_free(struct config_source *source)
{
	if (!source)
		return;
	for (yaml_node_t *node = source->document.nodes.start; node < source->document.nodes.top; node++)
		if (node->type == YAML_SCALAR_NODE)
			secret_wipe(node->data.scalar.value, node->data.scalar.length);
	yaml_document_delete(&source->document);
	free(source);
}

static bool node_is(const yaml_node_t *node, const char *text)
{
	return node && node->type == YAML_SCALAR_NODE && strlen(text) == node->data.scalar.length &&
	       memcmp(node->data.scalar.value, text, node->data.scalar.length) == 0;
}

static void mapping_wipe_secret(struct config_source *source, const yaml_node_t *mapping)
{
	for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < mapping->data.mapping.pairs.top;
		pair++) {
		yaml_node_t *value = config_source_node(source, pair->value);

		if (node_is(config_source_node(source, pair->key), "secret") && value->type == YAML_SCALAR_NODE)
			secret_wipe(value->data.scalar.value, value->data.scalar.length);
	}
}

void config_source_wipe_secrets(struct config_source *source)
{
	for (yaml_node_t *node = source->document.nodes.start; node < source->document.nodes.top; node++)
		if (node->type == YAML_MAPPING_NODE)
			mapping_wipe_secret(source, node);
}

yaml_node_t *config_source_node(const struct config_source *source, int id)
{
	return yaml_document_get_node((yaml_document_t *)(uintptr_t)&source->document, id);
}

bool config_node_is_empty(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (node->data.scalar.length == 0 || node_is(node, "~") || node_is(node, "null"));
}

yaml_node_t *config_node_child(const struct config_source *source, const yaml_node_t *mapping, const char *key)
{
	if (!mapping || mapping->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < mapping->data.mapping.pairs.top; pair++)
		if (node_is(config_source_node(source, pair->key), key))
			return config_source_node(source, pair->value);
	return NULL;
}

/* How many characters of `path` does `name` stand for, if it is the path's next word? */
static size_t word_match(const char *path, const yaml_node_t *name)
{
	size_t len;

	if (!name || name->type != YAML_SCALAR_NODE)
		return 0;
	len = name->data.scalar.length;
	if (!len || strncmp(path, config_node_text(name), len) != 0)
		return 0;
	return path[len] == '\0' || path[len] == '.' || path[len] == '[' ? len : 0;
}

/* The longest key (or name in a list) that the path goes on with: names may contain dots. */
static size_t word_find(
	const struct config_source *source, const yaml_node_t *node, const char *path, yaml_node_t **next)
{
	size_t best = 0, len;

	if (node->type == YAML_MAPPING_NODE)
		for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
			pair++) {
			len = word_match(path, config_source_node(source, pair->key));
			if (len > best) {
				best = len;
				*next = config_source_node(source, pair->value);
			}
		}
	if (node->type == YAML_SEQUENCE_NODE)
		for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top;
			item++) {
			yaml_node_t *entry = config_source_node(source, *item);

			len = word_match(path, config_node_child(source, entry, "name"));
			if (len > best) {
				best = len;
				*next = entry;
			}
		}
	return best;
}

static yaml_node_t *item_find(const struct config_source *source, const yaml_node_t *node, size_t index)
{
	if (node->type != YAML_SEQUENCE_NODE ||
		index >= (size_t)(node->data.sequence.items.top - node->data.sequence.items.start))
		return NULL;
	return config_source_node(source, node->data.sequence.items.start[index]);
}

size_t config_source_line(const struct config_source *source, const char *key_path)
{
	yaml_node_t *node = yaml_document_get_root_node((yaml_document_t *)(uintptr_t)&source->document);

	while (node && *key_path) {
		yaml_node_t *next = NULL;
		char *rest = NULL;

		if (*key_path == '[') {
			next = item_find(source, node, strtoul(key_path + 1, &rest, 10));
			key_path = *rest == ']' ? rest + 1 : rest;
		} else {
			key_path += word_find(source, node, key_path, &next);
		}
		if (!next)
			break;
		key_path += *key_path == '.';
		node = next;
	}
	return node ? config_node_line(node) : 1;
}
