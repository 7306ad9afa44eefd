/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy set over the tries: every change is worked out in memory first (policy_table.h), then written entry by
 * entry, and taken back if an entry cannot be written. Each entry changes at once, so a packet sees the old or the new
 * answer.
 */
#include "bpf/policy.h"

#include "agent/base/log.h"
#include "agent/base/own.h"
#include "bpf/policy_table.h"
#include "bpf/sadb_private.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct policy_set {
	struct sadb *db;
	struct policy_table table;
	struct trie_prefix *installed; /* prefixes that stand in the tries, also those of an earlier writer */
	uint32_t installed_count;
	uint32_t installed_capacity;
	uint32_t next_id;
};

/* One trie entry to change. */
struct policy_op {
	struct trie_prefix prefix;
	bool existed;
	bool remove;
	union policy_entry before;
	union policy_entry after;
};

struct policy_ops {
	struct policy_op *list;
	uint32_t count;
	uint32_t capacity;
};

union policy_key {
	struct policy4_key v4;
	struct policy6_key v6;
};

/* ---- tries ---- */

static int trie_fd(const struct policy_set *set, uint8_t family)
{
	return set->db->fds[family == 4 ? MAP_policy4 : MAP_policy6];
}

/* One entry stays unused: a full trie refuses even to replace one before Linux 6.13. */
static uint32_t trie_room(const struct policy_set *set, uint8_t family)
{
	return set->db->entries[family == 4 ? MAP_policy4 : MAP_policy6] - 1;
}

static union policy_key trie_key(const struct trie_prefix *prefix)
{
	union policy_key key;

	memset(&key, 0, sizeof(key));
	if (prefix->family == 4) {
		key.v4.prefix_len = prefix->len;
		memcpy(key.v4.remote, prefix->bytes, sizeof(key.v4.remote));
	} else {
		key.v6.prefix_len = prefix->len;
		memcpy(key.v6.remote, prefix->bytes, sizeof(key.v6.remote));
	}
	return key;
}

static int trie_write(const struct policy_set *set, const struct trie_prefix *prefix, const union policy_entry *entry)
{
	union policy_key key = trie_key(prefix);

	return bpf_map_update_elem(trie_fd(set, prefix->family), &key, entry, BPF_ANY);
}

static int trie_delete(const struct policy_set *set, const struct trie_prefix *prefix)
{
	union policy_key key = trie_key(prefix);
	int err = bpf_map_delete_elem(trie_fd(set, prefix->family), &key);

	return err == -ENOENT ? 0 : err;
}

static int trie_read(const struct policy_set *set, const struct trie_prefix *prefix, union policy_entry *entry)
{
	union policy_key key = trie_key(prefix);

	return bpf_map_lookup_elem(trie_fd(set, prefix->family), &key, entry);
}

/* ---- what is installed ---- */

static bool installed_has(const struct policy_set *set, const struct trie_prefix *prefix)
{
	for (uint32_t i = 0; i < set->installed_count; i++)
		if (prefix_same(&set->installed[i], prefix))
			return true;
	return false;
}

static uint32_t installed_of(const struct policy_set *set, uint8_t family)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < set->installed_count; i++)
		count += set->installed[i].family == family;
	return count;
}

static int installed_reserve(struct policy_set *set, uint32_t more)
{
	uint32_t capacity = set->installed_capacity ? set->installed_capacity : 64;
	struct trie_prefix *list;

	while (capacity < set->installed_count + more)
		capacity *= 2;
	if (capacity == set->installed_capacity)
		return 0;
	list = reallocarray(set->installed, capacity, sizeof(*list));
	if (!list)
		return -ENOMEM;
	set->installed = list;
	set->installed_capacity = capacity;
	return 0;
}

static void installed_remove(struct policy_set *set, const struct trie_prefix *prefix)
{
	for (uint32_t i = 0; i < set->installed_count; i++) {
		if (!prefix_same(&set->installed[i], prefix))
			continue;
		set->installed[i] = set->installed[--set->installed_count];
		return;
	}
}

static int installed_adopt(struct policy_set *set, uint8_t family)
{
	int fd = trie_fd(set, family);
	union policy_key key;

	for (int err = bpf_map_get_next_key(fd, NULL, &key); err != -ENOENT;
		err = bpf_map_get_next_key(fd, &key, &key)) {
		struct trie_prefix prefix = {.family = family};

		if (!err)
			err = installed_reserve(set, 1);
		if (err)
			return err;
		prefix.len = (uint8_t)(family == 4 ? key.v4.prefix_len : key.v6.prefix_len);
		memcpy(prefix.bytes, family == 4 ? key.v4.remote : key.v6.remote, family == 4 ? 4 : 16);
		set->installed[set->installed_count++] = prefix;
	}
	return 0;
}

/* ---- changes ---- */

static bool ops_has(const struct policy_ops *ops, const struct trie_prefix *prefix)
{
	for (uint32_t i = 0; i < ops->count; i++)
		if (prefix_same(&ops->list[i].prefix, prefix))
			return true;
	return false;
}

/* Work one entry out: as the table now says it, or gone when no rule has this prefix any more. */
static int ops_add(struct policy_ops *ops, const struct policy_set *set, const struct trie_prefix *prefix)
{
	struct policy_op *op;
	int err;

	if (ops_has(ops, prefix))
		return 0;
	if (ops->count == ops->capacity) {
		uint32_t capacity = ops->capacity ? ops->capacity * 2 : 16;
		struct policy_op *list = reallocarray(ops->list, capacity, sizeof(*list));

		if (!list)
			return -ENOMEM;
		ops->list = list;
		ops->capacity = capacity;
	}
	op = &ops->list[ops->count];
	*op = (struct policy_op){.prefix = *prefix, .existed = installed_has(set, prefix)};
	op->remove = !policy_table_has(&set->table, prefix);
	if (op->remove && !op->existed)
		return 0;
	err = op->existed ? trie_read(set, prefix, &op->before) : 0;
	if (!err && !op->remove)
		err = policy_entry_build(&set->table, prefix, &op->after);
	if (err < 0)
		return err;
	ops->count++;
	return 0;
}

