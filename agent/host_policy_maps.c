/* SPDX-License-Identifier: Apache-2.0 */
/* The answers of the maps, as XDP would give them for a packet that passes through. */
#include "agent/host_policy.h"

#include "bpf/policy.h"
#include "bpf/sadb.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct maps_policy {
	struct host_policy head;
	const struct sadb *db;
};

static void mapped_addr(const struct inner *inner, const uint8_t *bytes, void *out)
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	if (inner->family == 6) {
		memcpy(out, bytes, 16);
		return;
	}
	memcpy(out, prefix, sizeof(prefix));
	memcpy((uint8_t *)out + sizeof(prefix), bytes, 4);
}

/* The protocols whose selectors speak of ports, or of what stands for them (contract.h: struct selector). */
static bool protocol_has_ports(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
	case IPPROTO_MH:
		return true;
	default:
		return false;
	}
}

/* As it leaves here: source is local, destination remote. */
static struct policy_question question_of(const struct inner *inner)
{
	struct policy_question question = {.local_port = inner->source_port,
		.remote_port = inner->destination_port,
		.protocol = inner->protocol,
		.has_ports = inner->ports_known && protocol_has_ports(inner->protocol),
		.later = inner->later_fragment,
		.family = inner->family};

	mapped_addr(inner, inner->source, question.local);
	mapped_addr(inner, inner->destination, question.remote);
	return question;
}

static enum drop_reason maps_ask(struct host_policy *head, const struct inner *inner, uint32_t *tunnel)
{
	const struct policy_question question = question_of(inner);

	switch (policy_lookup(((struct maps_policy *)head)->db, &question, tunnel)) {
	case POLICY_PROTECT:
		return DROP_NONE;
	case POLICY_DISCARD:
		return DROP_POLICY_DROP;
	case POLICY_ANSWER_PORTS:
		return DROP_FRAGMENT_PORTS;
	case POLICY_BYPASS:
	case POLICY_ANSWER_NONE:
		return DROP_POLICY_NONE;
	default: /* the maps cannot be read, or not without being overtaken */
		return DROP_XDP_ERROR;
	}
}

static bool maps_covers(struct host_policy *head, const struct inner *inner)
{
	struct addr16 destination;

	mapped_addr(inner, inner->destination, &destination);
	return policy_covers(((struct maps_policy *)head)->db, inner->family, &destination);
}

static uint64_t maps_generation(struct host_policy *head)
{
	return policy_changes(((struct maps_policy *)head)->db);
}

int host_policy_new(const struct sadb *db, struct host_policy **out)
{
	struct maps_policy *policy = calloc(1, sizeof(*policy));

	if (!policy)
		return -ENOMEM;
	policy->head = (struct host_policy){.ask = maps_ask, .generation = maps_generation, .covers = maps_covers};
	policy->db = db;
	*out = &policy->head;
	return 0;
}

void host_policy_free(struct host_policy *policy)
{
	free(policy);
}
