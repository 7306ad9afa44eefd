/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lend.h"

#include "agent/base/clock.h"
#include "agent/suite_choice.h"
#include "agent/worker.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HELP_CHUNKS   4u   /* at most, before a helper looks at its own queues */
#define HELP_SPINS    32u  /* looks for the next one */
#define SPINS	      256u /* looks at a chunk before the clock is asked */
#define YIELD_NS      20000u
#define OWN_SHARE_MAX 4u /* an owner that does more than one of so many jobs itself calls for more help */

static uint64_t worker_bit(const struct worker *worker)
{
	return UINT64_C(1) << worker->index;
}

static void pause_cpu(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* ---- pauses -------------------------------------------------------------------------------------------------- */

/* Longer than the last one if that was not long ago. */
static void pause_begin(struct lend_pause *pause, uint64_t span_ns, uint64_t now_ns)
{
	if (now_ns < pause->until_ns)
		return;
	if (!pause->span_ns || now_ns - pause->until_ns > 10 * pause->span_ns)
		pause->span_ns = span_ns;
	else if (pause->span_ns < LEND_PAUSE_MAX)
		pause->span_ns *= 2;
	pause->until_ns = now_ns + pause->span_ns;
}

/* ---- set-up -------------------------------------------------------------------------------------------------- */

struct lend_board *lend_board_new(void)
{
	struct lend_board *board = aligned_alloc(_Alignof(struct lend_board), sizeof(*board));

	if (!board)
		return NULL;
	memset(board, 0, sizeof(*board));
	return board;
}

void lend_init(struct worker *worker)
{
	struct loan *loans;

	memset(&worker->lending, 0, sizeof(worker->lending));
	if (!worker->board)
		return;
	loans = worker->board->loans[worker->index];
	loan_init(&loans[LOAN_SEALING], &worker->sealing, SA_OUT);
	loan_init(&loans[LOAN_OPENING], &worker->opening, SA_IN);
}

/* ---- the owner ----------------------------------------------------------------------------------------------- */

static uint64_t helpers(const struct worker *worker)
{
	return atomic_load_explicit(&worker->board->idle, memory_order_relaxed) & ~worker_bit(worker);
}

bool lend_wanted(const struct worker *worker, uint32_t count)
{
	return count >= LEND_BATCH_MIN && worker->lending.willing && helpers(worker);
}

/* What a job of this length costs, by the measurement at start. */
static uint32_t job_ns(const struct esp_suite *suite, uint32_t text_len)
{
	struct suite_figure figure = suite_figure(suite);
	uint32_t small = figure.ns[SUITE_SIZE_SMALL], large = figure.ns[SUITE_SIZE_LARGE];

	if (!large) {
		small = 50;
		large = 300;
	}
	if (large <= small || text_len <= SUITE_SMALL_LEN)
		return small;
	return small + (uint32_t)((uint64_t)(large - small) * (text_len - SUITE_SMALL_LEN) /
				  (SUITE_LARGE_LEN - SUITE_SMALL_LEN));
}

/* One packet stands for all of the bundle. */
void lend_count(struct worker *worker, const struct bundle *bundle)
{
	const struct esp_job *job = &bundle->jobs[bundle->count / 2];
	uint32_t ns;

	if (!bundle->count)
		return;
	ns = job_ns(job->cipher->suite, job->text_len);
	if (ns >= LEND_JOB_NS_MIN)
		worker->lending.work_ns += (uint64_t)ns * bundle->count;
}

/* The chunk is in another's hands. */
static void wait_for_helper(struct worker *worker, const struct loan *loan, uint32_t first)
{
	uint64_t started_ns, now_ns;

	for (uint32_t i = 0; i < SPINS; i++) {
		if (loan_done(loan, first) != LOAN_OPEN)
			return;
		pause_cpu();
	}
	started_ns = now_ns = clock_now_ns();
	while (loan_done(loan, first) == LOAN_OPEN) {
		/* The helper may stand behind this thread. */
		if (now_ns - started_ns >= YIELD_NS)
			sched_yield();
		else
			pause_cpu();
		now_ns = clock_now_ns();
	}
	if (now_ns - started_ns >= LEND_LATE_NS)
		pause_begin(&worker->lending.pause, LEND_PAUSE_NS, worker->now_ns + (now_ns - started_ns));
}

void lend_wait(struct worker *worker, struct loan *loan, uint32_t first)
{
	while (loan_done(loan, first) == LOAN_OPEN)
		if (!loan_work(loan))
			wait_for_helper(worker, loan, first);
	if (loan_done(loan, first) == LOAN_REFUSED)
		loan_redo(loan, first);
}

void lend_close(struct worker *worker, struct loan *loan)
{
	const struct bundle *bundle = loan->bundle;
	struct lending *lending = &worker->lending;
	uint32_t helped = 0;

	for (uint32_t first = 0; first < bundle->lent; first += LOAN_CHUNK)
		if (loan_done(loan, first) == LOAN_DONE_BY_HELPER)
			helped += bundle->lent - first < LOAN_CHUNK ? bundle->lent - first : LOAN_CHUNK;
	worker->stat->lent += helped;
	lending->jobs += bundle->lent;
	lending->jobs_by_owner += bundle->lent - helped;
	loan_close(loan);
}

static void set_pressed(struct worker *worker, bool pressed)
{
	if (worker->lending.pressed == pressed)
		return;
	worker->lending.pressed = pressed;
	if (pressed)
		atomic_fetch_or_explicit(&worker->board->pressed, worker_bit(worker), memory_order_relaxed);
	else
		atomic_fetch_and_explicit(&worker->board->pressed, ~worker_bit(worker), memory_order_relaxed);
}

/* Wake the next worker that sleeps. */
static void lend_call(struct worker *worker)
{
	struct worker_shared *shared = worker->shared;

	pause_begin(&worker->lending.calls, LEND_CALL_NS, worker->now_ns);
	for (uint32_t i = 1; i < shared->worker_count; i++) {
		struct worker *other = shared->workers[(worker->index + i) % shared->worker_count];

		if (!atomic_load_explicit(&other->asleep, memory_order_relaxed))
			continue;
		worker_wake(other);
		return;
	}
}

/* Nobody is there, or too few? */
static void lend_seek(struct worker *worker)
{
	struct lending *lending = &worker->lending;
	bool anybody = helpers(worker);

	if (anybody)
		lending->calls.span_ns = 0;
	if (anybody && (!lending->willing || lending->jobs_by_owner * OWN_SHARE_MAX <= lending->jobs))
		return;
	if (worker->now_ns >= lending->calls.until_ns)
		lend_call(worker);
}

/* Somebody is there: one more turn of the trial, or of those after it. */
static void lend_try(struct worker *worker)
{
	struct lending *lending = &worker->lending;
	struct lend_trial *trial = &lending->trial;
	bool second = trial->turns % 2;
	uint64_t cost;

	if (trial->turns >= 2 * LEND_PAIRS) {
		if (++trial->turns >= LEND_TRIAL_TURNS)
			memset(trial, 0, sizeof(*trial));
		return;
	}
	/* Not as it was meant: the batch was small, or somebody came just now. */
	if (second != (lending->jobs != 0))
		return;
	cost = (clock_now_ns() - worker->now_ns) * 1024 / lending->work_ns;
	if (!second)
		trial->alone = cost;
	else if (cost * 100 <= trial->alone * (100 - LEND_GAIN))
		trial->won++;
	if (++trial->turns < 2 * LEND_PAIRS || trial->won >= LEND_PAIRS_WON)
		return;
	pause_begin(&lending->pause, LEND_PAUSE_NS, worker->now_ns);
	memset(trial, 0, sizeof(*trial));
}

/* The next turn is to be with help, if there is any. */
static bool with_help(const struct lend_trial *trial)
{
	return trial->turns >= 2 * LEND_PAIRS || trial->turns % 2;
}

void lend_look(struct worker *worker)
{
	struct lending *lending = &worker->lending;
	bool much = lending->work_ns >= LEND_TURN_NS_MIN;

	lending->calm_turns = much ? 0 : lending->calm_turns + 1;
	if (lending->calm_turns >= LEND_CALM_TURNS)
		set_pressed(worker, false);
	if (much && worker->now_ns >= lending->pause.until_ns) {
		set_pressed(worker, true);
		if (helpers(worker))
			lend_try(worker);
		lend_seek(worker);
	}
	if (worker->now_ns < lending->pause.until_ns)
		set_pressed(worker, false);
	lending->willing = lending->pressed && with_help(&lending->trial);
	lending->work_ns = lending->jobs = lending->jobs_by_owner = 0;
}

/* ---- the helper ---------------------------------------------------------------------------------------------- */

/* What this thread had of its CPU so far. */
static uint64_t cpu_ns(void)
{
	struct timespec had;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &had);
	return (uint64_t)had.tv_sec * NS_PER_S + (uint64_t)had.tv_nsec;
}

