/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the checked document anew, in the one form that libcyaml's schema knows. */
#include "agent/base/config_source.h"

#include "agent/base/own.h"
#include "agent/base/secret.h"

#include <stdlib.h>
#include <string.h>

struct output {
	char *text;
	size_t len;
	size_t size;
};

struct normalize {
	const struct config_source *source;
	yaml_emitter_t emitter;
	struct output out;
};

static bool value_emit(struct normalize *n, const yaml_node_t *node, const cyaml_schema_value_t *schema);

/* Grows by copying, so that what is left behind can be wiped. */
static int output_write(void *context, unsigned char *bytes, size_t len)
{
	struct output *out = context;

	if (len > out->size - out->len) {
		size_t size = 2 * (out->size + len);
		char *grown = malloc(size);

		if (!grown)
			return 0;
		if (out->len)
			memcpy(grown, out->text, out->len);
		if (out->text)
			secret_wipe(out->text, out->size);
		free(out->text);
		out->text = grown;
		out->size = size;
	}
	memcpy(out->text + out->len, bytes, len);
	out->len += len;
	return 1;
}

/* A failed emit has freed the event. */
static bool emit(struct normalize *n, int made, yaml_event_t *event)
{
	return made && yaml_emitter_emit(&n->emitter, event);
}

static bool text_emit(struct normalize *n, const char *text, size_t len)
{
	yaml_event_t event;

	return emit(n,
		yaml_scalar_event_initialize(
			&event, NULL, NULL, (const yaml_char_t *)text, (int)len, 1, 1, YAML_DOUBLE_QUOTED_SCALAR_STYLE),
		&event);
}

static bool node_emit(struct normalize *n, const yaml_node_t *scalar)
{
	return text_emit(n, config_node_text(scalar), scalar->data.scalar.length);
}

static bool mapping_emit(
	struct normalize *n, const yaml_node_t *node, const cyaml_schema_field_t *fields, const yaml_node_t *name)
{
	yaml_event_t event;

	if (!emit(n, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_FLOW_MAPPING_STYLE), &event))
		return false;
	if (name && (!text_emit(n, "name", 4) || !node_emit(n, name)))
		return false;
	for (const cyaml_schema_field_t *field = fields; field->key; field++) {
		const yaml_node_t *value = config_node_child(n->source, node, field->key);

		if (!value || config_node_is_empty(value))
			continue;
		if (!text_emit(n, field->key, strlen(field->key)) || !value_emit(n, value, &field->value))
			return false;
	}
	return emit(n, yaml_mapping_end_event_initialize(&event), &event);
}

static bool entries_emit(struct normalize *n, const yaml_node_t *node, const cyaml_schema_value_t *entry)
{
	if (node->type == YAML_SCALAR_NODE)
		return node_emit(n, node);
	if (node->type == YAML_MAPPING_NODE) {
		for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
			pair++)
			if (!mapping_emit(n, config_source_node(n->source, pair->value), entry->mapping.fields,
				    config_source_node(n->source, pair->key)))
				return false;
		return true;
	}
	for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++)
		if (!value_emit(n, config_source_node(n->source, *item), entry))
			return false;
	return true;
}

static bool list_emit(struct normalize *n, const yaml_node_t *node, const cyaml_schema_value_t *entry)
{
	yaml_event_t event;

	return emit(n, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_FLOW_SEQUENCE_STYLE), &event) &&
	       entries_emit(n, node, entry) && emit(n, yaml_sequence_end_event_initialize(&event), &event);
}

static bool value_emit(struct normalize *n, const yaml_node_t *node, const cyaml_schema_value_t *schema)
{
	if (schema->type == CYAML_MAPPING)
		return mapping_emit(n, node, schema->mapping.fields, NULL);
	if (schema->type == CYAML_SEQUENCE)
		return list_emit(n, node, schema->sequence.entry);
	return node_emit(n, node);
}

static bool document_emit(struct normalize *n)
{
	const yaml_node_t *root = config_source_node(n->source, 1);
	yaml_event_t event;

	return emit(n, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), &event) &&
	       emit(n, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1), &event) &&
	       value_emit(n, root, &config_schema) && emit(n, yaml_document_end_event_initialize(&event, 1), &event) &&
	       emit(n, yaml_stream_end_event_initialize(&event), &event) && yaml_emitter_flush(&n->emitter);
}

char *config_normalize(const struct config_source *source, size_t *len)
{
	struct normalize n = {.source = source};
	bool ok;

	if (!yaml_emitter_initialize(&n.emitter))
		return NULL;
	yaml_emitter_set_output(&n.emitter, output_write, &n.out);
	yaml_emitter_set_unicode(&n.emitter, 1);
	yaml_emitter_set_width(&n.emitter, -1);
	ok = document_emit(&n);
	yaml_emitter_delete(&n.emitter);
	if (!ok && n.out.text) {
		secret_wipe(n.out.text, n.out.size);
		free(n.out.text);
		n.out.text = NULL;
	}
	*len = n.out.len;
	return n.out.text;
}
