/* SPDX-License-Identifier: Apache-2.0 */
/* IKE_SA_INIT (RFC 7296 1.2, 2.6, 2.7): both roles. Nothing here is protected, so nothing here is believed more than
 * needed (2.21.1). */
#include "agent/base/own.h"
#include "agent/base/secret.h"
#include "ike/core.h"
#include "ike/exchange.h"
#include "ike/memory.h"
#include "ike/payload/ke.h"
#include "ike/payload/nonce.h"
#include "ike/payload/sa.h"

#include <stdio.h>

#define REPORT_MAX 3072u

/* ---- initiator ------------------------------------------------------------------------------------------------ */
void exchange_dial(struct conn *conn, uint64_t now)
{
	struct ike_sa *sa = ike_sa_new(conn->engine, true);

	sa->conn = conn;
	conn->redial_at = now + IKE_REDIAL_FIRST_NS;
	sa->encap = conn->config->encap;
	sa->local = (struct endpoint){.addr = conn->local, .port = IKE_PORT};
	sa->remote = (struct endpoint){.addr = conn->remote, .port = IKE_PORT};
	sa->ni_len = IKE_NONCE_LEN;
	core_random(sa->engine, sa->ni, sa->ni_len);
	ike_sa_link(sa);
	sa->dh = dh_new(proposals_first_ke(&conn->config->proposals));
	transition_run(sa, INPUT_DIAL, &(struct input_data){.now = now});
}

static enum verdict send_request(struct ike_sa *sa, uint64_t now)
{
	struct ike_header header = {
		.spi_i = sa->spi_i, .version = IKE_VERSION, .exchange = IKE_SA_INIT, .flags = IKE_FLAG_INITIATOR};
	struct outbox box;
	size_t len;

	if (!sa->dh) {
		log_error("%s: no key pair could be made for the proposal's group", ike_sa_conn_name(sa));
		conn_failed(sa->conn, now);
		return VERDICT_END;
	}
	message_begin(&box.m, box.buffer, sizeof(box.buffer), &header);
	/* RFC 7296 2.6: the cookie is the first payload, all others unchanged. */
	if (sa->cookie_len)
		payload_notify_write_data(&box.m, COOKIE, sa->cookie, sa->cookie_len);
	payload_sa_write(&box.m, &sa->conn->config->proposals, NULL, 0);
	payload_ke_write(&box.m, dh_group(sa->dh), dh_public(sa->dh));
	payload_nonce_write(&box.m, (struct bytes){sa->ni, sa->ni_len});
	nat_write_detection(&box.m, sa, sa->spi_i, 0);
	len = message_finish(&box.m);
	if (!len) {
		conn_failed(sa->conn, now);
		return VERDICT_END;
	}
	blob_set(&sa->init_request, (struct bytes){box.buffer, len});
	request_send_clear(sa, blob_bytes(&sa->init_request), now);
	return VERDICT_NEXT;
}

enum verdict init_dial(struct ike_sa *sa, const struct input_data *in)
{
	return send_request(sa, in->now);
}

/* RFC 7296 2.6: the same request again, with the cookie in front. */
static enum verdict retry_with_cookie(struct ike_sa *sa, const struct payload_notify *cookie, uint64_t now)
{
	if (!cookie->data.len || cookie->data.len > IKE_COOKIE_MAX || sa->init_retries++ >= IKE_INIT_RETRIES_MAX)
		return VERDICT_STAY;
	memcpy(sa->cookie, cookie->data.data, cookie->data.len);
	sa->cookie_len = cookie->data.len;
	return send_request(sa, now) == VERDICT_END ? VERDICT_END : VERDICT_STAY;
}

/* RFC 7296 1.2: the responder wants another group, one that we have offered. */
static enum verdict retry_with_group(struct ike_sa *sa, const struct payload_notify *notify, uint64_t now)
{
	struct reader r = reader_of(notify->data.data, notify->data.len);
	uint16_t group = read_u16(&r);

	if (!reader_done(&r) || group == dh_group(sa->dh) || !proposals_have_ke(&sa->conn->config->proposals, group) ||
		sa->init_retries++ >= IKE_INIT_RETRIES_MAX)
		return VERDICT_STAY;
	dh_free(sa->dh);
	sa->dh = dh_new(group);
	return send_request(sa, now) == VERDICT_END ? VERDICT_END : VERDICT_STAY;
}

/* RFC 7296 2.21.1: an error that has no remedy here may be forged; the true answer gets a while to come. */
static enum verdict refused(struct ike_sa *sa, uint16_t type, uint64_t now)
{
	char addr[ADDR_TEXT_LEN];

