/* SPDX-License-Identifier: Apache-2.0 */
/* Ciphers of one worker's packets done by others: every job once, packets in order and whole, nothing outlives its SA.
 * Worth most under ThreadSanitizer (make VARIANT=tsan) and AddressSanitizer (make SAN=1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/clock.h"
#include "agent/suite_engine.h"
#include "tools/bench/worker_team.h"

#include <sched.h>
#include <time.h>

#define PACKET_LEN  700u
#define MARK_AT	    40u /* in the packet: its number */
#define DEADLINE_NS (60 * NS_PER_S)
#define LENT_ENOUGH 500u

/* ---- loans alone --------------------------------------------------------------------------------------------- */

static const struct suite_work one_by_one = {.seal_burst = NULL};
static const struct suite_work many_at_once = {.seal_burst = (void (*)(struct esp_job *const *, uint32_t))abort};

static void count_work(struct esp_job *jobs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		jobs[i].esp[0]++;
		jobs[i].good = true;
	}
}

struct loan_lab {
	struct loan loan;
	struct bundle bundle;
	struct esp_cipher cipher;
	uint8_t times[BUNDLE_MAX]; /* done */
	_Atomic bool stop;
};

static struct loan_lab *loan_lab_new(const struct suite_work *work)
{
	struct loan_lab *lab = aligned_alloc(_Alignof(struct loan_lab), sizeof(*lab));

	assert_non_null(lab);
	memset(lab, 0, sizeof(*lab));
	loan_init(&lab->loan, &lab->bundle, SA_OUT);
	lab->loan.work = count_work;
	lab->cipher.concurrent = true;
	lab->cipher.work = work;
	for (unsigned i = 0; i < BUNDLE_MAX; i++)
		lab->bundle.jobs[i] = (struct esp_job){.cipher = &lab->cipher, .esp = &lab->times[i]};
	return lab;
}

/* Gives how many are published then. */
static uint32_t publish(struct loan_lab *lab, uint32_t begun, bool last)
{
	lab->bundle.count = begun;
	loan_publish(&lab->loan, last);
	return lab->bundle.lent;
}

static void publishes_whole_chunks(void **state)
{
	struct loan_lab *lab = loan_lab_new(&one_by_one);

	(void)state;
	assert_int_equal(publish(lab, LOAN_CHUNK - 1, false), 0);
	assert_int_equal(loan_help(&lab->loan, NULL), 0);
	assert_int_equal(publish(lab, 2 * LOAN_CHUNK + 3, false), 2 * LOAN_CHUNK);
	assert_int_equal(loan_help(&lab->loan, NULL), LOAN_CHUNK);
	assert_int_equal(publish(lab, 2 * LOAN_CHUNK + 3, true), 2 * LOAN_CHUNK + 3);
	assert_true(loan_work(&lab->loan));
	assert_int_equal(loan_done(&lab->loan, 2 * LOAN_CHUNK), LOAN_OPEN);
	assert_int_equal(loan_help(&lab->loan, NULL), 3);
	assert_int_equal(loan_help(&lab->loan, NULL), 0);
	assert_false(loan_work(&lab->loan));
	assert_int_equal(loan_done(&lab->loan, 0), LOAN_DONE_BY_HELPER);
	assert_int_equal(loan_done(&lab->loan, LOAN_CHUNK), LOAN_DONE_BY_OWNER);
	assert_int_equal(loan_done(&lab->loan, 2 * LOAN_CHUNK), LOAN_DONE_BY_HELPER);
	for (unsigned i = 0; i < BUNDLE_MAX; i++) {
		assert_int_equal(lab->times[i], i < 2 * LOAN_CHUNK + 3);
		assert_int_equal(lab->bundle.jobs[i].good, i < 2 * LOAN_CHUNK + 3);
	}
	loan_close(&lab->loan);
	assert_int_equal(loan_done(&lab->loan, 0), LOAN_OPEN);
	assert_int_equal(lab->bundle.lent, 0);
	assert_int_equal(loan_help(&lab->loan, NULL), 0);
	free(lab);
}

