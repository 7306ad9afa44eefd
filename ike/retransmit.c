/* SPDX-License-Identifier: Apache-2.0 */
/* Message ids with a window of one each way, requests sent until answered, responses kept (RFC 7296 2.1, 2.2, 2.3). */
#include "agent/base/secret.h"
#include "ike/core.h"
#include "ike/exchange.h"
#include "ike/memory.h"

static const struct sk_key *own_key(const struct ike_sa *sa)
{
	return sa->initiator ? &sa->keys.i : &sa->keys.r;
}

static void begin(struct ike_sa *sa, struct outbox *box, uint8_t exchange, uint32_t id, bool response)
{
	struct ike_header header = {
		.spi_i = sa->spi_i,
		.spi_r = sa->spi_r,
		.version = IKE_VERSION,
		.exchange = exchange,
		.flags = (uint8_t)((sa->initiator ? IKE_FLAG_INITIATOR : 0) | (response ? IKE_FLAG_RESPONSE : 0)),
		.message_id = id,
	};

	box->response = response;
	box->exchange = exchange;
	message_begin(&box->m, box->buffer, sizeof(box->buffer), &header);
	message_begin_sk(&box->m, own_key(sa));
}

/* RFC 5282 3: an IV per message that never comes twice with a key, so a counter; RFC 7296 3.14: CBC wants it
 * unpredictable. */
static size_t seal(struct ike_sa *sa, struct outbox *box)
{
	const struct sk_key *key = own_key(sa);
	uint8_t iv[16];

	if (key->integ == INTEG_NONE) {
		uint64_t counter = ++sa->iv_counter;

		for (int i = 7; i >= 0; i--, counter >>= 8)
			iv[i] = (uint8_t)counter;
	} else {
		core_random(sa->engine, iv, sizeof(iv));
	}
	return message_seal(&box->m, key, iv);
}

void request_begin(struct ike_sa *sa, struct outbox *box, uint8_t exchange)
{
	begin(sa, box, exchange, sa->next_out, false);
}

static void keep_request(struct ike_sa *sa, struct bytes message, uint32_t id, uint8_t exchange, uint64_t now)
{
	request_clear(sa);
	sa->request = (struct ike_request){
		.bytes = memory_copy(message.data, message.len),
		.len = message.len,
		.id = id,
		.exchange = exchange,
		.at = now + IKE_RETRANSMIT_FIRST_NS,
	};
	effects_send(&sa->engine->effects, &sa->local, &sa->remote, message);
	ike_sa_touch(sa);
}

void request_send(struct ike_sa *sa, struct outbox *box, uint64_t now)
{
	size_t len = seal(sa, box);

	if (!len) {
		log_error("%s: an IKE %s request could not be encrypted", ike_sa_conn_name(sa),
			exchange_name(box->exchange));
		return;
	}
	keep_request(sa, (struct bytes){.data = box->buffer, .len = len}, sa->next_out, box->exchange, now);
	sa->next_out++;
}

void request_send_clear(struct ike_sa *sa, struct bytes message, uint64_t now)
{
	/* RFC 7296 2.2: a retry of IKE_SA_INIT for a cookie or another group has message id 0 again. */
	keep_request(sa, message, 0, IKE_SA_INIT, now);
	sa->next_out = 1;
}

void request_clear(struct ike_sa *sa)
{
	free(sa->request.bytes);
	sa->request = (struct ike_request){.at = TIME_NEVER};
}

/* RFC 7296 2.1: the wait grows exponentially. */
static uint64_t next_wait(unsigned tries)
{
	uint64_t wait = IKE_RETRANSMIT_FIRST_NS;

	while (tries--)
		wait = wait * IKE_RETRANSMIT_FACTOR_TENTHS / 10;
	return wait;
}

bool request_again(struct ike_sa *sa, uint64_t now)
{
	struct ike_request *request = &sa->request;

	if (request->tries >= IKE_RETRANSMIT_TRIES)
		return false;
	request->tries++;
	request->at = now + next_wait(request->tries);
	core_count(sa->engine, IKE_COUNTER_RETRANSMITS);
	effects_send(&sa->engine->effects, &sa->local, &sa->remote,
		(struct bytes){.data = request->bytes, .len = request->len});
	return true;
}

void response_begin(struct ike_sa *sa, struct outbox *box, uint8_t exchange)
{
	begin(sa, box, exchange, sa->next_in, true);
}

void response_send(struct ike_sa *sa, struct outbox *box)
{
	size_t len = seal(sa, box);

	if (!len) {
		log_error("%s: an IKE %s response could not be encrypted", ike_sa_conn_name(sa),
			exchange_name(box->exchange));
		return;
	}
	blob_set(&sa->response, (struct bytes){.data = box->buffer, .len = len});
	sa->next_in++;
	effects_send(&sa->engine->effects, &sa->local, &sa->remote, blob_bytes(&sa->response));
}

void response_notify(struct ike_sa *sa, uint8_t exchange, enum notify notify, const void *data, size_t len)
{
	struct outbox box;

	response_begin(sa, &box, exchange);
	payload_notify_write_data(&box.m, (uint16_t)notify, data, len);
	response_send(sa, &box);
}

static struct child_sa *find_child(struct ike_sa *sa, bool delete_)
{
	for (struct child_sa *child = sa->children; child; child = child->next)
		if (delete_ ? child->want_delete && child->state != CHILD_DELETING
			    : child->want_rekey && child->state == CHILD_UP)
			return child;
	return NULL;
}

static void next_while_up(struct ike_sa *sa, uint64_t now)
{
	struct child_sa *child = find_child(sa, true);
	int index;

	if (child) {
		info_send_child_delete(sa, child, now);
		return;
	}
	child = find_child(sa, false);
	if (child) {
		child_request_rekey(sa, child, now);
		return;
	}
	if (sa->want_rekey) {
		rekey_request_send(sa, now);
		return;
	}
	index = sa->conn ? conn_next_child(sa->conn, now) : -1;
	if (index >= 0)
		child_request_create(sa, (uint32_t)index, now);
	else if (sa->want_probe)
		info_send_probe(sa, now);
}

void exchange_next(struct ike_sa *sa, uint64_t now)
{
	if (sa->request.bytes)
		return;
	if (sa->want_delete && (sa->state == IKE_UP || sa->state == IKE_REPLACED))
		transition_run(sa, INPUT_CLOSE, &(struct input_data){.now = now});
	else if (sa->state == IKE_UP)
		next_while_up(sa, now);
}

void exchange_close_now(struct ike_sa *sa, uint64_t now)
{
	if (sa->state == IKE_DEAD || sa->state == IKE_DELETING)
		return;
	request_clear(sa);
	ike_sa_task_clear(sa, now);
	if (!transition_run(sa, INPUT_CLOSE, &(struct input_data){.now = now}))
		transition_end(sa);
}
