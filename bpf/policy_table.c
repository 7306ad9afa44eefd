/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/policy_table.h"

#include "agent/base/own.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned __int128 uint128;

static unsigned family_bits(uint8_t family)
{
	return family == 4 ? 32 : 128;
}

static uint128 addr_number(uint8_t family, const uint8_t bytes[static 16])
{
	uint128 number = 0;

	for (unsigned i = 0; i < family_bits(family) / 8; i++)
		number = number << 8 | bytes[i];
	return number;
}

static void addr_bytes(uint8_t family, uint128 number, uint8_t out[static 16])
{
	memset(out, 0, 16);
	for (unsigned i = family_bits(family) / 8; i-- > 0; number >>= 8)
		out[i] = (uint8_t)number;
}

/* 2^bits - 1; `bits` up to 128. */
static uint128 low_bits(unsigned bits)
{
	return bits >= 128 ? ~(uint128)0 : ((uint128)1 << bits) - 1;
}

/* Host bits of the largest block that starts at `first` and ends at or before `last`. */
static unsigned block_bits(uint128 first, uint128 last, unsigned max)
{
	unsigned bits = 0;

	while (bits < max && !(first & low_bits(bits + 1)) && (first | low_bits(bits + 1)) <= last)
		bits++;
	return bits;
}

uint32_t range_to_prefixes(uint8_t family, const uint8_t first[static 16], const uint8_t last[static 16],
	struct policy_prefix out[static RANGE_PREFIXES_MAX])
{
	unsigned max = family_bits(family);
	uint128 at = addr_number(family, first), end = addr_number(family, last);
	uint32_t count = 0;

	while (at <= end && count < RANGE_PREFIXES_MAX) {
		unsigned bits = block_bits(at, end, max);

		out[count].family = family;
		out[count].len = (uint8_t)(max - bits);
		addr_bytes(family, at, out[count].bytes);
		count++;
		at |= low_bits(bits);
		if (at == end)
			break;
		at++;
	}
	return count;
}

bool prefix_covers(const struct policy_prefix *outer, const struct policy_prefix *inner)
{
	unsigned whole = outer->len / 8, rest = outer->len % 8;

	if (outer->family != inner->family || outer->len > inner->len)
		return false;
	if (memcmp(outer->bytes, inner->bytes, whole) != 0)
		return false;
	return !rest || !((outer->bytes[whole] ^ inner->bytes[whole]) >> (8 - rest));
}

/* ---- nodes ---- */

static int prefix_order(const struct policy_prefix *a, const struct policy_prefix *b)
{
	int order = a->family - b->family;

	if (!order)
		order = memcmp(a->bytes, b->bytes, sizeof(a->bytes));
	return order ? order : a->len - b->len;
}

static uint32_t *table_len(struct policy_table *table, const struct policy_prefix *prefix)
{
	return &table->lens[prefix->family == 4 ? 0 : 1][prefix->len];
}

/* Position of the first node that is not before `prefix`. */
uint32_t policy_table_first(const struct policy_table *table, const struct policy_prefix *prefix)
{
	uint32_t low = 0, high = table->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (prefix_order(&table->nodes[middle]->prefix, prefix) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct policy_node *policy_table_node(const struct policy_table *table, const struct policy_prefix *prefix)
{
	uint32_t at = policy_table_first(table, prefix);

	return at < table->count && prefix_order(&table->nodes[at]->prefix, prefix) == 0 ? table->nodes[at] : NULL;
}

static int table_reserve(struct policy_table *table)
{
	uint32_t capacity = table->capacity ? table->capacity * 2 : 64;
	struct policy_node **nodes;

	if (table->count < table->capacity)
		return 0;
	nodes = reallocarray(table->nodes, capacity, sizeof(struct policy_node *));
	if (!nodes)
		return -ENOMEM;
	table->nodes = nodes;
	table->capacity = capacity;
	return 0;
}

/* A new node at position `at`. */
static int node_put(struct policy_table *table, uint32_t at, const struct policy_prefix *prefix)
{
	struct policy_node *node = table_reserve(table) ? NULL : calloc(1, sizeof(*node));

	if (!node)
		return -ENOMEM;
	node->prefix = *prefix;
	memmove(&table->nodes[at + 1], &table->nodes[at], (table->count - at) * sizeof(struct policy_node *));
	table->nodes[at] = node;
	table->count++;
	++*table_len(table, prefix);
	return 0;
}

static bool node_unused(const struct policy_node *node)
{
	return !node->rules && !node->installed;
}

static void node_prune(struct policy_table *table, const struct policy_prefix *prefix)
{
	uint32_t at = policy_table_first(table, prefix);

	if (at == table->count || prefix_order(&table->nodes[at]->prefix, prefix) || !node_unused(table->nodes[at]))
		return;
	free(table->nodes[at]);
	table->count--;
	--*table_len(table, prefix);
	memmove(&table->nodes[at], &table->nodes[at + 1], (table->count - at) * sizeof(struct policy_node *));
}

int policy_table_append(struct policy_table *table, const struct policy_prefix *prefix)
{
	int err = node_put(table, table->count, prefix);

	if (!err)
		table->nodes[table->count - 1]->installed = table->nodes[table->count - 1]->foreign = true;
	return err;
}

static int node_order(const void *a, const void *b)
{
	const struct policy_node *const *left = a, *const *right = b;

	return prefix_order(&(*left)->prefix, &(*right)->prefix);
}

void policy_table_sort(struct policy_table *table)
{
	if (table->count)
		qsort(table->nodes, table->count, sizeof(struct policy_node *), node_order);
}

void policy_table_prune(struct policy_table *table)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < table->count; i++) {
		struct policy_node *node = table->nodes[i];

		if (!node_unused(node)) {
			table->nodes[kept++] = node;
			continue;
		}
		--*table_len(table, &node->prefix);
		free(node);
	}
	table->count = kept;
}

