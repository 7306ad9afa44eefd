/* SPDX-License-Identifier: Apache-2.0 */
/* The life of IKE SAs between two engines: deletes, liveness, redials, reconfiguration, shutdown, and what strangers
 * send. */
#include "ike/core.h"
#include "tests/unit/engine_net.h"

#include <errno.h>

static struct net *net_up(const struct net_options *options, uint32_t seed)
{
	struct net *net = net_new_with(options, seed);

	net_command(net, A, ENGINE_UP, "");
	net_run(net, 5 * NS_PER_S);
	net_assert_up(net, options->children ? options->children : 1);
	return net;
}

static void test_child_down(void **state)
{
	struct net *net = net_up(&(struct net_options){.children = 2}, 3);

	(void)state;
	net_command(net, A, ENGINE_DOWN, "child1");
	net_run(net, NS_PER_S);
	net_assert_up(net, 1);
	assert_int_equal(net->side[B].events[EVENT_CHILD_DOWN], 1);
	net->check_lossless = false; /* of a new CHILD SA the answerer may send first (RFC 7296 2.8) */
	assert_int_equal(net_command(net, A, ENGINE_UP, "child1"), 0);
	net_run(net, NS_PER_S);
	net_assert_up(net, 2);
	net_free(net);
}

static void test_deletes_cross(void **state)
{
	(void)state;
	for (int whole = 0; whole < 2; whole++) {
		struct net *net = net_up(&(struct net_options){0}, 3);

		net_command(net, A, ENGINE_DOWN, whole ? "" : "child0");
		net_command(net, B, ENGINE_DOWN, whole ? "" : "child0");
		net_run(net, 5 * NS_PER_S);
		if (whole)
			net_assert_clean(net);
		else
			net_assert_up(net, 0);
		net_free(net);
	}
}

static void test_delete_by_peer_restarts(void **state)
{
	struct net *net = net_new_with(&(struct net_options){.start_a = true}, 3);

	(void)state;
	net_run(net, NS_PER_S);
	net_command(net, B, ENGINE_DOWN, "child0");
	net->check_lossless = false;
	net_run(net, 3 * NS_PER_S); /* not at once: it was young */
	net_assert_up(net, 1);
	assert_int_equal(net->side[A].events[EVENT_CHILD_DOWN], 1);
	assert_int_equal(net->side[A].events[EVENT_CHILD_UP], 2);
	net->check_lossless = false;
	net_command(net, B, ENGINE_DOWN, "");
	net_run(net, 5 * NS_PER_S);
	net_assert_up(net, 1);
	net_free(net);
}

static void test_liveness(void **state)
{
	struct net *net = net_up(&(struct net_options){.dpd_ns = 10 * NS_PER_S, .dpd_action = CHILD_START}, 3);

	(void)state;
	net_run(net, 100 * NS_PER_S);
	assert_int_equal(net->side[A].events[EVENT_PEER_DEAD], 0);
	net->side[B].deaf = true;
	net_run(net, 200 * NS_PER_S);
	assert_true(net->side[A].events[EVENT_PEER_DEAD] >= 1);
	assert_int_equal(net_live(net, A, false), 0);
	net->side[B].deaf = false;
	net_run(net, 200 * NS_PER_S);
	net_assert_up(net, 1);
	net_free(net);
}

/* B forgets everything; its new IKE SA with INITIAL_CONTACT, or A's liveness check, sets things right. */
static void test_restart_of_peer(void **state)
{
	struct net *net = net_up(&(struct net_options){.dpd_ns = 10 * NS_PER_S, .dpd_action = CHILD_START}, 3);

	(void)state;
	engine_free(net->side[B].engine);
	memset(net->side[B].sas, 0, sizeof(net->side[B].sas));
	net->check_lossless = false;
	net->side[B].engine =
		engine_new(net_config(&(struct net_options){.start_b = true}, B), net_random, net, net->now);
	net_drain(net, B);
	net_run(net, 2 * NS_PER_S + IKE_GRACE_NS);
	net_assert_up(net, 1);
	assert_false(net_look(net, A).last.initiator);
	net_free(net);
}

static void test_hard_lifetime(void **state)
{
	struct net *net = net_up(&(struct net_options){0}, 3);
	struct engine_command command = {.kind = ENGINE_EXPIRE, .hard = false};
	uint32_t spi = net_carrier(&net->side[A], "child0")->install.spi_in;

	(void)state;
	command.child_id = net_carrier(&net->side[A], "child0")->install.child_id;
	assert_int_equal(engine_command(net->side[A].engine, &command, net->now), 0);
	net_drain(net, A);
	net_run(net, 10 * NS_PER_S);
	net_assert_up(net, 1);
	assert_int_not_equal(net_carrier(&net->side[A], "child0")->install.spi_in, spi);
	assert_int_equal(engine_command(net->side[A].engine, &command, net->now), -ENOENT);
	command.child_id = net_carrier(&net->side[A], "child0")->install.child_id;
	command.hard = true;
	net->check_lossless = false;
	assert_int_equal(engine_command(net->side[A].engine, &command, net->now), 0);
	net_drain(net, A);
	net_run(net, 10 * NS_PER_S);
	net_assert_up(net, 1); /* wanted, so made anew */
	net_free(net);
}

