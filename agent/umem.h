/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet memory of the process: one area of FRAME_SIZE chunks that every AF_XDP socket of every port uses, so that
 * a packet goes from one port to another without a copy. Free chunks lie in one depot under a lock; each worker keeps a
 * small cache of its own and trades with the depot in batches, so that the lock is taken once per CHUNK_BATCH packets
 * at most.
 *
 * Behind the chunks lie JUMBO_COUNT buffers of JUMBO_SIZE for the few packets longer than a chunk: put together from
 * several descriptors or fragments, or large packets of the host. No socket knows them; a port that sends one copies
 * it. They cost address space alone until they are touched.
 */
#ifndef ESPALIER_AGENT_UMEM_H
#define ESPALIER_AGENT_UMEM_H

#include "agent/frame.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define CHUNK_BATCH	64u
#define CHUNK_CACHE_MAX (4u * CHUNK_BATCH)
#define JUMBO_COUNT	2048u

struct umem {
	uint8_t *area;
	uint64_t bytes; /* of the chunks: what sockets register; the jumbo buffers follow */
	uint32_t count; /* chunks in all */
	pthread_spinlock_t lock;
	uint32_t free_count;  /* under the lock, as is `free` */
	uint32_t *free;	      /* numbers of free chunks */
	uint16_t *holder;     /* per chunk: the socket that holds it, 0 when it is the process's (umem_reclaim) */
	uint32_t jumbo_count; /* free ones, under the lock, as is `jumbo` */
	uint32_t jumbo[JUMBO_COUNT];
};

/* One worker's own free chunks. Not shared between threads. */
struct chunk_cache {
	struct umem *umem;
	uint32_t count;
	uint32_t chunks[CHUNK_CACHE_MAX];
};

/* Map `count` chunks. -errno. The caller ends it with umem_clear, after every socket over it is closed. */
int umem_init(struct umem *umem, uint32_t count);
void umem_clear(struct umem *umem);

/* Free chunks in the depot alone; what caches hold is not counted. */
uint32_t umem_free_count(struct umem *umem);
/* Free jumbo buffers: no cache holds any. */
uint32_t umem_jumbo_count(struct umem *umem);

static inline uint32_t chunk_number(const struct umem *umem, const uint8_t *at)
{
	return (uint32_t)((uint64_t)(at - umem->area) / FRAME_SIZE);
}

static inline uint8_t *chunk_at(const struct umem *umem, uint32_t number)
{
	return umem->area + (uint64_t)number * FRAME_SIZE;
}

void chunk_cache_init(struct chunk_cache *cache, struct umem *umem);
/* Give every cached chunk back to the depot. */
void chunk_cache_drain(struct chunk_cache *cache);
/* Move up to CHUNK_BATCH chunks from the depot into the cache; false if the depot is empty. */
bool chunk_cache_fill(struct chunk_cache *cache);
void chunk_cache_spill(struct chunk_cache *cache);

/* A free chunk, now the caller's; NULL when none is left anywhere this worker can reach. */
static inline uint8_t *chunk_take(struct chunk_cache *cache)
{
	if (!cache->count && !chunk_cache_fill(cache))
		return NULL;
	return chunk_at(cache->umem, cache->chunks[--cache->count]);
}

/* A free jumbo buffer, now the caller's; NULL when none is left. Any thread. */
uint8_t *jumbo_take(struct umem *umem);
void jumbo_give(struct umem *umem, const uint8_t *at);

static inline bool umem_is_jumbo(const struct umem *umem, const uint8_t *at)
{
	return (uint64_t)(at - umem->area) >= umem->bytes;
}

/* The chunk or jumbo buffer that holds `at` is free again; the caller no longer touches it. */
static inline void chunk_give(struct chunk_cache *cache, const uint8_t *at)
{
	if (__builtin_expect(umem_is_jumbo(cache->umem, at), 0)) {
		jumbo_give(cache->umem, at);
		return;
	}
	if (cache->count == CHUNK_CACHE_MAX)
		chunk_cache_spill(cache);
	cache->chunks[cache->count++] = chunk_number(cache->umem, at);
}

/* An empty frame with a buffer for `len` bytes of packet, FRAME_HEADROOM before `data`: in a chunk if they fit, else in
 * a jumbo buffer. False: longer than JUMBO_DATA_MAX, or none left. The buffer goes back by chunk_give(frame->chunk). */
static inline bool frame_alloc(struct chunk_cache *cache, struct frame *frame, uint32_t len)
{
	bool jumbo = len > FRAME_DATA_MAX;

	if (len > JUMBO_DATA_MAX)
		return false;
	frame->chunk = jumbo ? jumbo_take(cache->umem) : chunk_take(cache);
	if (!frame->chunk)
		return false;
	frame->size = jumbo ? JUMBO_SIZE : FRAME_SIZE;
	frame->data = frame->chunk + FRAME_HEADROOM;
	frame->len = 0;
	return true;
}

/* After socket `holder` was closed: every chunk that it still held is free again. Gives their number. */
uint32_t umem_reclaim(struct umem *umem, uint16_t holder);

#endif
