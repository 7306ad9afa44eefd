/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/turn.h"

#include "agent/base/clock.h"
#include "agent/forward.h"
#include "agent/in.h"
#include "agent/join.h"
#include "agent/out.h"

#define SWEEP_NS       NS_PER_S
#define SAS_SWEEP_NS   NS_PER_MS
#define SAS_SWEEP_STEP 128u		 /* SAs looked at in a millisecond: 100,000 take less than a second */
#define SAS_STEPS_MAX  32u		 /* after a sleep */
#define CHOKED_NS      (100 * NS_PER_MS) /* longer than the scheduler leaves a thread waiting */
#define PREFETCH_AHEAD 4u		 /* packets */
#define HOST_ASK_NS    (20 * NS_PER_US)
#define LEND_STEP      16u /* packets that begin before their jobs are published: as many as the widest engine's lanes */

/* ---- bundles ------------------------------------------------------------------------------------------------- */

/* The packets from `first` on, whose jobs are done, end. */
static void turn_end_sealed(struct worker *worker, struct bundle *bundle, uint32_t first, uint32_t end)
{
	uint32_t run;

	for (; first < end; first += run) {
		run = bundle_run(bundle, first, end);
		out_end(worker, bundle->slots[first], &bundle->frames[first], &bundle->jobs[first], run);
	}
}

static void turn_end_opened(struct worker *worker, struct bundle *bundle, uint32_t first, uint32_t end)
{
	uint32_t run;

	for (; first < end; first += run) {
		run = bundle_run(bundle, first, end);
		in_end(worker, bundle->slots[first], &bundle->frames[first], &bundle->jobs[first], run);
	}
}

/* A bundle of which jobs were lent: the rest is published too, and a chunk's packets end as soon as its jobs and those
 * before it are done, whoever did them. */
static void turn_end_lent(struct worker *worker, enum loan_kind kind,
	void (*end)(struct worker *worker, struct bundle *bundle, uint32_t first, uint32_t end))
{
	struct loan *loan = &worker->board->loans[worker->index][kind];
	struct bundle *bundle = loan->bundle;

	loan_publish(loan, true);
	for (uint32_t first = 0; first < bundle->lent; first += LOAN_CHUNK) {
		lend_wait(worker, loan, first);
		end(worker, bundle, first, bundle->lent - first < LOAN_CHUNK ? bundle->lent : first + LOAN_CHUNK);
	}
	lend_close(worker, loan);
}

static void turn_seal(struct worker *worker, struct bundle *bundle)
{
	if (worker->board)
		lend_count(worker, bundle);
	if (bundle->lent) {
		turn_end_lent(worker, LOAN_SEALING, turn_end_sealed);
	} else {
		esp_jobs_seal(bundle->jobs, bundle->count);
		turn_end_sealed(worker, bundle, 0, bundle->count);
	}
	bundle->count = 0;
}

static void turn_open(struct worker *worker, struct bundle *bundle)
{
	if (worker->board)
		lend_count(worker, bundle);
	if (bundle->lent) {
		turn_end_lent(worker, LOAN_OPENING, turn_end_opened);
	} else {
		esp_jobs_open(bundle->jobs, bundle->count);
		turn_end_opened(worker, bundle, 0, bundle->count);
	}
	bundle->count = 0;
}

struct bundle *turn_sealing(struct worker *worker)
{
	if (worker->sealing.count == BUNDLE_MAX)
		turn_seal(worker, &worker->sealing);
	return &worker->sealing;
}

struct bundle *turn_opening(struct worker *worker)
{
	if (worker->opening.count == BUNDLE_MAX)
		turn_open(worker, &worker->opening);
	return &worker->opening;
}

/* ---- one turn ------------------------------------------------------------------------------------------------ */

