/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transition table: role x input x state -> required payloads, handler, next state, timer. A reader checks it
 * against RFC 7296 by eye; engine_dot draws it. State is assigned here alone, after the handler succeeded.
 */
#ifndef ESPALIER_IKE_TRANSITION_H
#define ESPALIER_IKE_TRANSITION_H

#include "ike/ike_sa.h"
#include "ike/message.h"

enum input {
	INPUT_DIAL = 1,
	INPUT_INIT_REQUEST,
	INPUT_INIT_RESPONSE,
	INPUT_AUTH_REQUEST,
	INPUT_AUTH_RESPONSE,
	INPUT_CHILD_REQUEST,
	INPUT_CHILD_RESPONSE,
	INPUT_INFO_REQUEST,
	INPUT_INFO_RESPONSE,
	INPUT_KEEPER,  /* engine_answer */
	INPUT_INHERIT, /* made by a rekey of its predecessor */
	INPUT_REPLACE, /* its successor is up */
	INPUT_CLOSE,   /* send its DELETE */
};

enum verdict {
	VERDICT_NEXT = 0, /* done: the table's next state */
	VERDICT_STAY,	  /* nothing that changes the state */
	VERDICT_END,	  /* the IKE SA is over */
	VERDICT_SYNTAX,	  /* malformed content of an authenticated message: INVALID_SYNTAX, and the IKE SA is over (RFC
			     7296 2.21.3) */
};

/* What came in with an input; unused parts are zero. */
struct input_data {
	const struct ike_message *message;
	bool ok; /* INPUT_KEEPER */
	struct bytes auth;
	uint64_t now;
};

typedef enum verdict (*transition_handler)(struct ike_sa *sa, const struct input_data *in);

/* Run the input. False: the table has no row for it in this state, nothing happened. */
bool transition_run(struct ike_sa *sa, enum input input, const struct input_data *in);
/* The IKE SA is over, whatever its state: timeouts and the peer's unprotected word do not come by a row. */
void transition_end(struct ike_sa *sa);

#endif
