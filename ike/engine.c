/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's doors: datagrams, time, answers and commands in; effects out. What is inside is reached through the
 * transition table. */
#include "ike/engine.h"

#include "agent/base/secret.h"
#include "ike/core.h"
#include "ike/exchange.h"
#include "ike/memory.h"

#include <errno.h>

#define KEEPALIVE_BYTE 0xffu

void engine_config_free(struct engine_config *config)
{
	if (!config)
		return;
	for (uint32_t i = 0; i < config->conn_count; i++)
		free(config->conns[i].children);
	free(config->conns);
	free(config);
}

/* ---- settle --------------------------------------------------------------------------------------------------- */
/* Whatever a call has stirred is looked at before it returns: exchanges start, timers are set, the dead are freed. */
void core_settle(struct ike_engine *engine, uint64_t now)
{
	while (engine->dirty || engine->dirty_conns) {
		struct ike_sa *sa = engine->dirty;
		struct conn *conn = engine->dirty_conns;

		if (sa) {
			engine->dirty = sa->next_dirty;
			sa->dirty = false;
			ike_sa_settle(sa, now);
			continue;
		}
		engine->dirty_conns = conn->next_dirty;
		conn->dirty = false;
		conn_settle(conn, now);
	}
}

void core_enter(struct ike_engine *engine)
{
	effects_forget(&engine->effects);
	if (engine->retired && !engine->effects.first) {
		engine_config_free(engine->retired);
		engine->retired = NULL;
	}
}

struct ike_engine *engine_new(struct engine_config *config, engine_random_fn random, void *random_context, uint64_t now)
{
	struct ike_engine *engine = memory_new(1, sizeof(*engine));
	struct conn **end = &engine->conns;

	engine->config = config;
	engine->random = random;
	engine->random_context = random_context;
	engine->next_request = 1;
	engine->next_child_id = 1;
	engine->hash_seed = core_random_u64(engine) | 1;
	for (uint32_t i = 0; i < config->conn_count; i++) {
		*end = conn_new(engine, &config->conns[i]);
		conn_touch(*end);
		end = &(*end)->next;
	}
	core_settle(engine, now);
	return engine;
}

void engine_free(struct ike_engine *engine)
{
	if (!engine)
		return;
	engine->shut = true;
	while (engine->sas)
		ike_sa_free(engine->sas, 0);
	while (engine->graves) {
		struct grave *grave = engine->graves;

		engine->graves = grave->next;
		free(grave);
	}
	while (engine->conns) {
		struct conn *conn = engine->conns;

		engine->conns = conn->next;
		conn_free(conn);
	}
	schedule_clear(&engine->schedule);
	effects_clear(&engine->effects);
	engine_config_free(engine->config);
	engine_config_free(engine->retired);
	secret_wipe(engine, sizeof(*engine));
	free(engine);
}

void engine_admit(struct ike_engine *engine, engine_admit_fn admit, void *context)
{
	engine->admit = admit;
	engine->admit_context = context;
}

/* ---- a datagram ----------------------------------------------------------------------------------------------- */
struct arrival {
	struct ike_engine *engine;
	const struct endpoint *local, *remote;
	struct ike_message message;
	uint64_t now;
};

static bool is_response(const struct ike_header *header)
{
	return header->flags & IKE_FLAG_RESPONSE;
}

/* RFC 7296 2.5: a request of a higher major version is told ours. */
static void bad_header(const struct arrival *in, enum parse_error error)
{
	const struct ike_header *header = &in->message.header;
	bool higher = error == PARSE_VERSION && header->version >> 4 > IKE_VERSION >> 4;

	core_count(in->engine,
		error == PARSE_CHAIN || error == PARSE_TOO_MANY ? IKE_COUNTER_PAYLOAD_BAD : IKE_COUNTER_HEADER_BAD);
	if (higher && !is_response(header) && core_may_answer_unprotected(in->engine, in->now))
		exchange_refuse(in->engine, in->local, in->remote, header, INVALID_MAJOR_VERSION, NULL, 0);
}