	if (!sa->reported)
		effects_event(&sa->engine->effects,
			type == NO_PROPOSAL_CHOSEN ? EVENT_PROPOSAL_MISMATCH : EVENT_IKE_DOWN, ike_sa_conn_name(sa), "",
			&sa->remote, "%s answered IKE_SA_INIT with %s%s", endpoint_format(&sa->remote, addr),
			notify_name(type),
			type == NO_PROPOSAL_CHOSEN
				? ": none of our proposals suits it, or it has no connection for our address"
				: "");
	sa->reported = true;
	if (sa->expire_at == TIME_NEVER)
		sa->expire_at = now + IKE_REFUSED_WAIT_NS;
	return VERDICT_STAY;
}

struct init_payloads {
	struct proposal_list proposals;
	struct payload_ke ke;
	struct bytes nonce;
};

static bool read_payloads(const struct ike_message *message, struct init_payloads *out)
{
	const struct payload *sa = message_find(message, PAYLOAD_SA);
	const struct payload *ke = message_find(message, PAYLOAD_KE);
	const struct payload *nonce = message_find(message, PAYLOAD_NONCE);

	return sa && ke && nonce && payload_sa_read(sa->body, &out->proposals) && payload_ke_read(ke->body, &out->ke) &&
	       payload_nonce_read(nonce->body, &out->nonce);
}

/* SKEYSEED and all SK_* (RFC 7296 2.14). */
static bool derive(struct ike_sa *sa, const struct dh *dh, struct bytes peer)
{
	uint8_t shared[DH_SHARED_MAX];
	size_t len = dh_compute(dh, peer, shared);

	sa->keyed = len && ike_keys_derive(&sa->keys, &sa->suite, (struct bytes){shared, len},
				   (struct bytes){sa->ni, sa->ni_len}, (struct bytes){sa->nr, sa->nr_len}, sa->spi_i,
				   sa->spi_r, NULL);
	secret_wipe(shared, sizeof(shared));
	return sa->keyed;
}

/* RFC 7296 2.23: with a NAT between, all goes on from port 4500 to port 4500. */
static void float_port(struct ike_sa *sa)
{
	if (!ike_sa_encap(sa))
		return;
	sa->local.port = IKE_NATT_PORT;
	if (sa->remote.port == IKE_PORT)
		sa->remote.port = IKE_NATT_PORT;
}

static enum verdict accept_response(struct ike_sa *sa, const struct ike_message *message)
{
	struct init_payloads payloads;
	struct suite suite;

	if (!message->header.spi_r || !read_payloads(message, &payloads) || payloads.ke.group != dh_group(sa->dh) ||
		!proposal_accept(&sa->conn->config->proposals, &payloads.proposals, false, &suite) ||
		suite.ke.id != payloads.ke.group) {
		core_count(sa->engine, IKE_COUNTER_PAYLOAD_BAD);
		return VERDICT_STAY;
	}
	sa->spi_r = message->header.spi_r;
	sa->suite = suite;
	sa->nr_len = payloads.nonce.len;
	memcpy(sa->nr, payloads.nonce.data, payloads.nonce.len);
	if (!derive(sa, sa->dh, payloads.ke.value)) {
		sa->spi_r = 0;
		core_count(sa->engine, IKE_COUNTER_PAYLOAD_BAD);
		return VERDICT_STAY;
	}
	blob_set(&sa->init_response, message->raw);
	nat_read_detection(sa, message);
	float_port(sa);
	dh_free(TAKE_PTR(sa->dh));
	request_clear(sa);
	return auth_ask_own(sa);
}

enum verdict init_response(struct ike_sa *sa, const struct input_data *in)
{
	struct payload_notify notify;

	if (message_find_notify(in->message, COOKIE, &notify))
		return retry_with_cookie(sa, &notify, in->now);
	if (message_find_notify(in->message, INVALID_KE_PAYLOAD, &notify))
		return retry_with_group(sa, &notify, in->now);
	if (message_find_error(in->message, &notify))
		return refused(sa, notify.type, in->now);
	return accept_response(sa, in->message);
}

