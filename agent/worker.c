/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/worker.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/contract.h"
#include "agent/overhead.h"
#include "agent/turn.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define IDLE_SPIN_NS	  (20 * NS_PER_US) /* look again this long before sleeping: a wake-up costs about as much */
#define SLEEP_MS	  1000
#define SLEEP_WAITING_MS  2  /* packets are held or a ring is full */
#define CHOKED_US	  50 /* a change of engines takes about as long */
#define OUTER_MTU_DEFAULT 1500u
#define SLEEP_FDS_MAX	  (1 + 8 * PORTS_MAX)

/* ---- around the turn ----------------------------------------------------------------------------------------- */

/* The ports may have changed since the last turn. */
static void worker_see_ports(struct worker *worker)
{
	worker->port_end = 0;
	worker->host = NULL;
	for (uint32_t slot = 0; slot < PORTS_MAX; slot++) {
		struct port *port = port_table_find(&worker->shared->ports, slot);

		worker->ports[slot] = port;
		if (!port)
			continue;
		worker->port_end = slot + 1;
		if (port->host)
			worker->host = port;
	}
}

static void worker_tell_expired(struct worker *worker, const struct sa_slot *slot, unsigned expired)
{
	const struct sa_context *ctx = &slot->context;
	struct agent_message message = {.version = AGENT_MESSAGE_VERSION, .kind = AGENT_EXPIRE};

	if (!worker->shared->mailbox)
		return;
	message.expire.sa = (uint32_t)(ctx->run - worker->shared->maps.run);
	message.expire.spi = ctx->sa.spi;
	message.expire.kind = expired & AGENT_EXPIRE_HARD ? AGENT_EXPIRE_HARD : AGENT_EXPIRE_SOFT;
	/* No room: told again with the next packets. */
	if (!mailbox_put(worker->shared->mailbox, &message))
		__atomic_fetch_and(&ctx->run->expire_told, ~expired, __ATOMIC_RELAXED);
}

/* The packets of the turn are among those sent lately. */
static void worker_mark_sent(struct worker *worker, struct sa_slot *slot)
{
	const struct sa_context *ctx = &slot->context;
	struct sent *sent = worker->shared->sent;
	uint32_t tick = sent_tick(worker->now_ns), index;
	uint64_t out_seq;

	if (!sent || ctx->sa.direction != SA_OUT || !ctx->packets || slot->marked_tick == tick)
		return;
	slot->marked_tick = tick;
	index = (uint32_t)(ctx->run - worker->shared->maps.run);
	out_seq = __atomic_load_n(&ctx->run->out_seq, __ATOMIC_RELAXED);
	sent_add(sent, &worker->shared->maps, index, &ctx->sa);
	sent_mark(sent, index, slot->generation, out_seq > ctx->packets ? out_seq - ctx->packets : 0, worker->now_ns);
}

void worker_flush_sas(struct worker *worker)
{
	for (uint32_t i = 0; i < worker->touched_count; i++) {
		struct sa_slot *slot = worker->touched[i];
		unsigned expired;

		worker_mark_sent(worker, slot);
		expired = sa_context_flush(&slot->context);

		slot->touched = false;
		if (expired)
			worker_tell_expired(worker, slot, expired);
	}
	worker->touched_count = 0;
}

void worker_count_lost(struct worker *worker, enum drop_reason reason, uint64_t packets)
{
	struct drop_count *drop = &worker->stat->drops[reason];

	if (!packets)
		return;
	drop->packets += packets;
	drop->last_ns = worker->now_ns;
}

void worker_sweep(struct worker *worker)
{
	struct port_lost lost;

	worker->swept_ns = worker->now_ns;
	for (uint32_t slot = 0; slot < worker->port_end; slot++) {
		struct port *port = worker->ports[slot];

		for (uint32_t i = worker->index; port && i < port->queue_count; i += worker->shared->worker_count) {
			port_lost(port->queues[i], &lost);
			worker_count_lost(worker, DROP_RX_FULL, lost.rx_full);
			worker_count_lost(worker, DROP_NO_FRAME, lost.no_frame);
			worker_count_lost(worker, DROP_PORT_DOWN, lost.tx_refused);
			worker_count_lost(worker, DROP_TX_FULL, lost.tx_gone);
		}
	}
}

