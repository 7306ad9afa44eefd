/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The policy question, asked of the maps by a BPF program. The functions that are not static are verified once each,
 * whatever calls them.
 */
#ifndef ESPALIER_BPF_POLICY_BPF_H
#define ESPALIER_BPF_POLICY_BPF_H

#include "bpf/maps.bpf.h"
#include "bpf/packet.bpf.h"
#include "bpf/policy_match.h"

/* Every length once, and some readings more. */
#define POLICY_PROBES_MAX (129u + 33u)
#define POLICY_MISS	  (-1) /* no entry under this length */

__noinline int policy4_match(const struct policy4_selector *s, const struct policy_question *q)
{
	return s && q ? selector4_match(s, q) : MATCH_NO;
}

__noinline int policy6_match(const struct policy6_selector *s, const struct policy_question *q)
{
	return s && q ? selector6_match(s, q) : MATCH_NO;
}

__noinline int policy4_walk(const struct policy4 *policy, struct policy_question *q)
{
	return policy && q ? POLICY_WALK(policy, q, policy4_match) : POLICY_ANSWER_NONE;
}

__noinline int policy6_walk(const struct policy6 *policy, struct policy_question *q)
{
	return policy && q ? POLICY_WALK(policy, q, policy6_match) : POLICY_ANSWER_NONE;
}

__noinline int policy4_probe(struct policy_question *q, __u32 len)
{
	struct policy4_key key;
	volatile struct policy4 *policy;
	__u32 generation;
	int answer;

	if (!q)
		return POLICY_MISS;
	key = policy4_key_of(q, len);
	policy = bpf_map_lookup_elem(&policy4, &key);
	if (!policy)
		return POLICY_MISS;
	generation = policy->generation;
	answer = policy4_walk((const struct policy4 *)policy, q);
	return POLICY_SOUND(policy, &key, generation) ? answer : POLICY_ANSWER_BUSY;
}

__noinline int policy6_probe(struct policy_question *q, __u32 len)
{
	struct policy6_key key;
	volatile struct policy6 *policy;
	__u32 generation;
	int answer;

	if (!q)
		return POLICY_MISS;
	key = policy6_key_of(q, len);
	policy = bpf_map_lookup_elem(&policy6, &key);
	if (!policy)
		return POLICY_MISS;
	generation = policy->generation;
	answer = policy6_walk((const struct policy6 *)policy, q);
	return POLICY_SOUND(policy, &key, generation) ? answer : POLICY_ANSWER_BUSY;
}

/* The longest prefix first; anew from there if an entry was rewritten meanwhile. */
__noinline int policy_ask(struct policy_question *q)
{
	__u32 family = q && q->family == 4 ? 0 : 1, at = POLICY_LENS_HEAD;
	const struct policy_lens *lens = bpf_map_lookup_elem(&policy_lens, &family);

	if (!q || !lens)
		return POLICY_ANSWER_NONE;
	for (__u32 i = 0; i < POLICY_PROBES_MAX; i++) {
		__u32 next;
		int answer;

		/* `at` is in bounds; compared where it is used, Linux 6.1's verifier sees it too. */
		asm volatile("" : "+r"(at));
		if (at > POLICY_LENS_HEAD)
			return POLICY_ANSWER_BUSY;
		next = *(const volatile __u8 *)&lens->next[at];
		if (next == 0 || next > POLICY_LENS_HEAD)
			return POLICY_ANSWER_NONE;
		at = next - 1;
		answer = family ? policy6_probe(q, at) : policy4_probe(q, at);
		if (answer == POLICY_ANSWER_BUSY)
			at = POLICY_LENS_HEAD;
		else if (answer != POLICY_MISS)
			return answer;
	}
	return POLICY_ANSWER_BUSY;
}

/* The question but for whose side is which. */
static __always_inline void question_init(struct policy_question *q, const struct packet *packet)
{
	q->protocol = packet->protocol;
	q->has_ports = packet->has_ports;
	q->later = packet->later;
	q->family = packet->family;
}

/* As it leaves here: source is local, destination remote. */
static __always_inline int policy_ask_outbound(const struct packet *packet, struct policy_question *q)
{
	question_init(q, packet);
	__builtin_memcpy(q->local, &packet->source, sizeof(q->local));
	__builtin_memcpy(q->remote, &packet->destination, sizeof(q->remote));
	q->local_port = packet->source_port;
	q->remote_port = packet->destination_port;
	return policy_ask(q);
}

/* As it arrives from outside: destination is local, source remote. */
static __always_inline int policy_ask_inbound(const struct packet *packet, struct policy_question *q)
{
	question_init(q, packet);
	__builtin_memcpy(q->local, &packet->destination, sizeof(q->local));
	__builtin_memcpy(q->remote, &packet->source, sizeof(q->remote));
	q->local_port = packet->destination_port;
	q->remote_port = packet->source_port;
	return policy_ask(q);
}

#endif