static void set_idle(struct worker *worker, bool idle)
{
	if (worker->lending.idle == idle)
		return;
	worker->lending.idle = idle;
	if (idle)
		atomic_fetch_or_explicit(&worker->board->idle, worker_bit(worker), memory_order_relaxed);
	else
		atomic_fetch_and_explicit(&worker->board->idle, ~worker_bit(worker), memory_order_relaxed);
}

/* Since the last look, did others run on this CPU for more than a little? */
static bool cpu_wanted(struct worker *worker)
{
	struct lending *lending = &worker->lending;
	uint64_t had_ns = lending->checked_cpu_ns, since_ns = lending->checked_ns;

	lending->checked_ns = worker->now_ns;
	lending->checked_cpu_ns = cpu_ns();
	return (lending->checked_cpu_ns - had_ns) * 100 < (worker->now_ns - since_ns) * LEND_CPU_PERCENT;
}

/* May this worker help now? */
static bool help_offered(struct worker *worker)
{
	struct lending *lending = &worker->lending;

	if (worker->now_ns < lending->rest.until_ns)
		return false;
	if (!lending->idle) {
		lending->checked_ns = worker->now_ns;
		lending->checked_cpu_ns = cpu_ns();
		lending->stay_until_ns = worker->now_ns + LEND_STAY_NS;
		set_idle(worker, true);
	} else if (worker->now_ns - lending->checked_ns >= LEND_CHECK_NS && cpu_wanted(worker)) {
		pause_begin(&lending->rest, LEND_REST_NS, worker->now_ns);
		set_idle(worker, false);
		return false;
	}
	return true;
}

