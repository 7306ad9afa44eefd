/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IKE_AUTH with a pre-shared key (RFC 7296 1.2, 2.15). The keeper computes both AUTH values, ours and the one that the
 * peer's must equal; while it does, the message that waits is held.
 */
#include "agent/base/secret.h"
#include "ike/core.h"
#include "ike/exchange.h"
#include "ike/payload/auth.h"
#include "ike/payload/id.h"

#include <stdio.h>

#define OCTETS_MAX (IKE_MESSAGE_MAX + IKE_NONCE_MAX + PRF_LEN_MAX)

/* <SignedOctets> of one side (RFC 7296 2.15): its IKE_SA_INIT message, the other's nonce, prf(SK_p, its ID). */
static void ask_keeper(struct ike_sa *sa, bool of_initiator, struct bytes id_body)
{
	const uint8_t *sk_p = of_initiator ? sa->keys.pi : sa->keys.pr;
	struct bytes message = blob_bytes(of_initiator ? &sa->init_request : &sa->init_response);
	struct bytes nonce = of_initiator ? (struct bytes){sa->nr, sa->nr_len} : (struct bytes){sa->ni, sa->ni_len};
	uint8_t octets[OCTETS_MAX];
	size_t len = prf_signed_octets(
		sa->keys.prf, (struct bytes){sk_p, sa->keys.prf_len}, message, nonce, id_body, octets, sizeof(octets));

	sa->auth_request = sa->engine->next_request++;
	effects_auth(&sa->engine->effects, sa->auth_request, sa->keys.prf, &sa->local_id, &sa->remote_id,
		(struct bytes){octets, len});
	secret_wipe(octets, sizeof(octets));
}

static void ask_for_own(struct ike_sa *sa)
{
	uint8_t body[PAYLOAD_ID_BODY_MAX];
	size_t len = payload_id_body(&sa->local_id, body);

	ask_keeper(sa, sa->initiator, (struct bytes){body, len});
}

static void report_failed(struct ike_sa *sa, const char *why)
{
	char local[IKE_ID_TEXT_LEN], remote[IKE_ID_TEXT_LEN], addr[ADDR_TEXT_LEN];

	core_count(sa->engine, IKE_COUNTER_AUTH_FAILED);
	effects_event(&sa->engine->effects, EVENT_AUTH_FAILED, ike_sa_conn_name(sa), "", &sa->remote,
		"%s: we are '%s', the peer is '%s': %s", endpoint_format(&sa->remote, addr),
		ike_id_format(&sa->local_id, local), ike_id_format(&sa->remote_id, remote), why);
}

/* Read and open the held message anew: it was authentic when it came in. */
static bool reopen(struct ike_sa *sa, struct ike_message *message, uint8_t buffer[static IKE_MESSAGE_MAX])
{
	bool authentic;

	return message_read(blob_bytes(&sa->held), message) == PARSE_OK &&
	       message_open(message, sa->initiator ? &sa->keys.r : &sa->keys.i, buffer, &authentic) == PARSE_OK;
}

/* Is the AUTH payload what the keeper computed? In constant time. */
static bool auth_equals(const struct ike_message *message, struct bytes expected)
{
	const struct payload *payload = message_find(message, PAYLOAD_AUTH);
	struct payload_auth auth;

	return payload && payload_auth_read(payload->body, &auth) && auth.method == AUTH_PSK &&
	       auth.data.len == expected.len && secret_equal(auth.data.data, expected.data, expected.len);
}

static void report_up(struct ike_sa *sa)
{
	char local[IKE_ID_TEXT_LEN], remote[IKE_ID_TEXT_LEN], suite[160], addr[ADDR_TEXT_LEN];

	suite_format(&sa->suite, suite, sizeof(suite));
	effects_event(&sa->engine->effects, EVENT_IKE_UP, ike_sa_conn_name(sa), "", &sa->remote,
		"IKE SA up: '%s' with '%s' at %s, %s%s%s", ike_id_format(&sa->local_id, local),
		ike_id_format(&sa->remote_id, remote), endpoint_format(&sa->remote, addr), suite,
		sa->nat_local ? ", we are behind a NAT" : "", sa->nat_remote ? ", the peer is behind a NAT" : "");
}

/* ---- initiator ------------------------------------------------------------------------------------------------ */
enum verdict auth_ask_own(struct ike_sa *sa)
{
	conn_local_id(sa->conn, &sa->local.addr, &sa->local_id);
	sa->remote_id = sa->conn->config->remote_auth.id;
	ask_for_own(sa);
	return VERDICT_NEXT;
}

/* RFC 7296 2.4: tell the peer that it may forget what it has of us, if this is our only IKE SA with it. */
static bool is_initial_contact(const struct ike_sa *sa)
{
	if (sa->conn->config->unique == UNIQUE_NEVER)
		return false;
	for (const struct ike_sa *other = sa->engine->sas; other; other = other->next)
		if (other != sa && other->conn == sa->conn && other->state >= IKE_UP && other->state != IKE_DEAD)
			return false;
	return true;
}