/* ---- responder ------------------------------------------------------------------------------------------------ */
void exchange_refuse(struct ike_engine *engine, const struct endpoint *local, const struct endpoint *remote,
	const struct ike_header *header, enum notify notify, const void *data, size_t len)
{
	struct ike_header answer = {
		.spi_i = header->spi_i,
		.spi_r = header->spi_r,
		.version = IKE_VERSION,
		.exchange = header->exchange,
		.flags = IKE_FLAG_RESPONSE | (header->flags & IKE_FLAG_INITIATOR ? 0 : IKE_FLAG_INITIATOR),
		.message_id = header->message_id,
	};
	uint8_t buffer[256];
	struct message_writer m;
	size_t written;

	message_begin(&m, buffer, sizeof(buffer), &answer);
	payload_notify_write_data(&m, (uint16_t)notify, data, len);
	written = message_finish(&m);
	if (written)
		effects_send(&engine->effects, local, remote, (struct bytes){buffer, written});
}

static void report_no_connection(struct ike_engine *engine, const struct endpoint *local, const struct endpoint *remote)
{
	char from[ADDR_TEXT_LEN], to[ADDR_TEXT_LEN];

	effects_event(&engine->effects, EVENT_NO_CONNECTION, "", "", remote,
		"IKE_SA_INIT from %s to %s: no connection has these addresses; add one, or correct its local_addrs or "
		"remote_addrs",
		endpoint_format(remote, from), endpoint_format(local, to));
}

static void report_mismatch(struct ike_engine *engine, const struct conn *conn, const struct endpoint *remote,
	const struct proposal_list *theirs)
{
	char report[REPORT_MAX], where[IKE_NAME_MAX + 32];

	snprintf(where, sizeof(where), "connections.%s.proposals", conn->config->name);
	proposal_mismatch(&conn->config->proposals, theirs, where, report, sizeof(report));
	effects_event(&engine->effects, EVENT_PROPOSAL_MISMATCH, conn->config->name, "", remote, "%s", report);
}

/* Refusals that an unprotected message causes are limited, as answers and as events (RFC 7296 2.21.4). */
static struct conn *choose(
	struct ike_sa *sa, const struct ike_message *message, const struct init_payloads *payloads, uint64_t now)
{
	struct ike_engine *engine = sa->engine;
	struct conn *near, *conn;
	uint8_t group[2];

	conn = conn_for_proposals(engine, sa, &payloads->proposals, &sa->suite, &near);
	if (!conn) {
		core_count(engine, near ? IKE_COUNTER_NO_PROPOSAL : IKE_COUNTER_NO_CONNECTION);
		if (!core_may_answer_unprotected(engine, now))
			return NULL;
		if (near)
			report_mismatch(engine, near, &sa->remote, &payloads->proposals);
		else
			report_no_connection(engine, &sa->local, &sa->remote);
		exchange_refuse(engine, &sa->local, &sa->remote, &message->header, NO_PROPOSAL_CHOSEN, NULL, 0);
		return NULL;
	}
	if (sa->suite.ke.id == payloads->ke.group)
		return conn;
	/* RFC 7296 1.2: the accepted group, two octets, big endian. */
	group[0] = (uint8_t)(sa->suite.ke.id >> 8);
	group[1] = (uint8_t)sa->suite.ke.id;
	if (core_may_answer_unprotected(engine, now))
		exchange_refuse(
			engine, &sa->local, &sa->remote, &message->header, INVALID_KE_PAYLOAD, group, sizeof(group));
	return NULL;
}

/* RFC 7296 2.6: many half-open IKE SAs: first show that you receive what is sent to your address. False: not so (yet).
 */
static bool cookie_passes(struct ike_engine *engine, const struct endpoint *local, const struct endpoint *remote,
	const struct ike_message *message, struct bytes ni, uint64_t now)
{
	bool on = engine->half_open >= engine->config->cookie_threshold;
	struct payload_notify notify;
	uint8_t cookie[COOKIE_LEN];

	if (on != engine->cookies_on)
		effects_event(&engine->effects, on ? EVENT_COOKIES_ON : EVENT_COOKIES_OFF, "", "", remote,
			on ? "%u half-open IKE SAs: cookies are asked for"
			   : "%u half-open IKE SAs: cookies are not asked for any more",
			engine->half_open);
	engine->cookies_on = on;
	if (!on)
		return true;
	if (message_find_notify(message, COOKIE, &notify)) {
		if (cookie_valid(engine, remote, message->header.spi_i, ni, notify.data, now))
			return true;
		core_count(engine, IKE_COUNTER_COOKIE_BAD);
	}
	if (cookie_make(engine, remote, message->header.spi_i, ni, now, cookie)) {
		core_count(engine, IKE_COUNTER_COOKIE_SENT);
		exchange_refuse(engine, local, remote, &message->header, COOKIE, cookie, sizeof(cookie));
	}
	return false;
}

