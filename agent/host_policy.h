/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a packet that the host sent into the host device: the question that XDP asks of transit. The kernel
 * already chose it, so what no policy covers has no other way and dies. A queue remembers the answers of its flows
 * until a policy changes. The same question is asked of what came out of a tunnel and is to leave again (in.c).
 */
#ifndef ESPALIER_AGENT_HOST_POLICY_H
#define ESPALIER_AGENT_HOST_POLICY_H

#include "agent/inner.h"
#include "bpf/contract.h"

#include <stdbool.h>
#include <stdint.h>

#define HOST_FLOWS 1024u

/* Where the answers come from: the maps, or a test. */
struct host_policy {
	/* The policy's answer for an outbound packet: DROP_NONE and the tunnel that protects it, or why it dies. */
	enum drop_reason (*ask)(struct host_policy *policy, const struct inner *inner, uint32_t *tunnel);
	/* Another number once a policy has changed, never 0; read before the policies are asked. */
	uint64_t (*generation)(struct host_policy *policy);
	/* Does any policy speak of packets to this one's destination? If not, `ask` has DROP_POLICY_NONE for it. */
	bool (*covers)(struct host_policy *policy, const struct inner *inner);
};

struct sadb;

/* The policies of an SADB, which is borrowed and closed later. -errno. */
int host_policy_new(const struct sadb *db, struct host_policy **policy);
void host_policy_free(struct host_policy *policy);

struct host_flow {
	uint64_t generation; /* 0: free */
	struct addr16 source;
	struct addr16 destination;
	uint16_t source_port;
	uint16_t destination_port;
	uint8_t protocol;
	uint8_t reason; /* enum drop_reason */
	uint16_t reserved;
	uint32_t tunnel;
};

struct host_flows {
	struct host_policy *policy; /* borrowed */
	struct host_flow flows[HOST_FLOWS];
};

/* The policies' answer for a packet, remembered. */
enum drop_reason host_flows_ask(struct host_flows *flows, const struct inner *inner, uint32_t *tunnel);
/* Of a first fragment: do policies tell packets to its destination by ports, which later fragments lack? Then the whole
 * packet is to be asked about. */
bool host_fragment_needs_whole(struct host_policy *policy, const struct inner *fragment);
/* The fate of a packet of the host: DROP_NONE and its tunnel, or why it dies. */
enum drop_reason host_flows_judge(struct host_flows *flows, const struct inner *inner, uint32_t *tunnel);

#endif
