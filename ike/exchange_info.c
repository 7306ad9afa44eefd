/* SPDX-License-Identifier: Apache-2.0 */
/* INFORMATIONAL: deletes, liveness, notifies that are over and done with by being read (RFC
 * 7296 1.4, 1.4.1, 2.4, 2.25). */
#include "ike/core.h"
#include "ike/exchange.h"
#include "ike/payload/delete.h"

/* ---- requests ------------------------------------------------------------------------------------------------- */
void info_send_child_delete(struct ike_sa *sa, struct child_sa *child, uint64_t now)
{
	struct outbox box;

	child_deleting(child, now);
	sa->task = (struct task){.kind = TASK_CHILD_DELETE, .child = child};
	request_begin(sa, &box, INFORMATIONAL);
	payload_delete_write(&box.m, child_protocol(child), &child->spi_in, 1);
	request_send(sa, &box, now);
}

void info_send_probe(struct ike_sa *sa, uint64_t now)
{
	struct outbox box;

	sa->want_probe = false;
	sa->task = (struct task){.kind = TASK_PROBE};
	request_begin(sa, &box, INFORMATIONAL);
	request_send(sa, &box, now);
}

enum verdict info_send_ike_delete(struct ike_sa *sa, const struct input_data *in)
{
	struct outbox box;

	for (struct child_sa *child = sa->children; child; child = child->next)
		child_deleting(child, in->now);
	sa->task = (struct task){.kind = TASK_IKE_DELETE};
	request_begin(sa, &box, INFORMATIONAL);
	payload_delete_write_ike(&box.m);
	request_send(sa, &box, in->now);
	return VERDICT_NEXT;
}

/* ---- responses ------------------------------------------------------------------------------------------------ */
static void report_child_down(const struct child_sa *child, const char *why)
{
	if (child->successor || child_twin(child))
		return;
	effects_event(&child->sa->engine->effects, EVENT_CHILD_DOWN, ike_sa_conn_name(child->sa), child->config->name,
		&child->sa->remote, "CHILD SA down: %s", why);
}

/* The SA is over and no successor has its CHILD SAs. */
static void report_ike_down(struct ike_sa *sa, const char *why)
{
	if (sa->successor)
		return;
	effects_event(
		&sa->engine->effects, EVENT_IKE_DOWN, ike_sa_conn_name(sa), "", &sa->remote, "IKE SA down: %s", why);
}

static void child_deleted(struct child_sa *child, uint64_t now)
{
	report_child_down(child, "deleted by us");
	child_free(child, child_keeps_policy(child->config), now);
}

enum verdict info_response(struct ike_sa *sa, const struct input_data *in)
{
	struct task task = sa->task;

	request_clear(sa);
	sa->task = (struct task){0};
	switch (task.kind) {
	case TASK_CHILD_DELETE:
		if (task.child)
			child_deleted(task.child, in->now);
		return VERDICT_NEXT;
	case TASK_IKE_DELETE:
		report_ike_down(sa, "deleted by us");
		while (sa->children)
			child_deleted(sa->children, in->now);
		return VERDICT_END;
	default:
		return VERDICT_NEXT;
	}
}

/* ---- the peer's requests -------------------------------------------------------------------------------------- */
/* The peer's DELETE names its inbound SPI, our outbound one. After an IKE rekey the CHILD SAs are the successor's. */
static struct child_sa *find_child(struct ike_sa *sa, uint8_t protocol, uint32_t spi)
{
	for (unsigned hops = 0; sa && hops < 4; sa = sa->successor, hops++) {
		struct child_sa *child = child_by_spi_out(sa, protocol, spi);

		if (child)
			return child;
	}
	return NULL;
}

/* Our inbound SPIs of one protocol, for the answer. */
struct deleted {
	uint16_t count;
	uint32_t spis[IKE_CHILDREN_MAX];
};

