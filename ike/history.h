/* SPDX-License-Identifier: Apache-2.0 */
/* The last events, for an operator: a ring in memory. */
#ifndef ESPALIER_IKE_HISTORY_H
#define ESPALIER_IKE_HISTORY_H

#include "agent/base/addr.h"
#include "ike/contract.h"
#include "ike/limits.h"

#include <stdint.h>
#include <time.h>

#define HISTORY_TEXT_MAX 2048u /* bytes of one event's text that are kept */

struct history_event {
	struct timespec time; /* CLOCK_REALTIME */
	const char *kind;     /* static */
	char conn[IKE_NAME_MAX];
	char child[IKE_NAME_MAX];
	struct endpoint remote; /* family IP_NONE: none */
	char *text;
};

struct history {
	struct history_event events[IKE_API_EVENTS_KEPT];
	unsigned next;
	unsigned count;
};

/* `remote` may be NULL. All is copied but `kind`. */
void history_add(struct history *history, const char *kind, const char *conn, const char *child,
	const struct endpoint *remote, const char *text);
/* The n-th, oldest first; NULL past the end. */
const struct history_event *history_at(const struct history *history, unsigned n);
void history_clear(struct history *history);

/* "ike-up", "child-rekeyed" ... of an engine's event (enum ike_event_kind). */
const char *history_kind(unsigned kind);

#endif
