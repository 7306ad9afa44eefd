/* SPDX-License-Identifier: Apache-2.0 */
/* `espalier status`: interfaces, then one block per configured child. */
#include "tools/command.h"
#include "tools/field.h"
#include "tools/format.h"
#include "tools/sheet.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WATCH_SECONDS 1u
#define LIST_MAX      2048u

static enum sheet_colour state_colour(const char *state)
{
	if (strcmp(state, "up") == 0)
		return SHEET_GOOD;
	return strcmp(state, "down") == 0 ? SHEET_BAD : SHEET_NOTE;
}

static void print_agent(const json_t *status)
{
	bool connected = field_true(json_object_get(status, "agent"), "connected");
	char since[FORMAT_LEN];

	sheet_block("gateway", SHEET_PLAIN, "espalier");
	if (connected)
		sheet_field_coloured("agent", SHEET_GOOD, "connected");
	else
		sheet_field_coloured("agent", SHEET_BAD,
			"not running: no packet passes the tunnels; start it with `systemctl start espalier-agent`");
	if (json_is_string(json_object_get(status, "since")))
		sheet_field("since", "%s", field_text(status, "since", ""));
	else if (field_present(status, "since"))
		sheet_field("running", "since %s", format_duration(field_number(status, "since"), since));
}

static void print_interface(const json_t *interface)
{
	const char *mode = field_text(interface, "mode", "?");
	bool none = strcmp(mode, "none") == 0;

	sheet_block("interface", SHEET_PLAIN, field_text(interface, "name", "?"));
	if (none)
		sheet_field_coloured("mode", SHEET_BAD, "not served");
	else if (field_true(interface, "host"))
		sheet_field("mode", "host device, large packets, %llu queue%s",
			(unsigned long long)field_count(interface, "queues"),
			field_count(interface, "queues") == 1 ? "" : "s");
	else
		sheet_field("mode", "XDP %s, %s, %llu queue%s", mode,
			field_true(interface, "zero_copy") ? "zero copy" : "copying",
			(unsigned long long)field_count(interface, "queues"),
			field_count(interface, "queues") == 1 ? "" : "s");
	if (!none && !field_true(interface, "host") && *field_text(interface, "tx_engine", ""))
		sheet_field("transmit", "%s%s%s%s%s", field_text(interface, "tx_engine", ""),
			*field_text(interface, "tx_reason", "") ? " (" : "", field_text(interface, "tx_reason", ""),
			*field_text(interface, "tx_reason", "") ? ")" : "",
			field_true(interface, "multi_buffer") ? ", jumbo frames" : "");
	if (*field_text(interface, "reason", ""))
		sheet_field_coloured(
			"reason", none ? SHEET_BAD : SHEET_FAINT, "%s", field_text(interface, "reason", ""));
}

/* The suites of one protocol that an engine serves, in one line: "ESP by openssl: aes192ccm16, ...". */
static void print_engine_suites(const json_t *suites, const char *engine, const char *protocol)
{
	char text[LIST_MAX] = "", label[64];
	size_t i, len = 0;
	json_t *suite;

	json_array_foreach(suites, i, suite)
	{
		if (strcmp(field_text(suite, "engine", "?"), engine) == 0 &&
			strcmp(field_text(suite, "protocol", "?"), protocol) == 0 && len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len ? ", " : "",
				field_text(suite, "name", "?"));
	}
	snprintf(label, sizeof(label), "%s by %s", strcmp(protocol, "ah") == 0 ? "AH" : "ESP", engine);
	if (*text)
		sheet_field(label, "%s", text);
}

/* How many suites each engine serves: "70 by ipsec-mb, 10 by openssl"; with `names` which ones, too. */
static void print_engines(const json_t *suites, bool names)
{
	json_t *counts = json_object();
	char text[256] = "";
	size_t i, len = 0;
	const char *name;
	json_t *suite, *count;

	json_array_foreach(suites, i, suite)
	{
		const char *engine = field_text(suite, "engine", "?");
		json_int_t before = json_integer_value(json_object_get(counts, engine));

		json_object_set_new(counts, engine, json_integer(before + 1));
	}
	json_object_foreach(counts, name, count)
	{
		if (len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%lld by %s", len ? ", " : "",
				(long long)json_integer_value(count), name);
	}
	if (*text)
		sheet_field("suites", "%s", text);
	json_object_foreach(counts, name, count)
	{
		if (!names)
			break;
		print_engine_suites(suites, name, "esp");
		print_engine_suites(suites, name, "ah");
	}
	json_decref(counts);
}

/* How many there are, and how much they help each other. */
static void print_workers(const json_t *workers)
{
	unsigned long long lent = 0;
	const json_t *worker;
	size_t i;

	json_array_foreach(workers, i, worker) lent += field_count(worker, "lent");
	if (lent)
		sheet_field("workers", "%zu; the ciphers of %llu packets were done by another than their own",
			json_array_size(workers), lent);
	else if (json_array_size(workers))
		sheet_field("workers", "%zu", json_array_size(workers));
}

static void print_rekey(const char *label, const json_t *sa, const char *names)
{
	char since[FORMAT_LEN], rekey[FORMAT_LEN];

	format_duration(field_number(sa, "since"), since);
	if (field_present(sa, "rekey_in"))
		sheet_field(label, "%s, %s, %s old, rekey in %s", field_text(sa, "suite", "?"), names, since,
			format_duration(field_number(sa, "rekey_in"), rekey));
	else
		sheet_field(label, "%s, %s, %s old", field_text(sa, "suite", "?"), names, since);
}

