/* SPDX-License-Identifier: Apache-2.0 */
/* The IKE daemon's installer over real maps: fail closed, make before break, and what an earlier run left. Needs root.
 */
#include "ike/install.h"

#include "agent/base/own.h"
#include "bpf/dataplane.h"
#include "bpf/sadb.h"
#include "ike/config.h"
#include "ike/payload/notify.h"
#include "ike/sa_fill.h"
#include "ike/ts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PIN_DIR "/sys/fs/bpf/espalier_test_install"

static const char one_child[] =
	"connections:\n  x:\n    local_addrs: 192.0.2.1\n    remote_addrs: 192.0.2.2\n    local: {id: a}\n"
	"    remote: {id: b}\n    children: {c: {local_ts: 10.1.0.0/16, remote_ts: 10.2.0.0/16}}\n";
static const char other_child[] = "connections:\n  x:\n    local: {id: a}\n    remote: {id: b}\n"
				  "    children: {c: {local_ts: 10.1.0.0/16, remote_ts: 10.3.0.0/16}}\n";

/* 46 prefixes, more than the map of this test has; the file does not say how many that are. */
static const char too_much[] =
	"connections:\n  x:\n    local_addrs: 192.0.2.1\n    remote_addrs: 192.0.2.2\n    local: {id: a}\n"
	"    remote: {id: b}\n    children:\n      c: {local_ts: 10.1.0.0/16, remote_ts: 10.2.0.0/16, priority: 9}\n"
	"      d: {local_ts: 10.1.0.0/16, remote_ts: 10.3.0.0/16}\n"
	"      e: {local_ts: 10.1.0.0/16, remote_ts: 11.0.0.1-11.255.255.254}\n";
/* Answers anyone; what they have is known when they come. */
static const char anyone[] =
	"connections:\n  x:\n    local_addrs: 192.0.2.1\n    local: {id: a}\n    remote: {id: '*.example.com'}\n"
	"    children: {c: {local_ts: 192.0.2.1, remote_ts: 0.0.0.0/0, mode: tunnel}}\n"
	"  y:\n    local_addrs: 192.0.2.1\n    local: {id: a}\n    remote: {id: '*.example.net'}\n"
	"    children: {c: {}}\n"
	"  z:\n    local_addrs: 192.0.2.1\n    local: {id: a}\n    remote: {id: '*.example.org'}\n"
	"    children: {c: {}}\n";

struct scene {
	struct dataplane *dp;
	struct sadb *db;
	sd_event *event;
	struct agent_link *link;
	struct installer *installer;
	struct engine_config *config;
};

static void no_event(void *context, const struct agent_message *message)
{
	(void)context;
	(void)message;
}

static struct engine_config *config_of(const char *text)
{
	char error[CONFIG_ERROR_LEN] = "";
	struct config *config = config_parse("f.yaml", text, strlen(text), error, sizeof(error));
	struct engine_config *engine = config ? ike_config_build(config, error, sizeof(error)) : NULL;

	if (!engine)
		print_error("%s\n", error);
	assert_non_null(engine);
	config_free(config);
	return engine;
}

static void daemon_start(struct scene *s)
{
	assert_int_equal(sadb_open(PIN_DIR, true, &s->db), 0);
	assert_true(sd_event_new(&s->event) >= 0);
	assert_int_equal(agent_link_new(s->event, "/run/espalier-test-no-agent", no_event, NULL, &s->link), 0);
	assert_int_equal(installer_new(s->db, s->link, &s->installer), 0);
}

static void daemon_end(struct scene *s)
{
	installer_free(s->installer);
	agent_link_free(s->link);
	sd_event_unref(s->event);
	sadb_close(s->db);
}

static int setup(void **state)
{
	const struct dataplane_options options = {
		.pin_dir = PIN_DIR, .sa_count = 16, .tunnel_count = 8, .policy_count = 32};
	struct scene *s = calloc(1, sizeof(*s));
	char error[256];

	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	dataplane_remove(PIN_DIR);
	if (dataplane_open(&options, &s->dp, error))
		print_error("%s\n", error);
	assert_non_null(s->dp);
	daemon_start(s);
	s->config = config_of(one_child);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;

	daemon_end(s);
	engine_config_free(s->config);
	dataplane_close(s->dp);
	dataplane_remove(PIN_DIR);
	free(s);
	return 0;
}

