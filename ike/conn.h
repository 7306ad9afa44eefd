/* SPDX-License-Identifier: Apache-2.0 */
/* A configured connection at work: which of its children are wanted, where to dial, when to dial again. */
#ifndef ESPALIER_IKE_CONN_H
#define ESPALIER_IKE_CONN_H

#include "ike/engine.h"
#include "ike/schedule.h"

struct ike_sa;

/* What is known of one child besides its SAs. */
struct conn_child {
	bool wanted;	   /* is to be up: started, asked for, or traffic waits */
	uint64_t retry_at; /* not before */
	uint64_t delay;
	/* The packet that waits for it, offered first (RFC 7296 2.9); family 0: none. Taken by the next attempt. */
	struct selector packet_local, packet_remote;
};

struct conn {
	struct conn *next, *next_dirty;
	bool dirty;
	struct ike_engine *engine;
	struct conn_config *config;
	struct conn_child *children;  /* config->child_count of them */
	struct ip_addr local, remote; /* to dial with; IP_NONE: not known (yet) */
	bool resolving;
	uint32_t tries;
	uint64_t redial_at; /* not before; 0: at once */
	uint64_t delay;
	struct timer timer;
};

/* Is it to be up without being asked for? */
bool child_is_started(const struct child_config *config);
struct conn *conn_new(struct ike_engine *engine, struct conn_config *config);
void conn_free(struct conn *conn);
struct conn *conn_by_name(struct ike_engine *engine, const char *name);
/* Index of the child of that name, -1 if there is none. */
int conn_child_index(const struct conn_config *config, const char *name);

/*
 * How well does the connection fit these addresses? 0: not at all. More is better: a named address beats "any".
 * RFC 7296 leaves the choice to local policy; the identities decide in IKE_AUTH.
 */
int conn_fit(const struct conn *conn, const struct ip_addr *local, const struct ip_addr *remote);
/* The best that fits the addresses and has a proposal in common; NULL: none. `near` then tells one that fits the
 * addresses, or is NULL. */
struct conn *conn_for_proposals(struct ike_engine *engine, const struct ike_sa *sa, const struct proposal_list *theirs,
	struct suite *suite, struct conn **near);
/* The best by addresses, identities and the suite in use. `local_id` NULL: the peer does not mind (RFC 7296 1.2: IDr is
 * optional). */
struct conn *conn_for_ids(struct ike_engine *engine, const struct ike_sa *sa, const struct ike_id *remote_id,
	const struct ike_id *local_id);
/* Our identity on this connection: the configured one, or the address. */
void conn_local_id(const struct conn *conn, const struct ip_addr *address, struct ike_id *out);

/* Can it be dialled: has it a remote address or name? */
bool conn_dialable(const struct conn *conn);
void conn_want(struct conn *conn, uint32_t index, bool wanted);
/* A child that is wanted, has no SA and may be tried now; -1: none. */
int conn_next_child(const struct conn *conn, uint64_t now);
/* An attempt to set up the IKE SA failed: dial again after a while, twice as long as before. */
void conn_failed(struct conn *conn, uint64_t now);
void conn_succeeded(struct conn *conn);
/* A child is up. Should the peer delete it at once, it is not made again at once. */
void conn_child_up(struct conn *conn, uint32_t index, uint64_t now);
/* The peer refused a child: try again after a while. */
void conn_child_failed(struct conn *conn, uint32_t index, uint64_t now);
/* A child went down; `action` (enum child_action) of the configuration says what now. */
void conn_child_lost(struct conn *conn, uint32_t index, uint8_t action);
/* Look at it before the engine's call ends. NULL is fine. */
void conn_touch(struct conn *conn);
/* Dial if something wanted is not up, and set the timer for what may be tried later. */
void conn_settle(struct conn *conn, uint64_t now);

#endif
