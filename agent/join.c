/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/join.h"

/* The packet into `frame`: its own buffer if that is long enough. */
static bool join_room(struct worker *worker, struct frame *frame, uint32_t len)
{
	struct frame larger = {0};

	if (FRAME_HEADROOM + len + FRAME_TAILROOM <= frame->size)
		return true;
	if (!frame_alloc(&worker->cache, &larger, len))
		return false;
	chunk_give(&worker->cache, frame->chunk);
	*frame = larger;
	return true;
}

/* Under the table's lock. On DROP_NONE `*whole` says whether the frame is now a whole packet; if not, it is no longer
 * needed. */
static enum drop_reason join_add(struct worker *worker, struct reassembly *table, struct frame *frame, bool *whole)
{
	struct reassembly_packet *packet;
	enum drop_reason reason = reassembly_add(table, frame, worker->now_ns, &packet);

	*whole = packet != NULL;
	if (!packet)
		return reason;
	if (join_room(worker, frame, reassembly_len(packet)))
		reassembly_write(packet, frame);
	else
		reason = DROP_NO_FRAME;
	reassembly_release(packet);
	return reason;
}

enum drop_reason join_fragment(struct worker *worker, struct reassembly *table, struct frame *frame, bool *whole)
{
	enum drop_reason reason;

	pthread_mutex_lock(&table->lock);
	reason = join_add(worker, table, frame, whole);
	pthread_mutex_unlock(&table->lock);
	if (!reason && !*whole)
		chunk_give(&worker->cache, frame->chunk);
	return reason;
}

void join_sweep(struct worker *worker, struct reassembly *table)
{
	struct reassembly_lost lost;

	if (!table)
		return;
	pthread_mutex_lock(&table->lock);
	reassembly_sweep(table, worker->now_ns, &lost);
	pthread_mutex_unlock(&table->lock);
	worker_count_lost(worker, DROP_REASSEMBLY_FULL, lost.full);
	worker_count_lost(worker, DROP_REASSEMBLY_TIMEOUT, lost.timeout);
	worker_count_lost(worker, DROP_REASSEMBLY_BAD, lost.bad);
}
