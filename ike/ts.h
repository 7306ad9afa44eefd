/* SPDX-License-Identifier: Apache-2.0 */
/* Traffic selectors as sets of struct selector (RFC 7296 2.9, 3.13). */
#ifndef ESPALIER_IKE_TS_H
#define ESPALIER_IKE_TS_H

#include "agent/base/addr.h"
#include "bpf/contract.h"
#include "ike/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ts_list {
	uint8_t count;
	struct selector items[IKE_TS_MAX];
};

#define TS_TEXT_LEN 160

/*
 * "10.1.0.0/16", "10.0.0.1-10.0.0.9", "2001:db8::/32", each with "[tcp]", "[tcp/443]", "[udp/1024-2048]", "[icmp]",
 * "[icmp/8]", "[icmp/3/4]", "[17/53]". False: `error` says what would be right.
 */
bool ts_parse(const char *text, struct selector *out, char *error, size_t error_size);
/* All of one address: /32 or /128, any protocol. */
void ts_of_addr(const struct ip_addr *addr, struct selector *out);
/* Prefix form where the range is one: "10.1.0.0/16[tcp/443]". Returns `out`. */
const char *ts_format(const struct selector *selector, char out[static TS_TEXT_LEN]);
const char *ts_list_format(const struct selector *items, unsigned count, char *out, size_t size);

bool ts_equal(const struct selector *a, const struct selector *b);
/* Is all of `inner` in `outer`? */
bool ts_contains(const struct selector *outer, const struct selector *inner);
/* What both have in common; false if nothing. */
bool ts_intersect(const struct selector *a, const struct selector *b, struct selector *out);
/* Is every selector of `inner` within one of `outer`? The initiator's check of what came back. */
bool ts_list_contains(
	const struct selector *outer, unsigned outer_count, const struct selector *inner, unsigned inner_count);
/*
 * Narrowing (2.9): the intersections of what is offered with what is configured, in the offer's order, without those
 * that another one contains; at most SELECTORS_MAX. The number written; 0: TS_UNACCEPTABLE.
 */
unsigned ts_narrow(const struct selector *offered, unsigned offered_count, const struct selector *configured,
	unsigned configured_count, struct selector out[static SELECTORS_MAX]);

#endif
