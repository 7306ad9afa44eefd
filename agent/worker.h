/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one thread per queue index (and CPU), pinned, that carries packets. Worker w of n receives from the queues
 * w, w + n, w + 2n ... Everything it needs per packet is its own; what workers share is read-only, atomic, or taken
 * once per batch.
 *
 * A packet's fate is an enum drop_reason: DROP_NONE says that the frame went on (sent, or held) and is no longer the
 * path's. Any other reason comes back to the turn (turn.c), which hands the frame to worker_drop, the one place that
 * counts it and frees the frame.
 */
#ifndef ESPALIER_AGENT_WORKER_H
#define ESPALIER_AGENT_WORKER_H

#include "agent/bundle.h"
#include "agent/dummy.h"
#include "agent/frame.h"
#include "agent/handover.h"
#include "agent/hold.h"
#include "agent/host_policy.h"
#include "agent/lend.h"
#include "agent/live_engine.h"
#include "agent/mailbox.h"
#include "agent/nexthop.h"
#include "agent/port.h"
#include "agent/sa_table.h"
#include "agent/sent.h"
#include "agent/umem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define ICMP_ERRORS_PER_S 100u /* a worker's (RFC 1812 4.3.2.8) */
#define OWN_ADDRESSES_MAX 16u  /* of a family: one of them fits the tunnel that leads back to an error's receiver */
#define TOUCHED_MAX	  256u /* SAs with counters to flush in one turn */

/* What all workers of the process share. Set up before they start. */
struct worker_shared {
	struct sa_maps maps;
	struct worker_stat *stats; /* one per worker, in the map */
	uint32_t worker_count;
	struct umem *umem;
	struct port_table ports;
	struct mailbox *mailbox;       /* NULL: nobody listens */
	atomic_flag *replay_locks;     /* per SA */
	struct worker *const *workers; /* all of them by index; NULL: one alone */
	/* Per outbound SA the worker that numbers its packets: SPI << 32 | worker + 1. NULL: one worker alone. */
	_Atomic uint64_t *owners;
	struct sent *sent;	       /* NULL: no ICMP error about the outer path is believed */
	struct lend_board *board;      /* NULL: no worker does another one's ciphers */
	struct reassembly *reassembly; /* NULL: fragments of protected packets are dropped */
	/* The host's own fragments, which strangers' cannot crowd out. NULL: dropped where only whole packets will do.
	 */
	struct reassembly *host_fragments;
	/* The SA index of an inbound SPI, SA_NONE without one; for packets that XDP could not look up. Any thread. */
	uint32_t (*find_spi)(void *context, const struct spi_key *key);
	void *find_spi_context;
	struct host_policy *policy;	   /* NULL: none, packets out of tunnels go wherever routes lead */
	struct dummy_queue *dummies;	   /* worker 0 sends them; NULL: nobody asks for any */
	_Atomic uint64_t *acquire_told_ns; /* per tunnel: when AGENT_ACQUIRE was last sent */
	struct fib_news news;		   /* of the kernel's routing */
	_Atomic uint32_t
		ports_generation; /* moved on after a change of `ports`; workers follow (worker.seen_generation) */
	_Atomic bool stop;
	/* Addresses of this gateway, for ICMP errors, those on served interfaces first; all zero: no more. Written by
	 * the control thread under even/odd like an SA. */
	_Atomic uint32_t own_generation;
	struct addr16 own_v4[OWN_ADDRESSES_MAX];
	struct addr16 own_v6[OWN_ADDRESSES_MAX];
};

struct tx_batch {
	uint32_t count;
	struct frame frames[PORT_BATCH];
};

/* What the packets before found out: holds for one batch. */
struct worker_way {
	struct sa_slot *slot; /* NULL: nothing yet */
	bool plain;	      /* the SA is (struct sa_context) */
	bool udp;	      /* and in UDP */
	uint32_t key;	      /* the tunnel, or on the way in the SA */
	uint32_t mtu;	      /* on the way out: the longest packet that the SA carries */
};