/* Two chunks at once, but not what is not yet published. */
static void claims_more_for_lanes(void **state)
{
	struct loan_lab *lab = loan_lab_new(&many_at_once);

	(void)state;
	assert_int_equal(publish(lab, 3 * LOAN_CHUNK, false), 3 * LOAN_CHUNK);
	assert_int_equal(loan_help(&lab->loan, NULL), 2 * LOAN_CHUNK);
	assert_int_equal(loan_done(&lab->loan, LOAN_CHUNK), LOAN_DONE_BY_HELPER);
	assert_int_equal(loan_help(&lab->loan, NULL), LOAN_CHUNK);
	assert_int_equal(loan_help(&lab->loan, NULL), 0);
	free(lab);
}

static void *loan_helper(void *context)
{
	struct loan_lab *lab = context;
	uint64_t done = 0;

	while (!atomic_load(&lab->stop)) {
		uint32_t count = loan_help(&lab->loan, NULL);

		done += count;
		if (!count)
			sched_yield();
	}
	return (void *)(uintptr_t)done;
}

/* Bundle after bundle in the same place: each job is done once, and counted as whose work it was. */
static void every_job_once(void **state)
{
	struct loan_lab *lab = loan_lab_new(&one_by_one);
	uint64_t bundles = 3000, helped = 0, by_helpers = 0;
	pthread_t helpers[2];

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&helpers[i], NULL, loan_helper, lab), 0);
	for (uint64_t n = 1; n <= bundles; n++) {
		uint32_t count = 1 + (uint32_t)(n * 7 % BUNDLE_MAX);

		for (uint32_t begun = 5; begun < count; begun += 11)
			publish(lab, begun, false);
		assert_int_equal(publish(lab, count, true), count);
		for (uint32_t first = 0; first < count; first += LOAN_CHUNK) {
			uint32_t end = count - first < LOAN_CHUNK ? count : first + LOAN_CHUNK;

			while (loan_done(&lab->loan, first) == LOAN_OPEN)
				if (!loan_work(&lab->loan))
					sched_yield();
			for (uint32_t i = first; i < end; i++) {
				assert_int_equal(lab->times[i], 1);
				lab->times[i] = 0;
			}
			if (loan_done(&lab->loan, first) == LOAN_DONE_BY_HELPER)
				helped += end - first;
		}
		loan_close(&lab->loan);
	}
	atomic_store(&lab->stop, true);
	for (unsigned i = 0; i < 2; i++) {
		void *done;

		pthread_join(helpers[i], &done);
		by_helpers += (uintptr_t)done;
	}
	assert_int_equal(helped, by_helpers);
	free(lab);
}

/* ---- workers ------------------------------------------------------------------------------------------------- */

struct lab {
	struct gateway a; /* seals */
	struct gateway b; /* opens */
	struct team teams[2];
	uint64_t pushed; /* packets so far; each has its number in it */
	uint64_t pulled;
	bool unshared; /* no context's cipher is for several threads */
};

static int set_up(void **state)
{
	const struct esp_suite *suite = esp_suite_find(ENCR_AES_GCM_16, 256, AUTH_NONE);
	struct lab *lab = calloc(1, sizeof(*lab));

	*state = lab;
	return !lab || gateway_init(&lab->a, 0, suite) || gateway_init(&lab->b, 1, suite) ||
	       team_init(&lab->teams[0], &lab->a, 3, 1, true) || team_init(&lab->teams[1], &lab->b, 3, 1, true);
}

static int tear_down(void **state)
{
	struct lab *lab = *state;

	team_clear(&lab->teams[0]);
	team_clear(&lab->teams[1]);
	gateway_clear(&lab->a);
	gateway_clear(&lab->b);
	free(lab);
	return 0;
}