/* ---- looking --------------------------------------------------------------------------------------------------- */
struct policy_look {
	uint8_t second_byte; /* of 10.x.0.0/16 */
	unsigned found;
	uint32_t tunnel;
};

static void look_one(const struct policy_entry_info *entry, void *context)
{
	struct policy_look *look = context;

	if (entry->prefix_len != 16 || entry->prefix[1] != look->second_byte || entry->action != POLICY_PROTECT)
		return;
	look->found++;
	look->tunnel = entry->tunnel;
}

static unsigned policies_to(const struct scene *s, uint8_t second_byte, uint32_t *tunnel)
{
	struct policy_look look = {.second_byte = second_byte};

	sadb_policies(s->db, look_one, &look);
	if (tunnel)
		*tunnel = look.tunnel;
	return look.found;
}

static unsigned live_sas(const struct scene *s)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < sadb_sa_count(s->db); i++)
		count += sadb_slot(s->db, i)->state == SA_LIVE;
	return count;
}

static const struct ike_id *id_of(const char *text)
{
	static struct ike_id ids[4];
	static unsigned next;
	struct ike_id *id = &ids[next++ % 4];

	assert_true(ike_id_parse(text, id));
	return id;
}

static struct child_install child(const struct scene *s, uint32_t id, uint32_t replaces)
{
	struct child_install install = {
		.child_id = id,
		.replaces = replaces,
		.conn = "x",
		.child = "c",
		.peer = id_of("b"),
		.spi_in = 0x1000 + id,
		.spi_out = 0x2000 + id,
		.suite = {.protocol = PROTOCOL_ESP, .encr = {TRANSFORM_ENCR, ENCR_AES_GCM_16, 256}},
		.config = &s->config->conns[0].children[0],
		.mode = SA_TUNNEL,
		.local_count = 1,
		.remote_count = 1,
	};

	addr_parse("192.0.2.1", &install.local.addr);
	addr_parse("192.0.2.2", &install.remote.addr);
	install.local_ts[0] = install.config->local[0];
	install.remote_ts[0] = install.config->remote[0];
	return install;
}

static void up(struct scene *s, uint32_t id, uint32_t replaces)
{
	struct child_install install = child(s, id, replaces);

	assert_int_equal(installer_install_in(s->installer, &install), 0);
	assert_int_equal(installer_install_out(s->installer, &install), 0);
}

static uint32_t out_spi(const struct scene *s, uint32_t tunnel)
{
	uint32_t sa = sadb_tunnel(s->db, tunnel)->out_sa;

	return sa == SA_NONE ? 0 : ntohl(sadb_slot(s->db, sa)->spi);
}

/* ---- tests ----------------------------------------------------------------------------------------------------- */
static void configured_child_is_protected(void **state)
{
	struct scene *s = *state;
	uint32_t tunnel;

	assert_int_equal(installer_configure(s->installer, s->config, NULL), 0);
	assert_int_equal(policies_to(s, 2, &tunnel), 1);
	assert_int_equal(out_spi(s, tunnel), 0);
	up(s, 1, 0);
	assert_int_equal(out_spi(s, tunnel), 0x2001);
	installer_remove_out(s->installer, 1);
	assert_int_equal(out_spi(s, tunnel), 0);
	installer_remove_in(s->installer, 1);
	assert_int_equal(live_sas(s), 0);
	assert_int_equal(policies_to(s, 2, &tunnel), 1);
}

static void rekey_switches_and_counts_on(void **state)
{
	struct scene *s = *state;
	struct tunnel_entry *entry;
	struct tunnel_totals totals;
	struct sa_pair *pair;

	installer_configure(s->installer, s->config, NULL);
	up(s, 1, 0);
	entry = tunnel_find_child(installer_tunnels(s->installer), 1, &pair);
	sadb_run(s->db, pair->sa_out)->bytes = 100;
	sadb_run(s->db, pair->sa_in)->packets = 7;
	up(s, 2, 1);
	assert_ptr_equal(tunnel_find_child(installer_tunnels(s->installer), 2, &pair), entry);
	assert_int_equal(out_spi(s, entry->id), 0x2002);
	assert_int_equal(live_sas(s), 4); /* the old inbound SA still takes what is on its way */
	installer_remove_out(s->installer, 1);
	installer_remove_in(s->installer, 1);
	assert_int_equal(out_spi(s, entry->id), 0x2002);
	assert_int_equal(live_sas(s), 2);
	sadb_run(s->db, pair->sa_out)->bytes = 11;
	tunnel_totals_read(entry, s->db, &totals);
	assert_int_equal(totals.tx_bytes, 111);
	assert_int_equal(totals.rx_packets, 7);
	assert_int_equal(entry->rekeys, 1);
}