static void recv_init(struct arrival *in)
{
	const struct ike_header *header = &in->message.header;
	struct ike_sa *sa;

	if (!is_response(header)) {
		if (header->spi_r || !header->spi_i || header->message_id || !(header->flags & IKE_FLAG_INITIATOR))
			core_count(in->engine, IKE_COUNTER_HEADER_BAD);
		else
			exchange_init_request(in->engine, in->local, in->remote, &in->message, in->now);
		return;
	}
	sa = core_find_spi(in->engine, header->spi_i);
	if (!sa || !sa->initiator || header->flags & IKE_FLAG_INITIATOR || header->message_id) {
		core_count(in->engine, IKE_COUNTER_SPI_UNKNOWN);
		return;
	}
	if (!transition_run(sa, INPUT_INIT_RESPONSE, &(struct input_data){.message = &in->message, .now = in->now}))
		core_count(in->engine, IKE_COUNTER_MESSAGE_ID_BAD);
}

static struct ike_sa *find_sa(const struct arrival *in)
{
	const struct ike_header *header = &in->message.header;
	bool from_initiator = header->flags & IKE_FLAG_INITIATOR;
	struct ike_sa *sa = core_find_spi(in->engine, from_initiator ? header->spi_r : header->spi_i);

	if (!sa || sa->initiator == from_initiator || sa->spi_i != header->spi_i || sa->spi_r != header->spi_r ||
		!sa->keyed)
		return NULL;
	return sa;
}

static enum input input_of(const struct ike_header *header)
{
	bool response = is_response(header);

	switch (header->exchange) {
	case IKE_AUTH:
		return response ? INPUT_AUTH_RESPONSE : INPUT_AUTH_REQUEST;
	case CREATE_CHILD_SA:
		return response ? INPUT_CHILD_RESPONSE : INPUT_CHILD_REQUEST;
	default:
		return response ? INPUT_INFO_RESPONSE : INPUT_INFO_REQUEST;
	}
}

/* RFC 7296 2.1, 2.2, 2.3: the window is one message each way. False: not the next one; a request seen before gets its
 * answer again. */
static bool in_window(struct ike_sa *sa, const struct arrival *in)
{
	const struct ike_header *header = &in->message.header;

	if (is_response(header)) {
		if (sa->request.bytes && sa->request.id == header->message_id &&
			sa->request.exchange == header->exchange)
			return true;
	} else {
		if (header->message_id == sa->next_in)
			return true;
		if (header->message_id + 1 == sa->next_in && sa->response.data) {
			core_count(in->engine, IKE_COUNTER_RETRANSMIT_SEEN);
			effects_send(&in->engine->effects, in->local, in->remote, blob_bytes(&sa->response));
			return false;
		}
	}
	core_count(in->engine, IKE_COUNTER_MESSAGE_ID_BAD);
	return false;
}

/* RFC 7296 2.21.3: authentic, but malformed: fatal on both sides. */
static void malformed(struct ike_sa *sa, const struct arrival *in)
{
	core_count(in->engine, IKE_COUNTER_PAYLOAD_BAD);
	if (!is_response(&in->message.header))
		response_notify(sa, in->message.header.exchange, INVALID_SYNTAX, NULL, 0);
	ike_sa_lost(sa, "a malformed message of the peer", in->now);
	transition_end(sa);
}

/* RFC 7296 2.5: a request with a critical payload that is not known is refused whole; in a response it counts as
 * malformed. */
static bool refuse_critical(struct ike_sa *sa, const struct arrival *in)
{
	const struct payload *unknown = message_unknown_critical(&in->message);

	if (!unknown)
		return false;
	core_count(in->engine, IKE_COUNTER_CRITICAL_UNKNOWN);
	if (is_response(&in->message.header)) {
		malformed(sa, in);
		return true;
	}
	response_notify(sa, in->message.header.exchange, UNSUPPORTED_CRITICAL_PAYLOAD, &unknown->type, 1);
	if (sa->state < IKE_UP)
		transition_end(sa);
	return true;
}

