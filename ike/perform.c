/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's effects, carried out one by one in their order. */
#include "agent/base/log.h"
#include "agent/base/secret.h"
#include "ike/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void auth_perform(struct daemon *d, const struct effect *effect)
{
	uint8_t auth[PRF_LEN_MAX];
	int len = keeper_psk_auth(
		d->keeper, effect->auth.prf, effect->auth.local_id, effect->auth.remote_id, effect->auth.octets, auth);

	if (len < 0) {
		log_error("the keeper process, which holds the secrets, has died; ending");
		sd_event_exit(d->event, 1);
	}
	engine_answer(d->engine, effect->auth.request, len > 0,
		(struct bytes){.data = auth, .len = len > 0 ? (size_t)len : 0}, clock_now_ns());
	secret_wipe(auth, sizeof(auth));
}

/* An SA that could not be installed is taken down again when the engine's turn is over. */
static void install_failed(struct daemon *d, const struct child_install *install, int reason)
{
	char text[256];

	snprintf(text, sizeof(text), "the SAs could not be put into the maps: %s%s", strerror(-reason),
		reason == -ENOSPC ? " (raise agent.sa_count, agent.tunnel_count or agent.policy_count)" : "");
	log_error("connection %s, child %s: %s", install->conn, install->child, text);
	history_add(&d->history, "install-failed", install->conn, install->child, &install->remote, text);
	if (d->failed_count < DAEMON_FAILED_MAX)
		d->failed[d->failed_count++] = install->child_id;
}

static enum log_level event_level(enum ike_event_kind kind)
{
	switch (kind) {
	case EVENT_PEER_DEAD:
	case EVENT_PROPOSAL_MISMATCH:
	case EVENT_TS_MISMATCH:
	case EVENT_AUTH_FAILED:
	case EVENT_NO_CONNECTION:
	case EVENT_COOKIES_ON:
	case EVENT_MODE_TUNNEL:
	case EVENT_CHILD_REFUSED:
		return LOG_LEVEL_WARN;
	case EVENT_MESSAGE_BAD:
		return LOG_LEVEL_DEBUG;
	default:
		return LOG_LEVEL_INFO;
	}
}

static bool event_is_failure(enum ike_event_kind kind)
{
	return kind == EVENT_PEER_DEAD || kind == EVENT_PROPOSAL_MISMATCH || kind == EVENT_TS_MISMATCH ||
	       kind == EVENT_AUTH_FAILED || kind == EVENT_NO_CONNECTION || kind == EVENT_CHILD_REFUSED;
}

/* What an operator sees of it in the tunnels' status. */
static void event_note(struct tunnel_entry *entry, enum ike_event_kind kind, const char *text)
{
	if (kind == EVENT_CHILD_UP || kind == EVENT_CHILD_REKEYED)
		entry->last_error[0] = '\0';
	if (kind == EVENT_IKE_REKEYED)
		entry->ike_rekeys++;
	if (event_is_failure(kind)) {
		snprintf(entry->last_error, sizeof(entry->last_error), "%s", text);
		for (size_t len = strlen(entry->last_error); len && entry->last_error[len - 1] == '\n'; len--)
			entry->last_error[len - 1] = '\0';
	}
}

/* A text of several lines becomes as many log lines, so that each is whole. */
static void event_log(const struct effect *effect, enum log_level level)
{
	const char *child = effect->event.child ? effect->event.child : "";
	const char *conn = effect->event.conn ? effect->event.conn : "";
	char remote[ADDR_TEXT_LEN] = "";

	if (effect->event.remote.addr.family != IP_NONE)
		endpoint_format(&effect->event.remote, remote);
	if (strstr(effect->event.text, remote))
		remote[0] = '\0'; /* it says so itself */
	for (const char *line = effect->event.text; *line; line += strspn(line, "\n")) {
		int len = (int)strcspn(line, "\n");

		log_write(level, "%s%s%s%s%s%s%s%.*s", conn, *child ? "/" : "", child,
			*remote ? (*conn ? " (" : "") : "", remote, *remote && *conn ? ")" : "",
			*conn || *remote ? ": " : "", len, line);
		line += len;
	}
}

static void event_perform(struct daemon *d, const struct effect *effect)
{
	const char *conn = effect->event.conn ? effect->event.conn : "";
	const char *child = effect->event.child ? effect->event.child : "";
	struct tunnel_table *table = installer_tunnels(d->installer);

	event_log(effect, event_level(effect->event.kind));
	history_add(
		&d->history, history_kind(effect->event.kind), conn, child, &effect->event.remote, effect->event.text);
	for (struct tunnel_entry *entry = table->first; *conn && entry; entry = entry->next)
		if (strcmp(entry->conn, conn) == 0 && (!*child || strcmp(entry->child, child) == 0))
			event_note(entry, effect->event.kind, effect->event.text);
}

void daemon_perform(struct daemon *d, const struct effect *effect)
{
	int rc = 0;

	switch (effect->kind) {
	case EFFECT_SEND:
		socket_send(d->sockets, &effect->send.local, &effect->send.remote, effect->send.bytes);
		break;
	case EFFECT_KEEPALIVE:
		socket_send_keepalive(d->sockets, &effect->send.local, &effect->send.remote);
		break;
	case EFFECT_AUTH:
		auth_perform(d, effect);
		break;
	case EFFECT_INSTALL_IN:
		rc = installer_install_in(d->installer, &effect->install);
		break;
	case EFFECT_INSTALL_OUT:
		rc = installer_install_out(d->installer, &effect->install);
		break;
	case EFFECT_REMOVE_OUT:
		installer_remove_out(d->installer, effect->remove.child_id);
		break;
	case EFFECT_REMOVE_IN:
		installer_remove_in(d->installer, effect->remove.child_id);
		break;
	case EFFECT_MOVE:
		installer_move(d->installer, effect->move.child_id, &effect->move.local, &effect->move.remote,
			effect->move.udp_encap);
		break;
	case EFFECT_EVENT:
		event_perform(d, effect);
		break;
	case EFFECT_RESOLVE:
		dial_ask(d, effect->resolve.conn);
		break;
	}
	if (rc)
		install_failed(d, &effect->install, rc);
}
