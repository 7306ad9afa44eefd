/* SPDX-License-Identifier: Apache-2.0 */
/* An IKE SA: keys, message ids, the one exchange of our own that may be in flight, and the CHILD SAs under it (RFC
 * 7296 1.2, 2.2, 2.3). */
#ifndef ESPALIER_IKE_IKE_SA_H
#define ESPALIER_IKE_IKE_SA_H

#include "ike/child_sa.h"
#include "ike/dh.h"
#include "ike/engine.h"
#include "ike/keys.h"
#include "ike/message.h"
#include "ike/schedule.h"

struct conn;

/* Named by the last thing done. Only transition.c assigns it. */
enum ike_state {
	IKE_NEW = 0,
	IKE_INIT_SENT,	   /* initiator */
	IKE_INIT_ANSWERED, /* responder */
	IKE_AUTH_CHECKING, /* the keeper computes what the peer's AUTH should be */
	IKE_AUTH_SIGNING,  /* the keeper computes our AUTH */
	IKE_AUTH_SENT,	   /* initiator */
	IKE_UP,
	IKE_REPLACED, /* rekeyed: its CHILD SAs belong to the successor; waits for its DELETE */
	IKE_DELETING, /* our DELETE is on its way */
	IKE_DEAD,     /* to be freed when the call ends */
	IKE_STATE_COUNT
};

enum task_kind {
	TASK_NONE = 0,
	TASK_SETUP,
	TASK_CHILD_CREATE,
	TASK_CHILD_REKEY,
	TASK_IKE_REKEY,
	TASK_CHILD_DELETE,
	TASK_IKE_DELETE,
	TASK_PROBE
};

/* The exchange of our own that is in flight, and what it is about. */
struct task {
	enum task_kind kind;
	struct child_sa *child; /* being created or deleted; NULL: it went away meanwhile */
	struct child_sa *old;	/* being rekeyed */
	struct child_sa *rival; /* made by the peer's simultaneous rekey of `old` (RFC 7296 2.8.1) */
	struct ike_sa *fresh;	/* IKE SA being made; not linked to the engine until it has keys */
	struct ike_sa *heir;	/* made by the peer's simultaneous IKE rekey (2.8.2) */
	struct dh *dh;
	uint16_t group;	  /* KE_NONE: without PFS */
	unsigned retries; /* INVALID_KE_PAYLOAD */
	uint8_t nonce[IKE_NONCE_LEN];
};

/* A request of ours until its response comes (2.1). */
struct ike_request {
	uint8_t *bytes; /* NULL: none in flight */
	size_t len;
	uint32_t id;
	uint8_t exchange;
	unsigned tries;
	uint64_t at; /* of the next retransmission */
};

struct ike_blob {
	uint8_t *data;
	size_t len;
};

struct ike_sa {
	struct ike_engine *engine;
	struct ike_sa *next, **link; /* all SAs */
	struct ike_sa *next_spi, *next_init, *next_dirty;
	struct ike_sa *next_emptied;
	bool emptied; /* its children were moved to another IKE SA */
	bool linked, dirty, half_open;
	enum ike_state state;
	bool initiator; /* the original initiator of this IKE SA: us */
	struct conn *conn;
	uint64_t spi_i, spi_r;
	struct endpoint local, remote;
	bool nat_local, nat_remote, encap; /* encap: forced by the configuration */
	struct suite suite;
	struct ike_keys keys;
	bool keyed;
	uint64_t iv_counter;
	struct dh *dh; /* IKE_SA_INIT, initiator */
	uint8_t ni[IKE_NONCE_MAX], nr[IKE_NONCE_MAX];
	size_t ni_len, nr_len;
	struct ike_blob init_request, init_response; /* AUTH covers them (2.15) */
	uint8_t cookie[IKE_COOKIE_MAX];
	size_t cookie_len;
	unsigned init_retries;
	struct ike_id local_id, remote_id;
	uint64_t auth_request; /* what the keeper was asked; 0: nothing */
	struct ike_blob held;  /* the IKE_AUTH message that waits for the keeper's answer */
	bool initial_contact;
	bool reported; /* the event for a refusal in IKE_SA_INIT has been given */

	uint32_t next_out, next_in;
	struct ike_request request;
	struct ike_blob response; /* to request next_in - 1 */
	struct task task;
	struct child_sa *children;
	struct ike_sa *successor;
	bool want_delete, want_rekey, want_probe;
	struct timer timer;
	uint64_t since, rekey_at, life_at, probe_at, keepalive_at;
	uint64_t expire_at;	  /* half-open, lingering: gone by then */
	uint64_t temporary_since; /* first TEMPORARY_FAILURE of a row; 0: none (2.25) */
};

struct ike_sa *ike_sa_new(struct ike_engine *engine, bool initiator);
/* Make it known to the engine by its SPI. */
void ike_sa_link(struct ike_sa *sa);
/* Unlink, wipe and free; CHILD SAs left are removed. */
void ike_sa_free(struct ike_sa *sa, uint64_t now);
/* Look at it before the engine's call ends: start what is wanted, set the timer, free it if it is dead. */
void ike_sa_touch(struct ike_sa *sa);
void ike_sa_settle(struct ike_sa *sa, uint64_t now);
/* Its timer has fired. */
void ike_sa_tick(struct ike_sa *sa, uint64_t now);
/* IKE_AUTH (or a rekey) is done: start its lifetimes. */
void ike_sa_up(struct ike_sa *sa, uint64_t now);
/* The set-up failed, or the peer is gone: what is wanted is dialled again. The caller ends the SA. */
void ike_sa_lost(struct ike_sa *sa, const char *why, uint64_t now);
/* CHILD SAs go down with their IKE SA; the configuration's close or dpd action says what comes next. */
void ike_sa_drop_children(struct ike_sa *sa, bool peer_dead, const char *why, uint64_t now);
void ike_sa_move_children(struct ike_sa *from, struct ike_sa *to);
void ike_sa_task_clear(struct ike_sa *sa, uint64_t now);
/* RFC 7296 2.4, INITIAL_CONTACT, and the connection's `unique`: what becomes of older IKE SAs with the same peer. */
void ike_sa_replace_others(struct ike_sa *sa, uint64_t now);
/* Addresses of an authenticated new message; follow them if RFC 7296 2.23 lets us. */
void ike_sa_follow(struct ike_sa *sa, const struct endpoint *local, const struct endpoint *remote);
/* Move SA and CHILD SAs to these endpoints. */
void ike_sa_move(struct ike_sa *sa, const struct endpoint *local, const struct endpoint *remote);

uint64_t ike_sa_spi(const struct ike_sa *sa); /* ours */
const char *ike_sa_conn_name(const struct ike_sa *sa);
const char *ike_state_name(enum ike_state state);
bool ike_sa_encap(const struct ike_sa *sa);
/* The lower of its two nonces, octet by octet (2.8.1). */
struct bytes nonce_lower(struct bytes a, struct bytes b);
/* <0, 0, >0; if one ends first, it is the lower. */
int nonce_compare(struct bytes a, struct bytes b);

static inline struct bytes blob_bytes(const struct ike_blob *blob)
{
	return (struct bytes){.data = blob->data, .len = blob->len};
}
void blob_set(struct ike_blob *blob, struct bytes bytes);
void blob_clear(struct ike_blob *blob);

#endif
