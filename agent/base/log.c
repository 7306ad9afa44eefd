/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char *log_program = "espalier";
static _Atomic enum log_level log_level_max = LOG_LEVEL_INFO;
static bool log_to_journal;

void log_open(const char *program, enum log_level level)
{
	log_program = program;
	log_level_max = level;
	log_to_journal = getenv("JOURNAL_STREAM") != NULL; /* systemd.exec(5) */
}

void log_level_set(enum log_level level)
{
	log_level_max = level;
}

void log_write(enum log_level level, const char *format, ...)
{
	char line[2048];
	va_list args;
	struct timespec now;
	struct tm parts;

	if (level > log_level_max)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (log_to_journal) {
		fprintf(stderr, "<%d>%s\n", level, line);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &parts);
	fprintf(stderr, "%02d:%02d:%02d.%03ld %s: %s%s\n", parts.tm_hour, parts.tm_min, parts.tm_sec,
		now.tv_nsec / 1000000, log_program,
		level == LOG_LEVEL_ERROR  ? "error: "
		: level == LOG_LEVEL_WARN ? "warning: "
					  : "",
		line);
}
