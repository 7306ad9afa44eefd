/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine behind the suites is: which suites it serves, how it schedules keys, how it works. */
#ifndef ESPALIER_AGENT_SUITE_ENGINE_H
#define ESPALIER_AGENT_SUITE_ENGINE_H

#include "agent/suite.h"

#define SUITE_BURST_MAX 32u /* jobs handed over at once */

/* The functions for one kind of cipher. Either seal and open, or the two of runs, or those of bursts, or mac. */
struct suite_work {
	/* The first job, and those right behind it that are of the same cipher; sets each `good`. Gives how many. */
	uint32_t (*seal_run)(struct esp_job *jobs, uint32_t count);
	uint32_t (*open_run)(struct esp_job *jobs, uint32_t count);
	bool (*seal)(struct esp_cipher *cipher, uint8_t *esp, uint32_t text_len, uint64_t seq);
	bool (*open)(struct esp_cipher *cipher, uint8_t *esp, uint32_t text_len, uint64_t seq);
	/* Up to SUITE_BURST_MAX jobs of any ciphers with this very work; sets each `good`. */
	void (*seal_burst)(struct esp_job *const *jobs, uint32_t count);
	void (*open_burst)(struct esp_job *const *jobs, uint32_t count);
	bool (*mac)(struct esp_cipher *cipher, const uint8_t *data, uint32_t len, const uint8_t *iv, uint8_t *icv);
};

struct suite_engine {
	const char *name;
	/* Asked once per suite and SA; false also where the library or the processor's instructions are absent. */
	bool (*serves)(const struct esp_suite *suite);
	/* Set work, state and concurrent; suite, salt and esn are set. 0, or -errno with state NULL. */
	int (*init)(struct esp_cipher *cipher, const struct sa *sa);
	/* Wipe and free a state. */
	void (*clear)(void *state);
};

extern const struct suite_engine suite_openssl;
extern const struct suite_engine suite_mb;

/* The engines by preference where nothing was measured: the index-th, NULL past the end. OpenSSL serves every suite. */
const struct suite_engine *suite_engine_at(unsigned index);
/* By name ("openssl", "ipsec-mb"); NULL if there is none. */
const struct suite_engine *suite_engine_find(const char *name);

#endif