/* Every entry that the rules `changed` have a part in: their own prefixes, and the longer ones that carry them too. */
static int ops_collect(
	struct policy_ops *ops, const struct policy_set *set, const struct policy_rule *changed, uint32_t count)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < count; i++) {
		const struct trie_prefix *prefix = &changed[i].prefix;

		err = ops_add(ops, set, prefix);
		for (uint32_t k = 0; !err && k < set->installed_count; k++) {
			const struct trie_prefix *other = &set->installed[k];

			/* What an earlier writer left stays as it is until policy_set_settle. */
			if (prefix_covers(prefix, other) && policy_table_has(&set->table, other))
				err = ops_add(ops, set, other);
		}
	}
	return err;
}

/* Longer prefixes first: an address is answered by the longest, so nothing is uncovered in between. Removals last,
 * longest first. */
static int op_order(const void *a, const void *b)
{
	const struct policy_op *left = a, *right = b;

	if (left->remove != right->remove)
		return left->remove - right->remove;
	return right->prefix.len - left->prefix.len;
}

static int op_apply(const struct policy_set *set, const struct policy_op *op)
{
	return op->remove ? trie_delete(set, &op->prefix) : trie_write(set, &op->prefix, &op->after);
}

static void op_undo(const struct policy_set *set, const struct policy_op *op)
{
	int err = op->existed ? trie_write(set, &op->prefix, &op->before) : trie_delete(set, &op->prefix);

	if (err)
		log_error("a policy entry could not be restored: %s", strerror(-err));
}

static int ops_room(const struct policy_set *set, const struct policy_ops *ops, uint8_t family)
{
	uint32_t more = 0;

	for (uint32_t i = 0; i < ops->count; i++)
		more += ops->list[i].prefix.family == family && !ops->list[i].existed;
	return more && installed_of(set, family) + more > trie_room(set, family) ? -ENOSPC : 0;
}

static int ops_apply(struct policy_set *set, struct policy_ops *ops)
{
	int err = ops_room(set, ops, 4);

	if (!err)
		err = ops_room(set, ops, 6);
	if (!err)
		err = installed_reserve(set, ops->count);
	if (err)
		return err;
	qsort(ops->list, ops->count, sizeof(*ops->list), op_order);
	for (uint32_t i = 0; i < ops->count; i++) {
		err = op_apply(set, &ops->list[i]);
		if (!err)
			continue;
		while (i-- > 0)
			op_undo(set, &ops->list[i]);
		return err;
	}
	for (uint32_t i = 0; i < ops->count; i++) {
		const struct policy_op *op = &ops->list[i];

		if (op->remove)
			installed_remove(set, &op->prefix);
		else if (!op->existed)
			set->installed[set->installed_count++] = op->prefix;
	}
	return 0;
}

/* Bring the tries in line with the table after `changed` came or went. */
static int changes_write(struct policy_set *set, const struct policy_rule *changed, uint32_t count)
{
	struct policy_ops ops = {0};
	int err = ops_collect(&ops, set, changed, count);

	if (!err)
		err = ops_apply(set, &ops);
	free(ops.list);
	return err;
}

/* ---- the interface ---- */

int policy_set_new(struct sadb *db, struct policy_set **out)
{
	struct policy_set *set;
	int err;

	*out = NULL;
	if (!db->writable)
		return -EACCES;
	set = calloc(1, sizeof(*set));
	if (!set)
		return -ENOMEM;
	set->db = db;
	set->next_id = 1;
	err = installed_adopt(set, 4);
	if (!err)
		err = installed_adopt(set, 6);
	if (err) {
		policy_set_free(set);
		return err;
	}
	*out = set;
	return 0;
}

void policy_set_free(struct policy_set *set)
{
	if (!set)
		return;
	policy_table_clear(&set->table);
	free(set->installed);
	free(set);
}

int policy_set_settle(struct policy_set *set)
{
	int first_err = 0;

	for (uint32_t i = set->installed_count; i-- > 0;) {
		int err;

		if (policy_table_has(&set->table, &set->installed[i]))
			continue;
		err = trie_delete(set, &set->installed[i]);
		if (!err)
			set->installed[i] = set->installed[--set->installed_count];
		else if (!first_err)
			first_err = err;
	}
	return first_err;
}

int policy_set_clear(struct policy_set *set)
{
	policy_table_clear(&set->table);
	return policy_set_settle(set);
}

int policy_add(struct policy_set *set, const struct policy *policy, uint32_t *id)
{
	uint32_t before = set->table.count;
	int err = policy_table_add(&set->table, policy, set->next_id);

	if (err)
		return err;
	err = changes_write(set, &set->table.rules[before], set->table.count - before);
	if (err) {
		set->table.count = before;
		return err;
	}
	*id = set->next_id++;
	return 0;
}

int policy_remove(struct policy_set *set, uint32_t id)
{
	struct policy_table removed = {0};
	int taken = policy_table_take(&set->table, id, &removed), err;

	if (taken <= 0)
		return taken < 0 ? taken : -ENOENT;
	err = changes_write(set, removed.rules, removed.count);
	/* The order of a table does not matter, so what could not be removed may go back to its end; its room is still
	 * there. */
	if (err) {
		memcpy(&set->table.rules[set->table.count], removed.rules, removed.count * sizeof(*removed.rules));
		set->table.count += removed.count;
	}
	policy_table_clear(&removed);
	return err;
}
