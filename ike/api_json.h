/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers of api_*.c: the forms that ike/contract.h names. */
#ifndef ESPALIER_IKE_API_JSON_H
#define ESPALIER_IKE_API_JSON_H

#include "agent/base/addr.h"
#include "bpf/contract.h"
#include "ike/proposal.h"

#include <jansson.h>

/* Set `key` to a text, to an integer; take the value over. */
void json_set_text(json_t *object, const char *key, const char *text);
void json_set_count(json_t *object, const char *key, uint64_t count);
/* Seconds between two times of the monotonic clock, 0 if `to` is first. */
void json_set_seconds(json_t *object, const char *key, uint64_t from_ns, uint64_t to_ns);
void json_set_endpoint(json_t *object, const char *key, const struct endpoint *endpoint);
void json_set_spi32(json_t *object, const char *key, uint32_t spi);
void json_set_spi64(json_t *object, const char *key, uint64_t spi);
void json_set_suite(json_t *object, const char *key, const struct suite *suite);
/* A list of selectors as texts. */
void json_set_selectors(json_t *object, const char *key, const struct selector *items, unsigned count);

#endif
