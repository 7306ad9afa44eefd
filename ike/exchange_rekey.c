/* SPDX-License-Identifier: Apache-2.0 */
/* CREATE_CHILD_SA that rekeys the IKE SA (RFC 7296 1.3.2, 2.8, 2.8.2, 2.18, 2.25.2). */
#include "agent/base/own.h"
#include "agent/base/secret.h"
#include "ike/core.h"
#include "ike/exchange.h"
#include "ike/payload/ke.h"
#include "ike/payload/nonce.h"
#include "ike/payload/sa.h"

static void spi_to_bytes(uint64_t spi, uint8_t out[static IKE_SPI_LEN])
{
	for (unsigned i = 0; i < IKE_SPI_LEN; i++)
		out[i] = (uint8_t)(spi >> (56 - 8 * i));
}

static uint64_t suite_spi(const struct suite *suite)
{
	struct reader r = reader_of(suite->spi, suite->spi_len);

	return read_u64(&r);
}

struct rekey_payloads {
	struct proposal_list proposals;
	struct payload_ke ke;
	struct bytes nonce;
};

/* RFC 7296 1.3.2: KE must be there. */
static bool read_payloads(const struct ike_message *message, struct rekey_payloads *out)
{
	const struct payload *sa = message_find(message, PAYLOAD_SA);
	const struct payload *ke = message_find(message, PAYLOAD_KE);
	const struct payload *nonce = message_find(message, PAYLOAD_NONCE);

	return sa && ke && nonce && payload_sa_read(sa->body, &out->proposals) && payload_ke_read(ke->body, &out->ke) &&
	       payload_nonce_read(nonce->body, &out->nonce);
}

static void set_nonce(uint8_t to[static IKE_NONCE_MAX], size_t *to_len, struct bytes nonce)
{
	memcpy(to, nonce.data, nonce.len);
	*to_len = nonce.len;
}

/* What a new IKE SA takes over from the one it replaces. */
static void inherit(struct ike_sa *fresh, const struct ike_sa *old)
{
	fresh->conn = old->conn;
	fresh->local = old->local;
	fresh->remote = old->remote;
	fresh->nat_local = old->nat_local;
	fresh->nat_remote = old->nat_remote;
	fresh->encap = old->encap;
	fresh->local_id = old->local_id;
	fresh->remote_id = old->remote_id;
}

/* SKEYSEED = prf(old SK_d, g^ir | Ni | Nr) (2.18). */
static bool derive(struct ike_sa *fresh, const struct ike_sa *old, const struct dh *dh, struct bytes peer)
{
	uint8_t shared[DH_SHARED_MAX];
	size_t len = dh_compute(dh, peer, shared);

	fresh->keyed = len && ike_keys_derive(&fresh->keys, &fresh->suite, (struct bytes){shared, len},
				      (struct bytes){fresh->ni, fresh->ni_len},
				      (struct bytes){fresh->nr, fresh->nr_len}, fresh->spi_i, fresh->spi_r, &old->keys);
	secret_wipe(shared, sizeof(shared));
	return fresh->keyed;
}

enum verdict rekey_inherit(struct ike_sa *sa, const struct input_data *in)
{
	ike_sa_up(sa, in->now);
	return VERDICT_NEXT;
}

enum verdict rekey_replace(struct ike_sa *sa, const struct input_data *in)
{
	(void)in;
	/* Without a retransmission in flight a lost DELETE of the peer's would keep it for ever: the table's wait ends
	 * it. */
	sa->want_rekey = false;
	sa->want_probe = false;
	return VERDICT_NEXT;
}

static void report(const struct ike_sa *sa)
{
	char suite[160];

	suite_format(&sa->suite, suite, sizeof(suite));
	effects_event(&sa->engine->effects, EVENT_IKE_REKEYED, ike_sa_conn_name(sa), "", &sa->remote,
		"IKE SA rekeyed: %s", suite);
}

/* `winner` carries on for `old`: its CHILD SAs move over. */
static void hand_over(struct ike_sa *old, struct ike_sa *winner, uint64_t now)
{
	old->successor = winner;
	ike_sa_move_children(old, winner);
	transition_run(old, INPUT_REPLACE, &(struct input_data){.now = now});
	report(winner);
}

