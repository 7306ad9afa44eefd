/* SPDX-License-Identifier: Apache-2.0 */
/* IKE_SA_INIT and IKE_AUTH between two engines in memory. */
#include "tests/unit/engine_net.h"

struct setup_case {
	const char *name;
	struct net_options options;
	unsigned children;
};

static const struct setup_case setups[] = {
	{"defaults", {0}, 1},
	{"ecp256, cbc", {.ike = "aes128-sha256-ecp256", .esp = "aes256-sha256"}, 1},
	{"ecp384, cbc", {.ike = "aes256-sha384-ecp384", .esp = "aes128gcm16"}, 1},
	{"modp2048, sha512", {.ike = "aes256-sha512-modp2048", .esp = "aes256gcm16-modp2048"}, 1},
	{"gcm128, prfsha256", {.ike = "aes128gcm16-prfsha256-x25519"}, 1},
	{"gcm256, prfsha512", {.ike = "aes256gcm16-prfsha512-ecp256"}, 1},
	{"three children", {.children = 3}, 3},
	{"any id", {.expect = {"%any", "%any"}}, 1},
	{"addresses as ids", {.id = {"192.0.2.1", "203.0.113.1"}, .expect = {"203.0.113.1", "192.0.2.1"}}, 1},
	{"e-mail and wildcard", {.id = {"user@example.com", NULL}, .expect = {NULL, "*@example.com"}}, 1},
	{"group wanted by B", {.ike = "aes256gcm16-prfsha384-x25519-ecp384", .ike_b = "aes256gcm16-prfsha384-ecp384"},
		1},
	{"second proposal",
		{.ike = "aes256gcm16-prfsha384-x25519,aes128-sha256-ecp256", .ike_b = "aes128-sha256-ecp256"}, 1},
	{"both dial", {.start_a = true, .start_b = true}, 1},
};

static void test_setup(void **state)
{
	const struct setup_case *c = *state;
	struct net *net = net_new_with(&c->options, 7);

	if (!c->options.start_a)
		assert_int_equal(net_command(net, A, ENGINE_UP, ""), 0);
	net_run(net, 10 * NS_PER_S);
	net_assert_up(net, c->children);
	assert_int_equal(net->side[A].events[EVENT_AUTH_FAILED], 0);
	/* What B dials anew starts from nothing: the answerer may send a moment before the dialler listens (RFC
	 * 7296 2.8). */
	net->check_lossless = !c->options.start_b;
	net_command(net, A, ENGINE_DOWN, "");
	net_run(net, 10 * NS_PER_S);
	if (!c->options.start_b)
		net_assert_clean(net);
	net_free(net);
}

static void test_lossy_setup(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 40; seed++) {
		struct net_options options = {.start_a = true, .children = 2};
		struct net *net = net_new_with(&options, seed);

		net->loss_percent = 30;
		net->double_percent = 20;
		net->jitter_ns = 100 * NS_PER_MS;
		net_run(net, 400 * NS_PER_S);
		net->loss_percent = 0;
		net_run(net, 200 * NS_PER_S);
		net_assert_up(net, 2);
		net_free(net);
	}
}

static void test_secret_mismatch(void **state)
{
	struct net *net = net_new_with(&(struct net_options){.start_a = true}, 3);

	(void)state;
	net->side[B].secret = "another";
	net_run(net, 1 * NS_PER_S);
	assert_true(net->side[B].events[EVENT_AUTH_FAILED] > 0);
	assert_true(net->side[A].events[EVENT_AUTH_FAILED] > 0);
	assert_int_equal(net_live(net, A, false) + net_live(net, B, false), 0);
	assert_int_equal(net_look(net, B).ike, 0);
	net->side[B].secret = net->side[A].secret;
	net_run(net, 30 * NS_PER_S); /* dialled again */
	net_assert_up(net, 1);
	net_free(net);
}

static void test_no_secret(void **state)
{
	(void)state;
	for (int s = 0; s < 2; s++) {
		struct net *net = net_new_with(&(struct net_options){.start_a = true, .keying_tries = 1}, 3);

		net->side[s].keeper_empty = true;
		net_run(net, 60 * NS_PER_S);
		assert_true(net->side[s].events[EVENT_AUTH_FAILED] > 0);
		net_assert_clean(net);
		net_free(net);
	}
}

