/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy set over the maps: every change is worked out in memory first (policy_table.h), then written entry by
 * entry, and taken back if an entry cannot be written. Each entry changes at once, so a packet sees the old or the new
 * answer.
 */
#include "bpf/policy.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/own.h"
#include "bpf/policy_lens.h"
#include "bpf/policy_table.h"
#include "bpf/sadb_private.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct policy_set {
	struct sadb *db;
	struct policy_table table; /* its installed nodes are what stands in the maps, also of an earlier writer */
	uint32_t installed[2][PREFIX_LENS]; /* entries in the maps by family (IPv4, IPv6) and length */
	uint32_t installed_count[2];
	uint32_t next_id;
	uint32_t generation; /* of the last entry written */
	uint64_t visit;	     /* number of the last change: marks the nodes that it has seen */
};

/* One entry to change. */
struct policy_op {
	struct policy_node *node;
	bool existed;
	bool remove;
	union policy_entry *before; /* what an earlier writer left; it is in no table */
};

struct policy_ops {
	struct policy_op *list;
	uint32_t count;
	uint32_t capacity;
	uint32_t applied;
};

/* ---- maps ---- */

/* Remembered answers are old now. */
static void change_tell(struct policy_set *set, unsigned family)
{
	__atomic_fetch_add(&set->db->policy_lens[family].changes, 1, __ATOMIC_RELEASE);
}

static unsigned family_index(const struct policy_prefix *prefix)
{
	return prefix->family == 4 ? 0 : 1;
}

static enum map_id family_map(unsigned index)
{
	return index == 0 ? MAP_policy4 : MAP_policy6;
}

static int family_fd(const struct policy_set *set, const struct policy_prefix *prefix)
{
	return set->db->fds[family_map(family_index(prefix))];
}

/* The key of either family: its length, then its bytes. */
static struct policy6_key map_key(const struct policy_prefix *prefix)
{
	struct policy6_key key = {.prefix_len = prefix->len};

	_Static_assert(offsetof(struct policy4_key, remote) == offsetof(struct policy6_key, remote), "one form");
	memcpy(key.remote, prefix->bytes, sizeof(key.remote));
	return key;
}

/* The entry first, then its length, so that the length leads somewhere. */
static int entry_write(struct policy_set *set, struct policy_node *node, union policy_entry *entry)
{
	const struct policy_prefix *prefix = &node->prefix;
	unsigned family = family_index(prefix);
	struct policy6_key key = map_key(prefix);
	int err;

	set->generation++;
	if (family == 0)
		entry->v4.generation = entry->v4.generation_end = set->generation;
	else
		entry->v6.generation = entry->v6.generation_end = set->generation;
	err = bpf_map_update_elem(family_fd(set, prefix), &key, entry, BPF_ANY);
	if (err)
		return err == -E2BIG ? -ENOSPC : err;
	node->foreign = false;
	if (!node->installed) {
		node->installed = true;
		set->installed[family][prefix->len]++;
		set->installed_count[family]++;
	}
	policy_lens_insert(&set->db->policy_lens[family], prefix->len);
	change_tell(set, family);
	return 0;
}

static int entry_build_write(struct policy_set *set, struct policy_node *node)
{
	union policy_entry entry;
	int count = policy_entry_build(&set->table, &node->prefix, &entry);

	return count < 0 ? count : entry_write(set, node, &entry);
}

/* The last entry of a length away, then the length. */
static int entry_delete(struct policy_set *set, struct policy_node *node)
{
	const struct policy_prefix *prefix = &node->prefix;
	unsigned family = family_index(prefix);
	struct policy6_key key = map_key(prefix);
	int err = bpf_map_delete_elem(family_fd(set, prefix), &key);

	if (err && err != -ENOENT)
		return err;
	if (node->installed) {
		node->installed = false;
		set->installed[family][prefix->len]--;
		set->installed_count[family]--;
	}
	if (!set->installed[family][prefix->len])
		policy_lens_remove(&set->db->policy_lens[family], prefix->len);
	change_tell(set, family);
	return 0;
}

/* ---- what an earlier writer left ---- */

