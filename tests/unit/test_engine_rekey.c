/* SPDX-License-Identifier: Apache-2.0 */
/* Rekeys of CHILD and IKE SAs between two engines: no packet may be lost, whoever starts, and whatever the network
 * does. */
#include "tests/unit/engine_net.h"

static struct net *net_up(const struct net_options *options, uint32_t seed)
{
	struct net *net = net_new_with(options, seed);

	net_command(net, A, ENGINE_UP, "");
	net_run(net, 5 * NS_PER_S);
	net_assert_up(net, options->children ? options->children : 1);
	return net;
}

enum who { BY_A = 1, BY_B = 2, BY_BOTH = 3 };

struct rekey_case {
	const char *name;
	enum engine_command_kind kind;
	enum who who;
	const char *esp;
	unsigned loss, jitter_ms, seeds;
};

static const struct rekey_case cases[] = {
	{"child by A, PFS", ENGINE_REKEY_CHILD, BY_A, NULL, 0, 0, 1},
	{"child by B, PFS", ENGINE_REKEY_CHILD, BY_B, NULL, 0, 0, 1},
	{"child by A, no PFS", ENGINE_REKEY_CHILD, BY_A, "aes256gcm16", 0, 0, 1},
	{"child by A, cbc", ENGINE_REKEY_CHILD, BY_A, "aes256-sha256-ecp256", 0, 0, 1},
	{"child by both at once", ENGINE_REKEY_CHILD, BY_BOTH, NULL, 0, 0, 20},
	{"child by both, reordered", ENGINE_REKEY_CHILD, BY_BOTH, NULL, 0, 500, 100},
	{"child by both, lossy", ENGINE_REKEY_CHILD, BY_BOTH, NULL, 30, 500, 200},
	{"child by A, lossy", ENGINE_REKEY_CHILD, BY_A, NULL, 30, 100, 100},
	{"ike by A", ENGINE_REKEY_IKE, BY_A, NULL, 0, 0, 1},
	{"ike by B", ENGINE_REKEY_IKE, BY_B, NULL, 0, 0, 1},
	{"ike by both at once", ENGINE_REKEY_IKE, BY_BOTH, NULL, 0, 0, 20},
	{"ike by both, reordered", ENGINE_REKEY_IKE, BY_BOTH, NULL, 0, 500, 100},
	{"ike by both, lossy", ENGINE_REKEY_IKE, BY_BOTH, NULL, 25, 500, 200},
};

static uint64_t spi_of(struct net *net)
{
	return net_look(net, A).last.spi_i;
}

static void rekey_once(const struct rekey_case *c, uint32_t seed)
{
	struct net *net = net_up(&(struct net_options){.esp = c->esp, .children = 2}, seed);
	uint32_t old_child = net_carrier(&net->side[A], "child0")->install.spi_in;
	uint64_t old_ike = spi_of(net);

	net->loss_percent = c->loss;
	net->double_percent = c->loss;
	net->jitter_ns = c->jitter_ms * NS_PER_MS;
	if (c->who & BY_A)
		net_command(net, A, c->kind, "");
	if (c->who & BY_B)
		net_command(net, B, c->kind, "");
	/* 1.8^5 * 2 s: rarely a peer is given up under such loss; that is no failure of the rekey. */
	net_run(net, 100 * NS_PER_S);
	net->loss_percent = net->double_percent = 0;
	net_run(net, 200 * NS_PER_S);
	if (!net->side[A].events[EVENT_PEER_DEAD] && !net->side[B].events[EVENT_PEER_DEAD]) {
		net_assert_up(net, 2);
		if (c->kind == ENGINE_REKEY_CHILD)
			assert_int_not_equal(net_carrier(&net->side[A], "child0")->install.spi_in, old_child);
		else
			assert_true(spi_of(net) != old_ike);
	}
	net_free(net);
}

static void test_rekey(void **state)
{
	const struct rekey_case *c = *state;

	for (uint32_t seed = 1; seed <= c->seeds; seed++) {
		if (getenv("NET_VERBOSE"))
			printf("seed %u\n", seed);
		rekey_once(c, seed);
	}
}

/* Hours with short lifetimes on both ends, on a network that loses: always a tunnel, never a lost packet. */
static void test_long_life(void **state)
{
	struct net_options options = {.ike_rekey_ns = 600 * NS_PER_S,
		.child_rekey_ns = 120 * NS_PER_S,
		.dpd_ns = 30 * NS_PER_S,
		.children = 3};
	struct net *net = net_up(&options, 11);

	(void)state;
	net->jitter_ns = 300 * NS_PER_MS;
	net->loss_percent = 3;
	for (unsigned i = 0; i < 240; i++) {
		net_run(net, 60 * NS_PER_S);
		for (int s = 0; s < 2; s++)
			assert_true(net_live(net, s, true) >= 3);
	}
	assert_int_equal(net->side[A].events[EVENT_PEER_DEAD] + net->side[B].events[EVENT_PEER_DEAD], 0);
	assert_true(net->side[A].events[EVENT_IKE_REKEYED] > 20);
	assert_true(net->side[A].events[EVENT_CHILD_REKEYED] > 300);
	assert_int_equal(net->side[A].events[EVENT_CHILD_DOWN], 0);
	net_free(net);
}

/* IKE and CHILD rekeys asked for by both ends in the same instant (RFC 7296 2.25). */
static void test_everything_at_once(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 150; seed++) {
		struct net *net = net_up(&(struct net_options){.children = 2}, seed);

		net->jitter_ns = 300 * NS_PER_MS;
		net->loss_percent = seed % 3 ? 10 : 0;
		for (unsigned round = 0; round < 3; round++) {
			net_command(net, A, ENGINE_REKEY_CHILD, "");
			net_command(net, B, ENGINE_REKEY_IKE, "");
			net_run(net, net_rand(net) % (400 * NS_PER_MS));
			net_command(net, A, ENGINE_REKEY_IKE, "");
			net_command(net, B, ENGINE_REKEY_CHILD, "");
			net_run(net, net_rand(net) % (10 * NS_PER_S));
		}
		net->loss_percent = 0;
		net_run(net, 400 * NS_PER_S);
		if (!net->side[A].events[EVENT_PEER_DEAD] && !net->side[B].events[EVENT_PEER_DEAD])
			net_assert_up(net, 2);
		net_free(net);
	}
}

/* A packet that overtakes the DELETE still finds its inbound SA. */
static void test_grace(void **state)
{
	struct net *net = net_up(&(struct net_options){0}, 5);

	(void)state;
	net_command(net, A, ENGINE_REKEY_CHILD, "");
	net_run(net, NS_PER_S);
	assert_int_equal(net_live(net, A, true), 1);
	assert_int_equal(net_live(net, A, false), 2);
	assert_int_equal(net_live(net, B, false), 2);
	net_run(net, IKE_GRACE_NS);
	net_assert_up(net, 1);
	net_free(net);
}

int main(void)
{
	struct CMUnitTest tests[32] = {
		cmocka_unit_test(test_grace),
		cmocka_unit_test(test_long_life),
		cmocka_unit_test(test_everything_at_once),
	};
	size_t count = 3;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		tests[count++] = (struct CMUnitTest){
			.name = cases[i].name, .test_func = test_rekey, .initial_state = (void *)(uintptr_t)&cases[i]};
	return _cmocka_run_group_tests("engine rekeys", tests, count, NULL, NULL);
}