/* The peer comes anew before the old SAs are gone: the new take over, and the old do not take the tunnel with them. */
static void second_child_takes_over(void **state)
{
	struct scene *s = *state;
	uint32_t tunnel;

	installer_configure(s->installer, s->config, NULL);
	policies_to(s, 2, &tunnel);
	up(s, 1, 0);
	up(s, 2, 0);
	assert_int_equal(out_spi(s, tunnel), 0x2002);
	installer_remove_in(s->installer, 2);
	assert_int_equal(out_spi(s, tunnel), 0x2001);
	up(s, 3, 0);
	installer_remove_in(s->installer, 1);
	assert_int_equal(out_spi(s, tunnel), 0x2003);
}

/* Narrower selectors than configured: the slot has them, the wide policy still covers all; after the end it waits for
 * all again. */
static void narrowed_selectors(void **state)
{
	struct scene *s = *state;
	struct child_install install = child(s, 1, 0);
	char error[64];
	uint32_t tunnel;

	installer_configure(s->installer, s->config, NULL);
	policies_to(s, 2, &tunnel);
	assert_true(ts_parse("10.2.3.0/24", &install.remote_ts[0], error, sizeof(error)));
	assert_int_equal(installer_install_in(s->installer, &install), 0);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->remote[0].first[2], 3);
	assert_int_equal(policies_to(s, 2, NULL), 1);
	installer_remove_in(s->installer, 1);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->remote[0].first[2], 0);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->remote[0].last[2], 255);
}

static void reload_keeps_protection(void **state)
{
	struct scene *s = *state;
	struct engine_config *other = config_of(other_child);
	uint32_t before, after;

	installer_configure(s->installer, s->config, NULL);
	policies_to(s, 2, &before);
	up(s, 1, 0);
	assert_int_equal(installer_configure(s->installer, s->config, NULL), 0); /* nothing has changed */
	policies_to(s, 2, &after);
	assert_int_equal(before, after);
	assert_int_equal(out_spi(s, after), 0x2001);
	installer_configure(s->installer, other, NULL);
	assert_int_equal(policies_to(s, 3, NULL), 1);
	assert_int_equal(policies_to(s, 2, NULL), 1); /* while its SAs live */
	installer_remove_in(s->installer, 1);
	assert_int_equal(policies_to(s, 2, NULL), 0);
	assert_int_equal(sadb_tunnel(s->db, before)->state, TUNNEL_FREE);
	engine_config_free(other);
}

/* All of a configuration or nothing: what runs goes on as if nothing had been asked. */
static void reload_that_does_not_fit_changes_nothing(void **state)
{
	struct scene *s = *state;
	struct engine_config *more = config_of(too_much);
	struct child_place failed;
	uint32_t tunnel, after;

	assert_int_equal(installer_configure(s->installer, s->config, NULL), 0);
	installer_clean(s->installer);
	policies_to(s, 2, &tunnel);
	up(s, 1, 0);
	assert_int_equal(installer_configure(s->installer, more, &failed), -ENOSPC);
	assert_string_equal(failed.conn, "x");
	assert_string_equal(failed.child, "e");
	assert_non_null(strstr(installer_reason(-ENOSPC), "agent.policy_count"));
	assert_int_equal(policies_to(s, 2, &after), 1);
	assert_int_equal(after, tunnel);
	assert_int_equal(policies_to(s, 3, NULL), 0);
	assert_int_equal(out_spi(s, tunnel), 0x2001);
	assert_ptr_equal(installer_tunnels(s->installer)->first->next, NULL);
	installer_remove_in(s->installer, 1);
	assert_int_equal(policies_to(s, 2, NULL), 1);
	engine_config_free(more);
}

/* A first configuration that does not fit is told; what an earlier run protected stays so, and what fits is protected
 * too. */
static void start_that_does_not_fit_protects(void **state)
{
	struct scene *s = *state;
	struct engine_config *more = config_of(too_much);
	struct child_place failed;

	installer_configure(s->installer, s->config, NULL);
	daemon_end(s);
	daemon_start(s);
	assert_int_equal(installer_configure(s->installer, more, &failed), -ENOSPC);
	assert_string_equal(failed.child, "e");
	daemon_end(s);
	assert_int_equal(sadb_open(PIN_DIR, true, &s->db), 0);
	assert_int_equal(policies_to(s, 2, NULL), 1);
	assert_int_equal(policies_to(s, 3, NULL), 1);
	sadb_close(s->db);
	daemon_start(s);
	engine_config_free(more);
}

