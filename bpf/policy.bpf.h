/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The policy question: which action do the tries give for this flow? Asked with the remote address; the first selector
 * in order that matches decides. The functions that are not static are verified once each, whatever calls them.
 */
#ifndef ESPALIER_BPF_POLICY_BPF_H
#define ESPALIER_BPF_POLICY_BPF_H

#include "bpf/maps.bpf.h"

#include <bpf/bpf_endian.h>

/* Answers beside enum policy_action. */
#define POLICY_ANSWER_NONE 0
#define POLICY_ANSWER_PORTS                                                                                            \
	4 /* a later fragment, and a protecting or discarding selector of its addresses names ports */

/* One packet seen from this side. `tunnel` is the answer's when that is POLICY_PROTECT. */
struct flow {
	__u32 local[4]; /* network byte order, IPv4 mapped */
	__u32 remote[4];
	__u16 local_port;
	__u16 remote_port;
	__u8 protocol;
	__u8 has_ports;
	__u8 later; /* fragment without ports */
	__u8 reserved;
	__u32 tunnel;
};

enum selector_match { MATCH_NO, MATCH_YES, MATCH_BUT_PORTS };

/* One side's ports. 0-65535 is any; first above last is OPAQUE, for packets without ports alone (RFC 7296 3.13.1). */
static __always_inline enum selector_match ports_match(const struct flow *f, __u16 port_number, __u16 first, __u16 last)
{
	if (first == 0 && last == 0xffff)
		return MATCH_YES;
	if (!f->has_ports)
		return first > last ? MATCH_YES : MATCH_BUT_PORTS;
	return port_number >= first && port_number <= last ? MATCH_YES : MATCH_NO;
}

static __always_inline enum selector_match both_match(enum selector_match a, enum selector_match b)
{
	if (a == MATCH_NO || b == MATCH_NO)
		return MATCH_NO;
	return a == MATCH_BUT_PORTS ? a : b;
}

#define SELECTOR_MATCH_PORTS(s, f)                                                                                     \
	both_match(ports_match(f, (f)->local_port, (s)->local_port_first, (s)->local_port_last),                       \
		ports_match(f, (f)->remote_port, (s)->remote_port_first, (s)->remote_port_last))

__noinline int selector4_match(const struct policy4_selector *s, const struct flow *f)
{
	__u32 local, remote;

	if (!s || !f)
		return MATCH_NO;
	local = bpf_ntohl(f->local[3]);
	remote = bpf_ntohl(f->remote[3]);
	if (s->protocol && s->protocol != f->protocol)
		return MATCH_NO;
	if (local < s->local_first || local > s->local_last || remote < s->remote_first || remote > s->remote_last)
		return MATCH_NO;
	if (s->flags & SELECTOR_NOT_AMONG_LOCAL && remote >= s->local_first && remote <= s->local_last)
		return MATCH_NO;
	return SELECTOR_MATCH_PORTS(s, f);
}

/* Is a <= b, both 16 bytes in network byte order? */
static __always_inline int addr6_not_above(const __u32 *a, const __u32 *b)
{
	for (int i = 0; i < 4; i++) {
		if (a[i] != b[i])
			return bpf_ntohl(a[i]) < bpf_ntohl(b[i]);
	}
	return 1;
}

static __always_inline int addr6_in(const __u32 *addr, const __u8 *first, const __u8 *last)
{
	return addr6_not_above((const __u32 *)first, addr) && addr6_not_above(addr, (const __u32 *)last);
}

__noinline int selector6_match(const struct policy6_selector *s, const struct flow *f)
{
	if (!s || !f)
		return MATCH_NO;
	if (s->protocol && s->protocol != f->protocol)
		return MATCH_NO;
	if (!addr6_in(f->remote, s->remote_first, s->remote_last) || !addr6_in(f->local, s->local_first, s->local_last))
		return MATCH_NO;
	if (s->flags & SELECTOR_NOT_AMONG_LOCAL && addr6_in(f->remote, s->local_first, s->local_last))
		return MATCH_NO;
	return SELECTOR_MATCH_PORTS(s, f);
}

/*
 * Walk the ordered selectors. A later fragment cannot be held against ports: a selector with ports that would protect
 * or discard makes the answer POLICY_ANSWER_PORTS unless a selector without ports protects the packet anyway (RFC 4301
 * 7: no leak in clear).
 */
#define POLICY_WALK(policy, f, match)                                                                                  \
	({                                                                                                             \
		int answer_ = POLICY_ANSWER_NONE, held_ = 0;                                                           \
		for (__u32 i_ = 0; i_ < POLICY_SELECTORS_MAX && i_ < (policy)->count; i_++) {                          \
			int m_ = match(&(policy)->selectors[i_], f);                                                   \
                                                                                                                       \
			if (m_ == MATCH_NO)                                                                            \
				continue;                                                                              \
			if (m_ == MATCH_BUT_PORTS) {                                                                   \
				held_ |= (f)->later && (policy)->selectors[i_].action != POLICY_BYPASS;                \
				continue;                                                                              \
			}                                                                                              \
			answer_ = (policy)->selectors[i_].action;                                                      \
			(f)->tunnel = (policy)->selectors[i_].tunnel;                                                  \
			break;                                                                                         \
		}                                                                                                      \
		held_ &&answer_ != POLICY_PROTECT ? POLICY_ANSWER_PORTS : answer_;                                     \
	})

__noinline int policy4_ask(struct flow *f)
{
	struct policy4_key key = {.prefix_len = 32};
	struct policy4 *policy;

	if (!f)
		return POLICY_ANSWER_NONE;
	__builtin_memcpy(key.remote, &f->remote[3], sizeof(key.remote));
	policy = bpf_map_lookup_elem(&policy4, &key);
	return policy ? POLICY_WALK(policy, f, selector4_match) : POLICY_ANSWER_NONE;
}

__noinline int policy6_ask(struct flow *f)
{
	struct policy6_key key = {.prefix_len = 128};
	struct policy6 *policy;

	if (!f)
		return POLICY_ANSWER_NONE;
	__builtin_memcpy(key.remote, f->remote, sizeof(key.remote));
	policy = bpf_map_lookup_elem(&policy6, &key);
	return policy ? POLICY_WALK(policy, f, selector6_match) : POLICY_ANSWER_NONE;
}

#endif
