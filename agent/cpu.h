/* SPDX-License-Identifier: Apache-2.0 */
/* The CPUs that this process may use. */
#ifndef ESPALIER_AGENT_CPU_H
#define ESPALIER_AGENT_CPU_H

#include <stdint.h>

/* How many; 1 if the kernel does not say. */
uint32_t cpu_count(void);
/* Number `n` of them, round and round; -1 if the kernel does not say. */
int cpu_at(uint32_t n);

#endif
