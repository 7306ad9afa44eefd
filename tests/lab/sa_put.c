/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sa_put PIN_DIR KEY=VALUE ...: one tunnel with a pair of SAs and its policy into the pinned maps, as an IKE daemon
 * would write them.
 *
 *   local=ADDR remote=ADDR          outer addresses
 *   local_ts=PREFIX remote_ts=PREFIX
 *   spi_in=N spi_out=N
 *   suite=aes256gcm16               or any other of the agent's suites by its name: aes256-sha256, null-sha1 ...
 *   protocol=esp|ah mode=tunnel|transport  esn=0|1
 *   key_in=BYTE key_out=BYTE        every byte of the keys, salt included
 *   udp=PORT                        ESP in UDP between these ports (both ends)
 *   replay=BITS (1024), mtu=N, soft_packets=N, hard_packets=N, clamp=0|1 (1)
 *   soft_seconds=N hard_seconds=N   lifetimes from now on
 *   agent=SOCKET                    also ask the agent for the route of remote_ts
 *   out=no                          leave the tunnel without its outbound SA (the key "switch" of a later call does it)
 *
 * Prints the tunnel's id, the SAs' indexes.
 */
#include "agent/base/addr.h"
#include "agent/base/clock.h"
#include "agent/base/own.h"
#include "agent/contract.h"
#include "agent/suite.h"
#include "bpf/policy.h"
#include "bpf/sadb.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static char **pairs;
static int pair_count;

static const char *value_of(const char *key, const char *otherwise)
{
	size_t len = strlen(key);

	for (int i = 0; i < pair_count; i++)
		if (strncmp(pairs[i], key, len) == 0 && pairs[i][len] == '=')
			return pairs[i] + len + 1;
	return otherwise;
}

static unsigned long number_of(const char *key, const char *otherwise)
{
	return strtoul(value_of(key, otherwise), NULL, 0);
}

static uint64_t seconds_from_now(const char *key)
{
	unsigned long seconds = number_of(key, "0");

	return seconds ? clock_now_ns() + seconds * NS_PER_S : 0;
}

static void addr_of(const char *key, struct addr16 *out)
{
	struct ip_addr addr;

	if (!addr_parse(value_of(key, ""), &addr)) {
		fprintf(stderr, "sa_put: %s= wants an address\n", key);
		exit(2);
	}
	addr_to_mapped(&addr, out->bytes);
}

static struct ip_prefix selector_of(const char *key, struct selector *out)
{
	struct ip_prefix prefix;

	if (!prefix_parse(value_of(key, ""), &prefix)) {
		fprintf(stderr, "sa_put: %s= wants a prefix\n", key);
		exit(2);
	}
	memset(out, 0, sizeof(*out));
	out->family = prefix.addr.family;
	out->port_last = UINT16_MAX;
	memcpy(out->first, prefix.addr.bytes, sizeof(out->first));
	memcpy(out->last, prefix.addr.bytes, sizeof(out->last));
	for (unsigned bit = prefix.len; bit < addr_len(&prefix.addr) * 8; bit++)
		out->last[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	return prefix;
}

static bool is_ah(void)
{
	return strcmp(value_of("protocol", "esp"), "ah") == 0;
}

static uint8_t mode_of(void)
{
	return strcmp(value_of("mode", "tunnel"), "transport") == 0 ? SA_TRANSPORT : SA_TUNNEL;
}

static const struct esp_suite *suite_of(void)
{
	const char *name = value_of("suite", "aes256gcm16");
	const struct esp_suite *suite;

	for (unsigned i = 0; (suite = is_ah() ? ah_suite_at(i) : esp_suite_at(i)); i++)
		if (strcmp(suite->name, name) == 0)
			return suite;
	fprintf(stderr, "sa_put: suite=%s is none of the agent's\n", name);
	exit(2);
}

static struct sa sa_of(uint32_t tunnel, enum sa_direction direction)
{
	bool in = direction == SA_IN;
	uint8_t key = (uint8_t)number_of(in ? "key_in" : "key_out", in ? "0x11" : "0x22");
	const struct esp_suite *suite = suite_of();
	unsigned long udp = number_of("udp", "0");
	struct sa sa = {.direction = (uint8_t)direction, .mode = mode_of(), .tunnel = tunnel};
	uint32_t spi = (uint32_t)number_of(in ? "spi_in" : "spi_out", "0");