static uint64_t counted(const struct team *team, size_t counter)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < team->count; i++)
		sum += __atomic_load_n(
			(const uint64_t *)(const void *)((const char *)&team->stats[i] + counter), __ATOMIC_RELAXED);
	return sum;
}

static uint64_t lent(const struct team *team)
{
	return counted(team, offsetof(struct worker_stat, lent));
}

static uint64_t dropped_all(const struct team *team)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < DROP_SLOTS; i++)
		sum += counted(team, offsetof(struct worker_stat, drops) + i * sizeof(struct drop_count));
	return sum;
}

static void push_plain(struct lab *lab, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++, lab->pushed++) {
		uint8_t packet[PACKET_LEN];

		gateway_packet(packet, sizeof(packet), 0, true);
		memcpy(packet + MARK_AT, &lab->pushed, sizeof(lab->pushed));
		assert_true(gateway_push_plain(&lab->a, SLOT_LAN, 0, packet, sizeof(packet)));
	}
}

/* What the first gateway sealed, to the second one. */
static uint32_t pass_sealed(struct lab *lab)
{
	struct frame frames[PORT_BATCH];
	uint32_t count = memory_port_pull(gateway_port(&lab->a, SLOT_WAN), 0, frames, PORT_BATCH);

	for (uint32_t i = 0; i < count; i++) {
		assert_true(gateway_push_esp(&lab->b, 0, &frames[i]));
		chunk_give(&lab->a.cache, frames[i].chunk);
	}
	return count;
}

/* What the second gateway opened is what was sealed next, whole. */
static void check_opened(struct lab *lab, uint32_t count)
{
	struct frame frames[PORT_BATCH];
	uint8_t packet[PACKET_LEN];

	assert_int_equal(memory_port_pull(gateway_port(&lab->b, SLOT_LAN), 0, frames, PORT_BATCH), count);
	gateway_packet(packet, sizeof(packet), 0, true);
	for (uint32_t i = 0; i < count; i++, lab->pulled++) {
		memcpy(packet + MARK_AT, &lab->pulled, sizeof(lab->pulled));
		assert_int_equal(frames[i].len, 14 + PACKET_LEN);
		assert_memory_equal(frames[i].data + 14 + 12, packet + 12, PACKET_LEN - 12);
		chunk_give(&lab->b.cache, frames[i].chunk);
	}
}

static void keep_cipher(struct worker *worker, uint32_t index)
{
	if (worker->sas.slots[index])
		worker->sas.slots[index]->context.cipher.concurrent = false;
}

static void pass_batch(struct lab *lab)
{
	if (lab->unshared) {
		keep_cipher(&lab->a.worker, 1);
		keep_cipher(&lab->b.worker, 0);
	}
	push_plain(lab, PORT_BATCH);
	worker_turn(&lab->a.worker, clock_now_ns());
	assert_int_equal(pass_sealed(lab), PORT_BATCH);
	worker_turn(&lab->b.worker, clock_now_ns());
	check_opened(lab, PORT_BATCH);
}

/* The next large batch is published, as if the second worker were there to help. */
static void lend_now(struct gateway *gateway)
{
	gateway->worker.lending.willing = true;
	atomic_fetch_or(&gateway->shared.board->idle, 2);
}

/* Nobody helps: the owner does all that it published, as if it had not. */
static void owner_alone_finishes(void **state)
{
	struct lab *lab = *state;

	for (unsigned i = 0; i < 5; i++) {
		lend_now(&lab->a);
		lend_now(&lab->b);
		pass_batch(lab);
	}
	assert_int_equal(lent(&lab->teams[0]) + lent(&lab->teams[1]), 0);
	assert_int_equal(dropped_all(&lab->teams[0]) + dropped_all(&lab->teams[1]), 0);
	assert_int_equal(lab->a.runs[1].out_seq, 5 * PORT_BATCH);
	assert_int_equal(lab->b.runs[0].packets, 5 * PORT_BATCH);
}