static void print_keys(const json_t *tunnel)
{
	const json_t *ike = json_object_get(tunnel, "ike");
	const json_t *esp = json_object_get(tunnel, "esp");
	char names[160];

	if (json_is_object(ike)) {
		snprintf(names, sizeof(names), "SPIs %s %s", field_text(ike, "spi_i", "?"),
			field_text(ike, "spi_r", "?"));
		print_rekey("IKE SA", ike, names);
	}
	if (json_is_object(esp)) {
		snprintf(names, sizeof(names), "SPIs in %s out %s", field_text(esp, "spi_in", "?"),
			field_text(esp, "spi_out", "?"));
		print_rekey("ESP SA", esp, names);
	}
}

static void print_end(const char *label, const json_t *tunnel, const char *addr_key, const char *id_key)
{
	const char *addr = field_text(tunnel, addr_key, "any");
	const char *id = field_text(tunnel, id_key, "");

	if (*id)
		sheet_field(label, "%s (%s)", *addr ? addr : "any", id);
	else
		sheet_field(label, "%s", *addr ? addr : "any");
}

static void print_traffic(const json_t *tunnel)
{
	char rx[FORMAT_LEN], tx[FORMAT_LEN];
	unsigned long long dropped = field_count(tunnel, "dropped");

	sheet_field("transfer", "%s received (%llu packets), %s sent (%llu packets)",
		format_bytes(field_count(tunnel, "rx_bytes"), rx),
		(unsigned long long)field_count(tunnel, "rx_packets"),
		format_bytes(field_count(tunnel, "tx_bytes"), tx),
		(unsigned long long)field_count(tunnel, "tx_packets"));
	sheet_field("rate", "%s in, %s out", format_rate(field_number(tunnel, "rx_bps"), rx),
		format_rate(field_number(tunnel, "tx_bps"), tx));
	if (dropped)
		sheet_field_coloured("dropped", SHEET_NOTE, "%llu packets (see `espalier drops`)", dropped);
}

static void print_tunnel(const json_t *tunnel)
{
	const char *state = field_text(tunnel, "state", "?");
	unsigned long long rekeys = field_count(tunnel, "rekeys"), ike_rekeys = field_count(tunnel, "ike_rekeys");
	char name[256], since[FORMAT_LEN], local_ts[LIST_MAX], remote_ts[LIST_MAX];

	snprintf(name, sizeof(name), "%s/%s", field_text(tunnel, "connection", "?"), field_text(tunnel, "child", "?"));
	sheet_block("tunnel", state_colour(state), name);
	sheet_field_coloured("state", state_colour(state), "%s since %s", state,
		format_duration(field_number(tunnel, "since"), since));
	print_end("local", tunnel, "local", "local_id");
	print_end("peer", tunnel, "remote", "remote_id");
	if (field_true(tunnel, "nat") || field_true(tunnel, "encap"))
		sheet_field("path", "%s%s", field_true(tunnel, "nat") ? "NAT in between, " : "",
			field_true(tunnel, "encap") ? "ESP in UDP" : "plain ESP");
	sheet_field("selectors", "%s === %s", field_join(tunnel, "local_ts", local_ts, sizeof(local_ts)),
		field_join(tunnel, "remote_ts", remote_ts, sizeof(remote_ts)));
	print_keys(tunnel);
	print_traffic(tunnel);
	if (rekeys || ike_rekeys)
		sheet_field("rekeys", "%llu CHILD SA, %llu IKE SA", rekeys, ike_rekeys);
	if (*field_text(tunnel, "last_error", ""))
		sheet_field_coloured("last error", SHEET_BAD, "%s", field_text(tunnel, "last_error", ""));
}

static void print_all(const json_t *status, bool with_gateway, bool suite_names)
{
	const json_t *item;
	size_t i;

	if (with_gateway) {
		print_agent(status);
		print_engines(json_object_get(status, "suites"), suite_names);
		print_workers(json_object_get(status, "workers"));
		json_array_foreach(json_object_get(status, "interfaces"), i, item) print_interface(item);
	}
	json_array_foreach(json_object_get(status, "tunnels"), i, item) print_tunnel(item);
}

/* Leave only the tunnels of `connection`. False if there are none. */
static bool keep_connection(json_t *status, const char *connection)
{
	json_t *tunnels = json_object_get(status, "tunnels");

	for (size_t i = json_array_size(tunnels); i-- > 0;)
		if (strcmp(field_text(json_array_get(tunnels, i), "connection", ""), connection) != 0)
			json_array_remove(tunnels, i);
	return json_array_size(tunnels) > 0;
}

static int status_once(struct client *client, const struct options *options, const char *connection)
{
	int result;
	json_t *status = command_get(client, "/v1/status", &result);

	if (!status)
		return result;
	if (connection && !keep_connection(status, connection)) {
		command_complain("no connection \"%s\" is configured", connection);
		result = EXIT_FAILED;
	} else if (options->json) {
		command_print_json(status);
	} else {
		if (options->watch)
			sheet_clear_screen();
		sheet_restart();
		print_all(status, !connection, options->all);
	}
	json_decref(status);
	fflush(stdout);
	return result;
}

int status_run(const struct options *options, size_t count, char *const args[])
{
	struct client *client = client_new(options->socket);
	int result;

	if (!client)
		return EXIT_FAILED;
	do {
		result = status_once(client, options, count ? args[0] : NULL);
	} while (options->watch && result == EXIT_DONE && !ferror(stdout) && sleep(WATCH_SECONDS) == 0);
	client_free(client);
	return result;
}
