/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of the engine. Its objects are small and their number is bounded (ike/limits.h, engine_config), so running out
 * of memory means that the machine is out of memory: the process says so and ends; its supervisor starts it again, the
 * data path carries on meanwhile.
 */
#ifndef ESPALIER_IKE_MEMORY_H
#define ESPALIER_IKE_MEMORY_H

#include "agent/base/log.h"

#include <stdlib.h>
#include <string.h>

/* Zeroed memory; never NULL. Freed with free. */
static inline void *memory_new(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size ? size : 1);

	if (!memory) {
		log_error("Out of memory: %zu bytes are not to be had", count * size);
		abort();
	}
	return memory;
}

static inline void *memory_copy(const void *from, size_t len)
{
	void *memory = memory_new(1, len);

	if (len)
		memcpy(memory, from, len);
	return memory;
}

#endif
