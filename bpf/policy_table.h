/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pure half of the policies: address ranges to prefixes, prefixes to the ordered selectors that stand behind them
 * in the tries. Memory and arithmetic only.
 */
#ifndef ESPALIER_BPF_POLICY_TABLE_H
#define ESPALIER_BPF_POLICY_TABLE_H

#include "bpf/policy.h"

#include <stdbool.h>
#include <stdint.h>

#define RANGE_PREFIXES_MAX 254u /* of one range: 2 * 128 - 2 */

struct trie_prefix {
	uint8_t family;	   /* 4 or 6 */
	uint8_t len;	   /* bits */
	uint8_t bytes[16]; /* network order; IPv4 in the first 4; zero behind `len` */
};

/* One pair of selectors of one policy under one prefix of its remote range. */
struct policy_rule {
	uint32_t id; /* of the policy */
	uint32_t priority;
	uint32_t tunnel;
	uint8_t action;
	uint8_t protocol;
	struct trie_prefix prefix;
	struct selector local;
	struct selector remote;
};

struct policy_table {
	struct policy_rule *rules;
	uint32_t count;
	uint32_t capacity;
};

/* Value of one trie entry, of either family. */
union policy_entry {
	struct policy4 v4;
	struct policy6 v6;
};

/* The fewest prefixes that make up first..last (16 bytes, or the first 4 of IPv4). Gives their number; 0 if first >
 * last. */
uint32_t range_to_prefixes(uint8_t family, const uint8_t first[static 16], const uint8_t last[static 16],
	struct trie_prefix out[static RANGE_PREFIXES_MAX]);

bool prefix_same(const struct trie_prefix *a, const struct trie_prefix *b);
/* Does `outer` contain `inner` (or equal it)? */
bool prefix_covers(const struct trie_prefix *outer, const struct trie_prefix *inner);

/* Append the rules of `policy`. -EINVAL: no pair of one family, or a reversed range; -ENOMEM. On failure the table is
 * as before. */
int policy_table_add(struct policy_table *table, const struct policy *policy, uint32_t id);
/* Take the rules of policy `id` out, keeping the others' order. Their number; they are appended to `removed`. */
int policy_table_take(struct policy_table *table, uint32_t id, struct policy_table *removed);
void policy_table_clear(struct policy_table *table);

/*
 * The entry behind `prefix`: the rules of all prefixes that cover it, lowest priority value first; at the same priority
 * the longer prefix first, then the older policy. Number of selectors; -E2BIG: more than POLICY_SELECTORS_MAX.
 */
int policy_entry_build(const struct policy_table *table, const struct trie_prefix *prefix, union policy_entry *entry);
/* Has the table a rule of exactly this prefix? */
bool policy_table_has(const struct policy_table *table, const struct trie_prefix *prefix);

#endif