/* ---- for the paths ------------------------------------------------------------------------------------------- */

void worker_drop(struct worker *worker, const struct frame *frame, enum drop_reason reason)
{
	struct drop_count *drop = &worker->stat->drops[reason];

	drop->packets++;
	drop->last_ns = worker->now_ns;
	chunk_give(&worker->cache, frame->chunk);
}

void worker_touch(struct worker *worker, struct sa_slot *slot)
{
	if (slot->touched)
		return;
	if (worker->touched_count == TOUCHED_MAX)
		worker_flush_sas(worker);
	slot->touched = true;
	worker->touched[worker->touched_count++] = slot;
}

uint32_t worker_outer_mtu(struct worker *worker, struct sa_slot *slot)
{
	const struct sa_context *ctx = &slot->context;
	uint32_t mtu = worker_outer_hop(worker, slot)->mtu;
	uint32_t learned = __atomic_load_n(&ctx->run->path_mtu, __ATOMIC_ACQUIRE);

	if (!mtu)
		mtu = OUTER_MTU_DEFAULT;
	if (ctx->sa.mtu && ctx->sa.mtu < mtu)
		mtu = ctx->sa.mtu;
	if (learned && learned < mtu &&
		worker->now_ns < __atomic_load_n(&ctx->run->path_mtu_until_ns, __ATOMIC_RELAXED))
		mtu = learned;
	return mtu;
}

uint32_t worker_inner_mtu(struct worker *worker, struct sa_slot *slot)
{
	uint32_t outer_mtu = worker_outer_mtu(worker, slot);

	if (slot->mtu_outer != outer_mtu) {
		slot->mtu_outer = outer_mtu;
		slot->context.carries = overhead_carries(&slot->context, outer_mtu);
	}
	return slot->context.carries;
}

bool worker_owns(struct worker *worker, const struct sa_slot *slot, uint32_t *owner)
{
	_Atomic uint64_t *place;
	uint64_t mine = (uint64_t)slot->context.sa.spi << 32 | (worker->index + 1), now;

	if (worker->shared->worker_count == 1)
		return true;
	place = &worker->shared->owners[slot->context.run - worker->shared->maps.run];
	now = atomic_load_explicit(place, memory_order_relaxed);
	/* No one's yet, or that of an earlier SA in this slot, which no worker can still hold: whoever comes first. An
	 * SA that moves to another address keeps its key and its numbers, and so its owner. */
	while (!now || now >> 32 != slot->context.sa.spi)
		if (atomic_compare_exchange_weak(place, &now, mine))
			return true;
	*owner = (uint32_t)now - 1;
	return now == mine;
}

enum drop_reason worker_hand_over(struct worker *worker, struct frame *frame, uint32_t owner)
{
	struct handover *_Atomic *place = &worker->shared->workers[owner]->inbox[worker->index];
	struct handover *ring = atomic_load_explicit(place, memory_order_relaxed);

	/* The tunnel's SAs have just changed places among its workers: not in a circle. */
	if (frame->meta.flags & META_HANDED)
		return DROP_HANDOVER_FULL;
	if (!ring) {
		ring = handover_new();
		if (!ring)
			return DROP_NO_FRAME;
		atomic_store_explicit(place, ring, memory_order_release);
	}
	frame->meta.l3_off = 0;
	frame->meta.flags |= META_HANDED;
	if (!handover_put(ring, frame))
		return DROP_HANDOVER_FULL;
	worker->handed |= UINT64_C(1) << owner;
	return DROP_NONE;
}

void worker_wake_handed(struct worker *worker)
{
	if (!worker->handed)
		return;
	atomic_thread_fence(memory_order_seq_cst); /* the frames before the look at `asleep`; worker_sleep's pair */
	for (uint64_t handed = worker->handed; handed; handed &= handed - 1) {
		struct worker *to = worker->shared->workers[__builtin_ctzll(handed)];

		if (atomic_load_explicit(&to->asleep, memory_order_relaxed))
			worker_wake(to);
	}
	worker->handed = 0;
}

/* Was something given to this worker that it has not taken? */
static bool worker_was_handed(struct worker *worker)
{
	for (uint32_t giver = 0; giver < worker->shared->worker_count; giver++) {
		const struct handover *ring = atomic_load_explicit(&worker->inbox[giver], memory_order_acquire);

		if (ring && !handover_empty(ring))
			return true;
	}
	return false;
}

