/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean ...": the known key that is nearest to a mistyped one. */
#include "agent/base/config_source.h"

#include <string.h>

#define WORD_MAX 32u /* longer words get no suggestion */

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Levenshtein distance, by rows. */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned row[WORD_MAX + 1];

	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned above = row[j];

			row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[b_len];
}

const char *config_suggest(const char *word, const cyaml_schema_field_t *fields)
{
	size_t len = strlen(word);
	unsigned best = len < 4 ? 2 : 4; /* must be less */
	const char *found = NULL;

	if (len > WORD_MAX)
		return NULL;
	for (; fields->key; fields++) {
		unsigned d = distance(word, len, fields->key, strlen(fields->key));

		if (d < best) {
			best = d;
			found = fields->key;
		}
	}
	return found;
}
