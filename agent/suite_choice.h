/* SPDX-License-Identifier: Apache-2.0 */
/* Which engine serves which suite. */
#ifndef ESPALIER_AGENT_SUITE_CHOICE_H
#define ESPALIER_AGENT_SUITE_CHOICE_H

#include "agent/suite_engine.h"

/* The engine for new ciphers of this suite. Any thread. */
const struct suite_engine *suite_choice(const struct esp_suite *suite);

#endif