/* Every packet of a batch begins. */
static void turn_begin(struct worker *worker, struct frame *frames, uint32_t count)
{
	worker->way_out = worker->way_in = (struct worker_way){0};
	for (uint32_t i = 0; i < count && i < PREFETCH_AHEAD; i++)
		__builtin_prefetch(frames[i].data);
	for (uint32_t i = 0; i < count; i++) {
		struct frame *frame = &frames[i];
		enum drop_reason reason;

		if (i + PREFETCH_AHEAD < count)
			__builtin_prefetch(frames[i + PREFETCH_AHEAD].data);
		if (frame->meta.kind == META_ESP_IN)
			reason = in_begin(worker, frame);
		else if (frame->meta.kind == META_PLAIN_OUT)
			reason = out_begin(worker, frame);
		else if (frame->meta.kind == META_AH_IN)
			reason = in_ah(worker, frame);
		else if (frame->meta.kind == META_ICMP_IN)
			reason = in_icmp(worker, frame);
		else if (frame->meta.kind == META_FRAGMENT_IN)
			reason = in_fragment(worker, frame);
		else if (frame->meta.kind == META_DUMMY_OUT)
			reason = out_dummy(worker, frame);
		else if (frame->meta.kind == META_HOST_FRAGMENT)
			reason = out_join(worker, frame);
		else if (frame->meta.kind == META_REFUSED)
			reason = (enum drop_reason)frame->meta.index;
		else
			reason = DROP_XDP_ERROR;
		if (reason)
			worker_drop(worker, frame, reason);
	}
}

/* The same for a batch of which others may do a part: what has begun is published in steps, so that they have work
 * while the rest begins. */
static void turn_begin_lending(struct worker *worker, struct frame *frames, uint32_t count)
{
	struct loan *loans = worker->board->loans[worker->index];

	for (uint32_t first = 0; first < count; first += LEND_STEP) {
		turn_begin(worker, &frames[first], count - first < LEND_STEP ? count - first : LEND_STEP);
		loan_publish(&loans[LOAN_SEALING], false);
		loan_publish(&loans[LOAN_OPENING], false);
	}
}

static void turn_batch(struct worker *worker, struct frame *frames, uint32_t count)
{
	if (worker->lending.willing && lend_wanted(worker, count))
		turn_begin_lending(worker, frames, count);
	else
		turn_begin(worker, frames, count);
}

/* What has begun ends; nothing is left in a bundle. */
static void turn_end(struct worker *worker)
{
	if (worker->opening.count)
		turn_open(worker, &worker->opening);
	if (worker->sealing.count)
		turn_seal(worker, &worker->sealing);
}

/* What other workers gave this one to number and seal. */
static uint32_t turn_take_handed(struct worker *worker)
{
	struct frame frames[PORT_BATCH];
	uint32_t received = 0;

	for (uint32_t giver = 0; giver < worker->shared->worker_count; giver++) {
		struct handover *ring = atomic_load_explicit(&worker->inbox[giver], memory_order_acquire);
		uint32_t count = ring ? handover_take(ring, frames, PORT_BATCH) : 0;

		turn_batch(worker, frames, count);
		received += count;
	}
	return received;
}

/* Does a queue that this worker sends on want no more for a moment? Then packets wait where they are, and none is taken
 * that would have to die. Not for ever: with one way out stopped, the others' packets stand too. */
static bool turn_choked(struct worker *worker)
{
	for (uint32_t pending = worker->flush_pending; pending; pending &= pending - 1) {
		struct port *port = worker->ports[__builtin_ctz(pending)];

		if (!port || !atomic_load_explicit(&port_send_queue(port, worker->index)->choked, memory_order_relaxed))
			continue;
		if (!worker->choked_ns)
			worker->choked_ns = worker->now_ns;
		return worker->now_ns - worker->choked_ns < CHOKED_NS;
	}
	worker->choked_ns = 0;
	return false;
}