/* Close both halves; our inbound SPI goes into the answer, unless our own DELETE is on its way (1.4.1). */
static void delete_child(struct child_sa *child, struct deleted *deleted, uint64_t now)
{
	bool keep = child_keeps_policy(child->config) || child->config->close_action != CHILD_NONE;

	if (child->state == CHILD_DELETING) {
		child_stop_out(child, now);
		return;
	}
	deleted->spis[deleted->count++] = child->spi_in;
	if (!child->successor && !child_twin(child) && (child->state == CHILD_UP || child->state == CHILD_IN_LIVE)) {
		report_child_down(child, "deleted by the peer");
		conn_child_lost(child->sa->conn, child->index, child->config->close_action);
	}
	child_free(child, keep, now);
}

struct info_request {
	bool delete_ike;
	bool over; /* AUTHENTICATION_FAILED or INVALID_SYNTAX: the peer has already dropped the IKE SA (2.21.2, 2.21.3)
		    */
	struct deleted esp, ah;
};

static bool read_delete(struct ike_sa *sa, const struct payload *payload, struct info_request *request, uint64_t now)
{
	struct payload_delete delete_;
	struct deleted *deleted;

	if (!payload_delete_read(payload->body, &delete_))
		return false;
	if (delete_.protocol == PROTOCOL_IKE)
		request->delete_ike = true;
	if (delete_.protocol != PROTOCOL_ESP && delete_.protocol != PROTOCOL_AH)
		return true;
	deleted = delete_.protocol == PROTOCOL_AH ? &request->ah : &request->esp;
	for (unsigned i = 0; i < delete_.count && deleted->count < IKE_CHILDREN_MAX; i++) {
		struct child_sa *child = find_child(sa, delete_.protocol, payload_delete_spi(&delete_, i));

		if (child)
			delete_child(child, deleted, now);
	}
	return true;
}

static void read_notify(const struct payload *payload, struct info_request *request)
{
	struct payload_notify notify;

	if (payload_notify_read(payload->body, &notify) &&
		(notify.type == AUTHENTICATION_FAILED || notify.type == INVALID_SYNTAX))
		request->over = true;
}

/* RFC 7296 2.8.2: the peer deletes an IKE SA that both rekey; it did not notice, so ours is forgotten and its new one
 * carries on. */
static void settle_rekey(struct ike_sa *sa)
{
	struct ike_sa *heir = sa->task.kind == TASK_IKE_REKEY ? sa->task.heir : NULL;

	if (!heir)
		return;
	sa->successor = heir;
	ike_sa_move_children(sa, heir);
}

static void respond(struct ike_sa *sa, const struct info_request *request)
{
	struct outbox box;

	response_begin(sa, &box, INFORMATIONAL);
	if (request->esp.count)
		payload_delete_write(&box.m, PROTOCOL_ESP, request->esp.spis, request->esp.count);
	if (request->ah.count)
		payload_delete_write(&box.m, PROTOCOL_AH, request->ah.spis, request->ah.count);
	response_send(sa, &box);
}

enum verdict info_request(struct ike_sa *sa, const struct input_data *in)
{
	struct info_request request = {0};

	for (unsigned i = 0; i < in->message->count; i++) {
		const struct payload *payload = &in->message->payloads[i];

		if (payload->type == PAYLOAD_DELETE && !read_delete(sa, payload, &request, in->now))
			return VERDICT_SYNTAX;
		if (payload->type == PAYLOAD_NOTIFY)
			read_notify(payload, &request);
	}
	if (request.delete_ike)
		request.esp.count = request.ah.count = 0; /* 1.4.1: the answer is empty */
	respond(sa, &request);
	if (!request.delete_ike && !request.over)
		return VERDICT_NEXT;
	settle_rekey(sa);
	report_ike_down(
		sa, request.over ? "the peer reports that authentication or syntax failed" : "deleted by the peer");
	ike_sa_drop_children(sa, false, "the peer closed the IKE SA", in->now);
	return VERDICT_END;
}
