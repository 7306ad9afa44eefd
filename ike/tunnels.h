/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's table of tunnels: for every configured child, and every further peer of it, the slot in the SADB, the
 * SAs that carry it now, and what an operator asks about. The numbers go on across rekeys.
 */
#ifndef ESPALIER_IKE_TUNNELS_H
#define ESPALIER_IKE_TUNNELS_H

#include "ike/engine.h"
#include "ike/protect.h"

#include <stdbool.h>
#include <stdint.h>

struct sadb;

/* The SAs of one CHILD SA. */
struct sa_pair {
	struct sa_pair *next;
	uint32_t child_id;
	uint32_t spi_in; /* host order */
	uint32_t spi_out;
	uint32_t sa_in; /* index, or SA_NONE */
	uint32_t sa_out;
};

struct tunnel_totals {
	uint64_t rx_bytes;
	uint64_t rx_packets;
	uint64_t tx_bytes;
	uint64_t tx_packets;
	uint64_t dropped;
};

struct tunnel_entry {
	struct tunnel_entry *next;
	char conn[IKE_NAME_MAX];
	char child[IKE_NAME_MAX];
	bool configured;      /* its child stands in the configuration; else it goes with its last SA */
	bool pending;	      /* of a configuration that is being put in force: it will be the configured one */
	uint8_t start_action; /* enum child_action */
	uint8_t shunt;	      /* POLICY_BYPASS, POLICY_DISCARD: policies without a tunnel; 0: not so */
	uint8_t config_mode;  /* enum sa_mode, as the configuration says */
	uint8_t mode;	      /* of the slot: what was negotiated last */
	uint8_t clamp;	      /* enum mss_choice */
	bool tfc_plain;	      /* the peer takes no TFC padding */
	uint32_t priority;    /* of its policies; 0: by the selectors' sizes */
	struct tunnel_options options;
	uint32_t id;			  /* slot in the SADB, or TUNNEL_NONE */
	struct protection configured_for; /* as the configuration says; from the start on, SA or not: fail closed */
	struct protection negotiated_for; /* as negotiated, where that goes beyond it */
	uint8_t local_count;		  /* selectors of the slot: what was negotiated last */
	uint8_t remote_count;
	struct selector local[SELECTORS_MAX];
	struct selector remote[SELECTORS_MAX];
	struct ike_id peer;	      /* whose SAs these are; of `pairs` alone */
	struct sa_pair *pairs;	      /* newest first */
	struct tunnel_totals retired; /* counters of SAs that are gone */
	struct tunnel_totals sampled; /* at sampled_ns */
	uint64_t sampled_ns;
	uint64_t rx_bps;
	uint64_t tx_bps;
	uint64_t rekeys;
	uint64_t ike_rekeys;
	uint64_t since_ns;     /* in this state (up or not) */
	char last_error[2048]; /* "": none since it came up */
};

struct tunnel_table {
	struct tunnel_entry *first;
	struct tunnel_entry **last;
};

void tunnel_table_init(struct tunnel_table *table);
/* Memory only: the SADB stays as it is. */
void tunnel_table_clear(struct tunnel_table *table);

/* NULL if memory is short. */
struct tunnel_entry *tunnel_entry_new(struct tunnel_table *table, const char *conn, const char *child);
void tunnel_entry_delete(struct tunnel_table *table, struct tunnel_entry *entry);

/* The configured entry of a child, or NULL. */
struct tunnel_entry *tunnel_find_configured(const struct tunnel_table *table, const char *conn, const char *child);
/* The one that is to become it, or NULL. */
struct tunnel_entry *tunnel_find_pending(const struct tunnel_table *table, const char *conn, const char *child);
struct tunnel_entry *tunnel_find_id(const struct tunnel_table *table, uint32_t id);
/* By an engine's child id or an SA's index; `pair` may be NULL. */
struct tunnel_entry *tunnel_find_child(const struct tunnel_table *table, uint32_t child_id, struct sa_pair **pair);
struct tunnel_entry *tunnel_find_sa(const struct tunnel_table *table, uint32_t index, struct sa_pair **pair);

/* Do the policies that stand for it by the configuration cover all that `install` asks for? */
bool tunnel_is_configured_for(const struct tunnel_entry *entry, const struct child_install *install);

struct sa_pair *sa_pair_add(struct tunnel_entry *entry, uint32_t child_id, uint32_t spi_in, uint32_t spi_out);
void sa_pair_delete(struct tunnel_entry *entry, struct sa_pair *pair);

/* All SAs that were and are. */
void tunnel_totals_read(const struct tunnel_entry *entry, const struct sadb *db, struct tunnel_totals *out);
/* Add an SA's counters to those of the SAs that are gone. */
void tunnel_totals_retire(struct tunnel_entry *entry, const struct sadb *db, uint32_t index, bool inbound);
/* Take a sample for the rates, if the last one is old enough. */
void tunnel_rates_sample(struct tunnel_entry *entry, const struct sadb *db, uint64_t now);

#endif
