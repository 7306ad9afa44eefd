/* SPDX-License-Identifier: Apache-2.0 */
/* Whose traffic it is: which CHILD SA the installer admits beside those that there are. Needs root. */
#include "ike/payload/notify.h"
#include "ike/ts.h"
#include "tests/kernel/install_scene.h"

/* Answers anyone; what they have is known when they come. */
static const char anyone[] =
	"connections:\n  x:\n    local_addrs: 192.0.2.1\n    local: {id: a}\n    remote: {id: '*.example.com'}\n"
	"    children: {c: {local_ts: 192.0.2.1, remote_ts: 0.0.0.0/0, mode: tunnel}}\n"
	"  y:\n    local_addrs: 192.0.2.1\n    local: {id: a}\n    remote: {id: '*.example.net'}\n"
	"    children: {c: {}}\n"
	"  z:\n    local_addrs: 192.0.2.1\n    local: {id: a}\n    remote: {id: '*.example.org'}\n"
	"    children: {c: {}}\n";

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(second_road_warrior_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(hosts_behind_one_nat, setup, teardown),
		cmocka_unit_test_setup_teardown(configured_traffic_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(child_that_does_not_fit_is_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