static uint32_t help_one(struct worker *worker, uint32_t owner)
{
	struct loan *loans = worker->board->loans[owner];
	uint32_t done = loan_help(&loans[LOAN_OPENING], &worker->sas);

	return done ? done : loan_help(&loans[LOAN_SEALING], &worker->sas);
}

/* Each helper begins with another owner. */
static uint32_t help_any(struct worker *worker, uint64_t pressed)
{
	uint32_t jobs = 0;

	for (uint64_t owners = pressed >> worker->index << worker->index; owners && !jobs; owners &= owners - 1)
		jobs = help_one(worker, (uint32_t)__builtin_ctzll(owners));
	for (uint64_t owners = pressed; owners && !jobs; owners &= owners - 1)
		jobs = help_one(worker, (uint32_t)__builtin_ctzll(owners));
	return jobs;
}

/* A chunk of somebody's, or of the one who publishes it next. */
static uint32_t help_soon(struct worker *worker, uint64_t pressed)
{
	uint32_t jobs = help_any(worker, pressed);

	for (uint32_t i = 0; !jobs && i < HELP_SPINS; i++) {
		pause_cpu();
		jobs = help_any(worker, pressed);
	}
	return jobs;
}

uint32_t lend_help(struct worker *worker)
{
	uint64_t pressed = atomic_load_explicit(&worker->board->pressed, memory_order_relaxed) & ~worker_bit(worker);
	uint32_t done = 0, jobs = 1;

	if (!pressed) {
		lend_leave(worker);
		return 0;
	}
	if (!help_offered(worker))
		return 0;
	for (uint32_t i = 0; i < HELP_CHUNKS && jobs; i++)
		done += jobs = help_soon(worker, pressed);
	worker->stat->borrowed += done;
	if (done)
		worker->lending.stay_until_ns = worker->now_ns + LEND_STAY_NS;
	return done;
}

bool lend_stays(const struct worker *worker, uint64_t now_ns)
{
	return worker->lending.idle && now_ns < worker->lending.stay_until_ns;
}

void lend_leave(struct worker *worker)
{
	if (worker->lending.idle)
		set_idle(worker, false);
}
