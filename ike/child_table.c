/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/child_table.h"

#include "ike/child_sa.h"

#include <stddef.h>

static uint32_t bucket_of(uint64_t seed, uint64_t key)
{
	return (uint32_t)((key ^ key >> 32) * seed >> 40) % CHILD_BUCKETS;
}

void child_table_take(enum child_index index, struct child_sa *child)
{
	struct child_link *link = &child->links[index];

	if (!link->at)
		return;
	*link->at = link->next;
	if (link->next)
		link->next->links[index].at = link->at;
	*link = (struct child_link){0};
}

void child_table_put(
	struct child_table *table, uint64_t seed, enum child_index index, struct child_sa *child, uint64_t key)
{
	struct child_sa **bucket = &table->buckets[index][bucket_of(seed, key)];
	struct child_link *link = &child->links[index];

	child_table_take(index, child);
	*link = (struct child_link){.next = *bucket, .at = bucket, .key = key};
	if (*bucket)
		(*bucket)->links[index].at = &link->next;
	*bucket = child;
}

static struct child_sa *with_key(struct child_sa *child, enum child_index index, uint64_t key)
{
	while (child && child->links[index].key != key)
		child = child->links[index].next;
	return child;
}

struct child_sa *child_table_find(const struct child_table *table, uint64_t seed, enum child_index index, uint64_t key)
{
	return with_key(table->buckets[index][bucket_of(seed, key)], index, key);
}

struct child_sa *child_table_next(enum child_index index, const struct child_sa *child)
{
	return with_key(child->links[index].next, index, child->links[index].key);
}
