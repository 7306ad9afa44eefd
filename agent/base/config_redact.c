/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes the secrets out of the file's text and keeps everything else on its line. Comments go too: an old secret may
 * stand in one. Works on tokens, which say where each piece of the text begins and ends.
 */
#include "agent/base/config.h"
#include "agent/base/config_source.h"

#include <stdlib.h>
#include <string.h>

#define REDACTED "redacted"

struct redact {
	const char *text;
	size_t len;
	size_t byte; /* position in `text`, in bytes and in characters (libyaml counts characters) */
	size_t character;
	char *out;
	size_t out_len;
	bool secret; /* the next scalar is a secret */
	bool key;    /* the next scalar is a key */
};

/* Byte position of a character; positions come in rising order. */
static size_t byte_of(struct redact *r, size_t character)
{
	while (r->character < character && r->byte < r->len) {
		r->byte++;
		while (r->byte < r->len && ((unsigned char)r->text[r->byte] & 0xc0) == 0x80)
			r->byte++;
		r->character++;
	}
	return r->byte;
}

/* Between tokens stand white space and comments. */
static void gap_copy(struct redact *r, size_t from, size_t to)
{
	bool comment = false;

	for (size_t i = from; i < to; i++) {
		if (r->text[i] == '\n')
			comment = false;
		else if (r->text[i] == '#')
			comment = true;
		if (!comment)
			r->out[r->out_len++] = r->text[i];
	}
}

static void token_copy(struct redact *r, size_t from, size_t to)
{
	memcpy(r->out + r->out_len, r->text + from, to - from);
	r->out_len += to - from;
}

/* The line breaks of a secret of several lines stay, so that what follows keeps its line. */
static void secret_cover(struct redact *r, size_t from, size_t to)
{
	memcpy(r->out + r->out_len, REDACTED, strlen(REDACTED));
	r->out_len += strlen(REDACTED);
	for (size_t i = from; i < to; i++)
		if (r->text[i] == '\n')
			r->out[r->out_len++] = '\n';
}

static void token_redact(struct redact *r, const yaml_token_t *token)
{
	size_t gap = r->byte;
	size_t from = byte_of(r, token->start_mark.index);
	size_t to = byte_of(r, token->end_mark.index);

	gap_copy(r, gap, from);
	if (token->type == YAML_SCALAR_TOKEN && r->secret)
		secret_cover(r, from, to);
	else
		token_copy(r, from, to);
	if (token->type == YAML_KEY_TOKEN) {
		r->key = true;
		r->secret = false;
	} else if (token->type == YAML_SCALAR_TOKEN) {
		r->secret =
			r->key && token->data.scalar.length == 6 && memcmp(token->data.scalar.value, "secret", 6) == 0;
		r->key = false;
	} else if (token->type != YAML_VALUE_TOKEN && token->type != YAML_BLOCK_MAPPING_START_TOKEN) {
		r->secret = r->secret && token->type != YAML_BLOCK_END_TOKEN;
	}
}

static bool tokens_redact(struct redact *r, yaml_parser_t *parser)
{
	bool end = false;

	while (!end) {
		yaml_token_t token;

		if (!yaml_parser_scan(parser, &token))
			return false;
		end = token.type == YAML_STREAM_END_TOKEN;
		token_redact(r, &token);
		yaml_token_delete(&token);
	}
	return true;
}

char *config_redact(const char *text, size_t len, size_t *redacted_len)
{
	/* A secret is at least one character behind a key of seven: the text can at most double. */
	struct redact r = {.text = text, .len = len, .out = malloc(2 * len + sizeof(REDACTED))};
	yaml_parser_t parser;
	bool ok;

	if (!r.out || !yaml_parser_initialize(&parser)) {
		free(r.out);
		return NULL;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	ok = tokens_redact(&r, &parser);
	yaml_parser_delete(&parser);
	if (!ok) {
		free(r.out);
		return NULL;
	}
	*redacted_len = r.out_len;
	return r.out;
}