/* The tunnels of an earlier run leave too few slots for as many new ones: they are taken on. */
static void tunnels_are_taken_on(void **state)
{
	struct scene *s = *state;
	struct engine_config *five =
		config_of("connections:\n  x:\n    local: {id: a}\n    remote: {id: b}\n    children:\n"
			  "      c: {local_ts: 10.1.0.0/16, remote_ts: 10.2.0.0/16}\n"
			  "      d: {local_ts: 10.1.0.0/16, remote_ts: 10.3.0.0/16}\n"
			  "      e: {local_ts: 10.1.0.0/16, remote_ts: 10.4.0.0/16}\n"
			  "      f: {local_ts: 10.1.0.0/16, remote_ts: 10.5.0.0/16}\n"
			  "      g: {local_ts: 10.1.0.0/16, remote_ts: 10.6.0.0/16}\n");
	uint32_t tunnel;

	for (unsigned run = 0; run < 3; run++) {
		assert_int_equal(installer_configure(s->installer, five, NULL), 0);
		installer_clean(s->installer);
		for (uint8_t byte = 2; byte <= 6; byte++) {
			assert_int_equal(policies_to(s, byte, &tunnel), 1);
			assert_int_equal(sadb_tunnel(s->db, tunnel)->state, TUNNEL_LIVE);
			assert_int_equal(sadb_tunnel(s->db, tunnel)->remote[0].first[1], byte);
		}
		daemon_end(s);
		daemon_start(s);
	}
	engine_config_free(five);
}

/* ---- whose traffic it is ---- */
static uint16_t ask(struct scene *s, const struct child_install *install, char why[static 1024])
{
	why[0] = '\0';
	return installer_admit(s->installer, install, why, 1024);
}

/* A CHILD SA of connection `conn` with `peer`, who has `remote`, to all of 192.0.2.1. */
static struct child_install asked(
	const struct scene *s, uint32_t id, const char *conn, const char *peer, const char *remote)
{
	struct child_install install = child(s, id, 0);
	char error[64];

	install.conn = conn;
	install.peer = id_of(peer);
	install.config = &s->config->conns[conn[0] - 'x'].children[0];
	assert_true(ts_parse("192.0.2.1", &install.local_ts[0], error, sizeof(error)));
	assert_true(ts_parse(remote, &install.remote_ts[0], error, sizeof(error)));
	return install;
}

static void goes(struct scene *s, struct child_install install)
{
	char why[1024];

	assert_int_equal(ask(s, &install, why), NOTIFY_NONE);
	assert_int_equal(installer_install_in(s->installer, &install), 0);
	assert_int_equal(installer_install_out(s->installer, &install), 0);
}

static void refused(struct scene *s, struct child_install install, const char *has)
{
	char why[1024], asking[IKE_ID_TEXT_LEN], start[512];

	assert_int_equal(ask(s, &install, why), TS_UNACCEPTABLE);
	snprintf(start, sizeof(start), "'%s' asks for", ike_id_format(install.peer, asking));
	if (strncmp(why, start, strlen(start)) != 0 || !strstr(why, has))
		fail_msg("%s", why);
}

static uint32_t spi_of_tunnel(struct scene *s, uint32_t child_id)
{
	return out_spi(s, tunnel_find_child(installer_tunnels(s->installer), child_id, NULL)->id);
}

static void setup_anyone(struct scene *s)
{
	engine_config_free(s->config);
	s->config = config_of(anyone);
	assert_int_equal(installer_configure(s->installer, s->config, NULL), 0);
	installer_clean(s->installer);
}

