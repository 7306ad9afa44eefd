/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/history.h"

#include "agent/base/own.h"
#include "ike/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {
	[EVENT_IKE_UP] = "ike-up",
	[EVENT_IKE_DOWN] = "ike-down",
	[EVENT_IKE_REKEYED] = "ike-rekeyed",
	[EVENT_CHILD_UP] = "child-up",
	[EVENT_CHILD_DOWN] = "child-down",
	[EVENT_CHILD_REKEYED] = "child-rekeyed",
	[EVENT_PEER_DEAD] = "peer-dead",
	[EVENT_PROPOSAL_MISMATCH] = "proposal-mismatch",
	[EVENT_TS_MISMATCH] = "ts-mismatch",
	[EVENT_AUTH_FAILED] = "auth-failed",
	[EVENT_NO_CONNECTION] = "no-connection",
	[EVENT_MESSAGE_BAD] = "message-bad",
	[EVENT_COOKIES_ON] = "cookies-on",
	[EVENT_COOKIES_OFF] = "cookies-off",
	[EVENT_MODE_TUNNEL] = "mode-tunnel",
	[EVENT_CHILD_REFUSED] = "child-refused",
	[EVENT_ENDPOINT_MOVED] = "endpoint-moved",
};

const char *history_kind(unsigned kind)
{
	return kind < ARRAY_LEN(kinds) && kinds[kind] ? kinds[kind] : "event";
}

void history_add(struct history *history, const char *kind, const char *conn, const char *child,
	const struct endpoint *remote, const char *text)
{
	struct history_event *event = &history->events[history->next];

	free(event->text);
	memset(event, 0, sizeof(*event));
	clock_gettime(CLOCK_REALTIME, &event->time);
	event->kind = kind;
	snprintf(event->conn, sizeof(event->conn), "%s", conn ? conn : "");
	snprintf(event->child, sizeof(event->child), "%s", child ? child : "");
	if (remote)
		event->remote = *remote;
	event->text = strndup(text ? text : "", HISTORY_TEXT_MAX);
	history->next = (history->next + 1) % IKE_API_EVENTS_KEPT;
	history->count += history->count < IKE_API_EVENTS_KEPT;
}

const struct history_event *history_at(const struct history *history, unsigned n)
{
	if (n >= history->count)
		return NULL;
	return &history->events[(history->next + IKE_API_EVENTS_KEPT - history->count + n) % IKE_API_EVENTS_KEPT];
}

void history_clear(struct history *history)
{
	for (unsigned i = 0; i < IKE_API_EVENTS_KEPT; i++)
		free(history->events[i].text);
	memset(history, 0, sizeof(*history));
}
