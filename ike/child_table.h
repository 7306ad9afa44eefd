/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash tables over all CHILD SAs of an engine, so that no message costs more for their number. A child stands in each
 * table at most once, under a key of 64 bits; keys need not be unique, and children of one key come in no order. The
 * tables hold nothing of their own: the chains go through the children.
 */
#ifndef ESPALIER_IKE_CHILD_TABLE_H
#define ESPALIER_IKE_CHILD_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#define CHILD_BUCKETS 8192u /* a power of two */

enum child_index {
	CHILD_BY_ID,
	CHILD_BY_SPI,	   /* ours */
	CHILD_BY_REPLACED, /* the id of the child that it replaces */
	CHILD_BY_POLICY,   /* its traffic selectors; only what is installed both ways */
	CHILD_INDEXES
};

struct child_sa;

/* A child's place in one table. */
struct child_link {
	struct child_sa *next;
	struct child_sa **at; /* what points to it; NULL: not in the table */
	uint64_t key;
};

struct child_table {
	struct child_sa *buckets[CHILD_INDEXES][CHILD_BUCKETS];
};

/* `seed` is odd and secret: a peer that chooses keys cannot choose buckets. A child that is in the table moves. */
void child_table_put(
	struct child_table *table, uint64_t seed, enum child_index index, struct child_sa *child, uint64_t key);
/* Nothing happens if it is not there. */
void child_table_take(enum child_index index, struct child_sa *child);
/* One with this key, and the next one; NULL: there is none. Nothing may be put or taken in between. */
struct child_sa *child_table_find(const struct child_table *table, uint64_t seed, enum child_index index, uint64_t key);
struct child_sa *child_table_next(enum child_index index, const struct child_sa *child);

#endif