/* RFC 3948 5.1: of two road warriors with one inner address the second is refused. The first may come anew. */
static void second_road_warrior_is_refused(void **state)
{
	struct scene *s = *state;
	struct child_install again;

	setup_anyone(s);
	goes(s, asked(s, 1, "x", "ari.example.com", "192.168.1.10/32"));
	refused(s, asked(s, 2, "x", "bob.example.com", "192.168.1.10/32"), "with 'ari.example.com'");
	refused(s, asked(s, 2, "x", "bob.example.com", "192.168.1.0/24"), "with 'ari.example.com'");
	goes(s, asked(s, 2, "x", "bob.example.com", "192.168.1.11/32"));
	assert_int_equal(spi_of_tunnel(s, 1), 0x2001);
	assert_int_equal(spi_of_tunnel(s, 2), 0x2002);
	again = asked(s, 3, "x", "ARI.example.com", "192.168.1.10/32"); /* RFC 7296 3.5: names have no case */
	goes(s, again);
	assert_int_equal(spi_of_tunnel(s, 1), 0x2003);
	again = asked(s, 4, "x", "ari.example.com", "192.168.1.10/32");
	again.replaces = 3;
	goes(s, again);
	assert_int_equal(spi_of_tunnel(s, 3), 0x2004);
	for (uint32_t id = 1; id <= 4; id++)
		if (id != 2)
			installer_remove_in(s->installer, id);
	goes(s, asked(s, 5, "x", "bob.example.com", "192.168.1.10/32"));
	refused(s, asked(s, 6, "x", "ari.example.com", "192.168.1.10/32"), "with 'bob.example.com'");
}

/* RFC 3948 5.2: two hosts behind one NAT live side by side if protocol or ports tell them apart. */
static void hosts_behind_one_nat(void **state)
{
	struct scene *s = *state;

	setup_anyone(s);
	goes(s, asked(s, 1, "y", "ari.example.net", "198.51.100.7[tcp]"));
	refused(s, asked(s, 2, "y", "bob.example.net", "198.51.100.7"), "with 'ari.example.net'");
	refused(s, asked(s, 2, "y", "bob.example.net", "198.51.100.7[tcp/80]"), "with 'ari.example.net'");
	goes(s, asked(s, 2, "y", "bob.example.net", "198.51.100.7[udp]"));
	/* Another connection is no other way round it: nothing in the file says who is asked first. */
	refused(s, asked(s, 3, "z", "cliff.example.org", "198.51.100.7[udp/53]"), "with 'bob.example.net'");
	goes(s, asked(s, 3, "z", "cliff.example.org", "198.51.100.7[icmp]"));
	assert_int_equal(spi_of_tunnel(s, 1), 0x2001);
	assert_int_equal(spi_of_tunnel(s, 2), 0x2002);
	assert_int_equal(spi_of_tunnel(s, 3), 0x2003);
}

/* What a child of the configuration has waits for its peer, whoever else asks for it. One peer with two connections has
 * one of them for the same traffic. */
static void configured_traffic_is_kept(void **state)
{
	struct scene *s = *state;
	struct child_install install;

	setup_anyone(s);
	refused(s, asked(s, 1, "y", "bob.example.net", "0.0.0.0/0"), "connection x, child c has already:");
	goes(s, asked(s, 1, "y", "ari.example.net", "198.51.100.7"));
	install = asked(s, 2, "z", "ari.example.net", "198.51.100.7");
	refused(s, install, "connection y, child c has already with 'ari.example.net'");
}

/* What the maps have no room for is not begun. */
static void child_that_does_not_fit_is_refused(void **state)
{
	struct scene *s = *state;
	struct child_install install;
	char why[1024];

	setup_anyone(s);
	install = asked(s, 1, "y", "ari.example.net", "11.0.0.1-11.255.255.254");
	assert_int_equal(ask(s, &install, why), NO_ADDITIONAL_SAS);
	assert_non_null(strstr(why, "agent.policy_count"));
	assert_int_equal(installer_install_in(s->installer, &install), -ENOSPC);
	assert_int_equal(live_sas(s), 0);
	goes(s, asked(s, 2, "y", "ari.example.net", "198.51.100.7"));
}

static void earlier_run_is_cleaned_up(void **state)
{
	struct scene *s = *state;
	struct engine_config *other = config_of(other_child);
	uint32_t old, new;

	installer_configure(s->installer, s->config, NULL);
	policies_to(s, 2, &old);
	up(s, 1, 0);
	daemon_end(s);
	daemon_start(s);
	assert_int_equal(policies_to(s, 2, NULL), 1);
	installer_configure(s->installer, s->config, NULL);
	assert_int_equal(policies_to(s, 2, &new), 1);
	assert_int_not_equal(old, new);
	assert_int_equal(installer_clean(s->installer), 2);
	assert_int_equal(live_sas(s), 0);
	assert_int_equal(sadb_tunnel(s->db, old)->state, TUNNEL_FREE);
	daemon_end(s);
	daemon_start(s); /* with another configuration: the old prefix goes, once the new one stands */
	installer_configure(s->installer, other, NULL);
	assert_int_equal(policies_to(s, 2, NULL), 1);
	installer_clean(s->installer);
	assert_int_equal(policies_to(s, 2, NULL), 0);
	assert_int_equal(policies_to(s, 3, NULL), 1);
	engine_config_free(other);
}