struct worker {
	uint32_t index;
	struct worker_shared *shared;
	struct worker_stat *stat;
	struct sa_table sas;
	struct nexthop_cache hops;
	struct chunk_cache cache;
	struct bundle sealing;	  /* packets on their way out that have begun and not ended */
	struct bundle opening;	  /* the same on their way in */
	struct lend_board *board; /* the shared one; NULL: nobody lends */
	struct lending lending;
	struct worker_way way_out;
	struct worker_way way_in;
	struct handover *_Atomic inbox[WORKERS_MAX]; /* by giver, who makes it; NULL: never used */
	uint64_t handed;			     /* bit per worker: frames were given to it in this turn */
	_Atomic bool asleep;
	struct host_flows *transit;    /* what policies say of packets out of tunnels; NULL as shared->policy */
	uint64_t policies;	       /* their generation at the start of the turn */
	struct hold waiting_sa;	       /* key: tunnel */
	struct hold waiting_neighbor;  /* key: forward.c */
	struct port *ports[PORTS_MAX]; /* as seen at the start of the turn */
	uint32_t port_end;
	struct port *host; /* NULL: no host device */
	bool busy;	   /* packets came in the last turn, but none from the host */
	uint64_t host_asked_ns;
	struct tx_batch out[PORTS_MAX];
	uint32_t out_pending;	/* bit per slot: `out` holds frames */
	uint32_t flush_pending; /* bit per slot: the queue still had to send */
	uint64_t choked_ns;	/* since when a queue has been choked (struct port_queue), 0: none is */
	uint32_t touched_count;
	struct sa_slot *touched[TOUCHED_MAX];
	uint32_t icmp_tokens;
	uint64_t icmp_refilled_ns;
	uint32_t pmtu_tokens;
	uint64_t pmtu_refilled_ns;
	uint32_t fragment_id; /* the last one: modulo WORKERS_MAX each worker has its own */
	uint64_t swept_ns;
	uint64_t sas_swept_ns;
	uint64_t now_ns;
	/* Past the kernel's routes when the outer packet leaves by an interface that is not ours: raw sockets with
	 * AGENT_MARK. */
	int raw4;
	int raw6;
	struct live_engine *live; /* NULL: AF_XDP alone; borrowed, set before the thread starts */
	/* The thread. */
	int wake_fd;
	_Atomic uint32_t seen_generation;
	pthread_t thread;
	bool started;
};

/* Before any worker is made: an agent that crashed may have left workers inside a turn, and more of them than run now.
 * Whoever writes SAs would wait for those forever. `stats`: WORKERS_MAX of them. */
void workers_settle(struct worker_stat *stats);

/* Everything but the thread: for tests and the benchmark as well. `resolver` is borrowed. -errno. */
int worker_init(struct worker *worker, struct worker_shared *shared, uint32_t index, struct resolver *resolver);
void worker_clear(struct worker *worker);

/* Start the thread on `cpu` (-1: any). It runs until shared->stop is set and worker_wake is called. */
int worker_start(struct worker *worker, int cpu);
void worker_wake(struct worker *worker);
void worker_join(struct worker *worker);

/* After shared->ports was changed: returns when no worker can still hold a pointer to a port that was taken out. */
void workers_wait(struct worker_shared *shared, struct worker *const *workers, uint32_t count);

/* Is something waiting that no file descriptor tells: held packets, a ring to flush? */
bool worker_waiting(const struct worker *worker);

/* ---- for the turn and its paths (turn.c, in.c, out.c, forward.c) */

/* Count the drop and free the frame: the end of every packet that does not leave. */
void worker_drop(struct worker *worker, const struct frame *frame, enum drop_reason reason);
/* Packets that died elsewhere than in this worker's hands. */
void worker_count_lost(struct worker *worker, enum drop_reason reason, uint64_t packets);
/* The SA has counters to flush at the end of the turn. */
void worker_touch(struct worker *worker, struct sa_slot *slot);
/* What the way to the SA's peer carries: least of the way out, what the SA says and what the path taught (pmtu.h). */
uint32_t worker_outer_mtu(struct worker *worker, struct sa_slot *slot);
/* The longest packet that the SA carries now; asks for the way to its peer. */
uint32_t worker_inner_mtu(struct worker *worker, struct sa_slot *slot);

/* The way to the SA's peer. Valid until it is asked for again. */
static inline const struct next_hop *worker_outer_hop(struct worker *worker, struct sa_slot *slot)
{
	const struct sa *sa = &slot->context.sa;

	return nexthop_at(&slot->outer_hop, &worker->hops, &sa->remote, &sa->local, worker->now_ns);
}
/* Add the turn's counts to the shared ones. */
void worker_flush_sas(struct worker *worker);
/* Does this worker number the packets of the outbound SA, or does it from now on? Else *owner is the one that does. */
bool worker_owns(struct worker *worker, const struct sa_slot *slot, uint32_t *owner);
/* Give a frame, `data` at its IP header, to the worker that numbers its SA. DROP_HANDOVER_FULL, DROP_NONE. */
enum drop_reason worker_hand_over(struct worker *worker, struct frame *frame, uint32_t owner);
/* At the end of a turn: wake those who were given something and sleep. */
void worker_wake_handed(struct worker *worker);
/* About once a second: count what died in the rings. */
void worker_sweep(struct worker *worker);

#endif
