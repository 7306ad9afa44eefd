/* SPDX-License-Identifier: Apache-2.0 */
/* CREATE_CHILD_SA for CHILD SAs: new ones and rekeys, with and without PFS (RFC 7296 1.3.1, 1.3.3, 2.8, 2.17, 2.25). */
#include "agent/base/own.h"
#include "agent/base/secret.h"
#include "ike/core.h"
#include "ike/exchange.h"
#include "ike/payload/ke.h"
#include "ike/payload/nonce.h"
#include "ike/payload/sa.h"

static void spi_to_bytes(uint32_t spi, uint8_t out[static 4])
{
	for (unsigned i = 0; i < 4; i++)
		out[i] = (uint8_t)(spi >> (24 - 8 * i));
}

static uint32_t spi_from_bytes(struct bytes bytes)
{
	struct reader r = reader_of(bytes.data, bytes.len);

	return read_u32(&r);
}

/* ---- initiator ------------------------------------------------------------------------------------------------ */
static void send_offer(struct ike_sa *sa, uint64_t now)
{
	struct task *task = &sa->task;
	struct outbox box;
	uint8_t spi[4];

	dh_free(task->dh);
	task->dh = task->group != KE_NONE ? dh_new(task->group) : NULL;
	core_random(sa->engine, task->nonce, sizeof(task->nonce));
	request_begin(sa, &box, CREATE_CHILD_SA);
	if (task->old) {
		/* RFC 7296 1.3.3: the SPI that we expect in inbound packets. */
		spi_to_bytes(task->old->spi_in, spi);
		payload_notify_write(&box.m,
			&(struct payload_notify){
				.protocol = child_protocol(task->old), .type = REKEY_SA, .spi = {spi, sizeof(spi)}});
	}
	child_write_offer(&box.m, task->child, task->dh, task->nonce);
	request_send(sa, &box, now);
}

static void start(struct ike_sa *sa, enum task_kind kind, uint32_t index, struct child_sa *old, uint64_t now)
{
	struct child_sa *child = child_new(sa, index);

	sa->task = (struct task){
		.kind = kind, .child = child, .old = old, .group = proposals_first_ke(&child->config->proposals)};
	send_offer(sa, now);
}

void child_request_create(struct ike_sa *sa, uint32_t index, uint64_t now)
{
	if (child_is_barred(sa, index)) {
		conn_child_failed(sa->conn, index, now);
		return;
	}
	start(sa, TASK_CHILD_CREATE, index, NULL, now);
}

void child_request_rekey(struct ike_sa *sa, struct child_sa *old, uint64_t now)
{
	old->want_rekey = false;
	start(sa, TASK_CHILD_REKEY, old->index, old, now);
}

/* RFC 7296 1.3: the peer wants another group; try again with it if we have offered it. */
static bool retry_with_group(struct ike_sa *sa, const struct payload_notify *notify, uint64_t now)
{
	struct reader r = reader_of(notify->data.data, notify->data.len);
	uint16_t group = read_u16(&r);
	struct task *task = &sa->task;

	if (!reader_done(&r) || !task->child || group == task->group ||
		!proposals_have_ke(&task->child->config->proposals, group) || task->retries++ >= IKE_INIT_RETRIES_MAX)
		return false;
	task->group = group;
	send_offer(sa, now);
	return true;
}

/* RFC 7296 2.25: wait, then try again; for minutes on end it means that we are out of step: close. */
static void temporary_failure(struct ike_sa *sa, struct task *task, uint64_t now)
{
	if (!sa->temporary_since)
		sa->temporary_since = now;
	else if (now - sa->temporary_since > IKE_TEMPORARY_MAX_NS)
		sa->want_delete = true;
	if (task->old && task->old->state == CHILD_UP)
		task->old->rekey_at = now + IKE_REKEY_RETRY_NS + core_jitter(sa->engine, IKE_REKEY_RETRY_NS);
	else if (!task->old && task->child)
		conn_child_failed(sa->conn, task->child->index, now);
}

