/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/clock.h"
#include "agent/base/config.h"

#define DURATION_SECONDS_MAX (UINT64_C(100) * 365 * 86400) /* keeps all sums of times far from wrapping */

static uint64_t unit_seconds(const char *unit)
{
	if (unit[0] && unit[1])
		return 0;
	switch (unit[0]) {
	case '\0':
	case 's':
		return 1;
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	default:
		return 0;
	}
}

bool config_duration(const char *text, uint64_t *ns)
{
	uint64_t value = 0, unit;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		value = value * 10 + (uint64_t)(*at - '0');
		if (value > DURATION_SECONDS_MAX)
			return false;
	}
	unit = at == text ? 0 : unit_seconds(at);
	if (!unit || value * unit > DURATION_SECONDS_MAX)
		return false;
	*ns = value * unit * NS_PER_S;
	return true;
}
