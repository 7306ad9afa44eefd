/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Does a policy speak of this packet, and what does it say? One code for the BPF programs and for user space: the first
 * selector in order that matches decides.
 */
#ifndef ESPALIER_BPF_POLICY_MATCH_H
#define ESPALIER_BPF_POLICY_MATCH_H

#include "bpf/contract.h"

#include <bpf/bpf_endian.h>

/* Answers beside enum policy_action. */
#define POLICY_ANSWER_NONE 0
#define POLICY_ANSWER_PORTS                                                                                            \
	4 /* a later fragment, and a protecting or discarding selector of its addresses names ports */
#define POLICY_ANSWER_BUSY 5 /* every reading was overtaken by a writing: nothing is known, so nothing may pass */

/* One packet seen from this side: outbound its source is local, inbound its destination. */
struct policy_question {
	__u32 local[4]; /* network byte order, IPv4 mapped */
	__u32 remote[4];
	__u16 local_port; /* of ICMP and others as in struct selector */
	__u16 remote_port;
	__u8 protocol;
	__u8 has_ports; /* the two above are known */
	__u8 later;	/* fragment without ports */
	__u8 family;	/* 4 or 6 */
	__u32 tunnel;	/* the answer's when that is POLICY_PROTECT */
};

/* Network byte order mask of the address word that starts at bit `from` of a prefix of `len` bits. Without a branch:
 * the verifier follows each of them once per length. */
static inline __u32 prefix_mask(__s32 len, __s32 from)
{
	__s32 bits = len - from, over;

	bits &= ~(bits >> 31); /* at least 0 */
	over = bits - 32;
	bits -= over & ~(over >> 31); /* at most 32 */
	return bpf_htonl((__u32)(0xffffffff00000000ull >> bits));
}

/* The key of the question's remote address under a prefix length. */
static inline struct policy4_key policy4_key_of(const struct policy_question *q, __u32 len)
{
	struct policy4_key key = {.prefix_len = len};
	__u32 remote = q->remote[3] & prefix_mask((__s32)len, 0);

	__builtin_memcpy(key.remote, &remote, sizeof(remote));
	return key;
}

static inline struct policy6_key policy6_key_of(const struct policy_question *q, __u32 len)
{
	struct policy6_key key = {.prefix_len = len};
	__u32 remote[4];

	for (int i = 0; i < 4; i++)
		remote[i] = q->remote[i] & prefix_mask((__s32)len, 32 * i);
	__builtin_memcpy(key.remote, remote, sizeof(remote));
	return key;
}

enum selector_match { MATCH_NO, MATCH_YES, MATCH_BUT_PORTS };

/* One side's ports. 0-65535 is any; first above last is OPAQUE, for packets without ports alone (RFC 7296 3.13.1). */
static inline enum selector_match ports_match(const struct policy_question *q, __u16 number, __u16 first, __u16 last)
{
	if (first == 0 && last == 0xffff)
		return MATCH_YES;
	if (!q->has_ports)
		return first > last ? MATCH_YES : MATCH_BUT_PORTS;
	return number >= first && number <= last ? MATCH_YES : MATCH_NO;
}

static inline enum selector_match both_match(enum selector_match a, enum selector_match b)
{
	if (a == MATCH_NO || b == MATCH_NO)
		return MATCH_NO;
	return a == MATCH_BUT_PORTS ? a : b;
}

#define SELECTOR_MATCH_PORTS(s, q)                                                                                     \
	both_match(ports_match(q, (q)->local_port, (s)->local_port_first, (s)->local_port_last),                       \
		ports_match(q, (q)->remote_port, (s)->remote_port_first, (s)->remote_port_last))

static inline enum selector_match selector4_match(const struct policy4_selector *s, const struct policy_question *q)
{
	__u32 local = bpf_ntohl(q->local[3]), remote = bpf_ntohl(q->remote[3]);

	if (s->protocol && s->protocol != q->protocol)
		return MATCH_NO;
	if (local < s->local_first || local > s->local_last || remote < s->remote_first || remote > s->remote_last)
		return MATCH_NO;
	if (s->flags & SELECTOR_NOT_AMONG_LOCAL && remote >= s->local_first && remote <= s->local_last)
		return MATCH_NO;
	return SELECTOR_MATCH_PORTS(s, q);
}

/* Is a <= b, both 16 bytes in network byte order? */
static inline int addr6_not_above(const __u32 *a, const __u32 *b)
{
	for (int i = 0; i < 4; i++) {
		if (a[i] != b[i])
			return bpf_ntohl(a[i]) < bpf_ntohl(b[i]);
	}
	return 1;
}

static inline int addr6_in(const __u32 *addr, const __u8 *first, const __u8 *last)
{
	return addr6_not_above((const __u32 *)first, addr) && addr6_not_above(addr, (const __u32 *)last);
}

static inline enum selector_match selector6_match(const struct policy6_selector *s, const struct policy_question *q)
{
	if (s->protocol && s->protocol != q->protocol)
		return MATCH_NO;
	if (!addr6_in(q->remote, s->remote_first, s->remote_last) || !addr6_in(q->local, s->local_first, s->local_last))
		return MATCH_NO;
	if (s->flags & SELECTOR_NOT_AMONG_LOCAL && addr6_in(q->remote, s->local_first, s->local_last))
		return MATCH_NO;
	return SELECTOR_MATCH_PORTS(s, q);
}

/*
 * Walk the ordered selectors. A later fragment cannot be held against ports: a selector with ports that would protect
 * or discard makes the answer POLICY_ANSWER_PORTS unless a selector without ports protects the packet anyway (RFC 4301
 * 7: no leak in clear).
 */
#define POLICY_WALK(policy, q, match)                                                                                  \
	({                                                                                                             \
		int answer_ = POLICY_ANSWER_NONE, held_ = 0;                                                           \
		for (__u32 i_ = 0; i_ < POLICY_SELECTORS_MAX && i_ < (policy)->count; i_++) {                          \
			int m_ = (int)match(&(policy)->selectors[i_], q);                                              \
                                                                                                                       \
			if (m_ == MATCH_NO)                                                                            \
				continue;                                                                              \
			if (m_ == MATCH_BUT_PORTS) {                                                                   \
				held_ |= (q)->later && (policy)->selectors[i_].action != POLICY_BYPASS;                \
				continue;                                                                              \
			}                                                                                              \
			answer_ = (policy)->selectors[i_].action;                                                      \
			(q)->tunnel = (policy)->selectors[i_].tunnel;                                                  \
			break;                                                                                         \
		}                                                                                                      \
		held_ &&answer_ != POLICY_PROTECT ? POLICY_ANSWER_PORTS : answer_;                                     \
	})

/* Are two keys the same? Word by word, read anew. */
static inline int key_same(const volatile void *a, const volatile void *b, __u32 words)
{
	const volatile __u32 *left = (const volatile __u32 *)a, *right = (const volatile __u32 *)b;
	__u32 difference = 0;

	for (__u32 i = 0; i < words; i++)
		difference |= left[i] ^ right[i];
	return difference == 0;
}

/* Was the entry the one behind `wanted`, the same before and after it was walked? (struct policy4) */
#define POLICY_SOUND(policy, wanted, generation_)                                                                      \
	((policy)->generation == (generation_) && (policy)->generation_end == (generation_) &&                         \
		key_same(&(policy)->key, wanted, sizeof(*(wanted)) / sizeof(__u32)))

#endif