static void refused(struct ike_sa *sa, struct task *task, uint16_t type, uint64_t now)
{
	struct child_sa *old = task->old;

	if (type == TEMPORARY_FAILURE) {
		temporary_failure(sa, task, now);
		return;
	}
	/* RFC 7296 2.8.1: the peer's own rekey was done before ours came; nothing is wrong. */
	if (task->kind == TASK_CHILD_REKEY && (!old || task->rival))
		return;
	if (old && type == CHILD_SA_NOT_FOUND) {
		/* RFC 7296 2.25: silently delete it, and make a new one from scratch. */
		uint32_t index = old->index;

		child_free(old, true, now);
		conn_want(sa->conn, index, true);
		return;
	}
	effects_event(&sa->engine->effects, type == TS_UNACCEPTABLE ? EVENT_TS_MISMATCH : EVENT_PROPOSAL_MISMATCH,
		ike_sa_conn_name(sa), task->child ? task->child->config->name : "", &sa->remote,
		"CHILD SA not %s: the peer answered %s", old ? "rekeyed" : "made", notify_name(type));
	if (old)
		old->rekey_at = now + IKE_REKEY_RETRY_NS;
	else if (task->child)
		conn_child_failed(sa->conn, task->child->index, now);
}

static bool shared_secret(const struct task *task, const struct ike_message *message, const struct suite *suite,
	uint8_t shared[static DH_SHARED_MAX], size_t *len)
{
	const struct payload *payload = message_find(message, PAYLOAD_KE);
	struct payload_ke ke;

	*len = 0;
	if (!suite->ke.type || suite->ke.id == KE_NONE)
		return !payload || !task->dh;
	if (!payload || !payload_ke_read(payload->body, &ke) || !task->dh || ke.group != dh_group(task->dh) ||
		ke.group != suite->ke.id)
		return false;
	*len = dh_compute(task->dh, ke.value, shared);
	return *len != 0;
}

/* Check the answer and derive keys. */
static bool complete(struct task *task, const struct ike_message *message)
{
	const struct payload *nonce = message_find(message, PAYLOAD_NONCE);
	uint8_t shared[DH_SHARED_MAX];
	struct bytes nr;
	size_t len = 0;
	bool good;

	if (!nonce || !payload_nonce_read(nonce->body, &nr) || !child_accept(task->child, message, false))
		return false;
	good = shared_secret(task, message, &task->child->suite, shared, &len) &&
	       child_derive(task->child, (struct bytes){shared, len}, (struct bytes){task->nonce, sizeof(task->nonce)},
		       nr, true);
	secret_wipe(shared, sizeof(shared));
	return good;
}

static struct bytes low_nonce(const struct child_sa *child)
{
	return (struct bytes){child->low_nonce, child->low_nonce_len};
}

/* Our rekey is through. RFC 7296 2.8: use the new one, delete the old one. */
static void rekeyed(struct ike_sa *sa, struct task *task, uint64_t now)
{
	struct child_sa *child = task->child, *old = task->old, *rival = task->rival;

	/* 2.8.1: both rekeyed at once; the one made with the lowest of the four nonces goes, closed by who made it. */
	if (rival && nonce_compare(low_nonce(child), low_nonce(rival)) < 0) {
		child_install_in(child, now);
		child->want_delete = true;
		return;
	}
	if (old)
		child_replace(old, child);
	child_install_in(child, now);
	child_install_out(child, now);
	if (rival) {
		/* The peer deletes it; until then it only listens. */
		if (rival->out_installed)
			child_stop_out(rival, now);
		child_replace(rival, child);
		child_set_replaced(child, old ? old->child_id : rival->child_id);
	}
	if (old)
		old->want_delete = true;
	(void)sa;
}

/* The peer has agreed, and so have we; now it is to be used. */
static void settled(struct ike_sa *sa, struct task *task, uint64_t now)
{
	sa->temporary_since = 0;
	if (task->kind == TASK_CHILD_REKEY) {
		rekeyed(sa, task, now);
	} else {
		child_install_in(task->child, now);
		child_install_out(task->child, now);
	}
}