bool worker_waiting(const struct worker *worker)
{
	return worker->waiting_sa.count || worker->waiting_neighbor.count || worker->flush_pending;
}

/* ---- set-up -------------------------------------------------------------------------------------------------- */

/* Raw sockets for protected packets that leave by the host's own interfaces. Without the right to open them (tests):
 * none. */
static int raw_socket(int family)
{
	int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
	unsigned mark = AGENT_MARK;
	int on = 1;

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) ||
		(family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_HDRINCL, &on, sizeof(on)))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* An agent that crashed may have left it odd. */
static void worker_settle(struct worker_stat *stat)
{
	__atomic_store_n(&stat->epoch, (stat->epoch + 1) & ~UINT64_C(1), __ATOMIC_SEQ_CST);
}

void workers_settle(struct worker_stat *stats)
{
	for (uint32_t i = 0; i < WORKERS_MAX; i++)
		worker_settle(&stats[i]);
}

static int worker_transit_init(struct worker *worker)
{
	if (!worker->shared->policy)
		return 0;
	worker->transit = calloc(1, sizeof(*worker->transit));
	if (!worker->transit)
		return -ENOMEM;
	worker->transit->policy = worker->shared->policy;
	return 0;
}

/* Where to begin is not to be guessed (RFC 7739 3). */
static int first_fragment_id(uint32_t index, uint32_t *id)
{
	if (getrandom(id, sizeof(*id), 0) != sizeof(*id))
		return -EIO;
	*id = (*id & ~(WORKERS_MAX - 1)) | index;
	return 0;
}

int worker_init(struct worker *worker, struct worker_shared *shared, uint32_t index, struct resolver *resolver)
{
	int err;

	memset(worker, 0, sizeof(*worker));
	worker->index = index;
	worker->shared = shared;
	worker->stat = &shared->stats[index];
	worker_settle(worker->stat);
	chunk_cache_init(&worker->cache, shared->umem);
	worker->board = shared->worker_count > 1 ? shared->board : NULL;
	lend_init(worker);
	worker->raw4 = raw_socket(AF_INET);
	worker->raw6 = raw_socket(AF_INET6);
	worker_see_ports(worker);
	err = nexthop_cache_init(&worker->hops, resolver, &shared->news);
	err = err ? err : worker_transit_init(worker);
	err = err ? err : first_fragment_id(index, &worker->fragment_id);
	err = err ? err
		  : sa_table_init(&worker->sas, &shared->maps, shared->worker_count > 1 ? shared->replay_locks : NULL);
	worker->sas.ids = (uint16_t)(worker->fragment_id >> 16); /* nor that */
	worker->wake_fd = err ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->wake_fd < 0) {
		err = err ? err : -errno;
		worker_clear(worker);
	}
	return err;
}

static enum held_fate worker_judge_drop(void *context, uint64_t key, struct frame *frame, bool expired)
{
	struct worker *worker = context;

	(void)key;
	(void)expired;
	worker_drop(worker, frame, DROP_HELD_OVERFLOW);
	return HELD_TAKEN;
}

/* All threads have ended. */
static void worker_clear_inbox(struct worker *worker, uint32_t giver)
{
	struct handover *ring = atomic_load(&worker->inbox[giver]);
	struct frame frame;

	while (ring && handover_take(ring, &frame, 1))
		worker_drop(worker, &frame, DROP_HELD_OVERFLOW);
	free(ring);
	atomic_store(&worker->inbox[giver], NULL);
}

void worker_clear(struct worker *worker)
{
	hold_sweep(&worker->waiting_sa, worker->now_ns, worker_judge_drop, worker);
	hold_sweep(&worker->waiting_neighbor, worker->now_ns, worker_judge_drop, worker);
	for (uint32_t giver = 0; giver < WORKERS_MAX; giver++)
		worker_clear_inbox(worker, giver);
	chunk_cache_drain(&worker->cache);
	sa_table_clear(&worker->sas);
	nexthop_cache_clear(&worker->hops);
	free(worker->transit);
	worker->transit = NULL;
	if (worker->raw4 >= 0)
		close(worker->raw4);
	if (worker->raw6 >= 0)
		close(worker->raw6);
	if (worker->wake_fd >= 0)
		close(worker->wake_fd);
	worker->raw4 = worker->raw6 = worker->wake_fd = -1;
}

