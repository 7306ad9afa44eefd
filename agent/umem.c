/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/umem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static uint64_t umem_mapped(const struct umem *umem)
{
	return umem->bytes + (uint64_t)JUMBO_COUNT * JUMBO_SIZE;
}

int umem_init(struct umem *umem, uint32_t count)
{
	memset(umem, 0, sizeof(*umem));
	umem->count = count;
	umem->bytes = (uint64_t)count * FRAME_SIZE;
	umem->area = mmap(
		NULL, umem_mapped(umem), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (umem->area == MAP_FAILED) {
		umem->area = NULL;
		return -errno;
	}
	umem->free = calloc(count, sizeof(*umem->free));
	umem->holder = calloc(count, sizeof(*umem->holder));
	if (!umem->free || !umem->holder) {
		umem_clear(umem);
		return -ENOMEM;
	}
	/* The lowest chunk on top of the stack: memory that was just used is used again first. */
	for (uint32_t i = 0; i < count; i++)
		umem->free[i] = count - 1 - i;
	umem->free_count = count;
	for (uint32_t i = 0; i < JUMBO_COUNT; i++)
		umem->jumbo[i] = JUMBO_COUNT - 1 - i;
	umem->jumbo_count = JUMBO_COUNT;
	pthread_spin_init(&umem->lock, PTHREAD_PROCESS_PRIVATE);
	return 0;
}

void umem_clear(struct umem *umem)
{
	if (umem->area)
		munmap(umem->area, umem_mapped(umem));
	free(umem->free);
	free(umem->holder);
	memset(umem, 0, sizeof(*umem));
}

uint32_t umem_free_count(struct umem *umem)
{
	uint32_t count;

	pthread_spin_lock(&umem->lock);
	count = umem->free_count;
	pthread_spin_unlock(&umem->lock);
	return count;
}

uint32_t umem_jumbo_count(struct umem *umem)
{
	uint32_t count;

	pthread_spin_lock(&umem->lock);
	count = umem->jumbo_count;
	pthread_spin_unlock(&umem->lock);
	return count;
}

uint8_t *jumbo_take(struct umem *umem)
{
	uint8_t *at = NULL;

	pthread_spin_lock(&umem->lock);
	if (umem->jumbo_count)
		at = umem->area + umem->bytes + (uint64_t)umem->jumbo[--umem->jumbo_count] * JUMBO_SIZE;
	pthread_spin_unlock(&umem->lock);
	return at;
}

void jumbo_give(struct umem *umem, const uint8_t *at)
{
	uint32_t number = (uint32_t)(((uint64_t)(at - umem->area) - umem->bytes) / JUMBO_SIZE);

	pthread_spin_lock(&umem->lock);
	umem->jumbo[umem->jumbo_count++] = number;
	pthread_spin_unlock(&umem->lock);
}

void chunk_cache_init(struct chunk_cache *cache, struct umem *umem)
{
	cache->umem = umem;
	cache->count = 0;
}

void chunk_cache_drain(struct chunk_cache *cache)
{
	while (cache->count)
		chunk_cache_spill(cache);
}

bool chunk_cache_fill(struct chunk_cache *cache)
{
	struct umem *umem = cache->umem;
	uint32_t count;

	pthread_spin_lock(&umem->lock);
	count = umem->free_count < CHUNK_BATCH ? umem->free_count : CHUNK_BATCH;
	umem->free_count -= count;
	memcpy(cache->chunks + cache->count, umem->free + umem->free_count, count * sizeof(*umem->free));
	pthread_spin_unlock(&umem->lock);
	cache->count += count;
	return count > 0;
}

void chunk_cache_spill(struct chunk_cache *cache)
{
	struct umem *umem = cache->umem;
	uint32_t count = cache->count < CHUNK_BATCH ? cache->count : CHUNK_BATCH;

	cache->count -= count;
	pthread_spin_lock(&umem->lock);
	memcpy(umem->free + umem->free_count, cache->chunks + cache->count, count * sizeof(*umem->free));
	umem->free_count += count;
	pthread_spin_unlock(&umem->lock);
}

uint32_t umem_reclaim(struct umem *umem, uint16_t holder)
{
	uint32_t reclaimed = 0;

	pthread_spin_lock(&umem->lock);
	for (uint32_t i = 0; i < umem->count; i++) {
		if (umem->holder[i] != holder)
			continue;
		umem->holder[i] = 0;
		umem->free[umem->free_count++] = i;
		reclaimed++;
	}
	pthread_spin_unlock(&umem->lock);
	return reclaimed;
}