/* RFC 7296 2.21: what the peer has made is of no use here, so it is deleted. */
static void withdraw(struct ike_sa *sa, struct task *task, uint64_t now)
{
	if (!task->old)
		conn_child_failed(sa->conn, task->child->index, now);
	else
		task->old->rekey_at = now + IKE_REKEY_RETRY_NS;
	task->child->want_delete = true;
}

enum verdict child_response(struct ike_sa *sa, const struct input_data *in)
{
	struct task task = sa->task;
	struct payload_notify notify;

	if (task.kind == TASK_IKE_REKEY)
		return rekey_response(sa, in);
	request_clear(sa);
	if (message_find_notify(in->message, INVALID_KE_PAYLOAD, &notify) && retry_with_group(sa, &notify, in->now))
		return VERDICT_NEXT;
	task = sa->task;
	sa->task = (struct task){0};
	if (task.child && message_find_error(in->message, &notify)) {
		refused(sa, &task, notify.type, in->now);
		child_free(task.child, true, in->now);
	} else if (task.child && !complete(&task, in->message)) {
		core_count(sa->engine, IKE_COUNTER_PAYLOAD_BAD);
		withdraw(sa, &task, in->now);
	} else if (task.child && child_admit(task.child, task.old) != NOTIFY_NONE) {
		withdraw(sa, &task, in->now);
	} else if (task.child) {
		settled(sa, &task, in->now);
	}
	dh_free(task.dh);
	secret_wipe(&task, sizeof(task));
	return VERDICT_NEXT;
}

/* ---- responder ------------------------------------------------------------------------------------------------ */
/* RFC 7296 2.25.2: nothing new on an IKE SA that is being rekeyed or closed. */
static bool is_busy(const struct ike_sa *sa)
{
	return sa->state != IKE_UP || sa->want_delete || sa->task.kind == TASK_IKE_REKEY ||
	       sa->task.kind == TASK_IKE_DELETE;
}

/* The one that REKEY_SA names. NOTIFY_NONE: `*old` is it, or NULL if this is no rekey. */
static enum notify find_old(struct ike_sa *sa, const struct payload_notify *rekey, bool is_rekey, struct child_sa **old)
{
	*old = NULL;
	if (!is_rekey)
		return NOTIFY_NONE;
	if (rekey->spi.len == 4)
		*old = child_by_spi_out(sa, rekey->protocol, spi_from_bytes(rekey->spi));
	if (!*old)
		return CHILD_SA_NOT_FOUND;
	/* RFC 7296 2.25.1: being closed, by a DELETE or because its successor is already there. */
	if ((*old)->state == CHILD_DELETING || (*old)->want_delete || ((*old)->successor && sa->task.old != *old))
		return TEMPORARY_FAILURE;
	return NOTIFY_NONE;
}

/* Compute our half of the exchange. INVALID_KE_PAYLOAD: `child` was made, but the peer's KE is of another group. */
static enum notify agree(
	struct child_sa *child, const struct ike_message *message, const uint8_t *nonce, struct dh **dh)
{
	const struct payload *ke_payload = message_find(message, PAYLOAD_KE);
	const struct payload *nonce_payload = message_find(message, PAYLOAD_NONCE);
	uint8_t shared[DH_SHARED_MAX];
	struct payload_ke ke;
	struct bytes ni;
	size_t len = 0;
	bool good;

	*dh = NULL;
	if (!payload_nonce_read(nonce_payload->body, &ni) || (ke_payload && !payload_ke_read(ke_payload->body, &ke)))
		return INVALID_SYNTAX;
	if (child->suite.ke.type && child->suite.ke.id != KE_NONE) {
		if (!ke_payload || ke.group != child->suite.ke.id)
			return INVALID_KE_PAYLOAD;
		*dh = dh_new(ke.group);
		len = *dh ? dh_compute(*dh, ke.value, shared) : 0;
		if (!len)
			return INVALID_SYNTAX;
	}
	good = child_derive(child, (struct bytes){shared, len}, ni, (struct bytes){nonce, IKE_NONCE_LEN}, false);
	secret_wipe(shared, sizeof(shared));
	return good ? NOTIFY_NONE : NO_PROPOSAL_CHOSEN;
}

