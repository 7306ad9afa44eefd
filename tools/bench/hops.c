/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hops: what the number of destinations costs a worker that looks up its next hops: the time of nexthop_find, how many
 * answers came from the cache and how many questions were asked, at a million packets a second over a resolver that
 * answers at once; and what a question costs that the kernel answers, over a veth pair in a network namespace of its
 * own. Prints JSON lines with the arguments of row(). Needs root.
 */
#include "agent/base/clock.h"
#include "agent/resolver.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PACKET_NS 1000u
#define PACKETS	  10000000u
#define QUESTIONS 2000u

struct instant {
	struct resolver resolver; /* first */
	uint64_t asked;
};

static struct fib_news news;

static void expect(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "hops: %s: %s\n", what, strerror(-err));
	exit(1);
}

static void instant_resolve(
	struct resolver *base, const struct addr16 *destination, const struct addr16 *source, struct next_hop *hop)
{
	(void)destination;
	(void)source;
	((struct instant *)base)->asked++;
	hop->kind = HOP_PORT;
}

static struct addr16 host(uint32_t number)
{
	struct addr16 addr = {.bytes = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 2}};

	addr.bytes[14] = (uint8_t)(number >> 8);
	addr.bytes[15] = (uint8_t)number;
	return addr;
}

static void tell(const char *what, uint32_t destinations, double value, const char *unit)
{
	printf("{\"bench\": \"scale\", \"case\": \"%s, %u destination%s\", \"value\": %.3f, \"unit\": \"%s\"}\n", what,
		destinations, destinations == 1 ? "" : "s", value, unit);
}

/* Ten seconds of traffic that has its destinations in no order, from `now` on. Gives how often an answer was known. */
static uint64_t find_many(struct nexthop_cache *cache, uint32_t destinations, uint64_t now)
{
	uint64_t hits = 0, dice = 1;

	for (uint32_t i = 0; i < PACKETS; i++, now += PACKET_NS) {
		struct addr16 destination;

		dice = dice * UINT64_C(6364136223846793005) + 1;
		destination = host((uint32_t)(dice >> 40) % destinations);
		hits += nexthop_find(cache, &destination, now)->kind == HOP_PORT;
	}
	return hits;
}

static void find_measure(uint32_t destinations)
{
	struct instant instant = {.resolver.resolve = instant_resolve};
	struct nexthop_cache cache;
	uint64_t hits, started_ns;

	expect(nexthop_cache_init(&cache, &instant.resolver, &news), "memory");
	find_many(&cache, destinations, 10 * NS_PER_S);
	instant.asked = 0;
	started_ns = clock_now_ns();
	hits = find_many(&cache, destinations, 20 * NS_PER_S);
	tell("find a next hop", destinations, (double)(clock_now_ns() - started_ns) / PACKETS, "ns");
	tell("next hops known", destinations, 100.0 * (double)hits / PACKETS, "%");
	tell("questions a second", destinations, (double)instant.asked / (PACKETS / 1e9 * PACKET_NS), "1/s");
	nexthop_cache_clear(&cache);
}

static void shell(const char *command)
{
	char *const argv[] = {(char *)"sh", (char *)"-c", (char *)(uintptr_t)command, NULL};
	int status = -1;
	pid_t pid;

	if (posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) || waitpid(pid, &status, 0) != pid || status)
		expect(-EIO, command);
}

static void ask_measure(void)
{
	struct addr16 peer = host(2), own = host(1);
	static struct port_table ports;
	struct route_resolver resolver;
	struct next_hop hop = {0};
	struct port port = {.mtu = 1500};
	uint64_t started_ns;

	expect(unshare(CLONE_NEWNET) ? -errno : 0, "a network namespace");
	shell("ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up &&"
	      " ip address add 10.2.0.1/16 dev v0 && ip neigh add 10.2.0.2 lladdr 2:0:0:0:0:2 dev v0");
	port.ifindex = if_nametoindex("v0");
	atomic_store(&ports.ports[0], &port);
	expect(route_resolver_init(&resolver, &ports, &news), "netlink");
	started_ns = clock_now_ns();
	for (uint32_t i = 0; i < QUESTIONS; i++) {
		hop = (struct next_hop){0};
		resolver.resolver.resolve(&resolver.resolver, &peer, i & 1 ? &own : NULL, &hop);
		expect(hop.kind == HOP_PORT ? 0 : -EPROTO, "the kernel's answer");
	}
	tell("ask the kernel for a next hop", 1, (double)(clock_now_ns() - started_ns) / QUESTIONS / 1000, "us");
	route_resolver_clear(&resolver);
}

int main(void)
{
	static const uint32_t rows[] = {1, 1000, 10000};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		find_measure(rows[i]);
	ask_measure();
	return 0;
}