static void test_id_mismatch(void **state)
{
	static const struct net_options cases[] = {
		{.start_a = true, .expect = {NULL, "c.example.com"}},
		{.start_a = true, .expect = {"c.example.com", NULL}},
	};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct net *net = net_new_with(&cases[i], 3);

		net_run(net, 1 * NS_PER_S);
		assert_true(net->side[A].events[EVENT_AUTH_FAILED] > 0);
		assert_int_equal(net_live(net, A, false) + net_live(net, B, false), 0);
		net_free(net);
	}
}

static void test_proposal_mismatch(void **state)
{
	struct net *net = net_new_with(&(struct net_options){.start_a = true, .ike_b = "aes128-sha256-modp2048"}, 3);

	(void)state;
	net_run(net, 2 * NS_PER_S);
	assert_int_equal(net->side[B].events[EVENT_PROPOSAL_MISMATCH], 1);
	assert_non_null(strstr(net->side[B].last_text[EVENT_PROPOSAL_MISMATCH], "modp2048"));
	assert_int_equal(net->side[A].events[EVENT_PROPOSAL_MISMATCH], 1);
	assert_int_equal(engine_counter(net->side[B].engine, IKE_COUNTER_NO_PROPOSAL), 1);
	assert_int_equal(net_look(net, B).ike, 0);
	net_free(net);
}

/* The CHILD SA fails, the IKE SA stays (RFC 7296 2.21.2). */
static void test_childless(void **state)
{
	static const struct net_options cases[] = {
		{.start_a = true, .esp_b = "aes128-sha256"},
		{.start_a = true, .local_b = "10.9.0.0/16"},
	};
	static const enum ike_event_kind kinds[] = {EVENT_PROPOSAL_MISMATCH, EVENT_TS_MISMATCH};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct net *net = net_new_with(&cases[i], 3);

		net_run(net, 1 * NS_PER_S);
		net_assert_up(net, 0);
		assert_true(net->side[A].events[kinds[i]] > 0);
		assert_true(net->side[B].events[kinds[i]] > 0);
		net_free(net);
	}
}

static void test_narrowing(void **state)
{
	struct net *net = net_new_with(
		&(struct net_options){.start_a = true, .local_a = "10.0.0.0/8", .remote_b = "10.1.0.0/16[tcp/443]"}, 3);
	struct selector want;
	char error[128];

	(void)state;
	net_run(net, 1 * NS_PER_S);
	net_assert_up(net, 1);
	assert_true(ts_parse("10.1.0.0/16[tcp/443]", &want, error, sizeof(error)));
	assert_true(ts_equal(&want, &net_carrier(&net->side[A], "child0")->install.local_ts[0]));
	assert_true(ts_equal(&want, &net_carrier(&net->side[B], "child0")->install.remote_ts[0]));
	net_free(net);
}

static void test_cookies(void **state)
{
	/* 1 half-open IKE SA is left by a first dial whose AUTH is lost. */
	struct net *net = net_new_with(&(struct net_options){.cookie_threshold = 1}, 3);

	(void)state;
	net_command(net, A, ENGINE_UP, "");
	net_run(net, NET_LATENCY_NS + 1); /* B has answered IKE_SA_INIT */
	assert_int_equal(net_look(net, B).ike, 1);
	net->side[A].deaf = true;
	net_command(net, A, ENGINE_DOWN, "");
	net_run(net, NS_PER_S);
	net->side[A].deaf = false;
	net_command(net, A, ENGINE_UP, "");
	net_run(net, 2 * NS_PER_S);
	assert_int_equal(net->side[B].events[EVENT_COOKIES_ON], 1);
	assert_int_equal(engine_counter(net->side[B].engine, IKE_COUNTER_COOKIE_SENT), 1);
	net_run(net, 60 * NS_PER_S);
	net_assert_up(net, 1);
	net_free(net);
}

static void test_half_open_bound(void **state)
{
	struct net *net = net_new_with(&(struct net_options){.half_open_max = 3, .cookie_threshold = 100}, 3);

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		net_command(net, A, ENGINE_UP, "");
		net_command(net, A, ENGINE_DOWN, "");
	}
	net_run(net, NS_PER_S);
	assert_int_equal(net_look(net, B).ike, 3);
	assert_int_equal(engine_counter(net->side[B].engine, IKE_COUNTER_HALF_OPEN_FULL), 7);
	net_run(net, IKE_HALF_OPEN_TIMEOUT_NS + NS_PER_S);
	assert_int_equal(net_look(net, B).ike, 0);
	net_free(net);
}