/* The numbers end in the middle of what is lent. */
static void last_number_while_lending(void **state)
{
	struct lab *lab = *state;
	const uint32_t left = 27;

	lab->a.runs[1].out_seq = UINT32_MAX - left;
	lab->b.runs[0].replay_top = UINT32_MAX - left;
	lend_now(&lab->a);
	push_plain(lab, PORT_BATCH);
	worker_turn(&lab->a.worker, clock_now_ns());
	assert_int_equal(pass_sealed(lab), left);
	lend_now(&lab->b);
	worker_turn(&lab->b.worker, clock_now_ns());
	check_opened(lab, left);
	assert_int_equal(lab->teams[0].stats[0].drops[DROP_SEQ_EXHAUSTED].packets, PORT_BATCH - left);
	assert_int_equal(dropped_all(&lab->teams[1]), 0);
}

/* A helper has a cipher of its own for what cannot be shared, of the very same SA, or leaves it to the owner. */
static void unshared_cipher_is_not_touched(void **state)
{
	struct lab *lab = *state;
	struct loan_lab *alone = loan_lab_new(&one_by_one);
	struct sa_table *own = &lab->teams[0].workers[1]->sas;
	enum drop_reason reason;
	struct sa_slot *slot = sa_table_find(&lab->a.worker.sas, 1, SA_OUT, DROP_SA_MISSING, &reason);

	alone->cipher.concurrent = false;
	for (unsigned i = 0; i < BUNDLE_MAX; i++)
		alone->bundle.slots[i] = slot;
	publish(alone, 2 * LOAN_CHUNK, false);
	assert_int_equal(loan_help(&alone->loan, own), LOAN_CHUNK);
	assert_true(own->slots[1] && own->slots[1] != slot);
	assert_ptr_equal(alone->bundle.jobs[0].cipher, &alone->cipher);
	assert_true(alone->bundle.jobs[0].good);
	lab->a.sas[1].generation += 2;
	assert_int_equal(loan_help(&alone->loan, own), 0);
	assert_int_equal(loan_done(&alone->loan, LOAN_CHUNK), LOAN_REFUSED);
	assert_int_equal(alone->times[LOAN_CHUNK], 0);
	loan_redo(&alone->loan, LOAN_CHUNK);
	assert_int_equal(loan_done(&alone->loan, LOAN_CHUNK), LOAN_DONE_BY_OWNER);
	assert_int_equal(alone->times[2 * LOAN_CHUNK - 1], 1);
	sa_table_reap(own);
	free(alone);
}

/* Small turns press nobody; large ones do, until they have been small for a while. */
static void pressed_by_work(void **state)
{
	struct lab *lab = *state;

	push_plain(lab, 2);
	worker_turn(&lab->a.worker, GATEWAY_NOW_NS);
	assert_int_equal(atomic_load(&lab->a.shared.board->pressed), 0);
	pass_sealed(lab);
	push_plain(lab, PORT_BATCH);
	worker_turn(&lab->a.worker, GATEWAY_NOW_NS);
	assert_int_equal(atomic_load(&lab->a.shared.board->pressed), 1);
	assert_false(lend_wanted(&lab->a.worker, PORT_BATCH)); /* nobody is there */
	worker_turn(lab->teams[0].workers[1], GATEWAY_NOW_NS);
	assert_int_equal(atomic_load(&lab->a.shared.board->idle), 2);
	pass_sealed(lab);
	push_plain(lab, PORT_BATCH);
	worker_turn(&lab->a.worker, GATEWAY_NOW_NS); /* the first of a trial: alone */
	assert_true(lend_wanted(&lab->a.worker, PORT_BATCH));
	assert_false(lend_wanted(&lab->a.worker, 2));
	for (unsigned i = 0; i < LEND_CALM_TURNS; i++)
		worker_turn(&lab->a.worker, GATEWAY_NOW_NS);
	assert_int_equal(atomic_load(&lab->a.shared.board->pressed), 0);
	assert_false(lend_wanted(&lab->a.worker, PORT_BATCH));
	worker_turn(lab->teams[0].workers[1], GATEWAY_NOW_NS);
	assert_int_equal(atomic_load(&lab->a.shared.board->idle), 0);
}

