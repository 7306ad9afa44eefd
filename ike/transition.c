/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/transition.h"

#include "agent/base/own.h"
#include "ike/core.h"
#include "ike/exchange.h"

#include <stdio.h>

enum role { EITHER = 0, INITIATOR, RESPONDER };

#define NEEDS(type) (UINT64_C(1) << (type))
#define SA_KE_NONCE (NEEDS(PAYLOAD_SA) | NEEDS(PAYLOAD_KE) | NEEDS(PAYLOAD_NONCE))
#define SA_NONCE    (NEEDS(PAYLOAD_SA) | NEEDS(PAYLOAD_NONCE))
#define ID_SA_TS    (NEEDS(PAYLOAD_IDI) | NEEDS(PAYLOAD_SA) | NEEDS(PAYLOAD_TSI) | NEEDS(PAYLOAD_TSR))

struct transition {
	enum role role;
	enum input input;
	enum ike_state state;
	uint64_t needs; /* of requests */
	transition_handler handler;
	enum ike_state next;
	uint64_t wait_ns; /* the next state ends by itself after this time; 0: not so */
};

static const struct transition transitions[] = {
	/* RFC 7296 1.2: the initial exchanges */
	{INITIATOR, INPUT_DIAL, IKE_NEW, 0, init_dial, IKE_INIT_SENT, 0},
	{INITIATOR, INPUT_INIT_RESPONSE, IKE_INIT_SENT, 0, init_response, IKE_AUTH_SIGNING, IKE_AUTH_WAIT_NS},
	{INITIATOR, INPUT_KEEPER, IKE_AUTH_SIGNING, 0, auth_send, IKE_AUTH_SENT, 0},
	{INITIATOR, INPUT_AUTH_RESPONSE, IKE_AUTH_SENT, 0, auth_response, IKE_AUTH_CHECKING, IKE_AUTH_WAIT_NS},
	{INITIATOR, INPUT_KEEPER, IKE_AUTH_CHECKING, 0, auth_check_response, IKE_UP, 0},
	{RESPONDER, INPUT_INIT_REQUEST, IKE_NEW, SA_KE_NONCE, init_request, IKE_INIT_ANSWERED,
		IKE_HALF_OPEN_TIMEOUT_NS},
	{RESPONDER, INPUT_AUTH_REQUEST, IKE_INIT_ANSWERED, ID_SA_TS, auth_request, IKE_AUTH_CHECKING, IKE_AUTH_WAIT_NS},
	{RESPONDER, INPUT_KEEPER, IKE_AUTH_CHECKING, 0, auth_check_request, IKE_AUTH_SIGNING, IKE_AUTH_WAIT_NS},
	{RESPONDER, INPUT_KEEPER, IKE_AUTH_SIGNING, 0, auth_answer, IKE_UP, 0},
	/* 1.3: CREATE_CHILD_SA; an SA that is being closed answers TEMPORARY_FAILURE (2.25) */
	{EITHER, INPUT_CHILD_REQUEST, IKE_UP, SA_NONCE, child_request, IKE_UP, 0},
	{EITHER, INPUT_CHILD_REQUEST, IKE_REPLACED, SA_NONCE, child_request, IKE_REPLACED, 0},
	{EITHER, INPUT_CHILD_REQUEST, IKE_DELETING, SA_NONCE, child_request, IKE_DELETING, 0},
	{EITHER, INPUT_CHILD_RESPONSE, IKE_UP, 0, child_response, IKE_UP, 0},
	{EITHER, INPUT_INHERIT, IKE_NEW, 0, rekey_inherit, IKE_UP, 0},
	{EITHER, INPUT_REPLACE, IKE_UP, 0, rekey_replace, IKE_REPLACED, IKE_LINGER_NS},
	/* 1.4: INFORMATIONAL */
	{EITHER, INPUT_INFO_REQUEST, IKE_UP, 0, info_request, IKE_UP, 0},
	{EITHER, INPUT_INFO_REQUEST, IKE_REPLACED, 0, info_request, IKE_REPLACED, 0},
	{EITHER, INPUT_INFO_REQUEST, IKE_DELETING, 0, info_request, IKE_DELETING, 0},
	{EITHER, INPUT_INFO_RESPONSE, IKE_UP, 0, info_response, IKE_UP, 0},
	{EITHER, INPUT_INFO_RESPONSE, IKE_REPLACED, 0, info_response, IKE_REPLACED, 0},
	{EITHER, INPUT_INFO_RESPONSE, IKE_DELETING, 0, info_response, IKE_DELETING, 0},
	{EITHER, INPUT_CLOSE, IKE_UP, 0, info_send_ike_delete, IKE_DELETING, 0},
	{EITHER, INPUT_CLOSE, IKE_REPLACED, 0, info_send_ike_delete, IKE_DELETING, 0},
};

