/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/schedule.h"

#include "ike/memory.h"

static void place(struct schedule *schedule, uint32_t at, struct timer *timer)
{
	schedule->heap[at] = timer;
	timer->place = at + 1;
}

static void sift_up(struct schedule *schedule, uint32_t at)
{
	struct timer *timer = schedule->heap[at];

	while (at > 0 && schedule->heap[(at - 1) / 2]->at > timer->at) {
		place(schedule, at, schedule->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	place(schedule, at, timer);
}

static void sift_down(struct schedule *schedule, uint32_t at)
{
	struct timer *timer = schedule->heap[at];

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= schedule->count)
			break;
		if (child + 1 < schedule->count && schedule->heap[child + 1]->at < schedule->heap[child]->at)
			child++;
		if (schedule->heap[child]->at >= timer->at)
			break;
		place(schedule, at, schedule->heap[child]);
		at = child;
	}
	place(schedule, at, timer);
}

static void grow(struct schedule *schedule)
{
	uint32_t size = schedule->size ? 2 * schedule->size : 64;
	struct timer **heap = memory_new(size, sizeof(*heap));

	if (schedule->count)
		memcpy(heap, schedule->heap, schedule->count * sizeof(*heap));
	free(schedule->heap);
	schedule->heap = heap;
	schedule->size = size;
}

static void take_out(struct schedule *schedule, struct timer *timer)
{
	uint32_t at = timer->place - 1;
	struct timer *last = schedule->heap[--schedule->count];

	timer->place = 0;
	if (last == timer)
		return;
	place(schedule, at, last);
	sift_up(schedule, at);
	sift_down(schedule, last->place - 1);
}

void schedule_set(struct schedule *schedule, struct timer *timer, uint64_t at)
{
	if (timer->place && timer->at == at)
		return;
	if (timer->place)
		take_out(schedule, timer);
	if (at == TIME_NEVER)
		return;
	timer->at = at;
	if (schedule->count == schedule->size)
		grow(schedule);
	place(schedule, schedule->count++, timer);
	sift_up(schedule, timer->place - 1);
}

struct timer *schedule_due(struct schedule *schedule, uint64_t now)
{
	struct timer *first;

	if (!schedule->count || schedule->heap[0]->at > now)
		return NULL;
	first = schedule->heap[0];
	take_out(schedule, first);
	return first;
}

uint64_t schedule_next(const struct schedule *schedule)
{
	return schedule->count ? schedule->heap[0]->at : TIME_NEVER;
}

void schedule_clear(struct schedule *schedule)
{
	free(schedule->heap);
	*schedule = (struct schedule){0};
}