static void lend_until(struct lab *lab, uint64_t enough)
{
	uint64_t deadline_ns = clock_now_ns() + DEADLINE_NS;

	while ((lent(&lab->teams[0]) < enough || lent(&lab->teams[1]) < enough) && clock_now_ns() < deadline_ns)
		pass_batch(lab);
	for (unsigned i = 0; i < 2; i++) {
		team_stop(&lab->teams[i]);
		assert_true(lent(&lab->teams[i]) >= enough);
		assert_int_equal(lent(&lab->teams[i]), lab->teams[i].stats[0].lent);
		assert_int_equal(lent(&lab->teams[i]), counted(&lab->teams[i], offsetof(struct worker_stat, borrowed)));
		assert_int_equal(lab->teams[i].stats[0].borrowed, 0);
		assert_int_equal(dropped_all(&lab->teams[i]), 0);
	}
	assert_int_equal(lab->pulled, lab->pushed);
	assert_int_equal(lab->a.runs[1].out_seq, lab->pushed);
}

/* All of one SA at one queue, two threads idle: they help, order and bytes are as without them, and both sides of the
 * account agree. */
static void helpers_keep_order(void **state)
{
	struct lab *lab = *state;

	assert_int_equal(team_start(&lab->teams[0], false) | team_start(&lab->teams[1], false), 0);
	lend_until(lab, LENT_ENOUGH);
}

/* The same where helpers need ciphers of their own. */
static void helpers_have_their_ciphers(void **state)
{
	struct lab *lab = *state;
	const struct sa_table *first, *second;

	pass_batch(lab);
	lab->unshared = true;
	assert_int_equal(team_start(&lab->teams[0], false) | team_start(&lab->teams[1], false), 0);
	lend_until(lab, LENT_ENOUGH);
	first = &lab->teams[0].workers[1]->sas;
	second = &lab->teams[0].workers[2]->sas;
	assert_true(first->slots[1] || second->slots[1]);
}

/* ---- SAs that go away ---------------------------------------------------------------------------------------- */

struct mover {
	struct lab *lab;
	_Atomic bool stop;
};

/* Again and again the slots move on, and the tunnel more often: contexts are made anew, or take the tunnel over as they
 * are, while others hold jobs of theirs. */
static void *mover_main(void *context)
{
	struct mover *mover = context;
	struct timespec pause = {.tv_nsec = 50 * 1000};

	while (!atomic_load(&mover->stop)) {
		__atomic_fetch_add(&mover->lab->a.sas[1].generation, 2, __ATOMIC_RELEASE);
		__atomic_fetch_add(&mover->lab->b.sas[0].generation, 2, __ATOMIC_RELEASE);
		for (unsigned i = 0; i < 8; i++) {
			__atomic_fetch_add(&mover->lab->a.tunnels[0].generation, 2, __ATOMIC_RELEASE);
			__atomic_fetch_add(&mover->lab->b.tunnels[0].generation, 2, __ATOMIC_RELEASE);
			nanosleep(&pause, NULL);
		}
	}
	return NULL;
}

/* The owner of the outbound SA is asked anew with every generation, and must stay who it is: it alone receives. */
static void lend_while_moving(struct lab *lab)
{
	struct mover mover = {.lab = lab};
	pthread_t thread;

	assert_int_equal(team_start(&lab->teams[0], false) | team_start(&lab->teams[1], false), 0);
	assert_int_equal(pthread_create(&thread, NULL, mover_main, &mover), 0);
	lend_until(lab, LENT_ENOUGH / 2);
	atomic_store(&mover.stop, true);
	pthread_join(thread, NULL);
	lab->a.sas[1].state = SA_RETIRED;
	lab->a.sas[1].generation += 2;
	push_plain(lab, PORT_BATCH);
	worker_turn(&lab->a.worker, clock_now_ns());
	assert_int_equal(pass_sealed(lab), 0);
	assert_int_equal(lab->teams[0].stats[0].drops[DROP_SA_MISSING].packets, PORT_BATCH);
	assert_null(lab->a.worker.sas.dropped);
}

