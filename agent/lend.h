/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who lends whom a hand. All packets of one SA arrive at one worker; where their ciphers are more than it can do, the
 * workers that have nothing to do take part of the jobs (loan.h). Begin and end of every packet stay with its worker.
 *
 * A worker is pressed while its turns hold much cipher work. One that is pressed says so on the board and publishes the
 * jobs of large batches while they begin; if nobody is awake to take some, it wakes another worker from time to time.
 * A worker without packets helps while somebody is pressed. It goes to sleep when it found nothing to do for a while,
 * and rests when its CPU is wanted by others: a helper that is interrupted within a chunk holds up the owner. An owner
 * that was held up lends nothing for a while, and so does one whom help makes no faster: two CPUs may be two halves of
 * one core, and the way from cache to cache may be long. To know that, it takes its turns with and without help by
 * turns for a moment and compares. Pauses grow longer while their reason lasts.
 */
#ifndef ESPALIER_AGENT_LEND_H
#define ESPALIER_AGENT_LEND_H

#include "agent/loan.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LEND_BATCH_MIN	 (PORT_BATCH / 2)    /* packets; a worker that keeps up finds fewer in its turns */
#define LEND_JOB_NS_MIN	 100u		     /* of a packet; less is not worth the way to another CPU's cache */
#define LEND_TURN_NS_MIN 4000u		     /* of a turn: the worker is pressed */
#define LEND_CALM_TURNS	 64u		     /* it no longer is */
#define LEND_LATE_NS	 UINT64_C(100000)    /* the owner waited so long for a helper: it was held up */
#define LEND_PAUSE_NS	 UINT64_C(10000000)  /* then it lends nothing */
#define LEND_PAIRS	 16u		     /* a trial: pairs of a turn without and one with help */
#define LEND_PAIRS_WON	 9u		     /* so many must be cheaper by LEND_GAIN with help */
#define LEND_GAIN	 15u		     /* percent; for less no CPU is kept busy */
#define LEND_TRIAL_TURNS 2048u		     /* with help until the next trial */
#define LEND_CALL_NS	 UINT64_C(1000000)   /* between two calls for help */
#define LEND_STAY_NS	 UINT64_C(2000000)   /* a helper stays awake without work */
#define LEND_CHECK_NS	 UINT64_C(10000000)  /* a helper asks so often whether its CPU was taken */
#define LEND_CPU_PERCENT 80u		     /* with less of its CPU a helper rests */
#define LEND_REST_NS	 UINT64_C(100000000) /* so long */
#define LEND_PAUSE_MAX	 UINT64_C(1000000000)

enum loan_kind { LOAN_SEALING, LOAN_OPENING, LOAN_KINDS };

/* What workers tell each other. One of the process; NULL where nobody lends. */
struct lend_board {
	_Alignas(64) _Atomic uint64_t pressed; /* bit per worker */
	_Alignas(64) _Atomic uint64_t idle;    /* bit per worker that is awake and helps */
	struct loan loans[WORKERS_MAX][LOAN_KINDS];
};

/* Something is not tried before a time. */
struct lend_pause {
	uint64_t until_ns;
	uint64_t span_ns; /* how long the last one was */
};

/* Does help help? Turn by turn in pairs, then many turns with the answer. */
struct lend_trial {
	uint32_t turns; /* since it began */
	uint32_t won;
	uint64_t alone; /* the first of the pair: time, in parts of 1024 of the work's estimate */
};

/* A worker's own part. */
struct lending {
	/* As owner. */
	bool willing; /* to publish the jobs of the next large batch */
	bool pressed;
	uint32_t calm_turns;
	uint64_t work_ns; /* of this turn's jobs that others could do, as estimated */
	uint32_t jobs;	  /* of those published in this turn */
	uint32_t jobs_by_owner;
	struct lend_pause pause;
	struct lend_pause calls;
	struct lend_trial trial;
	/* As helper. */
	bool idle;
	uint64_t stay_until_ns;
	uint64_t checked_ns;
	uint64_t checked_cpu_ns; /* what the thread had of its CPU until then */
	struct lend_pause rest;
};

struct worker;

/* Freed with free(); NULL without memory. */
struct lend_board *lend_board_new(void);
/* The worker's bundles are to be lent; `worker->board` is set or NULL. */
void lend_init(struct worker *worker);

/* ---- the owner */

/* Are the jobs of a batch of `count` packets to be published? */
bool lend_wanted(const struct worker *worker, uint32_t count);
/* A bundle is about to be worked off: count it as work that others could do. */
void lend_count(struct worker *worker, const struct bundle *bundle);
/* Returns when the chunk that begins with job `first` is done; the worker does what is left meanwhile. */
void lend_wait(struct worker *worker, struct loan *loan, uint32_t first);
/* All published jobs are done, and their packets have ended. */
void lend_close(struct worker *worker, struct loan *loan);
/* At the end of the turn: is the worker pressed, is somebody to be woken? */
void lend_look(struct worker *worker);

/* ---- the helper */

/* The turn was empty: do some of the others' work. Gives the number of jobs done. */
uint32_t lend_help(struct worker *worker);
/* Nothing to do, but soon perhaps: do not sleep. */
bool lend_stays(const struct worker *worker, uint64_t now_ns);
/* Off the board: there are packets, or the worker goes to sleep. */
void lend_leave(struct worker *worker);

#endif