/* ---- rules ---- */

static int rules_reserve(struct policy_rules *rules, uint32_t more)
{
	uint32_t capacity = rules->capacity ? rules->capacity : 1;
	struct policy_rule *list;

	while (capacity < rules->count + more)
		capacity *= 2;
	if (capacity == rules->capacity)
		return 0;
	list = reallocarray(rules->rules, capacity, sizeof(*list));
	if (!list)
		return -ENOMEM;
	rules->rules = list;
	rules->capacity = capacity;
	return 0;
}

/* A range, or OPAQUE, which is written backwards (RFC 7296 3.13.1). */
static bool ports_valid(const struct selector *s)
{
	return s->port_first <= s->port_last || (s->port_first == UINT16_MAX && s->port_last == 0);
}

static bool selector_valid(const struct selector *s)
{
	return (s->family == 4 || s->family == 6) && ports_valid(s) &&
	       addr_number(s->family, s->first) <= addr_number(s->family, s->last);
}

static bool policy_valid(const struct policy *policy)
{
	if (policy->action < POLICY_PROTECT || policy->action > POLICY_DISCARD)
		return false;
	if (policy->local_count > SELECTORS_MAX || policy->remote_count > SELECTORS_MAX)
		return false;
	for (unsigned i = 0; i < policy->local_count; i++)
		if (!selector_valid(&policy->local[i]))
			return false;
	for (unsigned i = 0; i < policy->remote_count; i++)
		if (!selector_valid(&policy->remote[i]))
			return false;
	return true;
}

/* One family, and protocols that can be the same: one of them may be "any". */
static bool selectors_pair(const struct selector *a, const struct selector *b)
{
	return a->family == b->family && (a->protocol == b->protocol || !a->protocol || !b->protocol);
}

static int pair_add(struct policy_rules *rules, const struct policy *policy, const struct selector *local,
	const struct selector *remote)
{
	struct policy_prefix prefixes[RANGE_PREFIXES_MAX];
	uint32_t count = range_to_prefixes(remote->family, remote->first, remote->last, prefixes);
	int err = rules_reserve(rules, count);

	if (err)
		return err;
	for (uint32_t i = 0; i < count; i++) {
		rules->rules[rules->count++] = (struct policy_rule){
			.id = rules->id,
			.priority = policy->priority,
			.tunnel = policy->action == POLICY_PROTECT ? policy->tunnel : TUNNEL_NONE,
			.action = policy->action,
			.protocol = local->protocol ? local->protocol : remote->protocol,
			.prefix = prefixes[i],
			.local = *local,
			.remote = *remote,
		};
	}
	return 0;
}

static void rules_free(struct policy_rules *rules)
{
	if (rules)
		free(rules->rules);
	free(rules);
}

static int rules_new(const struct policy *policy, uint32_t id, struct policy_rules **out)
{
	struct policy_rules *rules = calloc(1, sizeof(*rules));
	int err = rules ? 0 : -ENOMEM;

	if (!err && !policy_valid(policy))
		err = -EINVAL;
	if (!err)
		rules->id = id;
	for (unsigned l = 0; !err && l < policy->local_count; l++) {
		for (unsigned r = 0; !err && r < policy->remote_count; r++) {
			if (selectors_pair(&policy->local[l], &policy->remote[r]))
				err = pair_add(rules, policy, &policy->local[l], &policy->remote[r]);
		}
	}
	if (!err && !rules->count)
		err = -EINVAL;
	if (err)
		rules_free(rules);
	else
		*out = rules;
	return err;
}