/* A request that was seen before gets the same answer (RFC 7296 2.1). True: it was. */
static bool seen_before(struct ike_engine *engine, const struct endpoint *local, const struct endpoint *remote,
	const struct ike_message *message)
{
	struct ike_sa *sa = core_find_init(engine, message->header.spi_i, remote);

	if (!sa)
		return false;
	if (sa->init_request.len == message->raw.len &&
		memcmp(sa->init_request.data, message->raw.data, message->raw.len) == 0) {
		core_count(engine, IKE_COUNTER_RETRANSMIT_SEEN);
		effects_send(&engine->effects, local, remote, blob_bytes(&sa->init_response));
	} else {
		core_count(engine, IKE_COUNTER_MESSAGE_ID_BAD);
	}
	return true;
}

void exchange_init_request(struct ike_engine *engine, const struct endpoint *local, const struct endpoint *remote,
	const struct ike_message *message, uint64_t now)
{
	const struct payload *unknown = message_unknown_critical(message);
	struct init_payloads payloads;
	struct ike_sa *sa;

	if (seen_before(engine, local, remote, message))
		return;
	if (unknown) {
		core_count(engine, IKE_COUNTER_CRITICAL_UNKNOWN);
		if (core_may_answer_unprotected(engine, now))
			exchange_refuse(engine, local, remote, &message->header, UNSUPPORTED_CRITICAL_PAYLOAD,
				&unknown->type, 1);
		return;
	}
	if (!read_payloads(message, &payloads)) {
		core_count(engine, IKE_COUNTER_PAYLOAD_BAD);
		return;
	}
	if (!cookie_passes(engine, local, remote, message, payloads.nonce, now))
		return;
	if (engine->shut || engine->half_open >= engine->config->half_open_max) {
		core_count(engine, IKE_COUNTER_HALF_OPEN_FULL);
		return;
	}
	sa = ike_sa_new(engine, false);
	sa->spi_i = message->header.spi_i;
	sa->local = *local;
	sa->remote = *remote;
	sa->conn = choose(sa, message, &payloads, now);
	if (!sa->conn) {
		ike_sa_free(sa, now);
		return;
	}
	sa->half_open = true;
	engine->half_open++;
	ike_sa_link(sa);
	transition_run(sa, INPUT_INIT_REQUEST, &(struct input_data){.message = message, .now = now});
}

static size_t write_response(struct ike_sa *sa, struct outbox *box, const struct dh *dh)
{
	struct ike_header header = {.spi_i = sa->spi_i,
		.spi_r = sa->spi_r,
		.version = IKE_VERSION,
		.exchange = IKE_SA_INIT,
		.flags = IKE_FLAG_RESPONSE};

	message_begin(&box->m, box->buffer, sizeof(box->buffer), &header);
	payload_sa_write_chosen(&box->m, &sa->suite, NULL, 0);
	payload_ke_write(&box->m, dh_group(dh), dh_public(dh));
	payload_nonce_write(&box->m, (struct bytes){sa->nr, sa->nr_len});
	nat_write_detection(&box->m, sa, sa->spi_i, sa->spi_r);
	return message_finish(&box->m);
}

/* The suite is chosen, the group fits: the expensive part. */
enum verdict init_request(struct ike_sa *sa, const struct input_data *in)
{
	struct init_payloads payloads;
	struct dh *dh = NULL;
	struct outbox box;
	size_t len = 0;

	if (!read_payloads(in->message, &payloads))
		return VERDICT_END;
	sa->encap = sa->conn->config->encap;
	sa->ni_len = payloads.nonce.len;
	memcpy(sa->ni, payloads.nonce.data, payloads.nonce.len);
	sa->nr_len = IKE_NONCE_LEN;
	core_random(sa->engine, sa->nr, sa->nr_len);
	nat_read_detection(sa, in->message);
	dh = dh_new(sa->suite.ke.id);
	if (dh && derive(sa, dh, payloads.ke.value))
		len = write_response(sa, &box, dh);
	else
		core_count(sa->engine, IKE_COUNTER_PAYLOAD_BAD);
	dh_free(dh);
	if (!len)
		return VERDICT_END;
	blob_set(&sa->init_request, in->message->raw);
	blob_set(&sa->init_response, (struct bytes){box.buffer, len});
	sa->next_in = 1;
	effects_send(&sa->engine->effects, &sa->local, &sa->remote, blob_bytes(&sa->init_response));
	return VERDICT_NEXT;
}
