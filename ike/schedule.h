/* SPDX-License-Identifier: Apache-2.0 */
/* Timers in order of time: a binary heap of pointers to timers that stand in their owners. */
#ifndef ESPALIER_IKE_SCHEDULE_H
#define ESPALIER_IKE_SCHEDULE_H

#include <stdint.h>

#define TIME_NEVER UINT64_MAX

enum timer_kind { TIMER_IKE_SA = 1, TIMER_CONN, TIMER_GRAVE };

struct timer {
	uint64_t at;	/* ns; valid while `place` is not 0 */
	uint32_t place; /* in the heap, from 1; 0: not set */
	enum timer_kind kind;
	void *owner;
};

struct schedule {
	struct timer **heap; /* heap[0] is the earliest */
	uint32_t count;
	uint32_t size;
};

/* Set, move or (TIME_NEVER) take out a timer. */
void schedule_set(struct schedule *schedule, struct timer *timer, uint64_t at);
/* Take out the earliest timer that is due; NULL if none is. */
struct timer *schedule_due(struct schedule *schedule, uint64_t now);
uint64_t schedule_next(const struct schedule *schedule);
void schedule_clear(struct schedule *schedule);

#endif
