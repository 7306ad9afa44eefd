/* SPDX-License-Identifier: Apache-2.0 */
/* `espalier sas`: what stands in the maps of the data path. */
#include "tools/command.h"
#include "tools/field.h"
#include "tools/format.h"
#include "tools/sheet.h"

#include <stdio.h>
#include <string.h>

static unsigned long long count_of(const json_t *object, const char *key)
{
	return field_count(object, key);
}

static void print_sequence(const json_t *sa, bool inbound)
{
	if (!inbound)
		sheet_field("sequence", "%llu sent last", count_of(sa, "seq"));
	else if (count_of(sa, "replay_window"))
		sheet_field("replay", "highest %llu, window %llu", count_of(sa, "replay_top"),
			count_of(sa, "replay_window"));
	else
		sheet_field_coloured("replay", SHEET_NOTE, "anti-replay is off");
}

static void print_dropped(const json_t *sa)
{
	const json_t *dropped = json_object_get(sa, "dropped");
	unsigned long long replay = count_of(dropped, "replay"), icv = count_of(dropped, "icv");
	unsigned long long other = count_of(dropped, "other");

	if (replay || icv || other)
		sheet_field_coloured("dropped", icv ? SHEET_BAD : SHEET_NOTE,
			"%llu replayed, %llu with a bad ICV, %llu other", replay, icv, other);
}

static void print_sa(const json_t *sa)
{
	bool inbound = strcmp(field_text(sa, "direction", ""), "in") == 0;
	char name[32], age[FORMAT_LEN], bytes[FORMAT_LEN];

	snprintf(name, sizeof(name), "%llu %s", count_of(sa, "index"), inbound ? "in" : "out");
	sheet_block("sa", SHEET_PLAIN, name);
	sheet_field("spi", "%s", field_text(sa, "spi", "?"));
	if (*field_text(sa, "connection", ""))
		sheet_field("tunnel", "%s/%s (%llu)", field_text(sa, "connection", "?"), field_text(sa, "child", "?"),
			count_of(sa, "tunnel"));
	else
		sheet_field("tunnel", "%llu", count_of(sa, "tunnel"));
	sheet_field("suite", "%s, %s %s mode%s", field_text(sa, "suite", "?"), field_text(sa, "protocol", "esp"),
		field_text(sa, "mode", "?"), field_true(sa, "encap") ? " in UDP" : "");
	sheet_field("outer", "%s %s %s", field_text(sa, "local", "?"), inbound ? "<-" : "->",
		field_text(sa, "remote", "?"));
	print_sequence(sa, inbound);
	sheet_field(
		"passed", "%llu packets, %s", count_of(sa, "packets"), format_bytes(field_count(sa, "bytes"), bytes));
	print_dropped(sa);
	sheet_field("age", "%s", format_duration(field_number(sa, "age"), age));
}

static void print_policy(const json_t *policy)
{
	const char *action = field_text(policy, "action", "?");

	sheet_block("policy", SHEET_PLAIN, field_text(policy, "prefix", "?"));
	if (strcmp(action, "protect") == 0)
		sheet_field("action", "protect by tunnel %llu", count_of(policy, "tunnel"));
	else
		sheet_field("action", "%s", action);
	sheet_field("local", "%s", field_text(policy, "local", "any"));
	sheet_field("remote", "%s", field_text(policy, "remote", "any"));
	if (json_is_string(json_object_get(policy, "protocol")))
		sheet_field("protocol", "%s", field_text(policy, "protocol", "any"));
	else if (count_of(policy, "protocol"))
		sheet_field("protocol", "%llu", count_of(policy, "protocol"));
}

static void print_sas(const struct options *options, const json_t *answer)
{
	const json_t *item;
	size_t i;

	(void)options;
	json_array_foreach(json_object_get(answer, "sas"), i, item) print_sa(item);
	json_array_foreach(json_object_get(answer, "policies"), i, item) print_policy(item);
	if (!json_array_size(json_object_get(answer, "sas")) && !json_array_size(json_object_get(answer, "policies")))
		puts("no SA and no policy");
}

int sas_run(const struct options *options, size_t count, char *const args[])
{
	(void)count;
	(void)args;
	return command_show(options, "/v1/sas", print_sas);
}