static void test_shutdown(void **state)
{
	struct net *net = net_up(&(struct net_options){.children = 2}, 3);

	(void)state;
	net->check_lossless = false;
	net_command(net, A, ENGINE_REKEY_CHILD, "");
	engine_shutdown(net->side[A].engine, net->now);
	net_drain(net, A);
	net_run(net, 20 * NS_PER_S);
	assert_int_equal(net_look(net, A).ike, 0);
	assert_int_equal(net_live(net, A, false), 0);
	net_free(net);
	net = net_up(&(struct net_options){.children = 2}, 3);
	engine_shutdown(net->side[A].engine, net->now);
	net_drain(net, A);
	net_run(net, NS_PER_S);
	net_assert_clean(net);
	net_free(net);
}

static void reconfigure(struct net *net, int s, struct engine_config *config)
{
	engine_reconfigure(net->side[s].engine, config, net->now);
	net_drain(net, s);
}

static void test_reconfigure(void **state)
{
	struct net_options two = {.children = 2}, one = {.children = 1}, other = {.children = 1, .dpd_ns = NS_PER_S};
	struct net *net = net_up(&two, 3);
	uint32_t spi = net_carrier(&net->side[A], "child0")->install.spi_in;
	unsigned sent = net->side[A].sent;
	struct engine_config *empty = calloc(1, sizeof(*empty));

	(void)state;
	reconfigure(net, A, net_config(&two, A));
	net_run(net, NS_PER_S);
	assert_int_equal(net->side[A].sent, sent); /* the same: nothing happens */
	net_assert_up(net, 2);
	net->check_lossless = false;
	reconfigure(net, A, net_config(&one, A));
	net_run(net, NS_PER_S);
	net_assert_up(net, 1);
	assert_int_equal(net_carrier(&net->side[A], "child0")->install.spi_in, spi);
	net->check_lossless = false;
	reconfigure(net, A, net_config(&other, A));
	net_run(net, NS_PER_S);
	net_assert_clean(net);
	net_command(net, A, ENGINE_UP, "");
	net_run(net, NS_PER_S);
	net->check_lossless = false;
	reconfigure(net, A, empty);
	net_run(net, NS_PER_S);
	net_assert_clean(net);
	net_free(net);
}

/* A CHILD SA whose child is no longer configured has no place among the wishes, whatever the peer answers about it. */
static void test_wish_of_removed_child(void **state)
{
	struct net *net = net_up(&(struct net_options){.children = 1}, 3);

	(void)state;
	conn_want(net->side[A].engine->conns, UINT32_MAX, true);
	conn_want(NULL, 0, true);
	net_run(net, NS_PER_S);
	net_assert_up(net, 1);
	net_free(net);
}

static void test_reconfigure_while_busy(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed < 60; seed++) {
		struct net_options two = {.children = 2}, one = {.children = 1},
				   other = {.children = 2, .dpd_ns = NS_PER_S};
		struct net *net = net_new_with(&two, seed);

		net->jitter_ns = 100 * NS_PER_MS;
		net_command(net, A, ENGINE_UP, "");
		net_run(net, net_rand(net) % (400 * NS_PER_MS));
		net_command(net, A, seed % 2 ? ENGINE_REKEY_CHILD : ENGINE_REKEY_IKE, "");
		net_run(net, net_rand(net) % (200 * NS_PER_MS));
		reconfigure(net, seed % 3 ? A : B, net_config(seed % 5 ? &one : &other, seed % 3 ? A : B));
		net_run(net, 100 * NS_PER_S);
		net_free(net);
	}
}

static void test_commands(void **state)
{
	struct net *net = net_new_with(&(struct net_options){0}, 3);

	(void)state;
	assert_int_equal(net_command(net, B, ENGINE_UP, ""), -EINVAL); /* no remote address */
	assert_int_equal(net_command(net, A, ENGINE_UP, "nobody"), -ENOENT);
	assert_int_equal(net_command(net, A, ENGINE_REKEY_IKE, ""), -ENOENT);
	assert_int_equal(net_command(net, A, ENGINE_ACQUIRE, "child0"), 0);
	assert_int_equal(net_command(net, A, ENGINE_ACQUIRE, "child0"), 0);
	net_run(net, NS_PER_S);
	net_assert_up(net, 1);
	net_free(net);
}

