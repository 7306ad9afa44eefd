/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/own.h"
#include "tools/format.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

static void bytes_read_like_wg(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{0, "0 B"},
		{1, "1 B"},
		{1023, "1023 B"},
		{1024, "1.00 KiB"},
		{1280, "1.25 KiB"},
		{1048575, "1.00 MiB"},
		{1048576, "1.00 MiB"},
		{3221225472, "3.00 GiB"},
		{1099511627776, "1.00 TiB"},
		{1125899906842624, "1.00 PiB"},
		{UINT64_MAX, "16.00 EiB"},
	};
	char out[FORMAT_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(format_bytes(rows[i].bytes, out), rows[i].text);
}

static void rates_count_in_thousands(void **state)
{
	static const struct {
		double rate;
		const char *text;
	} rows[] = {
		{0, "0 bit/s"},
		{-5, "0 bit/s"},
		{NAN, "0 bit/s"},
		{999, "999 bit/s"},
		{1000, "1.00 kbit/s"},
		{1250000, "1.25 Mbit/s"},
		{999999999, "1.00 Gbit/s"},
		{2.5e9, "2.50 Gbit/s"},
		{4e15, "4000.00 Tbit/s"},
	};
	char out[FORMAT_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(format_rate(rows[i].rate, out), rows[i].text);
}

static void durations_name_two_units(void **state)
{
	static const struct {
		double seconds;
		const char *text;
	} rows[] = {
		{0, "less than a second"},
		{-1, "less than a second"},
		{NAN, "less than a second"},
		{0.9, "less than a second"},
		{1, "1 second"},
		{59.9, "59 seconds"},
		{60, "1 minute"},
		{123, "2 minutes, 3 seconds"},
		{3600, "1 hour"},
		{3601, "1 hour"},
		{7384, "2 hours, 3 minutes"},
		{86400, "1 day"},
		{90000, "1 day, 1 hour"},
		{365 * 86400.0 * 2 + 86400, "2 years, 1 day"},
		{INFINITY, "31709791 years, 359 days"},
	};
	char out[FORMAT_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(format_duration(rows[i].seconds, out), rows[i].text);
}

static void peers_cannot_drive_the_terminal(void **state)
{
	static const struct {
		const char *text;
		const char *safe;
	} rows[] = {
		{"gw.example.org", "gw.example.org"},
		{"a\033[2Jb", "a?[2Jb"},
		{"a\nb\rc\td\177", "a?b?c?d?"},
		{"\xc2\x9b"
		 "31m",
			"\xc2?31m"},
		{"caf\xc3\xa9", "caf\xc3\xa9"},
		{"0123456789abcdefgh", "0123456789abcde"},
	};
	char out[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(format_safe(rows[i].text, out, sizeof(out)), rows[i].safe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_read_like_wg),
		cmocka_unit_test(rates_count_in_thousands),
		cmocka_unit_test(durations_name_two_units),
		cmocka_unit_test(peers_cannot_drive_the_terminal),
	};

	return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
