/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CHILD SA: a pair of ESP SAs (RFC 7296 1.3, 2.8, 2.17). Its life: the inbound half is installed first, the outbound
 * half when the peer is known to listen; when it is replaced, its outbound half goes at once and its inbound half a
 * moment later, for packets on the way.
 */
#ifndef ESPALIER_IKE_CHILD_SA_H
#define ESPALIER_IKE_CHILD_SA_H

#include "ike/child_table.h"
#include "ike/engine.h"
#include "ike/payload/notify.h"

struct ike_sa;
struct conn;

enum child_state {
	CHILD_CREATED = 1, /* asked for; no keys yet */
	CHILD_IN_LIVE,	   /* inbound installed; outbound waits until the peer is known to listen */
	CHILD_UP,
	CHILD_REPLACED, /* another CHILD SA carries the traffic; awaits its delete */
	CHILD_DELETING, /* our DELETE is on its way */
};

struct child_sa {
	struct child_sa *next; /* of the same IKE SA */
	struct child_link links[CHILD_INDEXES];
	struct ike_sa *sa;
	enum child_state state; /* assigned in child_sa.c alone */
	uint32_t child_id;
	uint32_t index; /* of `config` in its connection */
	const struct child_config *config;
	uint32_t spi_in, spi_out;
	struct suite suite;
	struct child_keys in, out;
	uint8_t mode;				     /* enum sa_mode, as agreed */
	bool tfc_plain;				     /* the peer takes no TFC padding */
	struct selector packet_local, packet_remote; /* of the packet that asks for it; family 0: none */
	uint8_t local_count, remote_count;
	struct selector local_ts[SELECTORS_MAX];
	struct selector remote_ts[SELECTORS_MAX];
	uint32_t replaces;		  /* child_id; set by child_set_replaced */
	struct child_sa *successor;	  /* what replaced this one, in the same IKE SA; NULL: nothing, or it is gone */
	uint8_t low_nonce[IKE_NONCE_MAX]; /* the lower nonce of its exchange, for RFC 7296 2.8.1 */
	size_t low_nonce_len;
	bool in_installed, out_installed;
	bool want_rekey, want_delete;
	int64_t answered_id; /* IN_LIVE: message id of the request that made it; -1: of an IKE SA that is replaced */
	uint64_t since, rekey_at, life_at;
	uint64_t switch_at; /* IN_LIVE: outbound at the latest then */
};

/* A new one with a fresh SPI and id, linked to `sa`. */
struct child_sa *child_new(struct ike_sa *sa, uint32_t index);
/*
 * Remove what is installed, unlink, wipe. Where another CHILD SA carries the traffic on, the inbound half stays a
 * moment (IKE_GRACE_NS) for packets on the way. `keep_policy`: fail closed.
 */
void child_free(struct child_sa *child, bool keep_policy, uint64_t now);

/* May it be, with the selectors that were agreed on, in the place of `old` (NULL: of none)? NOTIFY_NONE, or what to
 * refuse it with; the operator has been told then. Before it is installed. */
enum notify child_admit(const struct child_sa *child, const struct child_sa *old);
/* Install; each does nothing the second time. `child_install_out` makes this one carry the traffic. */
void child_install_in(struct child_sa *child, uint64_t now);
void child_install_out(struct child_sa *child, uint64_t now);
/* Stop sending on it: before its DELETE leaves. If another CHILD SA of the same policy is up, that one carries the
 * traffic from here on. */
void child_stop_out(struct child_sa *child, uint64_t now);
/* `successor` takes over the policy; it carries the traffic from child_install_out on. */
void child_replace(struct child_sa *child, struct child_sa *successor);
/* `child` takes the place of the one with id `replaced`. */
void child_set_replaced(struct child_sa *child, uint32_t replaced);
/* Our DELETE for it leaves now. */
void child_deleting(struct child_sa *child, uint64_t now);
/* Another one that carries (or can carry) the traffic of `child`'s policy; NULL: none. */
struct child_sa *child_twin(const struct child_sa *child);
struct child_sa *child_by_id(struct ike_engine *engine, uint32_t child_id);

/* By the peer's inbound SPI (our outbound one), as a DELETE or REKEY_SA names it with its protocol (enum ike_protocol);
 * NULL if there is none. */
struct child_sa *child_by_spi_out(struct ike_sa *sa, uint8_t protocol, uint32_t spi);
/* ESP or AH (enum ike_protocol): what is configured for it is all that can be agreed on. */
uint8_t child_protocol(const struct child_sa *child);
/* Is its ESP inside UDP? */
bool child_encap(const struct child_sa *child);
/* One that carries traffic, or is about to, for config `index`; NULL if there is none. */
struct child_sa *child_alive(struct ike_sa *sa, uint32_t index);
const char *child_state_name(enum child_state state);
/* Should the policy stay when the child goes down: what the configuration asks for brings it back or waits for traffic.
 */
bool child_keeps_policy(const struct child_config *config);
uint64_t child_deadline(const struct child_sa *child);

#endif