/*
 * A new request of the peer's shows that it has the answers to all before (its window is one): it listens on what they
 * made (RFC 7296 2.8).
 */
static void switch_children(struct ike_sa *sa, uint32_t request_id, uint64_t now)
{
	for (struct child_sa *child = sa->children; child; child = child->next)
		if (child->state == CHILD_IN_LIVE && !child->want_delete && child->answered_id < (int64_t)request_id)
			child_install_out(child, now);
}

static void run(struct ike_sa *sa, const struct arrival *in)
{
	const struct ike_header *header = &in->message.header;
	struct input_data data = {.message = &in->message, .now = in->now};

	ike_sa_follow(sa, in->local, in->remote);
	if (sa->probe_at != TIME_NEVER)
		sa->probe_at = in->now + sa->conn->config->dpd_ns;
	ike_sa_touch(sa);
	if (refuse_critical(sa, in))
		return;
	if (!transition_run(sa, input_of(header), &data)) {
		/* Allowed by its id, but not now: a request must be answered all the same (2.21.3). */
		core_count(in->engine, IKE_COUNTER_EXCHANGE_BAD);
		if (!is_response(header) && sa->state >= IKE_UP)
			response_notify(sa, header->exchange, INVALID_SYNTAX, NULL, 0);
		return;
	}
	if (!is_response(header) && sa->state != IKE_DEAD)
		switch_children(sa, header->message_id, in->now);
}

static void recv_protected(struct arrival *in)
{
	uint8_t buffer[IKE_MESSAGE_MAX];
	struct ike_sa *sa = find_sa(in);
	enum parse_error error;
	bool authentic = false;

	if (!sa || sa->state == IKE_DEAD) {
		core_count(in->engine, IKE_COUNTER_SPI_UNKNOWN);
		return;
	}
	error = message_open(&in->message, sa->initiator ? &sa->keys.r : &sa->keys.i, buffer, &authentic);
	if (!authentic)
		core_count(in->engine, error == PARSE_INTEGRITY ? IKE_COUNTER_INTEGRITY_BAD : IKE_COUNTER_PAYLOAD_BAD);
	else if (!in_window(sa, in))
		;
	else if (error != PARSE_OK)
		malformed(sa, in);
	else if (sa->auth_request && !is_response(&in->message.header))
		core_count(in->engine, IKE_COUNTER_RETRANSMIT_SEEN); /* the keeper is still at it */
	else
		run(sa, in);
	secret_wipe(buffer, sizeof(buffer));
}

static void recv_message(struct arrival *in)
{
	switch (in->message.header.exchange) {
	case IKE_SA_INIT:
		recv_init(in);
		return;
	case IKE_AUTH:
	case CREATE_CHILD_SA:
	case INFORMATIONAL:
		recv_protected(in);
		return;
	default:
		core_count(in->engine, IKE_COUNTER_EXCHANGE_BAD);
	}
}

void engine_recv(struct ike_engine *engine, const struct endpoint *local, const struct endpoint *remote,
	struct bytes datagram, uint64_t now)
{
	struct arrival in = {.engine = engine, .local = local, .remote = remote, .now = now};
	enum parse_error error;

	core_enter(engine);
	core_count(engine, IKE_COUNTER_RECEIVED);
	if (datagram.len == 1 && datagram.data[0] == KEEPALIVE_BYTE)
		return;
	if (datagram.len > IKE_MESSAGE_MAX) {
		core_count(engine, IKE_COUNTER_HEADER_BAD);
		return;
	}
	error = message_read(datagram, &in.message);
	if (error == PARSE_OK)
		recv_message(&in);
	else if (error == PARSE_SHORT)
		core_count(engine, IKE_COUNTER_HEADER_BAD);
	else
		bad_header(&in, error);
	core_settle(engine, now);
}