/* A pattern with wildcards names nobody: RFC 7296 1.2 lets us leave IDr out. */
static bool is_concrete(const struct ike_id *id)
{
	return id->type != IKE_ID_ANY && !memchr(id->data, '*', id->len);
}

enum verdict auth_send(struct ike_sa *sa, const struct input_data *in)
{
	int index = conn_next_child(sa->conn, in->now);
	struct outbox box;

	if (!in->ok) {
		report_failed(sa, "no secret is configured for these identities (secrets)");
		conn_failed(sa->conn, in->now);
		return VERDICT_END;
	}
	if (index < 0)
		return VERDICT_END; /* nothing is wanted any more */
	if (child_is_barred(sa, (uint32_t)index)) {
		conn_failed(sa->conn, in->now);
		return VERDICT_END;
	}
	request_begin(sa, &box, IKE_AUTH);
	payload_id_write(&box.m, PAYLOAD_IDI, &sa->local_id);
	if (is_initial_contact(sa))
		payload_notify_write_data(&box.m, INITIAL_CONTACT, NULL, 0);
	if (is_concrete(&sa->remote_id))
		payload_id_write(&box.m, PAYLOAD_IDR, &sa->remote_id);
	payload_auth_write(&box.m, AUTH_PSK, in->auth);
	sa->task = (struct task){.kind = TASK_SETUP, .child = child_new(sa, (uint32_t)index)};
	child_write_offer(&box.m, sa->task.child, NULL, NULL);
	request_send(sa, &box, in->now);
	return VERDICT_NEXT;
}

enum verdict auth_response(struct ike_sa *sa, const struct input_data *in)
{
	const struct payload *id = message_find(in->message, PAYLOAD_IDR);
	const struct payload *auth = message_find(in->message, PAYLOAD_AUTH);
	struct payload_notify notify;
	char why[128];

	request_clear(sa);
	if (!id || !auth) {
		/* RFC 7296 2.21.2: AUTHENTICATION_FAILED, usually the only payload. */
		snprintf(why, sizeof(why), "the peer refuses with %s",
			message_find_error(in->message, &notify) ? notify_name(notify.type)
								 : "an answer without ID and AUTH");
		report_failed(sa, why);
		conn_failed(sa->conn, in->now);
		return VERDICT_END;
	}
	if (!payload_id_read(id->body, &sa->remote_id) ||
		!ike_id_matches(&sa->conn->config->remote_auth.id, &sa->remote_id)) {
		report_failed(sa, "it is not the one configured (remote.id)");
		conn_failed(sa->conn, in->now);
		return VERDICT_END;
	}
	blob_set(&sa->held, in->message->raw);
	ask_keeper(sa, false, id->body);
	return VERDICT_NEXT;
}

/* RFC 7296 2.21.2: an initiator that refuses the responder may say so in an INFORMATIONAL exchange; it is over for
 * both. */
static enum verdict refuse_responder(struct ike_sa *sa, const char *why, uint64_t now)
{
	struct outbox box;

	report_failed(sa, why);
	request_begin(sa, &box, INFORMATIONAL);
	payload_notify_write_data(&box.m, AUTHENTICATION_FAILED, NULL, 0);
	request_send(sa, &box, now);
	conn_failed(sa->conn, now);
	return VERDICT_END;
}

/* The peer has agreed. */
static void install_own(struct child_sa *child, uint64_t now)
{
	if (child_admit(child, NULL) != NOTIFY_NONE) {
		conn_child_failed(child->sa->conn, child->index, now);
		child->want_delete = true; /* RFC 7296 2.21: the peer has made it already */
		return;
	}
	child_install_in(child, now);
	child_install_out(child, now);
}

/* The CHILD SA of IKE_AUTH. If it fails, the IKE SA stays (RFC 7296 2.21.2). */
static void finish_child(struct ike_sa *sa, const struct ike_message *message, uint64_t now)
{
	struct child_sa *child = sa->task.child;
	struct payload_notify notify;
	bool refused = message_find_error(message, &notify);

	sa->task = (struct task){0};
	if (!child)
		return;
	if (!refused && child_accept(child, message, true) &&
		child_derive(child, (struct bytes){0}, (struct bytes){sa->ni, sa->ni_len},
			(struct bytes){sa->nr, sa->nr_len}, true)) {
		install_own(child, now);
		return;
	}
	effects_event(&sa->engine->effects,
		refused && notify.type == TS_UNACCEPTABLE ? EVENT_TS_MISMATCH : EVENT_PROPOSAL_MISMATCH,
		ike_sa_conn_name(sa), child->config->name, &sa->remote, "CHILD SA not made: %s",
		refused ? notify_name(notify.type) : "the peer's answer is not part of what we offered");
	conn_child_failed(sa->conn, child->index, now);
	if (refused)
		child_free(child, child_keeps_policy(child->config), now);
	else
		child->want_delete = true; /* RFC 7296 2.21: clean up what the peer made */
}

enum verdict auth_check_response(struct ike_sa *sa, const struct input_data *in)
{
	struct ike_message message;
	uint8_t buffer[IKE_MESSAGE_MAX];