static void refuse(
	struct ike_sa *sa, enum notify notify, const struct payload_notify *rekey, const struct child_sa *child)
{
	uint8_t group[2] = {0};
	struct outbox box;

	response_begin(sa, &box, CREATE_CHILD_SA);
	if (notify == CHILD_SA_NOT_FOUND) {
		/* RFC 7296 2.25: with the SPI copied from REKEY_SA. */
		payload_notify_write(
			&box.m, &(struct payload_notify){
					.protocol = rekey->protocol, .type = CHILD_SA_NOT_FOUND, .spi = rekey->spi});
	} else if (notify == INVALID_KE_PAYLOAD && child) {
		group[0] = (uint8_t)(child->suite.ke.id >> 8);
		group[1] = (uint8_t)child->suite.ke.id;
		payload_notify_write_data(&box.m, INVALID_KE_PAYLOAD, group, sizeof(group));
	} else {
		payload_notify_write_data(&box.m, (uint16_t)notify, NULL, 0);
	}
	response_send(sa, &box);
}

/* RFC 7296 2.8: ready to receive before the answer leaves; sending waits until the peer is known to be. */
static void answer(struct ike_sa *sa, struct child_sa *child, struct child_sa *old, const struct dh *dh,
	const uint8_t *nonce, uint64_t now)
{
	struct outbox box;

	child->answered_id = sa->next_in;
	if (old) {
		if (sa->task.kind == TASK_CHILD_REKEY && sa->task.old == old) {
			sa->task.rival = child; /* 2.25.1: answer as usual, sort it out when our own answer is there */
			child_set_replaced(child, old->child_id);
			old->successor = child;
		} else {
			child_replace(old, child);
		}
	}
	child_install_in(child, now);
	response_begin(sa, &box, CREATE_CHILD_SA);
	child_write_answer(&box.m, child, dh, nonce);
	response_send(sa, &box);
	if (child->replaces)
		child->switch_at = now + IKE_LINGER_NS;
	else
		child_install_out(child, now);
}

enum verdict child_request(struct ike_sa *sa, const struct input_data *in)
{
	struct payload_notify rekey = {0};
	bool is_rekey = message_find_notify(in->message, REKEY_SA, &rekey);
	const struct payload *sa_payload = message_find(in->message, PAYLOAD_SA);
	struct child_sa *child = NULL, *old = NULL;
	uint8_t nonce[IKE_NONCE_LEN];
	struct proposal_list offered;
	struct dh *dh = NULL;
	enum notify notify;

	if (!payload_sa_read(sa_payload->body, &offered))
		return VERDICT_SYNTAX;
	if (offered.count && offered.items[0].protocol == PROTOCOL_IKE && !is_rekey) {
		rekey_request(sa, in);
		return VERDICT_NEXT;
	}
	notify = is_busy(sa) ? TEMPORARY_FAILURE : find_old(sa, &rekey, is_rekey, &old);
	if (notify == NOTIFY_NONE)
		notify = child_choose(sa, in->message, old, false, &child);
	if (notify == NOTIFY_NONE) {
		core_random(sa->engine, nonce, sizeof(nonce));
		notify = agree(child, in->message, nonce, &dh);
	}
	if (notify == NOTIFY_NONE)
		answer(sa, child, old, dh, nonce, in->now);
	else if (notify != INVALID_SYNTAX)
		refuse(sa, notify, &rekey, child);
	if (notify != NOTIFY_NONE && child)
		child_free(child, true, in->now);
	dh_free(dh);
	return notify == INVALID_SYNTAX ? VERDICT_SYNTAX : VERDICT_NEXT;
}