/* ---- time and answers ----------------------------------------------------------------------------------------- */
static void raise_grave(struct ike_engine *engine, struct grave *grave)
{
	struct grave **at = &engine->graves;

	while (*at != grave)
		at = &(*at)->next;
	*at = grave->next;
	effects_remove(&engine->effects, EFFECT_REMOVE_IN, grave->child_id, grave->keep_policy);
	schedule_set(&engine->schedule, &grave->timer, TIME_NEVER);
	free(grave);
}

void engine_tick(struct ike_engine *engine, uint64_t now)
{
	struct timer *timer;

	core_enter(engine);
	for (timer = schedule_due(&engine->schedule, now); timer; timer = schedule_due(&engine->schedule, now)) {
		if (timer->kind == TIMER_IKE_SA)
			ike_sa_tick(timer->owner, now);
		else if (timer->kind == TIMER_CONN)
			conn_touch(timer->owner);
		else
			raise_grave(engine, timer->owner);
	}
	core_settle(engine, now);
}

uint64_t engine_deadline(const struct ike_engine *engine)
{
	return schedule_next(&engine->schedule);
}

void engine_answer(struct ike_engine *engine, uint64_t request, bool ok, struct bytes auth, uint64_t now)
{
	struct input_data in = {.ok = ok, .auth = auth, .now = now};

	core_enter(engine);
	for (struct ike_sa *sa = request ? engine->sas : NULL; sa; sa = sa->next) {
		if (sa->auth_request != request)
			continue;
		sa->auth_request = 0;
		transition_run(sa, INPUT_KEEPER, &in);
		break;
	}
	core_settle(engine, now);
}

bool engine_next(struct ike_engine *engine, struct effect *out)
{
	return effects_next(&engine->effects, out);
}

/* ---- the end -------------------------------------------------------------------------------------------------- */
void engine_shutdown(struct ike_engine *engine, uint64_t now)
{
	core_enter(engine);
	engine->shut = true;
	for (struct ike_sa *sa = engine->sas; sa; sa = sa->next)
		exchange_close_now(sa, now);
	while (engine->graves)
		raise_grave(engine, engine->graves);
	core_settle(engine, now);
}

/* ---- commands ------------------------------------------------------------------------------------------------- */
static bool is_up(const struct conn *conn)
{
	for (const struct ike_sa *sa = conn->engine->sas; sa; sa = sa->next)
		if (sa->conn == conn && sa->state == IKE_UP && !sa->want_delete)
			return true;
	return false;
}

static int command_up(struct conn *conn, int index, bool acquire)
{
	if ((!conn_dialable(conn) && !is_up(conn)) || conn->config->peerless ||
		(index >= 0 && conn->config->children[index].shunt))
		return -EINVAL;
	if (!acquire)
		conn->redial_at = 0;
	for (uint32_t i = 0; i < conn->config->child_count; i++)
		if ((index < 0 || (int)i == index) && !(acquire && conn->children[i].wanted))
			conn_want(conn, i, true);
	return 0;
}

/* Traffic waits: bring the child up, and offer the packet's own selectors first. */
static int command_acquire(struct conn *conn, int index, const struct engine_command *command)
{
	int result = command_up(conn, index, true);

	if (!result && index >= 0) {
		conn->children[index].packet_local = command->packet_local;
		conn->children[index].packet_remote = command->packet_remote;
	}
	return result;
}

static void down_child(struct conn *conn, uint32_t index)
{
	conn_want(conn, index, false);
	for (struct ike_sa *sa = conn->engine->sas; sa; sa = sa->next) {
		for (struct child_sa *child = sa->conn == conn ? sa->children : NULL; child; child = child->next)
			if (child->index == index && child->state != CHILD_CREATED)
				child->want_delete = true;
		ike_sa_touch(sa);
	}
}

static int command_down(struct conn *conn, int index, uint64_t now)
{
	if (index >= 0) {
		down_child(conn, (uint32_t)index);
		return 0;
	}
	for (uint32_t i = 0; i < conn->config->child_count; i++)
		conn_want(conn, i, false);
	for (struct ike_sa *sa = conn->engine->sas; sa; sa = sa->next) {
		if (sa->conn != conn)
			continue;
		if (sa->state < IKE_UP)
			exchange_close_now(sa, now);
		sa->want_delete = true;
		ike_sa_touch(sa);
	}
	return 0;
}

