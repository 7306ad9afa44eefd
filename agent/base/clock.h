/* SPDX-License-Identifier: Apache-2.0 */
/* Time: one monotonic clock in nanoseconds, the same as bpf_ktime_get_ns(). */
#ifndef ESPALIER_BASE_CLOCK_H
#define ESPALIER_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS (1000 * NS_PER_US)
#define NS_PER_S  (1000 * NS_PER_MS)

static inline uint64_t clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

#endif
