/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scale: what the number of SAs and policies costs. Three sets of maps hold few, more and very many of both; the loaded
 * classifier judges frames over each (BPF_PROG_TEST_RUN), 64 flows spread over the set, and the sets alternate. There
 * is no AF_XDP socket, so a frame ends where it would be redirected. Then the time of one addition to the fullest set,
 * and the memory for one SA, the kernel's and a worker's, and for one policy. Prints JSON lines with the arguments of
 * row(). Needs root.
 */
#include "agent/base/clock.h"
#include "agent/base/own.h"
#include "agent/sa_table.h"
#include "bpf/dataplane.h"
#include "bpf/policy.h"
#include "bpf/sadb.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <malloc.h>
#include <netinet/ip.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORLDS	    3
#define FLOWS	    64u
#define REPEAT	    3000u
#define ROUNDS	    5u
#define ADDITIONS   101u
#define CAPACITY    4096u /* of the smaller sets: the default */
#define CONTEXTS    256u
#define ROOM	    256u /* beside what is measured: a rewritten policy may need a moment's more */
#define LOOPBACK    1u	 /* on which test runs arrive */
#define REMOTE_BASE 0x0a000000u

struct world {
	uint32_t sas;
	uint32_t policies;
	char pin_dir[64];
	struct dataplane *dp;
	struct sadb *db;
	struct policy_set *set;
	uint32_t *sa_index;
	uint32_t *policy_id;
};

struct frame_bytes {
	uint8_t bytes[ETH_ZLEN + 40];
};

static struct world worlds[WORLDS] = {
	{.sas = 10, .policies = 10}, {.sas = 1000, .policies = 1000}, {.sas = 100000, .policies = 20000}};
static const struct port_info port = {.mac = {2, 0, 0, 0, 0, 1}};
static const struct addr16 local = {.bytes = {[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 1}};

static void world_close(struct world *world)
{
	policy_set_free(world->set);
	sadb_close(world->db);
	dataplane_close(world->dp);
	free(world->sa_index);
	free(world->policy_id);
	if (world->pin_dir[0])
		dataplane_remove(world->pin_dir);
}

static void expect(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "scale: %s: %s\n", what, strerror(-err));
	for (int i = 0; i < WORLDS; i++)
		world_close(&worlds[i]);
	exit(1);
}

/* ---- the sets ---- */

static int sa_put(struct world *world, uint32_t i)
{
	struct sa sa = {.direction = SA_IN,
		.protocol = 50,
		.mode = SA_TUNNEL,
		.spi = htonl(i + 256),
		.local = local,
		.replay_bits = 1024};

	return sadb_add(world->db, &sa, &world->sa_index[i]);
}

/* The i-th protects 172.16.0.0/12 to a /24 of 10.0.0.0/8 and above. */
static int policy_put(struct world *world, uint32_t i)
{
	struct policy policy = {.action = POLICY_PROTECT, .tunnel = i, .local_count = 1, .remote_count = 1};
	uint32_t first = htonl(REMOTE_BASE + (i << 8)), last = htonl(REMOTE_BASE + (i << 8) + 255);

	policy.local[0] = (struct selector){
		.family = 4, .port_last = 0xffff, .first = {172, 16, 0, 0}, .last = {172, 31, 255, 255}};
	policy.remote[0] = (struct selector){.family = 4, .port_last = 0xffff};
	memcpy(policy.remote[0].first, &first, sizeof(first));
	memcpy(policy.remote[0].last, &last, sizeof(last));
	return policy_add(world->set, &policy, &world->policy_id[i]);
}

static uint32_t at_least(uint32_t count, uint32_t least)
{
	return count + ROOM > least ? count + ROOM : least;
}

static void world_open(struct world *world)
{
	struct dataplane_options options = {.pin_dir = world->pin_dir,
		.sa_count = at_least(world->sas, CAPACITY),
		.policy_count = at_least(world->policies, CAPACITY)};
	uint32_t key = LOOPBACK;
	char error[256], path[96];
	OWN_FD int port_fd = -1;

	snprintf(world->pin_dir, sizeof(world->pin_dir), "/sys/fs/bpf/espalier_scale_%d_%u", getpid(), world->sas);
	world->sa_index = calloc(world->sas, sizeof(*world->sa_index));
	world->policy_id = calloc(world->policies, sizeof(*world->policy_id));
	expect(world->sa_index && world->policy_id ? 0 : -ENOMEM, "memory");
	expect(dataplane_open(&options, &world->dp, error), error);
	expect(sadb_open(world->pin_dir, true, &world->db), "maps");
	expect(policy_set_new(world->db, &world->set), "policies");
	expect(dataplane_local_addr_add(world->dp, &local, LOOPBACK), "address");
	snprintf(path, sizeof(path), "%s/port", world->pin_dir);
	port_fd = bpf_obj_get(path);
	expect(bpf_map_update_elem(port_fd, &key, &port, BPF_ANY), "port");
	for (uint32_t i = 0; i < world->sas; i++)
		expect(sa_put(world, i), "an SA");
	for (uint32_t i = 0; i < world->policies; i++)
		expect(policy_put(world, i), "a policy");
}

