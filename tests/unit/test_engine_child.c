/* SPDX-License-Identifier: Apache-2.0 */
/* What two engines agree on for a CHILD SA: protocol, mode, selectors, padding (RFC 7296 1.3.1, 2.9, 2.23.1). */
#include "tests/unit/engine_net.h"

static struct net_sa *only_sa(struct net *net, int s)
{
	struct net_sa *found = NULL;

	for (unsigned i = 0; i < NET_SAS_MAX; i++) {
		if (!net->side[s].sas[i].used)
			continue;
		assert_null(found);
		found = &net->side[s].sas[i];
	}
	assert_non_null(found);
	return found;
}

static void assert_selectors(struct net *net, int s, const char *local, const char *remote)
{
	const struct child_install *install = &only_sa(net, s)->install;
	char text[TS_TEXT_LEN * 2];

	assert_string_equal(ts_list_format(install->local_ts, install->local_count, text, sizeof(text)), local);
	assert_string_equal(ts_list_format(install->remote_ts, install->remote_count, text, sizeof(text)), remote);
}

static void assert_modes(struct net *net, uint8_t mode)
{
	for (int s = 0; s < 2; s++)
		assert_int_equal(only_sa(net, s)->install.mode, mode);
}

/* ---- AH -------------------------------------------------------------------------------------------------------- */
static void ah_lives_through_rekeys(void **state)
{
	struct net_options options = {.start_a = true, .ah = true, .esp = "sha256-x25519-esn", .children = 2};
	struct net *net = net_new_with(&options, 5);

	(void)state;
	net_run(net, 5 * NS_PER_S);
	net_assert_up(net, 2);
	for (unsigned i = 0; i < NET_SAS_MAX; i++)
		if (net->side[A].sas[i].used) {
			assert_int_equal(net->side[A].sas[i].install.suite.protocol, PROTOCOL_AH);
			assert_int_equal(net->side[A].sas[i].install.suite.encr.type, 0);
		}
	for (int s = 0; s < 2; s++) {
		assert_int_equal(net_command(net, s, ENGINE_REKEY_CHILD, ""), 0);
		net_run(net, 30 * NS_PER_S);
		net_assert_up(net, 2);
	}
	assert_int_equal(net_command(net, A, ENGINE_REKEY_IKE, ""), 0);
	net_run(net, 30 * NS_PER_S);
	net_assert_up(net, 2);
	/* A DELETE names AH: the other side lets go of just that one. */
	net->check_lossless = false;
	net_command(net, B, ENGINE_DOWN, "child0");
	net_run(net, 1 * NS_PER_S);
	assert_int_equal(net->side[A].events[EVENT_CHILD_DOWN], 1);
	net_free(net);
}

static void ah_does_not_cross_a_nat(void **state)
{
	struct net_options options = {.start_a = true, .ah = true, .esp = "sha256"};
	struct net *net = net_new_with(&options, 5);

	(void)state;
	net->nat = true;
	net_run(net, 5 * NS_PER_S);
	assert_int_equal(net_live(net, A, false) + net_live(net, B, false), 0);
	assert_true(net->side[A].events[EVENT_PROPOSAL_MISMATCH] > 0);
	assert_non_null(strstr(net->side[A].last_text[EVENT_PROPOSAL_MISMATCH], "AH, which protects the addresses"));
	net_free(net);
}

static void ah_and_esp_do_not_meet(void **state)
{
	struct net_options options = {.start_a = true, .ah = true, .esp = "sha256", .keying_tries = 1};
	struct net *net = net_new_with(&options, 5);
	struct engine_config *config;

	(void)state;
	options.ah = false;
	options.esp_b = "null-sha256";
	config = net_config(&options, B);
	engine_reconfigure(net->side[B].engine, config, net->now);
	net_run(net, 5 * NS_PER_S);
	assert_int_equal(net_live(net, A, false) + net_live(net, B, false), 0);
	assert_non_null(strstr(net->side[B].last_text[EVENT_PROPOSAL_MISMATCH],
		"the peer offers AH, configured here is ESP (esp_proposals)"));
	net_free(net);
}