static void sa_goes_away_while_lent(void **state)
{
	lend_while_moving(*state);
}

/* Helpers' own contexts are of another generation then, now and again. */
static void unshared_sa_goes_away_while_lent(void **state)
{
	struct lab *lab = *state;

	lab->unshared = true;
	lend_while_moving(lab);
}

/* ---- a helper that is held up -------------------------------------------------------------------------------- */

static pthread_t owner_thread;
static _Atomic uint32_t slow_jobs;

/* The helper loses its CPU in the middle of its chunk. */
static void slow_seal(struct esp_job *jobs, uint32_t count)
{
	if (!pthread_equal(pthread_self(), owner_thread)) {
		nanosleep(&(struct timespec){.tv_nsec = 3 * LEND_LATE_NS}, NULL);
		atomic_fetch_add(&slow_jobs, count);
	}
	esp_jobs_seal(jobs, count);
}

/* The owner waits, for its packets are in the helper's hands; then it lends nothing for a while. */
static void late_helper_is_waited_for(void **state)
{
	struct lab *lab = *state;
	uint64_t deadline_ns = clock_now_ns() + DEADLINE_NS;

	owner_thread = pthread_self();
	lab->a.shared.board->loans[0][LOAN_SEALING].work = slow_seal;
	assert_int_equal(team_start(&lab->teams[0], false), 0);
	pass_batch(lab);
	while (!lab->a.worker.lending.pause.span_ns && clock_now_ns() < deadline_ns)
		pass_batch(lab);
	assert_true(lab->a.worker.lending.pause.until_ns > lab->a.worker.now_ns);
	assert_false(lend_wanted(&lab->a.worker, PORT_BATCH));
	team_stop(&lab->teams[0]);
	assert_int_equal(lent(&lab->teams[0]), atomic_load(&slow_jobs));
	assert_int_equal(dropped_all(&lab->teams[0]), 0);
}

/* ---- help that is none --------------------------------------------------------------------------------------- */

static void dear_seal(struct esp_job *jobs, uint32_t count)
{
	uint64_t until_ns = clock_now_ns() + NS_PER_MS;

	while (clock_now_ns() < until_ns)
		;
	esp_jobs_seal(jobs, count);
}

/* Turns with published jobs take longer than those without: after a trial the worker does its work alone. */
static void help_must_be_worth_it(void **state)
{
	struct lab *lab = *state;
	unsigned turns = 0;

	lab->a.shared.board->loans[0][LOAN_SEALING].work = dear_seal;
	atomic_fetch_or(&lab->a.shared.board->idle, 2);
	pass_batch(lab);
	while (!lab->a.worker.lending.pause.until_ns && turns++ < 4 * LEND_PAIRS)
		pass_batch(lab);
	assert_in_range(turns, LEND_PAIRS, 3 * LEND_PAIRS);
	assert_false(lend_wanted(&lab->a.worker, PORT_BATCH));
	assert_int_equal(atomic_load(&lab->a.shared.board->pressed), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(publishes_whole_chunks),
		cmocka_unit_test(claims_more_for_lanes),
		cmocka_unit_test(every_job_once),
		TEST(owner_alone_finishes),
		TEST(last_number_while_lending),
		TEST(unshared_cipher_is_not_touched),
		TEST(pressed_by_work),
		TEST(helpers_keep_order),
		TEST(helpers_have_their_ciphers),
		TEST(sa_goes_away_while_lent),
		TEST(unshared_sa_goes_away_while_lent),
		TEST(late_helper_is_waited_for),
		TEST(help_must_be_worth_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
