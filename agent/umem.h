/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet memory of the process: one area of FRAME_SIZE chunks that every AF_XDP socket of every port uses, so that
 * a packet goes from one port to another without a copy. Free chunks lie in one depot under a lock; each worker keeps a
 * small cache of its own and trades with the depot in batches, so that the lock is taken once per CHUNK_BATCH packets
 * at most.
 */
#ifndef ESPALIER_AGENT_UMEM_H
#define ESPALIER_AGENT_UMEM_H

#include "agent/frame.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define CHUNK_BATCH	64u
#define CHUNK_CACHE_MAX (4u * CHUNK_BATCH)

struct umem {
	uint8_t *area;
	uint64_t bytes;
	uint32_t count; /* chunks in all */
	pthread_spinlock_t lock;
	uint32_t free_count; /* under the lock, as is `free` */
	uint32_t *free;	     /* numbers of free chunks */
	uint16_t *holder;    /* per chunk: the socket that holds it, 0 when it is the process's (umem_reclaim) */
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

/* The chunk that holds `at` is free again; the caller no longer touches it. */
static inline void chunk_give(struct chunk_cache *cache, const uint8_t *at)
{
	if (cache->count == CHUNK_CACHE_MAX)
		chunk_cache_spill(cache);
	cache->chunks[cache->count++] = chunk_number(cache->umem, at);
}

/* After socket `holder` was closed: every chunk that it still held is free again. Gives their number. */
uint32_t umem_reclaim(struct umem *umem, uint16_t holder);

#endif