static int command_rekey(struct conn *conn, int index, bool ike)
{
	int result = -ENOENT;

	for (struct ike_sa *sa = conn->engine->sas; sa; sa = sa->next) {
		if (sa->conn != conn || sa->state != IKE_UP)
			continue;
		if (ike) {
			sa->want_rekey = true;
			result = 0;
		}
		for (struct child_sa *child = ike ? NULL : sa->children; child; child = child->next) {
			if (child->state != CHILD_UP || (index >= 0 && child->index != (uint32_t)index))
				continue;
			child->want_rekey = true;
			result = 0;
		}
		ike_sa_touch(sa);
	}
	return result;
}

static int command_child(struct ike_engine *engine, const struct engine_command *command, uint64_t now)
{
	struct child_sa *child = child_by_id(engine, command->child_id);
	struct ike_sa *sa;

	if (!child)
		return -ENOENT;
	sa = child->sa;
	ike_sa_touch(sa);
	if (command->kind == ENGINE_UNUSABLE) {
		child->want_delete = true;
		conn_child_failed(sa->conn, child->index, now);
		return 0;
	}
	if (command->kind == ENGINE_EXPIRE) {
		if (command->hard)
			child->want_delete = true;
		else if (child->state == CHILD_UP)
			child->want_rekey = true;
		return 0;
	}
	/* RFC 7296 2.23, RFC 3948: only a peer behind a NAT moves, and only one that is not behind a NAT itself
	 * follows. */
	if (!sa->nat_remote || sa->nat_local)
		return -EINVAL;
	if (!endpoint_equal(&sa->remote, &command->remote))
		ike_sa_move(sa, &sa->local, &command->remote);
	return 0;
}

static int command_resolved(struct conn *conn, const struct engine_command *command, uint64_t now)
{
	if (!conn->resolving)
		return 0;
	conn->resolving = false;
	conn_touch(conn);
	conn->local = conn->config->local.family != IP_NONE ? conn->config->local : command->local;
	if (command->remote.addr.family == IP_NONE || conn->local.family == IP_NONE) {
		conn_failed(conn, now);
		return 0;
	}
	conn->remote = command->remote.addr;
	return 0;
}

static int command_probe(struct conn *conn)
{
	for (struct ike_sa *sa = conn->engine->sas; sa; sa = sa->next) {
		if (sa->conn != conn || sa->state != IKE_UP)
			continue;
		sa->want_probe = true;
		ike_sa_touch(sa);
	}
	return 0;
}

static int run_command(struct ike_engine *engine, const struct engine_command *command, uint64_t now)
{
	struct conn *conn;
	int index = -1;

	if (command->kind == ENGINE_EXPIRE || command->kind == ENGINE_UNUSABLE || command->kind == ENGINE_PEER_MOVED)
		return command_child(engine, command, now);
	conn = command->conn ? conn_by_name(engine, command->conn) : NULL;
	if (!conn)
		return -ENOENT;
	if (command->child && command->child[0]) {
		index = conn_child_index(conn->config, command->child);
		if (index < 0)
			return -ENOENT;
	}
	switch (command->kind) {
	case ENGINE_UP:
		return command_up(conn, index, false);
	case ENGINE_ACQUIRE:
		return command_acquire(conn, index, command);
	case ENGINE_DOWN:
		return command_down(conn, index, now);
	case ENGINE_REKEY_CHILD:
		return command_rekey(conn, index, false);
	case ENGINE_REKEY_IKE:
		return command_rekey(conn, index, true);
	case ENGINE_RESOLVED:
		return command_resolved(conn, command, now);
	case ENGINE_PROBE:
		return command_probe(conn);
	default:
		return -EINVAL;
	}
}

int engine_command(struct ike_engine *engine, const struct engine_command *command, uint64_t now)
{
	int result;

	core_enter(engine);
	result = run_command(engine, command, now);
	core_settle(engine, now);
	return result;
}