/* ---- transport mode -------------------------------------------------------------------------------------------- */
static const struct transport_case {
	const char *name;
	uint8_t mode[2];
	bool nat;
	uint8_t agreed;
	const char *local_a, *remote_a, *local_b, *remote_b;
} transports[] = {
	{"both", {SA_TRANSPORT, SA_TRANSPORT}, false, SA_TRANSPORT, "192.0.2.1/32", "203.0.113.1/32", "203.0.113.1/32",
		"192.0.2.1/32"},
	/* each side has the addresses that it sees */
	{"NAT", {SA_TRANSPORT, SA_TRANSPORT}, true, SA_TRANSPORT, "192.0.2.1/32", "203.0.113.1/32", "203.0.113.1/32",
		"198.51.100.7/32"},
	{"only A wants it", {SA_TRANSPORT, SA_TUNNEL}, false, SA_TUNNEL, "192.0.2.1/32", "203.0.113.1/32",
		"203.0.113.1/32", "192.0.2.1/32"},
	{"only B wants it", {SA_TUNNEL, SA_TRANSPORT}, false, SA_TUNNEL, "192.0.2.1/32", "203.0.113.1/32",
		"203.0.113.1/32", "192.0.2.1/32"},
};

static void transport_is_agreed_on(void **state)
{
	const struct transport_case *c = *state;
	struct net_options options = {.start_a = true, .dynamic = true, .mode = {c->mode[A], c->mode[B]}};
	struct net *net = net_new_with(&options, 9);

	net->nat = c->nat;
	net_run(net, 5 * NS_PER_S);
	assert_modes(net, c->agreed);
	assert_selectors(net, A, c->local_a, c->remote_a);
	assert_selectors(net, B, c->local_b, c->remote_b);
	for (int s = 0; s < 2; s++)
		assert_int_equal(
			net->side[s].events[EVENT_MODE_TUNNEL], c->mode[s] == SA_TRANSPORT && c->agreed == SA_TUNNEL);
	for (int s = 0; s < 2; s++) { /* a rekey agrees on the same, whoever asks */
		assert_int_equal(net_command(net, s, ENGINE_REKEY_CHILD, "child0"), 0);
		net_run(net, 30 * NS_PER_S);
		assert_modes(net, c->agreed);
		assert_selectors(net, A, c->local_a, c->remote_a);
		assert_selectors(net, B, c->local_b, c->remote_b);
	}
	net_free(net);
}

/* Networks cannot be in transport mode (RFC 4301 4.1): a peer that asks for it gets tunnel mode. */
static void transport_is_for_hosts(void **state)
{
	struct net_options options = {.start_a = true, .mode = {SA_TRANSPORT, SA_TRANSPORT}};
	struct net *net = net_new_with(&options, 9);

	(void)state;
	net_run(net, 5 * NS_PER_S);
	assert_modes(net, SA_TUNNEL);
	assert_selectors(net, A, "10.1.0.0/24", "10.2.0.0/24");
	net_free(net);
}

/* ---- selectors ------------------------------------------------------------------------------------------------- */
static void acquire(struct net *net, const char *local, const char *remote)
{
	struct engine_command command = {.kind = ENGINE_ACQUIRE, .conn = "net", .child = "child0"};
	char error[256];

	assert_true(ts_parse(local, &command.packet_local, error, sizeof(error)));
	assert_true(ts_parse(remote, &command.packet_remote, error, sizeof(error)));
	assert_int_equal(engine_command(net->side[A].engine, &command, net->now), 0);
	net_drain(net, A);
}

/* RFC 7296 2.9: B takes one of the two networks that A asks for; the packet's selector makes it no narrower than B's
 * own policy. What B cannot take at all is not made to fit. */
static void acquire_offers_the_packet_first(void **state)
{
	struct net_options options = {.local_a = "10.1.0.0/16",
		.remote_a = "10.2.0.0/15",
		.local_b = "10.2.0.0/24",
		.remote_b = "10.1.0.0/16"};
	struct net *net = net_new_with(&options, 9);

	(void)state;
	acquire(net, "10.1.0.5/32[tcp/1234]", "10.2.0.7/32[tcp/80]");
	net_run(net, 5 * NS_PER_S);
	assert_selectors(net, A, "10.1.0.0/16", "10.2.0.0/24");
	assert_selectors(net, B, "10.2.0.0/24", "10.1.0.0/16");
	net_free(net);
	/* B's policy is for port 80 alone, in two parts: the part that has the packet is agreed on. */
	options.local_b = "10.2.0.7/32[tcp/80]";
	net = net_new_with(&options, 9);
	acquire(net, "10.1.0.5/32[tcp/1234]", "10.2.0.7/32[tcp/80]");
	net_run(net, 5 * NS_PER_S);
	assert_selectors(net, B, "10.2.0.7/32[tcp/80]", "10.1.0.0/16");
	net_free(net);
}