static void full_map_is_told(void **state)
{
	struct scene *s = *state;
	int rc = 0;

	installer_configure(s->installer, s->config, NULL);
	for (uint32_t id = 1; !rc && id < 20; id++) {
		struct child_install install = child(s, id, id > 1 ? id - 1 : 0);

		rc = installer_install_in(s->installer, &install);
		if (rc)
			assert_null(tunnel_find_child(installer_tunnels(s->installer), id, NULL));
	}
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(policies_to(s, 2, NULL), 1);
}

struct shunt_look {
	unsigned found[POLICY_DISCARD + 1];
	uint32_t position[POLICY_DISCARD + 1];
};

/* Of those to 10.4.1.0/24. */
static void shunt_one(const struct policy_entry_info *entry, void *context)
{
	struct shunt_look *look = context;

	if (entry->family != 4 || entry->prefix_len != 24 || entry->prefix[1] != 4)
		return;
	look->found[entry->action]++;
	look->position[entry->action] = entry->position;
	assert_true(entry->action == POLICY_PROTECT || entry->tunnel == TUNNEL_NONE);
}

/* Without any peer, in the order that the priorities give, and taken out by a reload. */
static void policies_without_peer(void **state)
{
	struct scene *s = *state;
	struct engine_config *with = config_of(
		"connections:\n  x:\n    local: {id: a}\n    remote: {id: b}\n"
		"    children: {c: {local_ts: 10.1.0.0/16, remote_ts: 10.4.0.0/16}}\n  y:\n    children:\n"
		"      no: {mode: drop, remote_ts: 10.4.1.0/24}\n"
		"      ssh: {mode: pass, local_ts: 10.1.0.0/16, remote_ts: '10.4.1.0/24[tcp/22]', priority: 5}\n");
	struct shunt_look look = {0};

	assert_int_equal(installer_configure(s->installer, with, NULL), 0);
	sadb_policies(s->db, shunt_one, &look);
	assert_int_equal(look.found[POLICY_DISCARD], 1);
	assert_int_equal(look.found[POLICY_BYPASS], 1);
	assert_int_equal(look.found[POLICY_PROTECT], 1); /* of the covering child, last */
	assert_true(look.position[POLICY_BYPASS] < look.position[POLICY_DISCARD]);
	assert_true(look.position[POLICY_DISCARD] < look.position[POLICY_PROTECT]);
	installer_configure(s->installer, s->config, NULL);
	memset(&look, 0, sizeof(look));
	sadb_policies(s->db, shunt_one, &look);
	assert_int_equal(look.found[POLICY_DISCARD] + look.found[POLICY_BYPASS], 0);
	engine_config_free(with);
}

/* Options of the outer header come into force under a living SA; a peer without TFC padding is sent none. */
static void options_are_changed_in_place(void **state)
{
	static const char options[] =
		"connections:\n  x:\n    local_addrs: 192.0.2.1\n    remote_addrs: 192.0.2.2\n    local: {id: a}\n"
		"    remote: {id: b}\n    children: {c: {local_ts: 10.1.0.0/16, remote_ts: 10.2.0.0/16, dscp: 46, df: "
		"set,"
		" tfc_padding: 900, mss_clamp: no}}\n";
	struct scene *s = *state;
	struct engine_config *with = config_of(options);
	struct child_install install;
	uint32_t tunnel;

	installer_configure(s->installer, s->config, NULL);
	policies_to(s, 2, &tunnel);
	up(s, 1, 0);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->options.dscp, DSCP_COPY);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->flags, TUNNEL_MSS_CLAMP);
	installer_configure(s->installer, with, NULL);
	assert_int_equal(out_spi(s, tunnel), 0x2001);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->options.dscp, DSCP_SET);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->options.dscp_value, 46);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->options.df, DF_SET);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->options.tfc_pad, 900);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->flags, 0);
	installer_clamp_mss(s->installer, false); /* of children that do not say, those with SAs too */
	installer_configure(s->installer, s->config, NULL);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->flags, 0);
	installer_clamp_mss(s->installer, true);
	installer_configure(s->installer, s->config, NULL);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->flags, TUNNEL_MSS_CLAMP);
	installer_configure(s->installer, with, NULL);
	engine_config_free(s->config);
	s->config = with;
	install = child(s, 2, 1);
	install.tfc_plain = true;
	assert_int_equal(installer_install_in(s->installer, &install), 0);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->options.tfc_pad, 0);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->options.dscp, DSCP_SET);
}