static const struct transition *find(const struct ike_sa *sa, enum input input)
{
	enum role role = sa->initiator ? INITIATOR : RESPONDER;

	for (size_t i = 0; i < ARRAY_LEN(transitions); i++) {
		const struct transition *row = &transitions[i];

		if (row->input == input && row->state == sa->state && (row->role == EITHER || row->role == role))
			return row;
	}
	return NULL;
}

static bool has_needed(const struct transition *row, const struct ike_message *message)
{
	for (uint8_t type = 0; type < 64; type++)
		if ((row->needs & NEEDS(type)) && !message_find(message, type))
			return false;
	return true;
}

static void leave_half_open(struct ike_sa *sa)
{
	if (sa->half_open)
		sa->engine->half_open--;
	sa->half_open = false;
}

void transition_end(struct ike_sa *sa)
{
	sa->state = IKE_DEAD;
	leave_half_open(sa);
	ike_sa_touch(sa);
}

static bool is_request(enum input input)
{
	return input == INPUT_AUTH_REQUEST || input == INPUT_CHILD_REQUEST || input == INPUT_INFO_REQUEST;
}

/* RFC 7296 2.21.3: INVALID_SYNTAX ends the IKE SA on both sides without a DELETE. */
static void refuse_syntax(struct ike_sa *sa, enum input input, const struct input_data *in)
{
	core_count(sa->engine, IKE_COUNTER_PAYLOAD_BAD);
	if (is_request(input))
		response_notify(sa, in->message->header.exchange, INVALID_SYNTAX, NULL, 0);
	ike_sa_lost(sa, "a malformed message of the peer", in->now);
	transition_end(sa);
}

bool transition_run(struct ike_sa *sa, enum input input, const struct input_data *in)
{
	const struct transition *row = find(sa, input);
	enum verdict verdict;

	if (!row)
		return false;
	ike_sa_touch(sa);
	verdict = row->needs && !has_needed(row, in->message) ? VERDICT_SYNTAX : row->handler(sa, in);
	if (sa->state == IKE_DEAD || verdict == VERDICT_STAY)
		return true;
	if (verdict == VERDICT_SYNTAX) {
		refuse_syntax(sa, input, in);
	} else if (verdict == VERDICT_END) {
		transition_end(sa);
	} else if (row->next != row->state) {
		sa->state = row->next;
		sa->expire_at = row->wait_ns ? in->now + row->wait_ns : TIME_NEVER;
		if (sa->state == IKE_UP)
			leave_half_open(sa);
	}
	return true;
}

static const char *input_name(enum input input)
{
	static const char *const names[] = {
		[INPUT_DIAL] = "dial",
		[INPUT_INIT_REQUEST] = "IKE_SA_INIT request",
		[INPUT_INIT_RESPONSE] = "IKE_SA_INIT response",
		[INPUT_AUTH_REQUEST] = "IKE_AUTH request",
		[INPUT_AUTH_RESPONSE] = "IKE_AUTH response",
		[INPUT_CHILD_REQUEST] = "CREATE_CHILD_SA request",
		[INPUT_CHILD_RESPONSE] = "CREATE_CHILD_SA response",
		[INPUT_INFO_REQUEST] = "INFORMATIONAL request",
		[INPUT_INFO_RESPONSE] = "INFORMATIONAL response",
		[INPUT_KEEPER] = "keeper's answer",
		[INPUT_INHERIT] = "made by a rekey",
		[INPUT_REPLACE] = "successor up",
		[INPUT_CLOSE] = "close",
	};

	return names[input];
}

size_t engine_dot(char *out, size_t size)
{
	static const char *const roles[] = {[EITHER] = "", [INITIATOR] = "I: ", [RESPONDER] = "R: "};
	FILE *file = size ? fmemopen(out, size, "w") : NULL;
	long len;

	if (!file)
		return 0;
	fprintf(file, "digraph ike_sa {\n\tnode [shape=box];\n");
	for (size_t i = 0; i < ARRAY_LEN(transitions); i++) {
		const struct transition *row = &transitions[i];

		fprintf(file, "\t\"%s\" -> \"%s\" [label=\"%s%s\"];\n", ike_state_name(row->state),
			ike_state_name(row->next), roles[row->role], input_name(row->input));
	}
	fprintf(file, "}\n");
	fflush(file);
	len = ftell(file);
	fclose(file);
	return len > 0 ? (size_t)len : 0;
}
