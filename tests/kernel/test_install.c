/* SPDX-License-Identifier: Apache-2.0 */
/* The IKE daemon's installer over real maps: fail closed, and make before break. Needs root. */
#include "ike/sa_fill.h"
#include "ike/ts.h"
#include "tests/kernel/install_scene.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(configured_child_is_protected, setup, teardown),
		cmocka_unit_test_setup_teardown(rekey_switches_and_counts_on, setup, teardown),
		cmocka_unit_test_setup_teardown(second_child_takes_over, setup, teardown),
		cmocka_unit_test_setup_teardown(narrowed_selectors, setup, teardown),
		cmocka_unit_test_setup_teardown(full_map_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(sa_is_filled, setup, teardown),
		cmocka_unit_test_setup_teardown(transport_and_ah_are_filled, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