static void transport_and_ah_are_filled(void **state)
{
	struct scene *s = *state;
	struct child_install install = child(s, 5, 0);
	struct sa sa;

	install.mode = SA_TRANSPORT;
	install.suite = (struct suite){.protocol = PROTOCOL_AH, .integ = {TRANSFORM_INTEG, INTEG_AES_256_GMAC, 0}};
	sa_fill(&install, SA_IN, 3, 1000, &sa);
	assert_int_equal(sa.protocol, 51);
	assert_int_equal(sa.mode, SA_TRANSPORT);
	assert_int_equal(sa.encr, 0);
	assert_int_equal(sa.integ, INTEG_AES_256_GMAC);
	assert_int_equal(installer_install_in(s->installer, &install), 0);
	assert_int_equal(sadb_tunnel(s->db, tunnel_find_child(installer_tunnels(s->installer), 5, NULL)->id)->mode,
		SA_TRANSPORT);
}

static void sa_is_filled(void **state)
{
	struct scene *s = *state;
	struct child_config config = s->config->conns[0].children[0];
	struct child_install install = child(s, 5, 0);
	struct sa sa;

	install.config = &config;
	install.udp_encap = true;
	install.local.port = 4500;
	install.remote.port = 1234;
	memset(install.in.encr, 0x11, sizeof(install.in.encr));
	memset(install.out.encr, 0x22, sizeof(install.out.encr));
	sa_fill(&install, SA_IN, 3, 1000, &sa);
	assert_int_equal(ntohl(sa.spi), 0x1005);
	assert_int_equal(sa.encr_key[0], 0x11);
	assert_int_equal(sa.flags, SA_UDP_ENCAP);
	assert_int_equal(sa.remote_port, 1234);
	assert_int_equal(sa.encr, ENCR_AES_GCM_16);
	assert_int_equal(sa.integ, INTEG_NONE);
	assert_true(sa.hard_ns == 1000 + 3960 * NS_PER_S);
	assert_true(sa.soft_packets == SA_SOFT_PACKETS_MAX);
	install.udp_encap = false;
	install.suite.esn = (struct transform){TRANSFORM_ESN, ESN_YES, 0};
	config.rekey_packets = 77;
	config.life_ns = 0;
	sa_fill(&install, SA_OUT, 3, 1000, &sa);
	assert_int_equal(ntohl(sa.spi), 0x2005);
	assert_int_equal(sa.encr_key[0], 0x22);
	assert_int_equal(sa.flags, SA_ESN);
	assert_int_equal(sa.remote_port, 0);
	assert_true(sa.soft_packets == 77 && sa.hard_ns == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(configured_child_is_protected, setup, teardown),
		cmocka_unit_test_setup_teardown(rekey_switches_and_counts_on, setup, teardown),
		cmocka_unit_test_setup_teardown(second_child_takes_over, setup, teardown),
		cmocka_unit_test_setup_teardown(narrowed_selectors, setup, teardown),
		cmocka_unit_test_setup_teardown(reload_keeps_protection, setup, teardown),
		cmocka_unit_test_setup_teardown(reload_that_does_not_fit_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(start_that_does_not_fit_protects, setup, teardown),
		cmocka_unit_test_setup_teardown(tunnels_are_taken_on, setup, teardown),
		cmocka_unit_test_setup_teardown(second_road_warrior_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(hosts_behind_one_nat, setup, teardown),
		cmocka_unit_test_setup_teardown(configured_traffic_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(child_that_does_not_fit_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(earlier_run_is_cleaned_up, setup, teardown),
		cmocka_unit_test_setup_teardown(full_map_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(sa_is_filled, setup, teardown),
		cmocka_unit_test_setup_teardown(transport_and_ah_are_filled, setup, teardown),
		cmocka_unit_test_setup_teardown(policies_without_peer, setup, teardown),
		cmocka_unit_test_setup_teardown(options_are_changed_in_place, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
