/* SPDX-License-Identifier: Apache-2.0 */
/* `espalier doctor`: configuration and daemons here; the kernel, the host, the firewall and the interfaces in files of
 * their own. */
#include "tools/doctor.h"

#include "agent/base/config.h"
#include "agent/base/own.h"
#include "bpf/contract.h"
#include "tools/client.h"
#include "tools/field.h"
#include "tools/sheet.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SENTENCE_MAX 1024

static const struct {
	const char *name;
	enum sheet_colour colour;
} states[] = {
	[FINDING_GOOD] = {"good", SHEET_GOOD},
	[FINDING_NOTE] = {"note", SHEET_NOTE},
	[FINDING_UNSEEN] = {"unseen", SHEET_FAINT},
	[FINDING_WRONG] = {"wrong", SHEET_BAD},
};

void doctor_find(struct doctor *doctor, const struct finding *finding)
{
	json_t *object = json_pack("{ss ss ss ss so? so?}", "area", finding->area, "check", finding->check, "state",
		states[finding->state].name, "what", finding->what, "why",
		finding->why ? json_string(finding->why) : NULL, "do",
		finding->todo ? json_string(finding->todo) : NULL);

	if (object)
		json_array_append_new(doctor->findings, object);
	doctor->wrong += finding->state == FINDING_WRONG;
}

void doctor_find_text(struct doctor *doctor, const struct finding *finding, const char *format, ...)
{
	struct finding copy = *finding;
	char text[SENTENCE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	copy.what = text;
	doctor_find(doctor, &copy);
}

void doctor_read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");

	line[0] = '\0';
	if (!file)
		return;
	if (!fgets(line, (int)size, file))
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	fclose(file);
}

bool doctor_read_number(const char *path, long *number)
{
	char line[64], *end;

	errno = 0;
	doctor_read_line(path, line, sizeof(line));
	*number = strtol(line, &end, 10);
	return end != line;
}

/* ---- configuration --------------------------------------------------------------------------------------------- */

static struct config *doctor_config(struct doctor *doctor, const char *path)
{
	char error[CONFIG_ERROR_LEN];
	struct config *config;

	if (access(path, R_OK) != 0 && errno == EACCES) {
		doctor_find_text(doctor,
			&(struct finding){FINDING_UNSEEN, "configuration", "file", NULL,
				"its interfaces are not known without it", "run `espalier doctor` as root"},
			"%s may not be read by this user", path);
		return NULL;
	}
	if (access(path, F_OK) != 0) {
		doctor_find_text(doctor,
			&(struct finding){FINDING_WRONG, "configuration", "file", NULL,
				"neither daemon starts without it, unless another file is named",
				"write it (an example is installed as " CONFIG_FILE_DEFAULT
				"), or name it with --config"},
			"there is no %s", path);
		return NULL;
	}
	config = config_load(path, error, sizeof(error));
	if (!config) {
		doctor_find(doctor, &(struct finding){FINDING_WRONG, "configuration", "file", error,
					    "neither daemon starts with it, and a reload changes nothing",
					    "mend the line; `espalier config check` checks more than the form"});
		return NULL;
	}
	config_forget_secrets(config);
	if (config_file_is_open(path))
		doctor_find_text(doctor,
			&(struct finding){FINDING_WRONG, "configuration", "file", NULL,
				"the secrets in it are not secret", "chmod 0600, owner root"},
			"%s may be read or changed by other users", path);
	else
		doctor_find_text(doctor, &(struct finding){FINDING_GOOD, "configuration", "file", NULL, NULL, NULL},
			"%s is well-formed", path);
	return config;
}

/* ---- daemons --------------------------------------------------------------------------------------------------- */

static void doctor_versions(struct doctor *doctor, struct client *client)
{
	json_t *version = NULL;
	const char *theirs;

	if (client_ask(client, "/v1/version", NULL, &version) != CLIENT_OK)
		return;
	theirs = field_text(version, "version", "?");
	if (strcmp(theirs, ESPALIER_VERSION) != 0 || field_count(version, "layout_version") != LAYOUT_VERSION)
		doctor_find_text(doctor,
			&(struct finding){FINDING_WRONG, "daemons", "versions", NULL,
				"programs of two versions may read the maps differently",
				"restart espalier-agent and espalier-ike after an upgrade"},
			"espalier-ike runs version %s (map layout %u), this is %s (map layout %u)", theirs,
			(unsigned)field_count(version, "layout_version"), ESPALIER_VERSION, LAYOUT_VERSION);
	else
		doctor_find_text(doctor, &(struct finding){FINDING_GOOD, "daemons", "versions", NULL, NULL, NULL},
			"espalier-ike and this program are both version %s, map layout %u", theirs, LAYOUT_VERSION);
	json_decref(version);
}

