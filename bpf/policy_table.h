/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pure half of the policies: address ranges to prefixes, prefixes to the ordered selectors that stand behind them
 * in the maps, and the index that finds both. Memory and arithmetic only.
 */
#ifndef ESPALIER_BPF_POLICY_TABLE_H
#define ESPALIER_BPF_POLICY_TABLE_H

#include "bpf/policy.h"

#include <stdbool.h>
#include <stdint.h>

#define RANGE_PREFIXES_MAX 254u /* of one range: 2 * 128 - 2 */
#define PREFIX_LENS	   129u /* 0 to 128 */

struct policy_prefix {
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
	struct policy_prefix prefix;
	struct selector local;
	struct selector remote;
	struct policy_rule *next; /* under the same prefix */
};

/* All rules of one policy. Heap; the table owns it. */
struct policy_rules {
	uint32_t id;
	uint32_t count;
	uint32_t capacity;
	struct policy_rule *rules;
};

/* One prefix: of rules, or of an entry that stands in the maps, or both. */
struct policy_node {
	struct policy_prefix prefix;
	bool installed; /* the caller's: an entry stands in the maps */
	bool foreign;	/* ... which no table wrote */
	uint64_t visit; /* the caller's mark */
	struct policy_rule *rules;
};

struct policy_table {
	struct policy_node **nodes; /* by family, address, length: what a prefix covers stands behind it in one piece */
	uint32_t count;
	uint32_t capacity;
	uint32_t lens[2][PREFIX_LENS]; /* nodes by family (IPv4, IPv6) and length */
	void *policies;		       /* tree of struct policy_rules by id */
};

/* Value of one map entry, of either family. */
union policy_entry {
	struct policy4 v4;
	struct policy6 v6;
};

/* The fewest prefixes that make up first..last (16 bytes, or the first 4 of IPv4). Gives their number; 0 if first >
 * last. */
uint32_t range_to_prefixes(uint8_t family, const uint8_t first[static 16], const uint8_t last[static 16],
	struct policy_prefix out[static RANGE_PREFIXES_MAX]);

/* Does `outer` contain `inner` (or equal it)? */
bool prefix_covers(const struct policy_prefix *outer, const struct policy_prefix *inner);

/* Add the rules of `policy`. -EINVAL: no pair of one family, or a reversed range; -ENOMEM. On failure no rule was
 * added. */
int policy_table_add(struct policy_table *table, const struct policy *policy, uint32_t id);
/* The rules of a policy, or NULL. */
struct policy_rules *policy_table_find(const struct policy_table *table, uint32_t id);
/* Take the rules out of their nodes, and put them back; the nodes stay, so that neither can fail. */
void policy_table_unlink(struct policy_table *table, struct policy_rules *rules);
void policy_table_link(struct policy_table *table, struct policy_rules *rules);
/* Free unlinked rules, and those of their nodes that hold neither rules nor an installed entry. */
void policy_table_forget(struct policy_table *table, struct policy_rules *rules);
/* Forget every policy; the nodes of installed entries stay. */
void policy_table_reset(struct policy_table *table);
/* Free everything. */
void policy_table_clear(struct policy_table *table);

/* The node of exactly this prefix, or NULL. */
struct policy_node *policy_table_node(const struct policy_table *table, const struct policy_prefix *prefix);
/* Take note of installed entries, in any order: append each (-ENOMEM), then sort once. */
int policy_table_append(struct policy_table *table, const struct policy_prefix *prefix);
void policy_table_sort(struct policy_table *table);
/* Position of the first node that `prefix` covers: they go on as long as prefix_covers() says so. */
uint32_t policy_table_first(const struct policy_table *table, const struct policy_prefix *prefix);
/* Free the nodes that hold neither rules nor an installed entry. */
void policy_table_prune(struct policy_table *table);

/*
 * The entry behind `prefix` (without its generation): the rules of all prefixes that cover it, lowest priority value
 * first; at the same priority the longer prefix first, then the older policy. Number of selectors; -E2BIG: more than
 * POLICY_SELECTORS_MAX.
 */
int policy_entry_build(const struct policy_table *table, const struct policy_prefix *prefix, union policy_entry *entry);

/* Can each entry be built that policy `id` has a part in: behind its own prefixes, and behind the longer ones that they
 * cover? 0, or -E2BIG with the first prefix that cannot in `*where`. */
int policy_table_check(const struct policy_table *table, uint32_t id, struct policy_prefix *where);
/* Prefixes with rules, of one family (4 or 6): so many entries will stand in the map. */
uint32_t policy_table_prefixes(const struct policy_table *table, uint8_t family);

#endif
