/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as a person reads them: bytes, rates, durations. Each writes into the caller's buffer and returns it. */
#ifndef ESPALIER_TOOLS_FORMAT_H
#define ESPALIER_TOOLS_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define FORMAT_LEN 64u

/* "17 B", "1.25 KiB", "3.00 GiB": units of 1024, as traffic is counted. */
const char *format_bytes(uint64_t bytes, char out[static FORMAT_LEN]);

/* "0 bit/s", "512 bit/s", "1.25 Mbit/s": units of 1000, as links are sold. Negative rates and NaN count as 0. */
const char *format_rate(double bits_per_second, char out[static FORMAT_LEN]);

/* The two largest units: "2 minutes, 3 seconds", "1 day", "less than a second". Negative durations and NaN count as 0.
 */
const char *format_duration(double seconds, char out[static FORMAT_LEN]);

/*
 * Copy `text` so that a terminal shows it and does nothing else: control characters (a peer chooses its identity)
 * become '?'. Cut at `size` - 1 bytes.
 */
const char *format_safe(const char *text, char *out, size_t size);

#endif