	sa.spi = (__be32)htonl(spi);
	sa.protocol = is_ah() ? IPPROTO_AH : IPPROTO_ESP;
	sa.encr = suite->encr;
	sa.encr_key_bits = suite->encr_key_bits;
	sa.integ = suite->integ;
	sa.flags = number_of("esn", "0") ? SA_ESN : 0;
	if (udp) {
		sa.flags |= SA_UDP_ENCAP;
		sa.local_port = sa.remote_port = (uint16_t)udp;
	}
	addr_of("local", &sa.local);
	addr_of("remote", &sa.remote);
	sa.replay_bits = (uint32_t)number_of("replay", "1024");
	sa.mtu = (uint32_t)number_of("mtu", "0");
	sa.soft_packets = number_of("soft_packets", "0");
	sa.hard_packets = number_of("hard_packets", "0");
	sa.soft_ns = seconds_from_now("soft_seconds");
	sa.hard_ns = seconds_from_now("hard_seconds");
	memset(sa.encr_key, key, suite->encr_key_len);
	memset(sa.salt, key, suite->salt_len);
	memset(sa.integ_key, key, suite->integ_key_len);
	return sa;
}

static int route_ask(const struct ip_prefix *prefix, const struct selector *local)
{
	const char *path = value_of("agent", NULL);
	struct agent_message message = {.version = AGENT_MESSAGE_VERSION, .kind = AGENT_ROUTE_ADD};
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct ip_addr bound = {.family = local->family};
	OWN_FD int fd = -1;

	if (!path)
		return 0;
	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	addr_to_mapped(&prefix->addr, message.route.prefix.bytes);
	message.route.len = prefix->len;
	message.route.family = prefix->addr.family;
	memcpy(bound.bytes, local->first, sizeof(bound.bytes));
	addr_to_mapped(&bound, message.route.source_first.bytes);
	memcpy(bound.bytes, local->last, sizeof(bound.bytes));
	addr_to_mapped(&bound, message.route.source_last.bytes);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) || send(fd, &message, sizeof(message), 0) < 0)
		return -errno;
	return 0;
}

static int fail(const char *what, int err)
{
	fprintf(stderr, "sa_put: %s: %s\n", what, strerror(-err));
	return 1;
}

int main(int argc, char **argv)
{
	struct policy policy = {.action = POLICY_PROTECT, .priority = 100, .local_count = 1, .remote_count = 1};
	struct tunnel tunnel = {.local_count = 1, .remote_count = 1};
	struct policy_set *policies;
	struct ip_prefix remote;
	uint32_t id, in, out, policy_id;
	struct sadb *db;
	struct sa sa;
	int err;

	if (argc < 2)
		return 2;
	pairs = argv + 2;
	pair_count = argc - 2;
	err = sadb_open(argv[1], true, &db);
	if (err)
		return fail(argv[1], err);
	tunnel.mode = mode_of();
	tunnel.flags = number_of("clamp", "1") ? TUNNEL_MSS_CLAMP : 0;
	selector_of("local_ts", &tunnel.local[0]);
	remote = selector_of("remote_ts", &tunnel.remote[0]);
	err = sadb_tunnel_add(db, &tunnel, &id);
	if (err)
		return fail("tunnel", err);
	sa = sa_of(id, SA_IN);
	err = sadb_add(db, &sa, &in);
	if (err)
		return fail("inbound SA", err);
	sa = sa_of(id, SA_OUT);
	err = sadb_add(db, &sa, &out);
	if (err)
		return fail("outbound SA", err);
	policy.tunnel = id;
	policy.local[0] = tunnel.local[0];
	policy.remote[0] = tunnel.remote[0];
	err = policy_set_new(db, &policies);
	if (!err)
		err = policy_add(policies, &policy, &policy_id);
	if (err)
		return fail("policy", err);
	if (strcmp(value_of("out", "yes"), "no") != 0)
		sadb_tunnel_switch(db, id, out);
	err = route_ask(&remote, &tunnel.local[0]);
	if (err)
		return fail("route", err);
	printf("tunnel %u in %u out %u\n", id, in, out);
	policy_set_free(policies);
	sadb_close(db);
	return 0;
}
