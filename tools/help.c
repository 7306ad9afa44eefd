/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/command.h"

#include <stdio.h>
#include <string.h>

static json_t *commands_to_json(void)
{
	json_t *list = json_array();

	for (size_t i = 0; i < command_count; i++)
		json_array_append_new(list, json_pack("{ssssss}", "name", command_table[i].name, "args",
						    command_table[i].args, "help", command_table[i].help));
	return list;
}

static json_t *options_to_json(void)
{
	json_t *list = json_array();

	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_table[i];
		char letter[2] = {row->letter, '\0'};

		json_array_append_new(list, json_pack("{ssssss?ss}", "name", row->name, "letter", letter, "value",
						    row->value, "help", row->help));
	}
	return list;
}

static void print_command(const struct command *command)
{
	char usage[64];

	snprintf(usage, sizeof(usage), "%s %s", command->name, command->args);
	printf("  %-28s %s\n", usage, command->help);
}

static void print_option(const struct option_row *row)
{
	char name[64];

	snprintf(name, sizeof(name), "--%s%s%s", row->name, row->value ? " " : "", row->value ? row->value : "");
	printf("  %c%c%s%-22s %s\n", row->letter ? '-' : ' ', row->letter ? row->letter : ' ',
		row->letter ? ", " : "  ", name, row->help);
}

static int help_for(const char *name)
{
	for (size_t i = 0; i < command_count; i++) {
		const struct command *command = &command_table[i];

		if (strcmp(command->name, name) != 0)
			continue;
		printf("usage: espalier %s%s%s [OPTIONS]\n%s\n", command->name, *command->args ? " " : "",
			command->args, command->help);
		return EXIT_DONE;
	}
	command_complain("there is no command \"%s\"; `espalier help` lists them", name);
	return EXIT_USAGE;
}

int help_run(const struct options *options, size_t count, char *const args[])
{
	if (options->json) {
		json_t *all = json_pack("{soso}", "commands", commands_to_json(), "options", options_to_json());

		command_print_json(all);
		json_decref(all);
		return EXIT_DONE;
	}
	if (count)
		return help_for(args[0]);
	puts("usage: espalier COMMAND [OPTIONS]        (no command: status)\n\ncommands:");
	for (size_t i = 0; i < command_count; i++)
		print_command(&command_table[i]);
	puts("\noptions:");
	for (size_t i = 0; i < option_count; i++)
		print_option(&option_table[i]);
	puts("\nexit status: 0 done, 1 failed, 2 usage, 3 daemon does not answer, 4 not reached in time. See "
	     "espalier(8).");
	return EXIT_DONE;
}