static uint32_t turn_receive_port(struct worker *worker, struct port *port)
{
	struct frame frames[PORT_BATCH];
	uint32_t received = 0;

	for (uint32_t i = worker->index; i < port->queue_count; i += worker->shared->worker_count) {
		uint32_t count = port_recv(port->queues[i], frames, PORT_BATCH);

		turn_batch(worker, frames, count);
		port_refill(port->queues[i], &worker->cache);
		received += count;
	}
	return received;
}

/* The host device is asked by a system call, found empty mostly while others are busy: then it is not asked in every
 * turn. */
static bool turn_host_due(const struct worker *worker)
{
	return !worker->busy || worker->now_ns - worker->host_asked_ns >= HOST_ASK_NS;
}

static uint32_t turn_receive(struct worker *worker)
{
	uint32_t received = 0, from_host = 0;

	for (uint32_t slot = 0; slot < worker->port_end; slot++) {
		struct port *port = worker->ports[slot];

		if (port && !port->host)
			received += turn_receive_port(worker, port);
	}
	if (worker->host && turn_host_due(worker)) {
		worker->host_asked_ns = worker->now_ns;
		from_host = turn_receive_port(worker, worker->host);
	}
	worker->busy = received && !from_host;
	return received + from_host;
}

/* Dummy packets that were asked for. */
static uint32_t turn_dummies(struct worker *worker)
{
	const struct dummy_queue *queue = worker->shared->dummies;
	struct frame frames[PORT_BATCH];
	uint32_t count;

	if (!queue || worker->index || !dummy_pending(queue))
		return 0;
	count = out_make_dummies(worker, frames, PORT_BATCH);
	turn_batch(worker, frames, count);
	return count;
}

/* Everything that is to be carried in this turn. */
static uint32_t turn_take(struct worker *worker)
{
	uint32_t received = turn_receive(worker);

	worker->stat->rx_packets += received;
	received += turn_take_handed(worker);
	return received + turn_dummies(worker);
}

/* With work for others, or with none for itself? */
static void turn_lend(struct worker *worker, uint32_t received)
{
	lend_look(worker);
	if (received)
		lend_leave(worker);
	else
		lend_help(worker);
}

/* Housekeeping, in steps of some microseconds. */
static void turn_sweep(struct worker *worker)
{
	uint64_t elapsed_ns = worker->now_ns - worker->sas_swept_ns;

	if (elapsed_ns >= SAS_SWEEP_NS) {
		uint64_t steps = elapsed_ns / SAS_SWEEP_NS;

		worker->sas_swept_ns = worker->now_ns;
		sa_table_sweep(
			&worker->sas, SAS_SWEEP_STEP * (uint32_t)(steps < SAS_STEPS_MAX ? steps : SAS_STEPS_MAX));
	}
	if (worker->now_ns - worker->swept_ns < SWEEP_NS)
		return;
	worker_sweep(worker);
	join_sweep(worker, worker->shared->reassembly);
	join_sweep(worker, worker->shared->host_fragments);
}

uint32_t worker_turn(struct worker *worker, uint64_t now_ns)
{
	__u64 *epoch = &worker->stat->epoch;
	uint32_t received;

	__atomic_store_n(epoch, *epoch + 1, __ATOMIC_SEQ_CST); /* odd: SA slots are in use */
	worker->now_ns = now_ns;
	if (worker->transit)
		worker->policies = worker->shared->policy->generation(worker->shared->policy);
	/* What waits has come before what is received now. */
	out_sweep_held(worker);
	forward_sweep_held(worker);
	received = turn_choked(worker) ? 0 : turn_take(worker);
	turn_end(worker);
	forward_flush(worker);
	worker_wake_handed(worker);
	worker_flush_sas(worker);
	if (worker->board)
		turn_lend(worker, received);
	if (worker->live)
		live_engine_tick(worker->live, now_ns);
	turn_sweep(worker);
	sa_table_reap(&worker->sas);
	worker->stat->turns++;
	__atomic_store_n(epoch, *epoch + 1, __ATOMIC_SEQ_CST);
	return received;
}
