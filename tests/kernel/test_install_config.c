/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration comes into force: at a start beside what an earlier run left, and at a reload under living SAs. Needs
 * root. */
#include "tests/kernel/install_scene.h"

static const char other_child[] = "connections:\n  x:\n    local: {id: a}\n    remote: {id: b}\n"
				  "    children: {c: {local_ts: 10.1.0.0/16, remote_ts: 10.3.0.0/16}}\n";

/* 46 prefixes, more than the map of this test has; the file does not say how many that are. */
static const char too_much[] =
	"connections:\n  x:\n    local_addrs: 192.0.2.1\n    remote_addrs: 192.0.2.2\n    local: {id: a}\n"
	"    remote: {id: b}\n    children:\n      c: {local_ts: 10.1.0.0/16, remote_ts: 10.2.0.0/16, priority: 9}\n"
	"      d: {local_ts: 10.1.0.0/16, remote_ts: 10.3.0.0/16}\n"
	"      e: {local_ts: 10.1.0.0/16, remote_ts: 11.0.0.1-11.255.255.254}\n";

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reload_keeps_protection, setup, teardown),
		cmocka_unit_test_setup_teardown(reload_that_does_not_fit_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(start_that_does_not_fit_protects, setup, teardown),
		cmocka_unit_test_setup_teardown(tunnels_are_taken_on, setup, teardown),
		cmocka_unit_test_setup_teardown(earlier_run_is_cleaned_up, setup, teardown),
		cmocka_unit_test_setup_teardown(policies_without_peer, setup, teardown),
		cmocka_unit_test_setup_teardown(options_are_changed_in_place, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
