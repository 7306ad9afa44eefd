/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/tunnels.h"

#include "agent/base/clock.h"
#include "bpf/sadb.h"
#include "ike/ts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE_MIN_NS (900 * NS_PER_MS) /* rates over less are noise */

void tunnel_table_init(struct tunnel_table *table)
{
	table->first = NULL;
	table->last = &table->first;
}

void tunnel_table_clear(struct tunnel_table *table)
{
	while (table->first)
		tunnel_entry_delete(table, table->first);
}

struct tunnel_entry *tunnel_entry_new(struct tunnel_table *table, const char *conn, const char *child)
{
	struct tunnel_entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	snprintf(entry->conn, sizeof(entry->conn), "%s", conn);
	snprintf(entry->child, sizeof(entry->child), "%s", child);
	entry->id = TUNNEL_NONE;
	entry->since_ns = clock_now_ns();
	*table->last = entry;
	table->last = &entry->next;
	return entry;
}

void tunnel_entry_delete(struct tunnel_table *table, struct tunnel_entry *entry)
{
	struct tunnel_entry **at = &table->first;

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	if (table->last == &entry->next)
		table->last = at;
	while (entry->pairs)
		sa_pair_delete(entry, entry->pairs);
	free(entry);
}

struct tunnel_entry *tunnel_find_configured(const struct tunnel_table *table, const char *conn, const char *child)
{
	for (struct tunnel_entry *entry = table->first; entry; entry = entry->next)
		if (entry->configured && strcmp(entry->conn, conn) == 0 && strcmp(entry->child, child) == 0)
			return entry;
	return NULL;
}

struct tunnel_entry *tunnel_find_pending(const struct tunnel_table *table, const char *conn, const char *child)
{
	for (struct tunnel_entry *entry = table->first; entry; entry = entry->next)
		if (entry->pending && strcmp(entry->conn, conn) == 0 && strcmp(entry->child, child) == 0)
			return entry;
	return NULL;
}

struct tunnel_entry *tunnel_find_id(const struct tunnel_table *table, uint32_t id)
{
	for (struct tunnel_entry *entry = table->first; entry; entry = entry->next)
		if (entry->id == id)
			return entry;
	return NULL;
}

struct tunnel_entry *tunnel_find_child(const struct tunnel_table *table, uint32_t child_id, struct sa_pair **found)
{
	for (struct tunnel_entry *entry = table->first; entry; entry = entry->next)
		for (struct sa_pair *pair = entry->pairs; pair; pair = pair->next)
			if (pair->child_id == child_id) {
				if (found)
					*found = pair;
				return entry;
			}
	return NULL;
}

struct tunnel_entry *tunnel_find_sa(const struct tunnel_table *table, uint32_t index, struct sa_pair **found)
{
	for (struct tunnel_entry *entry = table->first; index != SA_NONE && entry; entry = entry->next)
		for (struct sa_pair *pair = entry->pairs; pair; pair = pair->next)
			if (pair->sa_in == index || pair->sa_out == index) {
				if (found)
					*found = pair;
				return entry;
			}
	return NULL;
}

bool tunnel_is_configured_for(const struct tunnel_entry *entry, const struct child_install *install)
{
	const struct protection *known = &entry->configured_for;

	return known->on &&
	       ts_list_contains(known->remote, known->remote_count, install->remote_ts, install->remote_count) &&
	       ts_list_contains(known->local, known->local_count, install->local_ts, install->local_count);
}

struct sa_pair *sa_pair_add(struct tunnel_entry *entry, uint32_t child_id, uint32_t spi_in, uint32_t spi_out)
{
	struct sa_pair *pair = calloc(1, sizeof(*pair));

	if (!pair)
		return NULL;
	pair->child_id = child_id;
	pair->spi_in = spi_in;
	pair->spi_out = spi_out;
	pair->sa_in = pair->sa_out = SA_NONE;
	if (!entry->pairs)
		entry->since_ns = clock_now_ns();
	pair->next = entry->pairs;
	entry->pairs = pair;
	return pair;
}

void sa_pair_delete(struct tunnel_entry *entry, struct sa_pair *pair)
{
	struct sa_pair **at = &entry->pairs;

	while (*at != pair)
		at = &(*at)->next;
	*at = pair->next;
	if (!entry->pairs)
		entry->since_ns = clock_now_ns();
	free(pair);
}

/* ---- counters -------------------------------------------------------------------------------------------------- */
static void run_add(struct tunnel_totals *totals, const struct sadb *db, uint32_t index, bool inbound)
{
	const volatile struct sa_run *run = index == SA_NONE ? NULL : sadb_run(db, index);

	if (!run)
		return;
	if (inbound) {
		totals->rx_packets += run->packets;
		totals->rx_bytes += run->bytes;
	} else {
		totals->tx_packets += run->packets;
		totals->tx_bytes += run->bytes;
	}
	totals->dropped += run->dropped_replay + run->dropped_icv + run->dropped_other;
}

void tunnel_totals_retire(struct tunnel_entry *entry, const struct sadb *db, uint32_t index, bool inbound)
{
	run_add(&entry->retired, db, index, inbound);
}

void tunnel_totals_read(const struct tunnel_entry *entry, const struct sadb *db, struct tunnel_totals *out)
{
	*out = entry->retired;
	for (const struct sa_pair *pair = entry->pairs; db && pair; pair = pair->next) {
		run_add(out, db, pair->sa_in, true);
		run_add(out, db, pair->sa_out, false);
	}
}

static uint64_t rate_bps(uint64_t bytes, uint64_t ns)
{
	return (uint64_t)((double)bytes * 8 * (double)NS_PER_S / (double)ns);
}

void tunnel_rates_sample(struct tunnel_entry *entry, const struct sadb *db, uint64_t now)
{
	struct tunnel_totals totals;
	uint64_t passed = now - entry->sampled_ns;

	if (entry->sampled_ns && passed < SAMPLE_MIN_NS)
		return;
	tunnel_totals_read(entry, db, &totals);
	if (entry->sampled_ns) {
		entry->rx_bps = rate_bps(totals.rx_bytes - entry->sampled.rx_bytes, passed);
		entry->tx_bps = rate_bps(totals.tx_bytes - entry->sampled.tx_bytes, passed);
	}
	entry->sampled = totals;
	entry->sampled_ns = now;
}
