/* SPDX-License-Identifier: Apache-2.0 */
/* Which engine serves which suite: what a short measurement at start says, on this processor with these libraries. */
#ifndef ESPALIER_AGENT_SUITE_CHOICE_H
#define ESPALIER_AGENT_SUITE_CHOICE_H

#include "agent/suite_engine.h"

#define SUITE_CHOICE_BUDGET_NS (80u * 1000u * 1000u)

/* Sizes measured: bytes between IV and ICV. */
enum suite_size { SUITE_SIZE_SMALL, SUITE_SIZE_LARGE, SUITE_SIZES };
#define SUITE_SMALL_LEN 64u
#define SUITE_LARGE_LEN 1408u

struct suite_figure {
	const struct suite_engine *engine; /* the chosen one */
	/* A packet sealed or opened by it, the mean of both, among others of a turn; 0: not measured. */
	uint32_t ns[SUITE_SIZES];
};

/*
 * Measure every suite by every engine that serves it and keep the faster. Before other threads make ciphers. What the
 * budget leaves no time for keeps the preferred engine. Suites of one algorithm and key length share one measurement.
 */
void suite_choice_measure(uint64_t budget_ns);

/* The engine for new ciphers of this suite. Any thread. */
const struct suite_engine *suite_choice(const struct esp_suite *suite);
struct suite_figure suite_figure(const struct esp_suite *suite);

#endif
