/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/policy_table.h"

#include "agent/base/own.h"

#include <errno.h>
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
	struct trie_prefix out[static RANGE_PREFIXES_MAX])
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

bool prefix_same(const struct trie_prefix *a, const struct trie_prefix *b)
{
	return a->len == b->len && a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool prefix_covers(const struct trie_prefix *outer, const struct trie_prefix *inner)
{
	unsigned whole = outer->len / 8, rest = outer->len % 8;

	if (outer->family != inner->family || outer->len > inner->len)
		return false;
	if (memcmp(outer->bytes, inner->bytes, whole) != 0)
		return false;
	return !rest || !((outer->bytes[whole] ^ inner->bytes[whole]) >> (8 - rest));
}

static int table_reserve(struct policy_table *table, uint32_t more)
{
	uint32_t capacity = table->capacity ? table->capacity : 64;
	struct policy_rule *rules;

	while (capacity < table->count + more)
		capacity *= 2;
	if (capacity == table->capacity)
		return 0;
	rules = reallocarray(table->rules, capacity, sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	table->rules = rules;
	table->capacity = capacity;
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

static int pair_add(struct policy_table *table, const struct policy *policy, uint32_t id, const struct selector *local,
	const struct selector *remote)
{
	struct trie_prefix prefixes[RANGE_PREFIXES_MAX];
	uint32_t count = range_to_prefixes(remote->family, remote->first, remote->last, prefixes);
	int err = table_reserve(table, count);

	if (err)
		return err;
	for (uint32_t i = 0; i < count; i++) {
		table->rules[table->count++] = (struct policy_rule){
			.id = id,
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

int policy_table_add(struct policy_table *table, const struct policy *policy, uint32_t id)
{
	uint32_t before = table->count;
	int err = policy_valid(policy) ? 0 : -EINVAL;

	for (unsigned l = 0; !err && l < policy->local_count; l++) {
		for (unsigned r = 0; !err && r < policy->remote_count; r++) {
			if (selectors_pair(&policy->local[l], &policy->remote[r]))
				err = pair_add(table, policy, id, &policy->local[l], &policy->remote[r]);
		}
	}
	if (!err && table->count == before)
		err = -EINVAL;
	if (err)
		table->count = before;
	return err;
}

static uint32_t table_count_of(const struct policy_table *table, uint32_t id)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < table->count; i++)
		count += table->rules[i].id == id;
	return count;
}

int policy_table_take(struct policy_table *table, uint32_t id, struct policy_table *removed)
{
	uint32_t kept = 0, taken = table_count_of(table, id);
	int err = taken ? table_reserve(removed, taken) : 0;

	if (err)
		return err;
	for (uint32_t i = 0; i < table->count; i++) {
		if (table->rules[i].id == id)
			removed->rules[removed->count++] = table->rules[i];
		else
			table->rules[kept++] = table->rules[i];
	}
	table->count = kept;
	return (int)taken;
}

void policy_table_clear(struct policy_table *table)
{
	free(table->rules);
	*table = (struct policy_table){0};
}

static bool rule_before(const struct policy_rule *a, const struct policy_rule *b)
{
	if (a->priority != b->priority)
		return a->priority < b->priority;
	if (a->prefix.len != b->prefix.len)
		return a->prefix.len > b->prefix.len;
	return a->id < b->id;
}

/* The covering rules in their order: insertion into a short sorted list. */
static int rules_collect(const struct policy_table *table, const struct trie_prefix *prefix,
	const struct policy_rule *sorted[static POLICY_SELECTORS_MAX])
{
	unsigned count = 0;

	for (uint32_t i = 0; i < table->count; i++) {
		const struct policy_rule *rule = &table->rules[i];
		unsigned at;

		if (!prefix_covers(&rule->prefix, prefix))
			continue;
		if (count == POLICY_SELECTORS_MAX)
			return -E2BIG;
		for (at = count++; at > 0 && rule_before(rule, sorted[at - 1]); at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = rule;
	}
	return (int)count;
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

int policy_entry_build(const struct policy_table *table, const struct trie_prefix *prefix, union policy_entry *entry)
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
	if (prefix->family == 4)
		entry->v4.count = (uint32_t)count;
	else
		entry->v6.count = (uint32_t)count;
	return count;
}

bool policy_table_has(const struct policy_table *table, const struct trie_prefix *prefix)
{
	for (uint32_t i = 0; i < table->count; i++)
		if (prefix_same(&table->rules[i].prefix, prefix))
			return true;
	return false;
}