static int entries_adopt(struct policy_set *set, unsigned family)
{
	int fd = set->db->fds[family_map(family)];
	struct policy6_key key = {0};

	for (int err = bpf_map_get_next_key(fd, NULL, &key); err != -ENOENT;
		err = bpf_map_get_next_key(fd, &key, &key)) {
		struct policy_prefix prefix = {.family = family == 0 ? 4 : 6, .len = (uint8_t)key.prefix_len};

		memcpy(prefix.bytes, key.remote, family == 0 ? 4 : 16);
		if (!err)
			err = policy_table_append(&set->table, &prefix);
		if (err)
			return err;
		set->installed[family][prefix.len]++;
		set->installed_count[family]++;
	}
	return 0;
}

/* A writer that died left entries without their length, or a length without entries. */
static void lens_repair(struct policy_set *set, unsigned family)
{
	for (unsigned len = 0; len < PREFIX_LENS; len++) {
		if (set->installed[family][len])
			policy_lens_insert(&set->db->policy_lens[family], (uint8_t)len);
		else
			policy_lens_remove(&set->db->policy_lens[family], (uint8_t)len);
	}
	change_tell(set, family);
}

/* ---- changes ---- */

static int ops_reserve(struct policy_ops *ops)
{
	uint32_t capacity = ops->capacity ? ops->capacity * 2 : 16;
	struct policy_op *list;

	if (ops->count < ops->capacity)
		return 0;
	list = reallocarray(ops->list, capacity, sizeof(*list));
	if (!list)
		return -ENOMEM;
	ops->list = list;
	ops->capacity = capacity;
	return 0;
}

static void ops_free(struct policy_ops *ops)
{
	for (uint32_t i = 0; i < ops->count; i++)
		free(ops->list[i].before);
	free(ops->list);
}

/* The content of an entry that an earlier writer left: it cannot be built again. */
static int op_keep_before(const struct policy_set *set, struct policy_op *op)
{
	const struct policy_prefix *prefix = &op->node->prefix;
	struct policy6_key key = map_key(prefix);

	op->before = malloc(sizeof(*op->before));
	if (!op->before)
		return -ENOMEM;
	return bpf_map_lookup_elem(family_fd(set, prefix), &key, op->before);
}

/* One entry: as the table now says it, or gone when no rule has this prefix any more. Checks that it can be built. */
static int ops_add(struct policy_ops *ops, struct policy_set *set, struct policy_node *node)
{
	union policy_entry entry;
	struct policy_op *op;
	int err;

	if (node->visit == set->visit)
		return 0;
	err = ops_reserve(ops);
	if (!err && node->rules)
		err = policy_entry_build(&set->table, &node->prefix, &entry);
	if (err < 0)
		return err;
	node->visit = set->visit;
	op = &ops->list[ops->count++];
	*op = (struct policy_op){.node = node, .existed = node->installed, .remove = !node->rules};
	return node->foreign ? op_keep_before(set, op) : 0;
}

/* Every entry that the rules have a part in: their own prefixes, and the longer ones that carry them too. What an
 * earlier writer left stays as it is until policy_set_settle. */