/* A packet outside the child's selectors (a lie, or an old one) changes nothing. */
static void acquire_beyond_the_policy_is_left_out(void **state)
{
	struct net *net = net_new_with(&(struct net_options){0}, 9);

	(void)state;
	acquire(net, "10.9.0.5/32[tcp/1234]", "10.2.0.7/32[tcp/80]");
	net_run(net, 5 * NS_PER_S);
	assert_selectors(net, A, "10.1.0.0/24", "10.2.0.0/24");
	net_free(net);
}

/* Each child has the selectors of its own configuration: child0's are wide. */
static void names_fit_selectors(const struct ike_info *info, void *context)
{
	unsigned *seen = context;

	for (unsigned i = 0; i < info->child_count; i++) {
		const struct child_info *child = &info->children[i];
		char expected[64], text[TS_TEXT_LEN];
		unsigned number;

		assert_int_equal(sscanf(child->name, "child%u", &number), 1);
		snprintf(expected, sizeof(expected), number ? "10.2.%u.0/24" : "10.2.%u.0/16", number);
		assert_string_equal(ts_format(&child->local_ts[0], text), expected);
		*seen |= 1u << number;
	}
}

/* What is offered fits the wide child, too, which the configuration names first; it is the narrow one's. */
static void the_tightest_child_answers(void **state)
{
	struct net_options options = {.start_a = true, .children = 3, .nested = true};
	struct net *net = net_new_with(&options, 9);
	unsigned seen = 0;

	(void)state;
	net_run(net, 5 * NS_PER_S);
	net_assert_up(net, 3);
	engine_each(net->side[B].engine, names_fit_selectors, &seen);
	assert_int_equal(seen, 7);
	net_free(net);
}

/* ---- policies without a peer ----------------------------------------------------------------------------------- */
static void shunts_are_not_negotiated(void **state)
{
	struct net_options options = {.start_a = true, .children = 2, .shunt = {true, false}};
	struct net *net = net_new_with(&options, 9);

	(void)state;
	net_run(net, 5 * NS_PER_S);
	net_assert_up(net, 1);
	assert_int_equal(net_command(net, A, ENGINE_UP, "child1"), -22);
	assert_int_equal(net_command(net, A, ENGINE_DOWN, "child1"), 0);
	assert_int_equal(net_command(net, A, ENGINE_UP, ""), 0);
	/* Nor when the peer asks for the selectors that it has. */
	net_run(net, 5 * NS_PER_S);
	net_assert_up(net, 1);
	net_free(net);
	options = (struct net_options){.start_a = true, .children = 2, .shunt = {false, true}};
	net = net_new_with(&options, 9);
	net_run(net, 5 * NS_PER_S);
	net_assert_up(net, 1);
	assert_true(net->side[B].events[EVENT_TS_MISMATCH] > 0);
	net_free(net);
}

/* A second without a rekey lost: rekeyed every second for a minute, at both ends, over a network that reorders. */
static void rekey_each_second(void **state)
{
	struct net_options options = {.start_a = true, .child_rekey_ns = NS_PER_S};
	struct net *net = net_new_with(&options, 11);

	(void)state;
	net->jitter_ns = 60 * NS_PER_MS;
	net_run(net, 2 * NS_PER_S);
	net->check_lossless = true;
	net_run(net, 60 * NS_PER_S);
	assert_true(net->side[A].events[EVENT_CHILD_REKEYED] > 50);
	assert_int_equal(net->side[A].events[EVENT_CHILD_DOWN] + net->side[B].events[EVENT_CHILD_DOWN], 0);
	net_free(net);
}

/* ---- what may not be -------------------------------------------------------------------------------------------- */
struct gate {
	uint16_t answer;
	unsigned asked;
	struct child_install last;
	struct ike_id peer;
};

static uint16_t gate_ask(void *context, const struct child_install *install, char *why, size_t why_size)
{
	struct gate *gate = context;

	gate->asked++;
	gate->last = *install;
	gate->peer = *install->peer;
	snprintf(why, why_size, "another peer has it");
	return gate->answer;
}

static void assert_keyless(const struct gate *gate)
{
	const struct child_keys none = {0};

	assert_memory_equal(&gate->last.in, &none, sizeof(none));
	assert_memory_equal(&gate->last.out, &none, sizeof(none));
}

/* The responder refuses with the notify that it is told; once it may be, the next attempt gets through, and a rekey is
 * asked about with what it takes the place of. */
