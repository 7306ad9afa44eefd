/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/format.h"

#include "agent/base/own.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define SECONDS_MAX 1e15 /* beyond any clock; keeps the conversion to an integer defined */

const char *format_bytes(uint64_t bytes, char out[static FORMAT_LEN])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(out, FORMAT_LEN, "%u B", (unsigned)bytes);
		return out;
	}
	/* 1023.995 would be printed as 1024.00. */
	while (value >= 1023.995 && unit + 1 < ARRAY_LEN(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(out, FORMAT_LEN, "%.2f %s", value, units[unit]);
	return out;
}

const char *format_rate(double bits_per_second, char out[static FORMAT_LEN])
{
	static const char *const units[] = {"kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"};
	double value = bits_per_second / 1000;
	size_t unit = 0;

	if (!(bits_per_second >= 1000)) {
		snprintf(out, FORMAT_LEN, "%.0f bit/s", bits_per_second > 0 ? bits_per_second : 0.0);
		return out;
	}
	while (value >= 999.995 && unit + 1 < ARRAY_LEN(units)) {
		value /= 1000;
		unit++;
	}
	snprintf(out, FORMAT_LEN, "%.2f %s", value, units[unit]);
	return out;
}

const char *format_duration(double seconds, char out[static FORMAT_LEN])
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = {{"year", 365 * 86400}, {"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}};
	uint64_t left = seconds > 0 ? (uint64_t)(seconds < SECONDS_MAX ? seconds : SECONDS_MAX) : 0;
	size_t used = 0, shown = 0;

	for (size_t i = 0; i < ARRAY_LEN(units) && shown < 2; i++) {
		uint64_t count = left / units[i].seconds;

		if (!count) {
			if (shown)
				break;
			continue;
		}
		used += (size_t)snprintf(out + used, FORMAT_LEN - used, "%s%llu %s%s", shown ? ", " : "",
			(unsigned long long)count, units[i].name, count == 1 ? "" : "s");
		left %= units[i].seconds;
		shown++;
	}
	if (!shown)
		snprintf(out, FORMAT_LEN, "less than a second");
	return out;
}

const char *format_safe(const char *text, char *out, size_t size)
{
	size_t len = strnlen(text, size - 1);

	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)text[i];
		/* U+0080 to U+009F, the second set of control characters, is 0xc2 0x80 to 0xc2 0x9f in UTF-8. */
		bool second_set = byte >= 0x80 && byte <= 0x9f && i > 0 && (unsigned char)text[i - 1] == 0xc2;

		out[i] = byte < 0x20 || byte == 0x7f || second_set ? '?' : text[i];
	}
	out[len] = '\0';
	return out;
}
