/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sheet.h"

#include "tools/format.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LABEL_WIDTH 12
#define VALUE_MAX   4096

static bool coloured;
static bool terminal;
static bool any_block;

void sheet_init(void)
{
	const char *term = getenv("TERM");
	const char *no_color = getenv("NO_COLOR");

	terminal = isatty(STDOUT_FILENO);
	coloured = terminal && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
}

static const char *colour_on(enum sheet_colour colour)
{
	static const char *const codes[] = {
		[SHEET_PLAIN] = "",
		[SHEET_GOOD] = "\033[32m",
		[SHEET_NOTE] = "\033[33m",
		[SHEET_BAD] = "\033[31m",
		[SHEET_FAINT] = "\033[2m",
	};

	return coloured ? codes[colour] : "";
}

static const char *bold_on(void)
{
	return coloured ? "\033[1m" : "";
}

static const char *all_off(void)
{
	return coloured ? "\033[0m" : "";
}

/* A text of several lines goes on indented, so that no value can pass for a line of its own. */
static void write_value(enum sheet_colour colour, const char *format, va_list args)
{
	char value[VALUE_MAX], safe[VALUE_MAX];
	char *rest = value;

	vsnprintf(value, sizeof(value), format, args);
	for (bool first = true; rest; first = false) {
		char *line = strsep(&rest, "\n");

		printf("%s%s%s%s", first ? "" : "\n    ", colour_on(colour), format_safe(line, safe, sizeof(safe)),
			all_off());
	}
}

void sheet_block(const char *kind, enum sheet_colour colour, const char *name)
{
	char safe[VALUE_MAX];

	printf("%s%s%s%s%s: %s%s%s\n", any_block ? "\n" : "", bold_on(), colour_on(colour), kind, all_off(),
		colour_on(colour), format_safe(name, safe, sizeof(safe)), all_off());
	any_block = true;
}

void sheet_field_coloured(const char *label, enum sheet_colour colour, const char *format, ...)
{
	va_list args;
	int pad = LABEL_WIDTH - (int)strlen(label);

	printf("  %s%s%s:%*s", bold_on(), label, all_off(), pad > 1 ? pad : 1, "");
	va_start(args, format);
	write_value(colour, format, args);
	va_end(args);
	putchar('\n');
}

void sheet_field(const char *label, const char *format, ...)
{
	char value[VALUE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	sheet_field_coloured(label, SHEET_PLAIN, "%s", value);
}

void sheet_cell(enum sheet_colour colour, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_value(colour, format, args);
	va_end(args);
}

void sheet_end_row(void)
{
	putchar('\n');
}

void sheet_restart(void)
{
	any_block = false;
}

void sheet_clear_screen(void)
{
	if (terminal)
		printf("\033[H\033[2J");
}