static void responder_refuses(void **state)
{
	struct net_options options = {.start_a = true};
	struct net *net = net_new_with(&options, 5);
	struct gate gate = {.answer = TS_UNACCEPTABLE};
	struct ike_id a;

	(void)state;
	engine_admit(net->side[B].engine, gate_ask, &gate);
	net_run(net, 1 * NS_PER_S);
	assert_true(ike_id_parse("a.example.com", &a));
	assert_true(ike_id_equal(&gate.peer, &a));
	assert_keyless(&gate);
	assert_int_equal(net_live(net, A, false) + net_live(net, B, false), 0);
	assert_int_equal(net_look(net, A).ike_up + net_look(net, B).ike_up, 2);
	assert_string_equal(net->side[B].last_text[EVENT_CHILD_REFUSED],
		"CHILD SA refused with TS_UNACCEPTABLE: another peer has it");
	assert_string_equal(net->side[A].last_text[EVENT_TS_MISMATCH], "CHILD SA not made: TS_UNACCEPTABLE");
	gate.answer = NO_ADDITIONAL_SAS;
	net_run(net, 5 * NS_PER_S); /* now by CREATE_CHILD_SA */
	assert_int_equal(net_live(net, A, false) + net_live(net, B, false), 0);
	assert_non_null(strstr(net->side[B].last_text[EVENT_CHILD_REFUSED], "NO_ADDITIONAL_SAS"));
	gate.answer = NOTIFY_NONE;
	net_run(net, 30 * NS_PER_S);
	net_assert_up(net, 1);
	assert_int_equal(net_command(net, A, ENGINE_REKEY_CHILD, ""), 0);
	net_run(net, 30 * NS_PER_S);
	net_assert_up(net, 1);
	assert_true(gate.last.replaces != 0);
	net_free(net);
}

/* The initiator learns from the answer what it may not have, and deletes what the peer has made for it. */
static void initiator_withdraws(void **state)
{
	struct net_options options = {.start_a = true, .children = 2};
	struct net *net = net_new_with(&options, 5);
	struct gate gate = {.answer = TS_UNACCEPTABLE};

	(void)state;
	engine_admit(net->side[A].engine, gate_ask, &gate);
	net_run(net, 10 * NS_PER_S);
	assert_true(gate.asked >= 2);
	assert_keyless(&gate);
	assert_int_equal(net_live(net, A, false), 0);
	assert_int_equal(net->side[A].events[EVENT_CHILD_UP], 0);
	assert_true(net->side[A].events[EVENT_CHILD_REFUSED] >= 2);
	gate.answer = NOTIFY_NONE;
	net_run(net, 120 * NS_PER_S);
	net_assert_up(net, 2);
	net_free(net);
}

/* SAs that could not be installed are deleted at both ends, alone of their child, and tried again after a while. */
static void unusable_is_tried_again(void **state)
{
	struct net_options options = {.start_a = true, .children = 2};
	struct net *net = net_new_with(&options, 5);
	struct engine_command command = {.kind = ENGINE_UNUSABLE};

	(void)state;
	net_run(net, 5 * NS_PER_S);
	net_assert_up(net, 2);
	net->check_lossless = false;
	command.child_id = net_carrier(&net->side[A], "child0")->install.child_id;
	assert_int_equal(engine_command(net->side[A].engine, &command, net->now), 0);
	net_drain(net, A);
	net_run(net, 1 * NS_PER_S);
	assert_int_equal(net_live(net, A, false), 1);
	assert_int_equal(net_live(net, B, false), 1);
	assert_null(net_carrier(&net->side[A], "child0"));
	net_run(net, 30 * NS_PER_S);
	net_assert_up(net, 2);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ah_lives_through_rekeys),
		cmocka_unit_test(ah_does_not_cross_a_nat),
		cmocka_unit_test(ah_and_esp_do_not_meet),
		cmocka_unit_test_prestate(transport_is_agreed_on, (void *)(uintptr_t)&transports[0]),
		cmocka_unit_test_prestate(transport_is_agreed_on, (void *)(uintptr_t)&transports[1]),
		cmocka_unit_test_prestate(transport_is_agreed_on, (void *)(uintptr_t)&transports[2]),
		cmocka_unit_test_prestate(transport_is_agreed_on, (void *)(uintptr_t)&transports[3]),
		cmocka_unit_test(transport_is_for_hosts),
		cmocka_unit_test(acquire_offers_the_packet_first),
		cmocka_unit_test(acquire_beyond_the_policy_is_left_out),
		cmocka_unit_test(the_tightest_child_answers),
		cmocka_unit_test(shunts_are_not_negotiated),
		cmocka_unit_test(rekey_each_second),
		cmocka_unit_test(responder_refuses),
		cmocka_unit_test(initiator_withdraws),
		cmocka_unit_test(unusable_is_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
