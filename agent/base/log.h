/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines for a person at 3 a.m.: one sentence, with the names and numbers that matter, never a secret.
 * They go to stderr with the systemd priority prefix ("<6>") when stderr is the journal, with a time stamp otherwise.
 */
#ifndef ESPALIER_BASE_LOG_H
#define ESPALIER_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* Name the program and set the lowest level that is written (default: INFO). Call once, before threads start. */
void log_open(const char *program, enum log_level level);
/* The lowest level from now on. Any thread, at any time. */
void log_level_set(enum log_level level);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
