/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User-space access to the SADB maps: SAs, their run state, tunnels, the SPI index. Contract: bpf/contract.h.
 * One process writes SAs, tunnels and policies (the IKE daemon), any number read. Not thread-safe within a process.
 * `writable` opens for writing: the IKE daemon, and the agent for its run halves and worker statistics. The first
 * change of an SA or tunnel by a process retires what a daemon that died left half-written.
 */
#ifndef ESPALIER_BPF_SADB_H
#define ESPALIER_BPF_SADB_H

#include "bpf/contract.h"

#include <stdbool.h>
#include <stdint.h>

#define PIN_DIR_DEFAULT "/sys/fs/bpf/espalier"

struct sadb; /* opaque: descriptors and mappings of one pin folder */

/*
 * Open the pinned maps of `pin_dir` and map the mmapable ones. The caller owns *db, `sadb_close` ends it.
 * -ENOENT: not pinned (the agent has not run yet); -EPROTO: pinned by another layout version; other -errno from the
 * kernel.
 */
int sadb_open(const char *pin_dir, bool writable, struct sadb **db);
void sadb_close(struct sadb *db);

uint32_t sadb_sa_count(const struct sadb *db);	   /* slots, not SAs */
uint32_t sadb_tunnel_count(const struct sadb *db); /* slots */

/* A stable copy of slot `index` (see struct sa's generation). False if the slot is free or retired. The caller wipes
 * the copy's keys. */
bool sadb_read(const struct sadb *db, uint32_t index, struct sa *copy);
/* The mapped slots themselves; valid until sadb_close. */
volatile const struct sa *sadb_slot(const struct sadb *db, uint32_t index);
struct sa_run *sadb_run(const struct sadb *db, uint32_t index);
struct tunnel *sadb_tunnel(const struct sadb *db, uint32_t id);
struct worker_stat *sadb_worker(const struct sadb *db, uint32_t worker);

/*
 * Put `sa` (generation and state are set here) into a free slot, its run half zeroed; for an inbound SA also into the
 * SPI index, last, so that it is live when this returns. -ENOSPC: no slot is free or quiescent; -EEXIST: (SPI,
 * destination, protocol) is taken.
 */
int sadb_add(struct sadb *db, const struct sa *sa, uint32_t *index);
/* Take an SA out of the SPI index (or out of its tunnel's out_sa), wipe its keys, retire its slot until every worker
 * passed a quiescent point. -ENOENT: not live. */
int sadb_delete(struct sadb *db, uint32_t index);
/* The peer moved (NAT rebinding, MOBIKE): new outer addresses and ports. For an inbound SA the SPI index follows
 * `local`. */
int sadb_move(struct sadb *db, uint32_t index, const struct addr16 *local, uint16_t local_port,
	const struct addr16 *remote, uint16_t remote_port);
/* SA index for an inbound SPI, or SA_NONE. */
uint32_t sadb_find_spi(const struct sadb *db, const struct spi_key *key);

/* Are there free slots for so many more SAs, and for so many tunnels? */
bool sadb_has_room(struct sadb *db, uint32_t sas, uint32_t tunnels);

/* Take a free tunnel slot: copy of `tunnel`, out_sa = SA_NONE. Its policies are policy.h's. -ENOSPC. */
int sadb_tunnel_add(struct sadb *db, const struct tunnel *tunnel, uint32_t *id);
/* New mode, flags, options and selectors of a live tunnel; out_sa stays. */
void sadb_tunnel_update(struct sadb *db, uint32_t id, const struct tunnel *tunnel);
void sadb_tunnel_delete(struct sadb *db, uint32_t id);
/* The switch: outbound packets of the tunnel use SA `index` (or SA_NONE: hold or drop) from the next packet on. */
void sadb_tunnel_switch(struct sadb *db, uint32_t id, uint32_t index);

/* Sum of one reason over all CPUs (XDP) and all workers (agent). */
int sadb_drops(const struct sadb *db, enum drop_reason reason, struct drop_count *sum);
/* "SPI_UNKNOWN", "warn", "ESP for an SPI ..." of the one list. NULL past its end. */
const char *drop_reason_name(enum drop_reason reason);
const char *drop_reason_severity(enum drop_reason reason);
const char *drop_reason_sentence(enum drop_reason reason);

/* One ordered selector behind one prefix of the policy maps. */
struct policy_entry_info {
	uint8_t family; /* 4 or 6 */
	uint8_t prefix_len;
	uint8_t action;	    /* enum policy_action */
	uint8_t prefix[16]; /* of the remote side, network order; IPv4 in the first 4 bytes */
	uint32_t position;  /* 0 is asked first */
	uint32_t tunnel;    /* TUNNEL_NONE unless the action is POLICY_PROTECT */
	struct selector local;
	struct selector remote;
};
typedef void policy_entry_fn(const struct policy_entry_info *entry, void *context);

/* Call `fn` for each entry that stands in the policy maps, and in the SPI index; what changes meanwhile may be told or
 * not. */
int sadb_policies(const struct sadb *db, policy_entry_fn *fn, void *context);
int sadb_spis(
	const struct sadb *db, void (*fn)(const struct spi_key *key, uint32_t index, void *context), void *context);

/* Events ring, of one reader (the writing daemon: -EACCES for others): call `fn` for each waiting event. The descriptor
 * is readable when there are some. */
int sadb_events_fd(struct sadb *db);
int sadb_events_read(struct sadb *db, void (*fn)(const struct event *event, void *context), void *context);

#endif