/* ---- policies ---- */

static int policy_order(const void *a, const void *b)
{
	const struct policy_rules *left = a, *right = b;

	return left->id < right->id ? -1 : left->id > right->id;
}

static int nodes_make(struct policy_table *table, const struct policy_rules *rules)
{
	for (uint32_t i = 0; i < rules->count; i++) {
		const struct policy_prefix *prefix = &rules->rules[i].prefix;
		uint32_t at = policy_table_first(table, prefix);

		if (at < table->count && prefix_order(&table->nodes[at]->prefix, prefix) == 0)
			continue;
		if (node_put(table, at, prefix))
			return -ENOMEM;
	}
	return 0;
}

static void nodes_unmake(struct policy_table *table, const struct policy_rules *rules)
{
	for (uint32_t i = 0; i < rules->count; i++)
		node_prune(table, &rules->rules[i].prefix);
}

void policy_table_link(struct policy_table *table, struct policy_rules *rules)
{
	/* From the last to the first, so that they stand in their order. */
	for (uint32_t i = rules->count; i-- > 0;) {
		struct policy_rule *rule = &rules->rules[i];
		struct policy_node *node = policy_table_node(table, &rule->prefix);

		rule->next = node->rules;
		node->rules = rule;
	}
}

void policy_table_unlink(struct policy_table *table, struct policy_rules *rules)
{
	for (uint32_t i = 0; i < rules->count; i++) {
		struct policy_rule *rule = &rules->rules[i], **at = &policy_table_node(table, &rule->prefix)->rules;

		while (*at != rule)
			at = &(*at)->next;
		*at = rule->next;
	}
}

int policy_table_add(struct policy_table *table, const struct policy *policy, uint32_t id)
{
	struct policy_rules *rules;
	int err = rules_new(policy, id, &rules);

	if (err)
		return err;
	if (nodes_make(table, rules) || !tsearch(rules, &table->policies, policy_order)) {
		nodes_unmake(table, rules);
		rules_free(rules);
		return -ENOMEM;
	}
	policy_table_link(table, rules);
	return 0;
}

struct policy_rules *policy_table_find(const struct policy_table *table, uint32_t id)
{
	const struct policy_rules wanted = {.id = id};
	struct policy_rules **found = tfind(&wanted, &table->policies, policy_order);

	return found ? *found : NULL;
}

void policy_table_forget(struct policy_table *table, struct policy_rules *rules)
{
	tdelete(rules, &table->policies, policy_order);
	nodes_unmake(table, rules);
	rules_free(rules);
}

static void rules_free_one(void *rules)
{
	rules_free(rules);
}

void policy_table_reset(struct policy_table *table)
{
	for (uint32_t i = 0; i < table->count; i++)
		table->nodes[i]->rules = NULL;
	tdestroy(table->policies, rules_free_one);
	table->policies = NULL;
	policy_table_prune(table);
}

void policy_table_clear(struct policy_table *table)
{
	policy_table_reset(table);
	for (uint32_t i = 0; i < table->count; i++)
		free(table->nodes[i]);
	free(table->nodes);
	*table = (struct policy_table){0};
}

/* ---- entries ---- */

static bool rule_before(const struct policy_rule *a, const struct policy_rule *b)
{
	if (a->priority != b->priority)
		return a->priority < b->priority;
	if (a->prefix.len != b->prefix.len)
		return a->prefix.len > b->prefix.len;
	return a->id < b->id;
}

/* The first `len` bits of a prefix. */
static struct policy_prefix prefix_cut(const struct policy_prefix *prefix, uint8_t len)
{
	struct policy_prefix cut = {.family = prefix->family, .len = len};
	unsigned whole = len / 8, rest = len % 8;

	memcpy(cut.bytes, prefix->bytes, whole);
	if (rest)
		cut.bytes[whole] = (uint8_t)(prefix->bytes[whole] & 0xff << (8 - rest));
	return cut;
}

