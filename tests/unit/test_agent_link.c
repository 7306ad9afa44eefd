/* SPDX-License-Identifier: Apache-2.0 */
/* The line to the agent, with a socket that plays the agent: routes are told, repeated after a restart, and counted. */
#include "ike/agent_link.h"

#include "agent/base/own.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#define STEP_US	  (100 * 1000)
#define STEPS_MAX 100

struct scene {
	char folder[64];
	struct sockaddr_un name;
	sd_event *event;
	struct agent_link *link;
	int listener;
	int agent; /* the accepted end */
	unsigned acquires;
	uint32_t tunnel;
};

static void on_event(void *context, const struct agent_message *message)
{
	struct scene *s = context;

	s->acquires += message->kind == AGENT_ACQUIRE;
	s->tunnel = message->acquire.tunnel;
}

static void agent_listen(struct scene *s)
{
	unlink(s->name.sun_path);
	s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&s->name, sizeof(s->name)), 0);
	assert_int_equal(listen(s->listener, 1), 0);
}

static void agent_end(struct scene *s)
{
	own_close_(&s->agent);
	own_close_(&s->listener);
}

/* Run the loop until the agent's end has accepted. */
static void agent_accept(struct scene *s)
{
	for (int i = 0; i < STEPS_MAX && s->agent < 0; i++) {
		sd_event_run(s->event, STEP_US);
		s->agent = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK);
	}
	assert_true(s->agent >= 0);
}

/* The next message that the agent gets; the loop runs until there is one. */
static struct agent_message agent_recv(struct scene *s)
{
	struct agent_message message = {0};
	ssize_t len = -1;

	for (int i = 0; i < STEPS_MAX && len < 0; i++) {
		len = recv(s->agent, &message, sizeof(message), 0);
		if (len < 0)
			sd_event_run(s->event, STEP_US);
	}
	assert_int_equal(len, sizeof(message));
	assert_int_equal(message.version, AGENT_MESSAGE_VERSION);
	return message;
}

static void expect_kind(struct scene *s, enum agent_message_kind kind)
{
	assert_int_equal(agent_recv(s).kind, kind);
}

static void expect_route(struct scene *s, enum agent_message_kind kind, uint8_t last)
{
	struct agent_message message = agent_recv(s);

	assert_int_equal(message.kind, kind);
	assert_int_equal(message.route.family, 4);
	assert_int_equal(message.route.len, 24);
	assert_int_equal(message.route.prefix.bytes[14], last);
}

