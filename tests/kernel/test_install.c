/* SPDX-License-Identifier: Apache-2.0 */
/* The IKE daemon's installer over real maps: fail closed, make before break, and what an earlier run left. Needs root.
 */
#include "ike/install.h"

#include "agent/base/own.h"
#include "bpf/dataplane.h"
#include "bpf/sadb.h"
#include "ike/config.h"
#include "ike/sa_fill.h"
#include "ike/ts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

static struct child_install child(const struct scene *s, uint32_t id, uint32_t replaces)
{
	struct child_install install = {
		.child_id = id,
		.replaces = replaces,
		.conn = "x",
		.child = "c",
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

	assert_int_equal(installer_configure(s->installer, s->config), 0);
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

	installer_configure(s->installer, s->config);
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

	installer_configure(s->installer, s->config);
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

	installer_configure(s->installer, s->config);
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

	installer_configure(s->installer, s->config);
	policies_to(s, 2, &before);
	up(s, 1, 0);
	assert_int_equal(installer_configure(s->installer, s->config), 0); /* nothing has changed */
	policies_to(s, 2, &after);
	assert_int_equal(before, after);
	assert_int_equal(out_spi(s, after), 0x2001);
	installer_configure(s->installer, other);
	assert_int_equal(policies_to(s, 3, NULL), 1);
	assert_int_equal(policies_to(s, 2, NULL), 1); /* while its SAs live */
	installer_remove_in(s->installer, 1);
	assert_int_equal(policies_to(s, 2, NULL), 0);
	assert_int_equal(sadb_tunnel(s->db, before)->state, TUNNEL_FREE);
	engine_config_free(other);
}

static void earlier_run_is_cleaned_up(void **state)
{
	struct scene *s = *state;
	struct engine_config *other = config_of(other_child);
	uint32_t old, new;

	installer_configure(s->installer, s->config);
	policies_to(s, 2, &old);
	up(s, 1, 0);
	daemon_end(s);
	daemon_start(s);
	assert_int_equal(policies_to(s, 2, NULL), 1);
	installer_configure(s->installer, s->config);
	assert_int_equal(policies_to(s, 2, &new), 1);
	assert_int_not_equal(old, new);
	assert_int_equal(installer_clean(s->installer), 2);
	assert_int_equal(live_sas(s), 0);
	assert_int_equal(sadb_tunnel(s->db, old)->state, TUNNEL_FREE);
	daemon_end(s);
	daemon_start(s); /* with another configuration: the old prefix goes, once the new one stands */
	installer_configure(s->installer, other);
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

	installer_configure(s->installer, s->config);
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

	assert_int_equal(installer_configure(s->installer, with), 0);
	sadb_policies(s->db, shunt_one, &look);
	assert_int_equal(look.found[POLICY_DISCARD], 1);
	assert_int_equal(look.found[POLICY_BYPASS], 1);
	assert_int_equal(look.found[POLICY_PROTECT], 1); /* of the covering child, last */
	assert_true(look.position[POLICY_BYPASS] < look.position[POLICY_DISCARD]);
	assert_true(look.position[POLICY_DISCARD] < look.position[POLICY_PROTECT]);
	installer_configure(s->installer, s->config);
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

	installer_configure(s->installer, s->config);
	policies_to(s, 2, &tunnel);
	up(s, 1, 0);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->options.dscp, DSCP_COPY);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->flags, SA_MSS_CLAMP);
	installer_configure(s->installer, with);
	assert_int_equal(out_spi(s, tunnel), 0x2001);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->options.dscp, DSCP_SET);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->options.dscp_value, 46);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->options.df, DF_SET);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->options.tfc_pad, 900);
	assert_int_equal(sadb_tunnel(s->db, tunnel)->flags, 0);
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
	sa_fill(&install, SA_IN, 3, false, 1000, &sa);
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
	sa_fill(&install, SA_IN, 3, true, 1000, &sa);
	assert_int_equal(ntohl(sa.spi), 0x1005);
	assert_int_equal(sa.encr_key[0], 0x11);
	assert_int_equal(sa.flags, SA_UDP_ENCAP | SA_MSS_CLAMP);
	assert_int_equal(sa.remote_port, 1234);
	assert_int_equal(sa.encr, ENCR_AES_GCM_16);
	assert_int_equal(sa.integ, INTEG_NONE);
	assert_true(sa.hard_ns == 1000 + 3960 * NS_PER_S);
	assert_true(sa.soft_packets == SA_SOFT_PACKETS_MAX);
	install.udp_encap = false;
	install.suite.esn = (struct transform){TRANSFORM_ESN, ESN_YES, 0};
	config.rekey_packets = 77;
	config.life_ns = 0;
	sa_fill(&install, SA_OUT, 3, false, 1000, &sa);
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
		cmocka_unit_test_setup_teardown(earlier_run_is_cleaned_up, setup, teardown),
		cmocka_unit_test_setup_teardown(full_map_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(sa_is_filled, setup, teardown),
		cmocka_unit_test_setup_teardown(transport_and_ah_are_filled, setup, teardown),
		cmocka_unit_test_setup_teardown(policies_without_peer, setup, teardown),
		cmocka_unit_test_setup_teardown(options_are_changed_in_place, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