	if (!in->ok)
		return refuse_responder(sa, "no secret is configured for these identities (secrets)", in->now);
	if (!reopen(sa, &message, buffer) || !auth_equals(&message, in->auth)) {
		secret_wipe(buffer, sizeof(buffer));
		return refuse_responder(
			sa, "its AUTH does not fit our secret (the two sides have different secrets)", in->now);
	}
	blob_clear(&sa->held);
	report_up(sa);
	ike_sa_up(sa, in->now);
	finish_child(sa, &message, in->now);
	ike_sa_replace_others(sa, in->now);
	secret_wipe(buffer, sizeof(buffer));
	return VERDICT_NEXT;
}

/* ---- responder ------------------------------------------------------------------------------------------------ */
static enum verdict refuse_initiator(struct ike_sa *sa, const char *why)
{
	report_failed(sa, why);
	response_notify(sa, IKE_AUTH, AUTHENTICATION_FAILED, NULL, 0);
	return VERDICT_END;
}

enum verdict auth_request(struct ike_sa *sa, const struct input_data *in)
{
	const struct payload *idi = message_find(in->message, PAYLOAD_IDI);
	const struct payload *idr = message_find(in->message, PAYLOAD_IDR);
	struct payload_notify ignored;
	struct ike_id asked;
	struct conn *conn;

	if (!payload_id_read(idi->body, &sa->remote_id) || (idr && !payload_id_read(idr->body, &asked)))
		return VERDICT_SYNTAX;
	/* RFC 7296 1.2: IDr is optional; it tells which of our identities the peer wants. */
	conn = conn_for_ids(sa->engine, sa, &sa->remote_id, idr ? &asked : NULL);
	if (idr)
		sa->local_id = asked;
	if (!conn) {
		core_count(sa->engine, IKE_COUNTER_NO_CONNECTION);
		return refuse_initiator(sa, "no connection has these identities (local.id, remote.id)");
	}
	sa->conn = conn;
	conn_local_id(conn, &sa->local.addr, &sa->local_id);
	if (!message_find(in->message, PAYLOAD_AUTH))
		return refuse_initiator(sa, "it wants EAP, which is not spoken here");
	sa->initial_contact = message_find_notify(in->message, INITIAL_CONTACT, &ignored);
	blob_set(&sa->held, in->message->raw);
	ask_keeper(sa, true, idi->body);
	return VERDICT_NEXT;
}

enum verdict auth_check_request(struct ike_sa *sa, const struct input_data *in)
{
	struct ike_message message;
	uint8_t buffer[IKE_MESSAGE_MAX];
	bool good;

	if (!in->ok)
		return refuse_initiator(sa, "no secret is configured for these identities (secrets)");
	good = reopen(sa, &message, buffer) && auth_equals(&message, in->auth);
	secret_wipe(buffer, sizeof(buffer));
	if (!good)
		return refuse_initiator(sa, "its AUTH does not fit our secret (the two sides have different secrets)");
	ask_for_own(sa);
	return VERDICT_NEXT;
}

/* RFC 7296 1.2: IDr, AUTH, then SAr2, TSi, TSr or why there is no CHILD SA. */
enum verdict auth_answer(struct ike_sa *sa, const struct input_data *in)
{
	struct child_sa *child = NULL;
	struct ike_message message;
	uint8_t buffer[IKE_MESSAGE_MAX];
	enum notify notify;
	struct outbox box;

	if (!in->ok)
		return refuse_initiator(sa, "no secret is configured for these identities (secrets)");
	if (!reopen(sa, &message, buffer))
		return VERDICT_END;
	report_up(sa);
	notify = child_choose(sa, &message, NULL, true, &child);
	if (notify == NOTIFY_NONE && !child_derive(child, (struct bytes){0}, (struct bytes){sa->ni, sa->ni_len},
					     (struct bytes){sa->nr, sa->nr_len}, false))
		notify = NO_PROPOSAL_CHOSEN;
	if (notify != NOTIFY_NONE && child) {
		child_free(child, false, in->now);
		child = NULL;
	}
	response_begin(sa, &box, IKE_AUTH);
	payload_id_write(&box.m, PAYLOAD_IDR, &sa->local_id);
	payload_auth_write(&box.m, AUTH_PSK, in->auth);
	if (child) {
		child->answered_id = message.header.message_id;
		child_install_in(child, in->now);
		child_write_answer(&box.m, child, NULL, NULL);
	} else {
		payload_notify_write_data(&box.m, (uint16_t)notify, NULL, 0);
	}
	response_send(sa, &box);
	ike_sa_up(sa, in->now);
	/* RFC 7296 2.8: a new one may be used from the answer on; one that takes over waits until the peer is known to
	 * listen. */
	if (child && !child->replaces)
		child_install_out(child, in->now);
	else if (child)
		child->switch_at = in->now + IKE_LINGER_NS;
	ike_sa_replace_others(sa, in->now);
	blob_clear(&sa->held);
	secret_wipe(buffer, sizeof(buffer));
	return VERDICT_NEXT;
}