static void test_name(void **state)
{
	struct engine_config *config = net_config(&(struct net_options){0}, A);
	struct engine_command command = {.kind = ENGINE_RESOLVED, .conn = "net"};
	struct net *net = net_new_with(&(struct net_options){0}, 3);

	(void)state;
	config->conns[0].remote_is_name = true;
	config->conns[0].remote.family = IP_NONE;
	config->conns[0].local.family = IP_NONE;
	reconfigure(net, A, config);
	net_command(net, A, ENGINE_UP, "");
	assert_int_equal(net->side[A].resolves, 1);
	engine_command(net->side[A].engine, &command, net->now); /* not found */
	net_drain(net, A);
	net_run(net, 10 * NS_PER_S);
	assert_int_equal(net->side[A].resolves, 2);
	command.remote.addr = net_addr("203.0.113.1");
	command.local = net_addr("192.0.2.1");
	engine_command(net->side[A].engine, &command, net->now);
	net_drain(net, A);
	net_run(net, NS_PER_S);
	net_assert_up(net, 1);
	net_free(net);
}

/* ---- strangers ------------------------------------------------------------------------------------------------ */
static struct {
	uint8_t bytes[IKE_MESSAGE_MAX];
	size_t len;
} taped;

static void tape(struct net *net, int from, struct bytes bytes)
{
	if (from != A)
		return;
	memcpy(taped.bytes, bytes.data, bytes.len);
	taped.len = bytes.len;
	(void)net;
}

static void throw_at_b(struct net *net, const uint8_t *bytes, size_t len)
{
	struct endpoint local = {net_addr("203.0.113.1"), IKE_PORT}, remote = {net_addr("192.0.2.99"), IKE_PORT};

	engine_recv(net->side[B].engine, &local, &remote, (struct bytes){bytes, len}, net->now);
	net_drain(net, B);
}

/* Every truncation and every flipped byte of a message: never an SA, always a counted reason. */
static void test_malformed_init(void **state)
{
	struct net *net = net_new_with(&(struct net_options){0}, 3);
	uint8_t bytes[IKE_MESSAGE_MAX];

	(void)state;
	net->tap = tape;
	net_command(net, A, ENGINE_UP, "");
	memset(net->packets, 0, sizeof(net->packets));
	for (size_t len = 0; len < taped.len; len++)
		throw_at_b(net, taped.bytes, len);
	assert_int_equal(net_look(net, B).ike, 0);
	assert_int_equal(engine_counter(net->side[B].engine, IKE_COUNTER_HEADER_BAD), taped.len);
	for (size_t at = 0; at < taped.len; at++) {
		memcpy(bytes, taped.bytes, taped.len);
		bytes[at] ^= 0xff;
		throw_at_b(net, bytes, taped.len);
	}
	net_command(net, A, ENGINE_DOWN, "");
	net_run(net, IKE_HALF_OPEN_TIMEOUT_NS + NS_PER_S);
	assert_int_equal(net_look(net, B).ike, 0);
	net_free(net);
}

/* An encrypted message that was altered anywhere changes nothing. */
static void test_malformed_protected(void **state)
{
	struct net *net = net_up(&(struct net_options){0}, 3);
	uint8_t bytes[IKE_MESSAGE_MAX];
	unsigned sent;

	(void)state;
	net->tap = tape;
	net_command(net, A, ENGINE_PROBE, "");
	memset(net->packets, 0, sizeof(net->packets));
	sent = net->side[B].sent;
	for (size_t at = 0; at < taped.len; at++) {
		memcpy(bytes, taped.bytes, taped.len);
		bytes[at] ^= 0x41;
		throw_at_b(net, bytes, taped.len);
	}
	assert_true(net->side[B].sent - sent <= 1); /* at most INVALID_MAJOR_VERSION */
	net->tap = NULL;
	net_run(net, 10 * NS_PER_S);
	net_assert_up(net, 1);
	net_free(net);
}

static void test_versions(void **state)
{
	struct net *net = net_new_with(&(struct net_options){0}, 3);
	unsigned sent;

	(void)state;
	net->tap = tape;
	net_command(net, A, ENGINE_UP, "");
	memset(net->packets, 0, sizeof(net->packets));
	taped.bytes[17] = 0x30; /* 3.0 */
	for (unsigned i = 0; i < 100; i++)
		throw_at_b(net, taped.bytes, taped.len);
	sent = net->side[B].sent;
	assert_int_equal(sent, IKE_UNPROTECTED_PER_S); /* answered, but not without bound (RFC 7296 2.5, 2.21.4) */
	taped.bytes[17] = 0x10;			       /* IKEv1 */
	throw_at_b(net, taped.bytes, taped.len);
	assert_int_equal(net->side[B].sent, sent);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_child_down),
		cmocka_unit_test(test_deletes_cross),
		cmocka_unit_test(test_delete_by_peer_restarts),
		cmocka_unit_test(test_liveness),
		cmocka_unit_test(test_restart_of_peer),
		cmocka_unit_test(test_hard_lifetime),
		cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_reconfigure),
		cmocka_unit_test(test_reconfigure_while_busy),
		cmocka_unit_test(test_wish_of_removed_child),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_malformed_init),
		cmocka_unit_test(test_malformed_protected),
		cmocka_unit_test(test_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
