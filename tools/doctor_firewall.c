/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether nftables would drop IKE. Best effort: it looks for base chains of the input hook that drop by default and for
 * rules that name the ports; rules that decide by other things (sets, sources) it cannot judge.
 */
#include "tools/doctor.h"

#include "agent/base/own.h"
#include "tools/field.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIND(...) doctor_find(doctor, &(struct finding){__VA_ARGS__})

static const unsigned ports[] = {500, 4500};

/* The parsed output of `nft -j list ruleset`; NULL: no nft, or it may not (`*err`). */
static json_t *ruleset_read(int *err)
{
	char *const argv[] = {(char *)"nft", (char *)"-j", (char *)"list", (char *)"ruleset", NULL};
	posix_spawn_file_actions_t actions;
	json_t *rules = NULL;
	int pipes[2], status;
	pid_t pid;
	FILE *out;

	if (pipe2(pipes, O_CLOEXEC)) {
		*err = errno;
		return NULL;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	*err = posix_spawnp(&pid, "nft", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pipes[1]);
	out = fdopen(pipes[0], "r");
	if (!*err && out)
		rules = json_loadf(out, 0, NULL);
	if (out)
		fclose(out);
	if (!*err && waitpid(pid, &status, 0) == pid && status != 0)
		*err = EPERM;
	return rules;
}

/* Does the rule, as text, match on this destination port (alone, in a set or in a range's end) and end so? */
static bool rule_is(const json_t *rule, unsigned port, const char *verdict)
{
	OWN_PTR char *text = json_dumps(json_object_get(rule, "expr"), JSON_COMPACT | JSON_ENCODE_ANY);
	char number[16], end[32];
	const char *at;

	if (!text || !strstr(text, "\"dport\""))
		return false;
	snprintf(end, sizeof(end), "{\"%s\":", verdict);
	if (!strstr(text, end))
		return false;
	snprintf(number, sizeof(number), "%u", port);
	for (at = strstr(text, number); at; at = strstr(at + 1, number)) {
		char before = at == text ? 0 : at[-1], after = at[strlen(number)];

		if ((before < '0' || before > '9') && (after < '0' || after > '9'))
			return true;
	}
	return false;
}

static bool rule_found(const json_t *rules, unsigned port, const char *verdict)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(rules, i, entry)
	{
		const json_t *rule = json_object_get(entry, "rule");

		if (rule && rule_is(rule, port, verdict))
			return true;
	}
	return false;
}

/* The name of an input chain that drops what no rule takes; NULL: there is none. */
static const char *chain_that_drops(const json_t *rules)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(rules, i, entry)
	{
		const json_t *chain = json_object_get(entry, "chain");

		if (chain && strcmp(field_text(chain, "hook", ""), "input") == 0 &&
			strcmp(field_text(chain, "policy", ""), "drop") == 0)
			return field_text(chain, "name", "?");
	}
	return NULL;
}

static void doctor_port(struct doctor *doctor, const json_t *rules, const char *drops, unsigned port)
{
	const struct finding wrong = {FINDING_WRONG, "firewall", port == 500 ? "udp500" : "udp4500", NULL,
		"IKE is the kernel's to deliver: without it no tunnel comes up",
		"nft add rule ... input udp dport { 500, 4500 } accept"};

	if (rule_found(rules, port, "drop") || rule_found(rules, port, "reject"))
		doctor_find_text(doctor, &wrong, "a rule of nftables drops UDP port %u", port);
	else if (drops && !rule_found(rules, port, "accept"))
		doctor_find_text(
			doctor, &wrong, "the chain %s drops by default, and no rule accepts UDP port %u", drops, port);
	else
		doctor_find_text(doctor, &(struct finding){FINDING_GOOD, "firewall", wrong.check, NULL, NULL, NULL},
			"nothing in nftables is seen to drop UDP port %u", port);
}

void doctor_firewall(struct doctor *doctor)
{
	int err;
	json_t *ruleset = ruleset_read(&err);
	const json_t *rules = json_object_get(ruleset, "nftables");

	if (!rules && err == ENOENT) {
		FIND(FINDING_UNSEEN, "firewall", "nftables", "there is no `nft` program to ask", NULL,
			"see to it that UDP 500 and 4500 may come in");
	} else if (!rules) {
		FIND(FINDING_UNSEEN, "firewall", "nftables", "this user may not read the rules of nftables", NULL,
			"run `espalier doctor` as root");
	} else {
		const char *drops = chain_that_drops(rules);

		for (size_t i = 0; i < ARRAY_LEN(ports); i++)
			doctor_port(doctor, rules, drops, ports[i]);
		FIND(FINDING_GOOD, "firewall", "esp",
			"ESP, and ESP in UDP 4500, is taken from served interfaces before nftables sees it", NULL,
			NULL);
	}
	json_decref(ruleset);
}
