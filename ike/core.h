/* SPDX-License-Identifier: Apache-2.0 */
/* What stands behind struct ike_engine; for the engine's own files. */
#ifndef ESPALIER_IKE_CORE_H
#define ESPALIER_IKE_CORE_H

#include "ike/child_sa.h"
#include "ike/conn.h"
#include "ike/effects.h"
#include "ike/engine.h"
#include "ike/ike_sa.h"
#include "ike/schedule.h"

#define CORE_BUCKETS	  4096u
#define COOKIE_SECRET_LEN 32u

/* The inbound half of a replaced CHILD SA, until its last packets have come in. */
struct grave {
	struct grave *next;
	struct timer timer;
	uint32_t child_id;
	bool keep_policy;
};

struct cookie_secret {
	uint8_t bytes[COOKIE_SECRET_LEN];
	uint8_t version;
	bool set;
};

struct ike_engine {
	struct engine_config *config;
	struct engine_config *retired; /* the last one: effects not yet taken may point into it */
	engine_random_fn random;
	void *random_context;
	engine_admit_fn admit; /* NULL: all may be */
	void *admit_context;
	struct effects effects;
	struct schedule schedule;
	struct conn *conns;
	struct ike_sa *sas;		      /* all */
	struct ike_sa *by_spi[CORE_BUCKETS];  /* by our SPI */
	struct ike_sa *by_init[CORE_BUCKETS]; /* half-open responders, by the initiator's SPI */
	struct child_table children;
	struct ike_sa *emptied;	  /* those whose children another one has taken over */
	struct ike_sa *dirty;	  /* to settle before the call ends */
	struct conn *dirty_conns; /* likewise */
	struct grave *graves;
	uint64_t hash_seed;
	uint64_t next_request;
	uint32_t next_child_id;
	uint32_t half_open;
	bool cookies_on;
	bool shut;
	struct cookie_secret cookie[2]; /* current and last */
	uint64_t cookie_since;
	uint64_t unprotected_since; /* the second in which `unprotected_sent` answers went out unprotected */
	uint32_t unprotected_sent;
	uint64_t counters[IKE_COUNTER_COUNT];
};

static inline void core_count(struct ike_engine *engine, enum ike_counter counter)
{
	engine->counters[counter]++;
}

/* Every door: forget what was given out last; at the end look at all that the call has stirred. */
void core_enter(struct ike_engine *engine);
void core_settle(struct ike_engine *engine, uint64_t now);
void core_random(struct ike_engine *engine, void *out, size_t len);
uint64_t core_random_u64(struct ike_engine *engine);
/* `ns`, less a random part of up to IKE_REKEY_JITTER_PERCENT (RFC 7296 2.8.1: jitter). */
uint64_t core_jitter(struct ike_engine *engine, uint64_t ns);
uint32_t core_bucket(const struct ike_engine *engine, uint64_t key);
/* May one more unprotected answer go out in this second (RFC 7296 2.21.4)? */
bool core_may_answer_unprotected(struct ike_engine *engine, uint64_t now);
void core_bury(struct ike_engine *engine, uint32_t child_id, bool keep_policy, uint64_t at);
struct ike_sa *core_find_spi(const struct ike_engine *engine, uint64_t spi);
struct ike_sa *core_find_init(const struct ike_engine *engine, uint64_t spi_i, const struct endpoint *remote);

#endif