/* ---- frames ---- */

static struct frame_bytes frame_of(uint8_t protocol, uint32_t source, uint32_t destination, uint32_t word)
{
	struct frame_bytes frame = {.bytes = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}};
	struct iphdr ip = {.version = 4,
		.ihl = 5,
		.tot_len = htons(sizeof(frame) - ETH_HLEN),
		.ttl = 64,
		.protocol = protocol,
		.saddr = htonl(source),
		.daddr = htonl(destination)};
	uint32_t words[2] = {htonl(word), htonl(1)}; /* ESP: SPI and sequence number; UDP: ports */

	memcpy(frame.bytes + ETH_HLEN, &ip, sizeof(ip));
	memcpy(frame.bytes + ETH_HLEN + sizeof(ip), words, sizeof(words));
	return frame;
}

static struct frame_bytes frame_esp(const struct world *world, uint32_t flow)
{
	return frame_of(IPPROTO_ESP, 0xc0000202, 0xc0000201, flow * (world->sas - 1) / (FLOWS - 1) + 256);
}

static struct frame_bytes frame_plain(const struct world *world, uint32_t flow)
{
	uint32_t i = flow * (world->policies - 1) / (FLOWS - 1);

	return frame_of(IPPROTO_UDP, 0xac100005, REMOTE_BASE + (i << 8) + 5, 40000u << 16 | 53);
}

typedef struct frame_bytes frame_fn(const struct world *world, uint32_t flow);

/* ns a frame, over all flows once. The kernel's own clock counts: switching a test run of many on and off takes
 * milliseconds. */
static double round_ns(const struct world *world, frame_fn *make)
{
	uint64_t ns = 0;

	for (uint32_t flow = 0; flow < FLOWS; flow++) {
		struct frame_bytes frame = make(world, flow);
		LIBBPF_OPTS(
			bpf_test_run_opts, opts, .data_in = &frame, .data_size_in = sizeof(frame), .repeat = REPEAT);

		expect(bpf_prog_test_run_opts(dataplane_program_fd(world->dp), &opts), "a test run");
		expect(opts.retval == XDP_DROP ? 0 : -EPROTO, "a frame had another fate");
		ns += opts.duration;
	}
	return (double)ns / FLOWS;
}

/* All frames met an SA or a policy, or the figures mean nothing. */
static void frames_check(const struct world *world)
{
	struct drop_count before, after;

	expect(sadb_drops(world->db, DROP_AGENT_DOWN, &before), "drops");
	round_ns(world, frame_esp);
	round_ns(world, frame_plain);
	expect(sadb_drops(world->db, DROP_AGENT_DOWN, &after), "drops");
	expect(after.packets - before.packets == 2 * FLOWS * REPEAT ? 0 : -EPROTO, "a frame found no SA or policy");
}

/* ---- results ---- */

static int double_order(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return left < right ? -1 : left > right;
}

static double median(double *values, uint32_t count)
{
	qsort(values, count, sizeof(*values), double_order);
	return values[count / 2];
}

static void tell(const char *text, double value, const char *unit)
{
	printf("{\"bench\": \"scale\", \"case\": \"%s\", \"value\": %.3f, \"unit\": \"%s\"}\n", text, value, unit);
}

static void classify_measure(const char *what, const char *noun, frame_fn *make, const uint32_t counts[static WORLDS])
{
	static double ns[WORLDS][ROUNDS];
	double medians[WORLDS];

	for (uint32_t round = 0; round < ROUNDS; round++)
		for (uint32_t i = 0; i < WORLDS; i++)
			ns[i][round] = round_ns(&worlds[i], make);
	for (uint32_t i = 0; i < WORLDS; i++) {
		medians[i] = median(ns[i], ROUNDS);
		printf("{\"bench\": \"scale\", \"case\": \"classify %s, %u %s\", \"value\": %.2f, \"unit\": \"ns\"",
			what, counts[i], noun, medians[i]);
		if (i)
			printf(", \"baseline\": \"%u %s\", \"base_value\": %.2f", counts[0], noun, medians[0]);
		printf("}\n");
	}
}

