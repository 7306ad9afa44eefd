/* SPDX-License-Identifier: Apache-2.0 */
/* Members of JSON objects, read without trust: a member that is absent or of another type gives the fallback. */
#ifndef ESPALIER_TOOLS_FIELD_H
#define ESPALIER_TOOLS_FIELD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Borrowed from `object`. */
const char *field_text(const json_t *object, const char *key, const char *fallback);
uint64_t field_count(const json_t *object, const char *key);
double field_number(const json_t *object, const char *key);
bool field_true(const json_t *object, const char *key);
/* Is the member there, and not null? */
bool field_present(const json_t *object, const char *key);
/* The texts of an array member, joined by ", "; "" if there are none. */
const char *field_join(const json_t *object, const char *key, char *out, size_t size);

#endif
