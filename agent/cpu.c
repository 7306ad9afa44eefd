/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cpu.h"

#include <sched.h>

uint32_t cpu_count(void)
{
	cpu_set_t allowed;

	return sched_getaffinity(0, sizeof(allowed), &allowed) ? 1 : (uint32_t)CPU_COUNT(&allowed);
}

int cpu_at(uint32_t n)
{
	uint32_t count = cpu_count();
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return -1;
	n %= count ? count : 1;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET((unsigned)cpu, &allowed) && !n--)
			return cpu;
	return -1;
}