static void doctor_agent(struct doctor *doctor)
{
	if (field_true(json_object_get(doctor->status, "agent"), "connected"))
		doctor_find(doctor, &(struct finding){FINDING_GOOD, "daemons", "agent",
					    "espalier-agent runs and talks to espalier-ike", NULL, NULL});
	else
		doctor_find(
			doctor, &(struct finding){FINDING_WRONG, "daemons", "agent", "espalier-agent does not run",
					"no packet passes the tunnels; protected traffic is dropped, not sent in clear",
					"systemctl start espalier-agent; its log says why if it ends"});
}

/* The daemon's status, the caller's to free; NULL: it does not answer. */
static json_t *doctor_daemons(struct doctor *doctor, const char *socket)
{
	struct client *client = client_new(socket);
	json_t *status = NULL;

	if (!client)
		return NULL;
	if (access(socket, F_OK) == 0 && access(socket, R_OK | W_OK) != 0)
		doctor_find_text(doctor,
			&(struct finding){FINDING_UNSEEN, "daemons", "ike", NULL,
				"whether the daemons run and how interfaces are served is not known without it",
				"run `espalier doctor` as root"},
			"%s may not be used by this user", socket);
	else if (client_ask(client, "/v1/status", NULL, &status) != CLIENT_OK)
		doctor_find(
			doctor, &(struct finding){FINDING_WRONG, "daemons", "ike", client_error(client),
					"no tunnel is negotiated or rekeyed; the agent carries on with the SAs it has",
					"systemctl start espalier-ike"});
	if (status) {
		doctor->status = status;
		doctor_find(
			doctor, &(struct finding){FINDING_GOOD, "daemons", "ike", "espalier-ike answers", NULL, NULL});
		doctor_agent(doctor);
		doctor_versions(doctor, client);
	}
	client_free(client);
	return status;
}

/* ---- report ---------------------------------------------------------------------------------------------------- */

static enum sheet_colour state_colour(const char *state)
{
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (strcmp(states[i].name, state) == 0)
			return states[i].colour;
	return SHEET_PLAIN;
}

static void doctor_print(const struct doctor *doctor)
{
	const char *area = "";
	const json_t *finding;
	size_t i;

	json_array_foreach(doctor->findings, i, finding)
	{
		const char *state = field_text(finding, "state", "?");

		if (strcmp(area, field_text(finding, "area", "?")) != 0) {
			area = field_text(finding, "area", "?");
			sheet_block("about", SHEET_PLAIN, area);
		}
		sheet_field_coloured(state, state_colour(state), "%s", field_text(finding, "what", "?"));
		if (field_present(finding, "why"))
			sheet_field("  why", "%s", field_text(finding, "why", ""));
		if (field_present(finding, "do"))
			sheet_field("  do", "%s", field_text(finding, "do", ""));
	}
	printf("\n%u thing%s wrong\n", doctor->wrong, doctor->wrong == 1 ? "" : "s");
}

static void doctor_interfaces(struct doctor *doctor)
{
	const struct config_agent *agent = doctor->config ? doctor->config->agent : NULL;

	if (doctor->config && (!agent || !agent->interfaces_count))
		doctor_find(doctor, &(struct finding){FINDING_NOTE, "configuration", "interfaces",
					    "agent.interfaces names no interface",
					    "the agent then serves only what its command line names",
					    "name the interfaces towards the peers and towards the protected hosts"});
	for (unsigned i = 0; agent && i < agent->interfaces_count; i++)
		doctor_interface(doctor, agent->interfaces[i]);
}

int doctor_run(const struct options *options, size_t count, char *const args[])
{
	struct doctor doctor = {.findings = json_array()};
	struct config *config;
	json_t *status;

	(void)count;
	(void)args;
	if (!doctor.findings)
		return EXIT_FAILED;
	config = doctor_config(&doctor, options->config ? options->config : CONFIG_FILE_DEFAULT);
	doctor.config = config;
	status = doctor_daemons(&doctor, options->socket);
	doctor_kernel(&doctor);
	doctor_host(&doctor);
	doctor_firewall(&doctor);
	doctor_interfaces(&doctor);
	if (options->json) {
		json_t *report = json_pack("{si sO}", "wrong", (int)doctor.wrong, "findings", doctor.findings);

		command_print_json(report);
		json_decref(report);
	} else {
		doctor_print(&doctor);
	}
	json_decref(doctor.findings);
	json_decref(status);
	config_free(config);
	return doctor.wrong ? EXIT_FAILED : EXIT_DONE;
}