/* ---- initiator ------------------------------------------------------------------------------------------------ */
static void send_offer(struct ike_sa *sa, uint64_t now)
{
	struct task *task = &sa->task;
	uint8_t spi[IKE_SPI_LEN];
	struct outbox box;

	dh_free(task->dh);
	task->dh = dh_new(task->group);
	if (!task->dh) {
		ike_sa_task_clear(sa, now);
		return;
	}
	core_random(sa->engine, task->nonce, sizeof(task->nonce));
	set_nonce(task->fresh->ni, &task->fresh->ni_len, (struct bytes){task->nonce, sizeof(task->nonce)});
	spi_to_bytes(task->fresh->spi_i, spi);
	request_begin(sa, &box, CREATE_CHILD_SA);
	payload_sa_write(&box.m, &sa->conn->config->proposals, spi, sizeof(spi));
	payload_nonce_write(&box.m, (struct bytes){task->nonce, sizeof(task->nonce)});
	payload_ke_write(&box.m, task->group, dh_public(task->dh));
	request_send(sa, &box, now);
}

void rekey_request_send(struct ike_sa *sa, uint64_t now)
{
	uint16_t group = sa->suite.ke.id;

	sa->want_rekey = false;
	if (!proposals_have_ke(&sa->conn->config->proposals, group))
		group = proposals_first_ke(&sa->conn->config->proposals);
	sa->task = (struct task){.kind = TASK_IKE_REKEY, .group = group, .fresh = ike_sa_new(sa->engine, true)};
	inherit(sa->task.fresh, sa);
	send_offer(sa, now);
}

static bool retry_with_group(struct ike_sa *sa, const struct payload_notify *notify, uint64_t now)
{
	struct reader r = reader_of(notify->data.data, notify->data.len);
	uint16_t group = read_u16(&r);

	if (!reader_done(&r) || group == sa->task.group || !proposals_have_ke(&sa->conn->config->proposals, group) ||
		sa->task.retries++ >= IKE_INIT_RETRIES_MAX)
		return false;
	sa->task.group = group;
	send_offer(sa, now);
	return true;
}

static bool complete(struct ike_sa *sa, struct task *task, const struct ike_message *message)
{
	struct ike_sa *fresh = task->fresh;
	struct rekey_payloads payloads;

	if (!read_payloads(message, &payloads) || payloads.ke.group != task->group ||
		!proposal_accept(&sa->conn->config->proposals, &payloads.proposals, false, &fresh->suite) ||
		fresh->suite.ke.id != task->group || fresh->suite.spi_len != IKE_SPI_LEN || !suite_spi(&fresh->suite))
		return false;
	fresh->spi_r = suite_spi(&fresh->suite);
	set_nonce(fresh->nr, &fresh->nr_len, payloads.nonce);
	inherit(fresh, sa);
	return derive(fresh, sa, task->dh, payloads.ke.value);
}

static struct bytes low_nonce(const struct ike_sa *sa)
{
	return nonce_lower((struct bytes){sa->ni, sa->ni_len}, (struct bytes){sa->nr, sa->nr_len});
}

static void finish(struct ike_sa *sa, struct ike_sa *fresh, struct ike_sa *heir, uint64_t now)
{
	struct input_data in = {.now = now};

	ike_sa_link(fresh);
	transition_run(fresh, INPUT_INHERIT, &in);
	if (heir && nonce_compare(low_nonce(fresh), low_nonce(heir)) < 0) {
		/* RFC 7296 2.8.2: ours has the lowest nonce, so we delete it; the peer, who made the survivor, deletes
		 * the old one. */
		fresh->successor = heir;
		fresh->want_delete = true;
		hand_over(sa, heir, now);
		return;
	}
	hand_over(sa, fresh, now);
	sa->want_delete = true; /* 2.8: the initiator deletes the old one, as its last request */
	if (heir)
		hand_over(heir, fresh, now);
}

static void refused(struct ike_sa *sa, uint16_t type, uint64_t now)
{
	if (type == TEMPORARY_FAILURE) {
		if (!sa->temporary_since)
			sa->temporary_since = now;
		else if (now - sa->temporary_since > IKE_TEMPORARY_MAX_NS)
			sa->want_delete = true;
	} else {
		effects_event(&sa->engine->effects, EVENT_PROPOSAL_MISMATCH, ike_sa_conn_name(sa), "", &sa->remote,
			"IKE SA not rekeyed: the peer answered %s", notify_name(type));
	}
	sa->rekey_at = now + IKE_REKEY_RETRY_NS + core_jitter(sa->engine, IKE_REKEY_RETRY_NS);
}

enum verdict rekey_response(struct ike_sa *sa, const struct input_data *in)
{
	struct payload_notify notify;
	struct ike_sa *heir, *fresh;