static void test_nat(void **state)
{
	struct net *net = net_new_with(&(struct net_options){}, 3);

	(void)state;
	net->nat = true;
	net->nat_shift = 1000;
	net_command(net, A, ENGINE_UP, "");
	net_run(net, NS_PER_S);
	net_assert_up(net, 1);
	assert_true(net_look(net, A).last.nat_local);
	assert_false(net_look(net, A).last.nat_remote);
	assert_true(net_look(net, B).last.nat_remote);
	assert_int_equal(net->side[A].last_from.port, IKE_NATT_PORT);
	assert_int_equal(net_carrier(&net->side[B], "child0")->install.remote.port, IKE_NATT_PORT + 1000);
	assert_true(net_carrier(&net->side[A], "child0")->install.udp_encap);
	net_run(net, 65 * NS_PER_S);
	assert_int_equal(net->side[A].keepalives, 3);
	assert_int_equal(net->side[B].keepalives, 0);
	/* The NAT forgets its mapping: B follows the next authenticated message. */
	net->nat_shift = 2000;
	net_command(net, A, ENGINE_PROBE, "");
	net_run(net, NS_PER_S);
	assert_int_equal(net->side[B].moves, 1);
	assert_int_equal(net_carrier(&net->side[B], "child0")->remote.port, IKE_NATT_PORT + 2000);
	net_free(net);
}

static void test_no_nat_plain(void **state)
{
	struct net *net = net_new_with(&(struct net_options){.start_a = true}, 3);

	(void)state;
	net_run(net, NS_PER_S);
	assert_false(net_carrier(&net->side[A], "child0")->install.udp_encap);
	assert_int_equal(net->side[A].last_from.port, IKE_PORT);
	net_free(net);
}

static void test_forced_encap(void **state)
{
	struct net *net = net_new_with(&(struct net_options){.start_a = true, .encap_a = true}, 3);

	(void)state;
	net_run(net, NS_PER_S);
	net_assert_up(net, 1);
	assert_true(net_carrier(&net->side[A], "child0")->install.udp_encap);
	assert_true(net_carrier(&net->side[B], "child0")->install.udp_encap);
	net_free(net);
}

static void test_redial(void **state)
{
	struct net *net = net_new_with(&(struct net_options){.start_a = true}, 3);

	(void)state;
	net->side[B].deaf = true;
	net_run(net, 300 * NS_PER_S);
	assert_true(net->side[A].events[EVENT_PEER_DEAD] >= 2);
	net->side[B].deaf = false;
	net_run(net, 120 * NS_PER_S);
	net_assert_up(net, 1);
	net_free(net);
}

static void test_dot(void **state)
{
	char dot[16384];

	(void)state;
	assert_true(engine_dot(dot, sizeof(dot)) > 100);
	assert_non_null(strstr(dot, "IKE_AUTH request"));
}

int main(void)
{
	struct CMUnitTest tests[64] = {
		cmocka_unit_test(test_lossy_setup),
		cmocka_unit_test(test_secret_mismatch),
		cmocka_unit_test(test_no_secret),
		cmocka_unit_test(test_id_mismatch),
		cmocka_unit_test(test_proposal_mismatch),
		cmocka_unit_test(test_childless),
		cmocka_unit_test(test_narrowing),
		cmocka_unit_test(test_cookies),
		cmocka_unit_test(test_half_open_bound),
		cmocka_unit_test(test_nat),
		cmocka_unit_test(test_no_nat_plain),
		cmocka_unit_test(test_forced_encap),
		cmocka_unit_test(test_redial),
		cmocka_unit_test(test_dot),
	};
	size_t count = 14;

	for (size_t i = 0; i < sizeof(setups) / sizeof(setups[0]); i++)
		tests[count++] = (struct CMUnitTest){.name = setups[i].name,
			.test_func = test_setup,
			.initial_state = (void *)(uintptr_t)&setups[i]};
	return _cmocka_run_group_tests("engine setup", tests, count, NULL, NULL);
}
