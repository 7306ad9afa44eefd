/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the ipsec-mb engine: what its files share. The library is opened at run time (no package of it exists for
 * arm64, and a system without it must start); its header is needed to build the engine, and without it the engine
 * serves no suite.
 */
#ifndef ESPALIER_AGENT_SUITE_MB_H
#define ESPALIER_AGENT_SUITE_MB_H

#include "agent/suite_engine.h"

#include <intel-ipsec-mb.h>

#define MB_ALIGN 64u /* of key schedules: what the library's widest loads ask for */

/* The functions that keep nothing between calls, for all threads; NULL: the library or the instructions are absent. */
const IMB_MGR *mb_functions(void);
/* The calling thread's own job manager, made at the first call and ended with the thread; NULL: out of memory. */
IMB_MGR *mb_manager(void);

/* Zeroed memory for a key schedule, aligned; mb_free wipes it. `size` is kept in front. NULL: out of memory. */
void *mb_alloc(size_t size);
void mb_free(void *memory);

/* Constant time. `len` is a multiple of 4. */
bool mb_icv_equal(const uint8_t *a, const uint8_t *b, uint32_t len);

/* Schedule one suite's cipher: sets work, state and concurrent. 0 or -errno. */
int mb_gcm_init(struct esp_cipher *cipher, const struct sa *sa);
int mb_burst_init(struct esp_cipher *cipher, const struct sa *sa);

#endif
