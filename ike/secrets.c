/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/secrets.h"

#include "agent/base/own.h"
#include "agent/base/secret.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* How well an identity fits a secret; higher is better. */
enum match { MATCH_NONE = 0, MATCH_ANY, MATCH_PATTERN, MATCH_EXACT };

struct secret {
	uint8_t *bytes;
	size_t len;
	size_t size;
	unsigned id_count; /* 0: for any */
	struct ike_id *ids;
};

struct secrets {
	unsigned count;
	struct secret *items;
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int hex_decode(const char *text, uint8_t *out)
{
	size_t len = strlen(text);

	if (len % 2)
		return -1;
	for (size_t i = 0; i < len; i += 2) {
		int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);

		if (high < 0 || low < 0)
			return -1;
		out[i / 2] = (uint8_t)(high << 4 | low);
	}
	return (int)(len / 2);
}

/* The library takes '=' anywhere and counts it as bytes; here it stands at the end, at most twice. */
static int base64_decode(const char *text, uint8_t *out)
{
	size_t len = strlen(text), data = strcspn(text, "="), padding = len - data;
	int got;

	if (len % 4 || padding > 2 || strspn(text + data, "=") != padding)
		return -1;
	got = EVP_DecodeBlock(out, (const unsigned char *)text, (int)len);
	return got < 0 ? -1 : got - (int)padding;
}

int secret_decode(const char *text, uint8_t *out)
{
	if (strncasecmp(text, "0x", 2) == 0)
		return hex_decode(text + 2, out);
	if (strncasecmp(text, "0s", 2) == 0)
		return base64_decode(text + 2, out);
	memcpy(out, text, strlen(text));
	return (int)strlen(text);
}

static bool secret_read(struct secret *secret, const struct config_secret *from)
{
	int len;

	secret->size = strlen(from->secret) + 1;
	secret->bytes = malloc(secret->size);
	if (from->ids_count)
		secret->ids = calloc(from->ids_count, sizeof(*secret->ids));
	if (!secret->bytes || (from->ids_count && !secret->ids))
		return false;
	len = secret_decode(from->secret, secret->bytes);
	if (len <= 0)
		return false;
	secret->len = (size_t)len;
	for (unsigned i = 0; i < from->ids_count; i++)
		if (!ike_id_parse(from->ids[i], &secret->ids[i]))
			return false;
	secret->id_count = from->ids_count;
	return true;
}

struct secrets *secrets_new(const struct config *config, char *error, size_t error_size)
{
	struct secrets *secrets = calloc(1, sizeof(*secrets));

	if (secrets && config->secrets_count)
		secrets->items = calloc(config->secrets_count, sizeof(*secrets->items));
	if (!secrets || (config->secrets_count && !secrets->items)) {
		free(secrets);
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	for (unsigned i = 0; i < config->secrets_count; i++) {
		char key[64];

		secrets->count++;
		if (secret_read(&secrets->items[i], &config->secrets[i]))
			continue;
		snprintf(key, sizeof(key), "secrets[%u].secret", i);
		config_error_at(
			config, key, error, error_size, "a text, 0x and hex digits, or 0s and base64 was expected");
		secrets_free(secrets);
		return NULL;
	}
	return secrets;
}

void secrets_free(struct secrets *secrets)
{
	if (!secrets)
		return;
	for (unsigned i = 0; i < secrets->count; i++) {
		if (secrets->items[i].bytes)
			secret_wipe(secrets->items[i].bytes, secrets->items[i].size);
		free(secrets->items[i].bytes);
		free(secrets->items[i].ids);
	}
	free(secrets->items);
	free(secrets);
}

static enum match id_match(const struct ike_id *owner, const struct ike_id *id)
{
	if (owner->type == IKE_ID_ANY)
		return MATCH_ANY;
	if (ike_id_equal(owner, id))
		return MATCH_EXACT;
	return ike_id_matches(owner, id) ? MATCH_PATTERN : MATCH_NONE;
}

static enum match secret_match(const struct secret *secret, const struct ike_id *id)
{
	enum match best = secret->id_count ? MATCH_NONE : MATCH_ANY;

	for (unsigned i = 0; i < secret->id_count; i++) {
		enum match match = id_match(&secret->ids[i], id);

		if (match > best)
			best = match;
	}
	return best;
}

bool secrets_find(
	const struct secrets *secrets, const struct ike_id *local, const struct ike_id *remote, struct bytes *found)
{
	int best = 0;

	for (unsigned i = 0; i < secrets->count; i++) {
		const struct secret *secret = &secrets->items[i];
		int score = (int)secret_match(secret, remote) * 4 + (int)secret_match(secret, local);

		if (score > best) {
			best = score;
			*found = (struct bytes){.data = secret->bytes, .len = secret->len};
		}
	}
	return best > 0;
}