static struct agent_route route(uint8_t third)
{
	return (struct agent_route){
		.prefix.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, third, 0}, .family = 4, .len = 24};
}

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	snprintf(s->folder, sizeof(s->folder), "%s", "/tmp/espalier-link-XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	s->name.sun_family = AF_UNIX;
	snprintf(s->name.sun_path, sizeof(s->name.sun_path), "%.60s/agent.sock", s->folder);
	s->listener = s->agent = -1;
	assert_true(sd_event_new(&s->event) >= 0);
	assert_int_equal(agent_link_new(s->event, s->name.sun_path, on_event, s, &s->link), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;

	agent_link_free(s->link);
	agent_end(s);
	sd_event_unref(s->event);
	unlink(s->name.sun_path);
	rmdir(s->folder);
	free(s);
	return 0;
}

static void routes_are_repeated(void **state)
{
	struct scene *s = *state;
	struct agent_route one = route(1), two = route(2);

	assert_int_equal(agent_link_route_add(s->link, &one), 0);
	assert_false(agent_link_connected(s->link));
	agent_listen(s);
	agent_accept(s);
	expect_kind(s, AGENT_ROUTES_RESET);
	expect_route(s, AGENT_ROUTE_ADD, 1);
	expect_kind(s, AGENT_ROUTES_DONE);
	expect_kind(s, AGENT_PORTS_QUERY);
	expect_kind(s, AGENT_SUITES_QUERY);
	assert_true(agent_link_connected(s->link));
	assert_int_equal(agent_link_route_add(s->link, &two), 0);
	expect_route(s, AGENT_ROUTE_ADD, 2);
	agent_end(s); /* the agent restarts */
	agent_listen(s);
	agent_accept(s);
	expect_kind(s, AGENT_ROUTES_RESET);
	expect_route(s, AGENT_ROUTE_ADD, 1);
	expect_route(s, AGENT_ROUTE_ADD, 2);
	expect_kind(s, AGENT_ROUTES_DONE);
}

static void routes_are_counted(void **state)
{
	struct scene *s = *state;
	struct agent_route one = route(1), two = route(2);

	agent_listen(s);
	agent_accept(s);
	expect_kind(s, AGENT_ROUTES_RESET);
	expect_kind(s, AGENT_ROUTES_DONE);
	expect_kind(s, AGENT_PORTS_QUERY);
	expect_kind(s, AGENT_SUITES_QUERY);
	agent_link_route_add(s->link, &one);
	agent_link_route_add(s->link, &one);
	expect_route(s, AGENT_ROUTE_ADD, 1);
	agent_link_route_delete(s->link, &one);
	agent_link_route_add(s->link, &two);
	expect_route(s, AGENT_ROUTE_ADD, 2); /* and no deletion of the first */
	agent_link_route_delete(s->link, &one);
	expect_route(s, AGENT_ROUTE_DELETE, 1);
	agent_link_route_delete(s->link, &one); /* not known any more */
	agent_link_route_delete(s->link, &two);
	expect_route(s, AGENT_ROUTE_DELETE, 2);
}

/* More routes than the socket holds at once. */
static void many_routes_pass(void **state)
{
	struct scene *s = *state;
	unsigned added = 0;

	for (unsigned i = 0; i < 2000; i++) {
		struct agent_route r = route((uint8_t)i);

		r.prefix.bytes[13] = (uint8_t)(i >> 8);
		assert_int_equal(agent_link_route_add(s->link, &r), 0);
	}
	agent_listen(s);
	agent_accept(s);
	expect_kind(s, AGENT_ROUTES_RESET);
	for (;;) {
		struct agent_message message = agent_recv(s);

		if (message.kind == AGENT_ROUTES_DONE)
			break;
		assert_int_equal(message.kind, AGENT_ROUTE_ADD);
		added++;
	}
	assert_int_equal(added, 2000);
}

static void events_and_ports_come(void **state)
{
	struct scene *s = *state;
	struct agent_message message = {.version = AGENT_MESSAGE_VERSION, .kind = AGENT_ACQUIRE};
	unsigned count = 0;

	agent_listen(s);
	agent_accept(s);
	message.version++;
	assert_true(send(s->agent, &message, sizeof(message), 0) > 0); /* another version: ignored */
	message.version--;
	assert_true(send(s->agent, &message, 8, 0) > 0); /* cut short: ignored */
	message.acquire.tunnel = 7;
	assert_true(send(s->agent, &message, sizeof(message), 0) > 0);
	memset(&message.port, 0, sizeof(message.port));
	message.kind = AGENT_PORT;
	snprintf(message.port.ifname, sizeof(message.port.ifname), "%s", "eth0");
	message.port.more = 1;
	assert_true(send(s->agent, &message, sizeof(message), 0) > 0);
	snprintf(message.port.ifname, sizeof(message.port.ifname), "%s", "eth1");
	message.port.more = 0;
	assert_true(send(s->agent, &message, sizeof(message), 0) > 0);
	for (int i = 0; i < STEPS_MAX && count < 2; i++) {
		sd_event_run(s->event, STEP_US);
		agent_link_ports(s->link, &count);
	}
	assert_int_equal(count, 2);
	assert_string_equal(agent_link_ports(s->link, &count)[1].port.ifname, "eth1");
	assert_int_equal(s->acquires, 1);
	assert_int_equal(s->tunnel, 7);
	agent_end(s);
	for (int i = 0; i < STEPS_MAX && agent_link_connected(s->link); i++)
		sd_event_run(s->event, STEP_US);
	agent_link_ports(s->link, &count);
	assert_int_equal(count, 0);
}

/* Sent at once, or refused: nothing of it is kept. */
static void dummies_are_asked_for(void **state)
{
	struct scene *s = *state;
	struct agent_message message = {0};

	assert_int_equal(agent_link_dummy(s->link, 7, 300, 900), -ENOTCONN);
	agent_listen(s);
	agent_accept(s);
	assert_int_equal(agent_link_dummy(s->link, 7, 300, 900), 0);
	while (message.kind != AGENT_DUMMY)
		assert_int_equal(recv(s->agent, &message, sizeof(message), 0), sizeof(message));
	assert_int_equal(message.dummy.tunnel, 7);
	assert_int_equal(message.dummy.count, 300);
	assert_int_equal(message.dummy.bytes, 900);
}

static void send_suite(struct scene *s, const char *name, bool more)
{
	struct agent_message message = {.version = AGENT_MESSAGE_VERSION, .kind = AGENT_SUITE};

	snprintf(message.suite.name, sizeof(message.suite.name), "%s", name);
	snprintf(message.suite.engine, sizeof(message.suite.engine), "%s", "openssl");
	message.suite.more = more;
	assert_true(send(s->agent, &message, sizeof(message), 0) > 0);
}

/* More than are kept, and the answer a second time: no overrun, and never half an answer. */
static void suites_come(void **state)
{
	struct scene *s = *state;
	unsigned count = 0;

	agent_listen(s);
	agent_accept(s);
	for (int i = 0; i < 150; i++)
		send_suite(s, "aes256gcm16", true);
	for (int i = 0; i < STEPS_MAX / 10; i++)
		sd_event_run(s->event, STEP_US);
	agent_link_suites(s->link, &count);
	assert_int_equal(count, 0);
	send_suite(s, "last", false);
	for (int i = 0; i < STEPS_MAX && !count; i++) {
		sd_event_run(s->event, STEP_US);
		agent_link_suites(s->link, &count);
	}
	assert_int_equal(count, 128);
	send_suite(s, "one", true);
	send_suite(s, "two", false);
	for (int i = 0; i < STEPS_MAX && count != 2; i++) {
		sd_event_run(s->event, STEP_US);
		agent_link_suites(s->link, &count);
	}
	assert_string_equal(agent_link_suites(s->link, &count)[1].suite.name, "two");
	agent_end(s);
	for (int i = 0; i < STEPS_MAX && agent_link_connected(s->link); i++)
		sd_event_run(s->event, STEP_US);
	agent_link_suites(s->link, &count);
	assert_int_equal(count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(routes_are_repeated, setup, teardown),
		cmocka_unit_test_setup_teardown(routes_are_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(many_routes_pass, setup, teardown),
		cmocka_unit_test_setup_teardown(events_and_ports_come, setup, teardown),
		cmocka_unit_test_setup_teardown(dummies_are_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(suites_come, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