/* ---- the thread ---------------------------------------------------------------------------------------------- */

static void worker_sleep(struct worker *worker)
{
	struct pollfd fds[SLEEP_FDS_MAX];
	nfds_t count = 0;
	uint64_t wakes;

	if (worker->board)
		lend_leave(worker);
	if (worker->choked_ns) { /* what waits to be received would end a poll at once */
		usleep(CHOKED_US);
		return;
	}
	fds[count++] = (struct pollfd){.fd = worker->wake_fd, .events = POLLIN};
	for (uint32_t slot = 0; slot < worker->port_end; slot++) {
		struct port *port = worker->ports[slot];

		for (uint32_t i = worker->index; port && i < port->queue_count && count < SLEEP_FDS_MAX;
			i += worker->shared->worker_count)
			fds[count++] = (struct pollfd){.fd = port->queues[i]->fd, .events = POLLIN};
	}
	atomic_store_explicit(&worker->asleep, true, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst); /* worker_wake_handed's pair */
	if (!worker_was_handed(worker))
		poll(fds, count, worker_waiting(worker) ? SLEEP_WAITING_MS : SLEEP_MS);
	atomic_store_explicit(&worker->asleep, false, memory_order_relaxed);
	if (fds[0].revents && read(worker->wake_fd, &wakes, sizeof(wakes)) < 0)
		log_debug("worker %u: woken for nothing", worker->index);
	/* A vanished interface reports an error at once, again and again, until the control thread takes its port out.
	 */
	for (nfds_t i = 1; i < count; i++)
		if (fds[i].revents & (POLLERR | POLLHUP | POLLNVAL))
			usleep(SLEEP_WAITING_MS * 1000);
}

static void *worker_main(void *context)
{
	struct worker *worker = context;
	struct worker_shared *shared = worker->shared;
	uint64_t busy_until_ns = 0;
	char name[16];

	snprintf(name, sizeof(name), "worker/%u", worker->index);
	pthread_setname_np(pthread_self(), name);
	while (!atomic_load_explicit(&shared->stop, memory_order_acquire)) {
		uint32_t generation = atomic_load_explicit(&shared->ports_generation, memory_order_acquire);
		uint64_t now = clock_now_ns();

		if (generation != atomic_load_explicit(&worker->seen_generation, memory_order_relaxed)) {
			worker_see_ports(worker);
			atomic_store_explicit(&worker->seen_generation, generation, memory_order_release);
		}
		if (worker_turn(worker, now))
			busy_until_ns = now + IDLE_SPIN_NS;
		else if (now >= busy_until_ns && !lend_stays(worker, now))
			worker_sleep(worker);
	}
	return NULL;
}

int worker_start(struct worker *worker, int cpu)
{
	pthread_attr_t attributes;
	cpu_set_t cpus;
	int err;

	pthread_attr_init(&attributes);
	if (cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET((unsigned)cpu, &cpus);
		pthread_attr_setaffinity_np(&attributes, sizeof(cpus), &cpus);
	}
	err = pthread_create(&worker->thread, &attributes, worker_main, worker);
	pthread_attr_destroy(&attributes);
	worker->started = !err;
	return -err;
}

void worker_wake(struct worker *worker)
{
	uint64_t one = 1;

	if (write(worker->wake_fd, &one, sizeof(one)) < 0)
		log_debug("worker %u: it is awake already", worker->index);
}

void worker_join(struct worker *worker)
{
	if (worker->started)
		pthread_join(worker->thread, NULL);
	worker->started = false;
}

void workers_wait(struct worker_shared *shared, struct worker *const *workers, uint32_t count)
{
	uint32_t generation = atomic_fetch_add(&shared->ports_generation, 1) + 1;

	for (uint32_t i = 0; i < count; i++) {
		if (!workers[i]->started)
			continue;
		worker_wake(workers[i]);
		while (atomic_load_explicit(&workers[i]->seen_generation, memory_order_acquire) != generation)
			usleep(100);
	}
}
