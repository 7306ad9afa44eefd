/* SPDX-License-Identifier: Apache-2.0 */
/* `espalier drops`: every packet that died, by reason; and what IKE refused. */
#include "tools/command.h"
#include "tools/field.h"
#include "tools/format.h"
#include "tools/sheet.h"

#include <stdio.h>
#include <string.h>

static enum sheet_colour severity_colour(const char *severity, bool happened)
{
	if (!happened)
		return SHEET_FAINT;
	if (strcmp(severity, "alert") == 0)
		return SHEET_BAD;
	return strcmp(severity, "warn") == 0 ? SHEET_NOTE : SHEET_PLAIN;
}

static void print_row(const json_t *row, const char *name_key)
{
	unsigned long long count = field_count(row, "count");
	enum sheet_colour colour = severity_colour(field_text(row, "severity", "info"), count > 0);
	char last[FORMAT_LEN] = "";

	if (field_present(row, "last"))
		format_duration(field_number(row, "last"), last);
	sheet_cell(colour, "%-18s", field_text(row, name_key, "?"));
	sheet_cell(SHEET_PLAIN, " %12llu  %-24s ", count, last);
	sheet_cell(colour, "%s", field_text(row, "sentence", ""));
	sheet_end_row();
}

static size_t print_table(const json_t *rows, const char *name_key, const char *title, bool all)
{
	const json_t *row;
	size_t i, shown = 0;

	json_array_foreach(rows, i, row)
	{
		if (!all && !field_count(row, "count"))
			continue;
		if (shown++ == 0) {
			sheet_cell(SHEET_FAINT, "%-18s %12s  %-24s %s", title, "count", "last, ago", "what happened");
			sheet_end_row();
		}
		print_row(row, name_key);
	}
	return shown;
}

static void print_drops(const struct options *options, const json_t *answer)
{
	if (print_table(json_object_get(answer, "drops"), "reason", "packets", options->all))
		sheet_end_row();
	else
		puts("no packet was dropped");
	print_table(json_object_get(answer, "ike"), "counter", "IKE", options->all);
}

int drops_run(const struct options *options, size_t count, char *const args[])
{
	(void)count;
	(void)args;
	return command_show(options, "/v1/drops", print_drops);
}