/* The rules of one node, put in their places: insertion into a short sorted list. */
static int rules_sort_in(const struct policy_node *node, const struct policy_rule **sorted, unsigned *count)
{
	for (const struct policy_rule *rule = node ? node->rules : NULL; rule; rule = rule->next) {
		unsigned at;

		if (*count == POLICY_SELECTORS_MAX)
			return -E2BIG;
		for (at = (*count)++; at > 0 && rule_before(rule, sorted[at - 1]); at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = rule;
	}
	return 0;
}

/* The rules of all prefixes that cover this one, in their order. */
static int rules_collect(const struct policy_table *table, const struct policy_prefix *prefix,
	const struct policy_rule *sorted[static POLICY_SELECTORS_MAX])
{
	const uint32_t *lens = table->lens[prefix->family == 4 ? 0 : 1];
	unsigned count = 0;
	int err = 0;

	for (unsigned len = 0; !err && len <= prefix->len; len++) {
		struct policy_prefix cut = prefix_cut(prefix, (uint8_t)len);

		if (lens[len])
			err = rules_sort_in(policy_table_node(table, &cut), sorted, &count);
	}
	return err ? err : (int)count;
}

/* SELECTOR_NOT_AMONG_LOCAL if the remote range holds the local one and more. */
static uint8_t rule_flags(const struct policy_rule *rule)
{
	uint8_t family = rule->remote.family;
	uint128 local_first = addr_number(family, rule->local.first),
		local_last = addr_number(family, rule->local.last);
	uint128 first = addr_number(family, rule->remote.first), last = addr_number(family, rule->remote.last);

	if (first > local_first || last < local_last || (first == local_first && last == local_last))
		return 0;
	return SELECTOR_NOT_AMONG_LOCAL;
}

static struct policy4_selector rule_to_v4(const struct policy_rule *rule)
{
	return (struct policy4_selector){
		.local_first = (uint32_t)addr_number(4, rule->local.first),
		.local_last = (uint32_t)addr_number(4, rule->local.last),
		.remote_first = (uint32_t)addr_number(4, rule->remote.first),
		.remote_last = (uint32_t)addr_number(4, rule->remote.last),
		.local_port_first = rule->local.port_first,
		.local_port_last = rule->local.port_last,
		.remote_port_first = rule->remote.port_first,
		.remote_port_last = rule->remote.port_last,
		.protocol = rule->protocol,
		.action = rule->action,
		.flags = rule_flags(rule),
		.tunnel = rule->tunnel,
	};
}

static struct policy6_selector rule_to_v6(const struct policy_rule *rule)
{
	struct policy6_selector selector = {
		.local_port_first = rule->local.port_first,
		.local_port_last = rule->local.port_last,
		.remote_port_first = rule->remote.port_first,
		.remote_port_last = rule->remote.port_last,
		.protocol = rule->protocol,
		.action = rule->action,
		.flags = rule_flags(rule),
		.tunnel = rule->tunnel,
	};

	memcpy(selector.local_first, rule->local.first, 16);
	memcpy(selector.local_last, rule->local.last, 16);
	memcpy(selector.remote_first, rule->remote.first, 16);
	memcpy(selector.remote_last, rule->remote.last, 16);
	return selector;
}

int policy_entry_build(const struct policy_table *table, const struct policy_prefix *prefix, union policy_entry *entry)
{
	const struct policy_rule *sorted[POLICY_SELECTORS_MAX];
	int count = rules_collect(table, prefix, sorted);

	memset(entry, 0, sizeof(*entry));
	if (count < 0)
		return count;
	for (int i = 0; i < count; i++) {
		if (prefix->family == 4)
			entry->v4.selectors[i] = rule_to_v4(sorted[i]);
		else
			entry->v6.selectors[i] = rule_to_v6(sorted[i]);
	}
	if (prefix->family == 4) {
		entry->v4.count = (uint32_t)count;
		entry->v4.key = (struct policy4_key){.prefix_len = prefix->len};
		memcpy(entry->v4.key.remote, prefix->bytes, sizeof(entry->v4.key.remote));
	} else {
		entry->v6.count = (uint32_t)count;
		entry->v6.key = (struct policy6_key){.prefix_len = prefix->len};
		memcpy(entry->v6.key.remote, prefix->bytes, sizeof(entry->v6.key.remote));
	}
	return count;
}

/* The entries behind `prefix` and the longer ones that it covers. */
static int below_check(
	const struct policy_table *table, const struct policy_prefix *prefix, struct policy_prefix *where)
{
	for (uint32_t at = policy_table_first(table, prefix); at < table->count; at++) {
		const struct policy_node *node = table->nodes[at];
		union policy_entry entry;

		if (!prefix_covers(prefix, &node->prefix))
			break;
		*where = node->prefix;
		if (node->rules && policy_entry_build(table, &node->prefix, &entry) < 0)
			return -E2BIG;
	}
	return 0;
}

int policy_table_check(const struct policy_table *table, uint32_t id, struct policy_prefix *where)
{
	const struct policy_rules *rules = policy_table_find(table, id);
	int err = 0;

	for (uint32_t i = 0; !err && rules && i < rules->count; i++)
		err = below_check(table, &rules->rules[i].prefix, where);
	return err;
}

uint32_t policy_table_prefixes(const struct policy_table *table, uint8_t family)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < table->count; i++)
		count += table->nodes[i]->rules && table->nodes[i]->prefix.family == family;
	return count;
}