typedef int change_fn(struct world *world, uint32_t i);

static int sa_take(struct world *world, uint32_t i)
{
	return sadb_delete(world->db, world->sa_index[i]);
}

static int policy_take(struct world *world, uint32_t i)
{
	return policy_remove(world->set, world->policy_id[i]);
}

/* One goes, the same one comes again: the set stays as full as it is. */
static void addition_measure(const char *what, struct world *world, uint32_t count, change_fn *take, change_fn *put)
{
	double us[ADDITIONS];
	char text[96];

	for (uint32_t i = 0; i < ADDITIONS; i++) {
		uint32_t at = (uint32_t)((uint64_t)i * (count - 1) / (ADDITIONS - 1));
		uint64_t started_ns;

		expect(take(world, at), "a removal");
		started_ns = clock_now_ns();
		expect(put(world, at), "an addition");
		us[i] = (double)(clock_now_ns() - started_ns) / 1000;
	}
	snprintf(text, sizeof(text), "add a%s at %u, median", what, count);
	tell(text, median(us, ADDITIONS), "us");
	snprintf(text, sizeof(text), "add a%s at %u, longest of %u", what, count, ADDITIONS);
	tell(text, us[ADDITIONS - 1], "us");
}

/* Kernel memory of a pinned map, as its descriptor's fdinfo has it. */
static double map_bytes(const struct world *world, const char *name)
{
	char path[128], line[128];
	double bytes = 0;
	OWN_FD int fd = -1;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", world->pin_dir, name);
	fd = bpf_obj_get(path);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	expect(file ? 0 : -ENOENT, "fdinfo");
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, "memlock:", 8) == 0)
			bytes = strtod(line + 8, NULL);
	fclose(file);
	return bytes;
}

static void memory_measure(const struct world *world)
{
	double sas = map_bytes(world, "sa") + map_bytes(world, "sa_run") + map_bytes(world, "spi_in");

	tell("kernel memory of an SA slot", sas / sadb_sa_count(world->db), "bytes");
	tell("kernel memory of an IPv4 policy", map_bytes(world, "policy4") / world->policies, "bytes");
}

/* A worker that carries packets of an SA has its keys scheduled, and the tunnel at hand. */
static void context_measure(uint16_t encr, uint16_t integ)
{
	static struct sa_run run;
	static struct sa_slot *slots[CONTEXTS];
	const struct tunnel tunnel = {.mode = SA_TUNNEL};
	const struct sa sa = {.direction = SA_OUT,
		.protocol = IPPROTO_ESP,
		.mode = SA_TUNNEL,
		.encr = encr,
		.encr_key_bits = 256,
		.integ = integ,
		.local = local,
		.remote = local};
	size_t before = mallinfo2().uordblks;
	char text[64];

	for (unsigned i = 0; i < CONTEXTS; i++) {
		slots[i] = calloc(1, sizeof(*slots[i]));
		expect(slots[i] ? sa_context_init(&slots[i]->context, &sa, &tunnel, &run) : -ENOMEM, "a context");
	}
	snprintf(text, sizeof(text), "a worker's memory of an SA, %s", slots[0]->context.suite->name);
	tell(text, (double)(mallinfo2().uordblks - before) / CONTEXTS, "bytes");
	for (unsigned i = 0; i < CONTEXTS; i++) {
		sa_context_clear(&slots[i]->context);
		free(slots[i]);
	}
}

int main(void)
{
	uint32_t sas[WORLDS], policies[WORLDS];
	struct world *full = &worlds[WORLDS - 1];

	for (uint32_t i = 0; i < WORLDS; i++) {
		world_open(&worlds[i]);
		frames_check(&worlds[i]);
		sas[i] = worlds[i].sas;
		policies[i] = worlds[i].policies;
	}
	classify_measure("ESP", "SAs", frame_esp, sas);
	classify_measure("plaintext", "policies", frame_plain, policies);
	addition_measure("n SA", full, full->sas, sa_take, sa_put);
	addition_measure(" policy", full, full->policies, policy_take, policy_put);
	memory_measure(full);
	context_measure(ENCR_AES_GCM_16, AUTH_NONE);
	context_measure(ENCR_AES_CBC, AUTH_SHA256_128);
	for (uint32_t i = 0; i < WORLDS; i++)
		world_close(&worlds[i]);
	return 0;
}