	request_clear(sa);
	if (message_find_notify(in->message, INVALID_KE_PAYLOAD, &notify) && retry_with_group(sa, &notify, in->now))
		return VERDICT_NEXT;
	heir = sa->task.heir;
	if (message_find_error(in->message, &notify)) {
		ike_sa_task_clear(sa, in->now);
		if (heir)
			hand_over(sa, heir, in->now); /* 2.8.2: the peer's own rekey is through; forget ours */
		else
			refused(sa, notify.type, in->now);
		return VERDICT_NEXT;
	}
	if (!complete(sa, &sa->task, in->message)) {
		/* The peer has a new IKE SA that we cannot use: out of step, start over (2.21.3). */
		core_count(sa->engine, IKE_COUNTER_PAYLOAD_BAD);
		ike_sa_task_clear(sa, in->now);
		sa->want_delete = true;
		return VERDICT_NEXT;
	}
	fresh = TAKE_PTR(sa->task.fresh);
	ike_sa_task_clear(sa, in->now);
	sa->temporary_since = 0;
	finish(sa, fresh, heir, in->now);
	return VERDICT_NEXT;
}

/* ---- responder ------------------------------------------------------------------------------------------------ */
/* RFC 7296 2.25.1, 2.25.2: not while a CHILD SA is on its way or going, nor while this IKE SA is being closed. */
static bool is_busy(const struct ike_sa *sa)
{
	switch (sa->task.kind) {
	case TASK_NONE:
	case TASK_PROBE:
	case TASK_IKE_REKEY:
		return sa->state != IKE_UP || sa->want_delete || sa->task.heir;
	default:
		return true;
	}
}

static void refuse(struct ike_sa *sa, enum notify notify, uint16_t group)
{
	uint8_t data[2] = {(uint8_t)(group >> 8), (uint8_t)group};

	response_notify(sa, CREATE_CHILD_SA, notify, data, notify == INVALID_KE_PAYLOAD ? sizeof(data) : 0);
}

static void answer(struct ike_sa *sa, struct ike_sa *fresh, const struct dh *dh, uint64_t now)
{
	uint8_t spi[IKE_SPI_LEN];
	struct outbox box;

	spi_to_bytes(fresh->spi_r, spi);
	response_begin(sa, &box, CREATE_CHILD_SA);
	payload_sa_write_chosen(&box.m, &fresh->suite, spi, sizeof(spi));
	payload_nonce_write(&box.m, (struct bytes){fresh->nr, fresh->nr_len});
	payload_ke_write(&box.m, dh_group(dh), dh_public(dh));
	response_send(sa, &box);
	ike_sa_link(fresh);
	transition_run(fresh, INPUT_INHERIT, &(struct input_data){.now = now});
	/* 2.25.2: if we are rekeying it too, answer as usual and sort it out when our own answer is there. */
	if (sa->task.kind == TASK_IKE_REKEY)
		sa->task.heir = fresh;
	else
		hand_over(sa, fresh, now);
}

static struct ike_sa *make(struct ike_sa *sa, const struct suite *suite, const struct rekey_payloads *payloads)
{
	struct ike_sa *fresh = ike_sa_new(sa->engine, false);

	inherit(fresh, sa);
	fresh->suite = *suite;
	fresh->spi_i = suite_spi(suite);
	set_nonce(fresh->ni, &fresh->ni_len, payloads->nonce);
	fresh->nr_len = IKE_NONCE_LEN;
	core_random(sa->engine, fresh->nr, fresh->nr_len);
	return fresh;
}

void rekey_request(struct ike_sa *sa, const struct input_data *in)
{
	struct rekey_payloads payloads;
	struct ike_sa *fresh;
	struct suite suite;
	struct dh *dh;

	if (is_busy(sa)) {
		refuse(sa, TEMPORARY_FAILURE, 0);
		return;
	}
	if (!read_payloads(in->message, &payloads) ||
		!proposal_choose(&sa->conn->config->proposals, &payloads.proposals, false, &suite) ||
		suite.spi_len != IKE_SPI_LEN || !suite_spi(&suite)) {
		core_count(sa->engine, IKE_COUNTER_NO_PROPOSAL);
		refuse(sa, NO_PROPOSAL_CHOSEN, 0);
		return;
	}
	if (payloads.ke.group != suite.ke.id) {
		refuse(sa, INVALID_KE_PAYLOAD, suite.ke.id);
		return;
	}
	fresh = make(sa, &suite, &payloads);
	dh = dh_new(suite.ke.id);
	if (dh && derive(fresh, sa, dh, payloads.ke.value)) {
		answer(sa, fresh, dh, in->now);
	} else {
		ike_sa_free(fresh, in->now);
		refuse(sa, NO_PROPOSAL_CHOSEN, 0);
	}
	dh_free(dh);
}