static int ops_collect(struct policy_ops *ops, struct policy_set *set, const struct policy_rules *rules)
{
	int err = 0;

	set->visit++;
	for (uint32_t i = 0; !err && i < rules->count; i++) {
		const struct policy_prefix *prefix = &rules->rules[i].prefix;
		uint32_t at = policy_table_first(&set->table, prefix);

		for (; !err && at < set->table.count; at++) {
			struct policy_node *node = set->table.nodes[at];

			if (!prefix_covers(prefix, &node->prefix))
				break;
			if (node->rules || (node->installed && node->prefix.len == prefix->len))
				err = ops_add(ops, set, node);
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
	return right->node->prefix.len - left->node->prefix.len;
}

static int ops_room(const struct policy_set *set, const struct policy_ops *ops, unsigned family)
{
	uint32_t more = 0;

	for (uint32_t i = 0; i < ops->count; i++)
		more += family_index(&ops->list[i].node->prefix) == family && !ops->list[i].existed;
	return more && set->installed_count[family] + more > set->db->entries[family_map(family)] ? -ENOSPC : 0;
}

static int ops_apply(struct policy_set *set, struct policy_ops *ops)
{
	int err = ops_room(set, ops, 0);

	if (!err)
		err = ops_room(set, ops, 1);
	if (ops->count)
		qsort(ops->list, ops->count, sizeof(*ops->list), op_order);
	while (!err && ops->applied < ops->count) {
		const struct policy_op *op = &ops->list[ops->applied];

		err = op->remove ? entry_delete(set, op->node) : entry_build_write(set, op->node);
		ops->applied += !err;
	}
	return err;
}

/* Take back what was applied; the table is as before already. */
static void ops_undo(struct policy_set *set, struct policy_ops *ops)
{
	while (ops->applied-- > 0) {
		const struct policy_op *op = &ops->list[ops->applied];
		int err = op->before	? entry_write(set, op->node, op->before)
			  : op->existed ? entry_build_write(set, op->node)
					: entry_delete(set, op->node);

		op->node->foreign = op->before && !err;
		if (err)
			log_error("a policy entry could not be restored: %s", strerror(-err));
	}
}

/* Bring the maps in line with the table after `rules` came or went; on failure the table is put back by `undo`, then
 * the maps. */
static int changes_write(struct policy_set *set, struct policy_rules *rules,
	void (*undo)(struct policy_table *table, struct policy_rules *rules))
{
	struct policy_ops ops = {0};
	int err = ops_collect(&ops, set, rules);

	if (!err)
		err = ops_apply(set, &ops);
	if (err) {
		undo(&set->table, rules);
		ops_undo(set, &ops);
	}
	ops_free(&ops);
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
	/* Not a number that the writer before may have used a moment ago. */
	set->generation = (uint32_t)(clock_now_ns() >> 10);
	err = entries_adopt(set, 0);
	if (!err)
		err = entries_adopt(set, 1);
	if (err) {
		policy_set_free(set);
		return err;
	}
	policy_table_sort(&set->table);
	lens_repair(set, 0);
	lens_repair(set, 1);
	*out = set;
	return 0;
}

void policy_set_free(struct policy_set *set)
{
	if (!set)
		return;
	policy_table_clear(&set->table);
	free(set);
}

int policy_set_settle(struct policy_set *set)
{
	int first_err = 0;

	for (uint32_t i = 0; i < set->table.count; i++) {
		struct policy_node *node = set->table.nodes[i];
		int err = node->rules ? 0 : entry_delete(set, node);

		if (err && !first_err)
			first_err = err;
	}
	policy_table_prune(&set->table);
	return first_err;
}

int policy_set_clear(struct policy_set *set)
{
	policy_table_reset(&set->table);
	return policy_set_settle(set);
}

int policy_add(struct policy_set *set, const struct policy *policy, uint32_t *id)
{
	int err = policy_table_add(&set->table, policy, set->next_id);
	struct policy_rules *rules;

	if (err)
		return err;
	rules = policy_table_find(&set->table, set->next_id);
	err = changes_write(set, rules, policy_table_unlink);
	if (err) {
		policy_table_forget(&set->table, rules);
		return err;
	}
	*id = set->next_id++;
	return 0;
}

/* Is there room for the new prefixes of the policies `first` to `last`? */
static int try_room(struct policy_set *set, uint32_t first, uint32_t last)
{
	uint32_t more[2] = {0, 0};

	set->visit++;
	for (uint32_t id = first; id <= last; id++) {
		const struct policy_rules *rules = policy_table_find(&set->table, id);

		for (uint32_t i = 0; i < rules->count; i++) {
			struct policy_node *node = policy_table_node(&set->table, &rules->rules[i].prefix);

			more[family_index(&node->prefix)] += !node->installed && node->visit != set->visit;
			node->visit = set->visit;
		}
	}
	for (unsigned family = 0; family < 2; family++)
		if (more[family] && set->installed_count[family] + more[family] > set->db->entries[family_map(family)])
			return -ENOSPC;
	return 0;
}

int policy_try(struct policy_set *set, const struct policy *policies, unsigned count)
{
	struct policy_prefix where;
	uint32_t id = set->next_id;
	int err = 0;

	for (unsigned i = 0; !err && i < count; i++) {
		err = policy_table_add(&set->table, &policies[i], id);
		id += !err;
		if (!err)
			err = policy_table_check(&set->table, id - 1, &where);
	}
	if (!err && count)
		err = try_room(set, set->next_id, id - 1);
	while (id-- > set->next_id) {
		struct policy_rules *rules = policy_table_find(&set->table, id);

		policy_table_unlink(&set->table, rules);
		policy_table_forget(&set->table, rules);
	}
	return err;
}

int policy_remove(struct policy_set *set, uint32_t id)
{
	struct policy_rules *rules = policy_table_find(&set->table, id);
	int err;

	if (!rules)
		return -ENOENT;
	policy_table_unlink(&set->table, rules);
	err = changes_write(set, rules, policy_table_link);
	if (!err)
		policy_table_forget(&set->table, rules);
	return err;
}
