/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's own context of one SA: what esp_seal and esp_open need, at hand without a look into shared memory, and the
 * counters of the turn, added to the shared ones once per turn. One context belongs to one worker; several workers may
 * each have one of the same SA.
 */
#ifndef ESPALIER_AGENT_SA_CONTEXT_H
#define ESPALIER_AGENT_SA_CONTEXT_H

#include "agent/selector.h"
#include "agent/suite.h"
#include "bpf/contract.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define OUTER_HEADERS_MAX 48u /* IPv6 and UDP */

struct sa_context {
	/* What every packet asks for, in one place. */
	struct sa_run *run; /* borrowed: the map's slot */
	const struct esp_suite *suite;
	struct esp_cipher cipher;
	/*
	 * Taken around the replay window only, where several workers may hold an inbound SA. Borrowed, set by the
	 * worker after init; NULL: this worker is the only one.
	 */
	atomic_flag *replay_lock;
	/* Since the last flush. */
	uint64_t packets;
	uint64_t bytes; /* of inner packets */
	uint64_t last_use_ns;
	uint64_t dropped_replay;
	uint64_t dropped_icv;
	uint64_t dropped_other;
	uint64_t expires_ns; /* the hard limit by time, UINT64_MAX without one */
	bool counted;	     /* there is a hard limit by bytes or packets */
	/* ESP in tunnel mode, IPv4 outside, in UDP perhaps, nothing to hide lengths: what esp_seal and esp_open do
	 * without asking further. */
	bool plain;
	uint8_t meta_flags; /* META_UDP_ENCAP, or 0: as XDP tells of its packets */
	uint64_t seq_last;  /* the last number that a packet may have: 2^32 - 1, with ESN 2^64 - 1 */
	/*
	 * Identifications of the IPv4 packets that may be cut on their way (RFC 6864 4): one row of numbers for all SAs
	 * of the worker. Borrowed, set by it after init; NULL: the sequence number serves.
	 */
	uint16_t *ids;

	uint8_t outer_family;		  /* 4 or 6 */
	uint8_t outer_len;		  /* bytes before the ESP header: IP, and UDP if encapsulated */
	uint8_t outer[OUTER_HEADERS_MAX]; /* template: addresses, ports, protocol; lengths, ID, DSCP and checksums are 0
					   */
	/* The tunnel's options, ready to be used: of the inner traffic class these bits go along, those are set. */
	uint8_t class_keep;
	uint8_t class_set;
	bool df_keep; /* the same of don't-fragment */
	bool df_set;
	uint16_t outer_sum; /* of an IPv4 template, but for its first 8 bytes (sum.h) */
	uint8_t front_len;  /* bytes before the text: outer_len, ESP header, IV */
	uint32_t carries;   /* longest packet that the SA carries now, as the worker found out last; 0: unknown */
	struct selector_pair selectors; /* of the tunnel, ready to be asked */

	struct sa sa;	      /* as read, without its keys */
	struct tunnel tunnel; /* its selectors, as read */
};

/*
 * Set up `ctx` from a stable copy of the slot (sadb_read) and of its tunnel. The caller still wipes its copy's keys.
 * `run` is borrowed. -EOPNOTSUPP: no such suite, protocol or mode here; -EINVAL: the slot contradicts itself (addresses
 * of two families, ports, window); -ENOMEM or -EIO: the library. On failure `ctx` is cleared; packets of the SA then
 * die as DROP_SA_BROKEN.
 */
int sa_context_init(struct sa_context *ctx, const struct sa *sa, const struct tunnel *tunnel, struct sa_run *run);
/* Make anew what is derived of `sa` and `tunnel` for every packet: part of init, and after a change of them. */
void sa_context_derive(struct sa_context *ctx);
/* Wipe and free. Flush before. Harmless on a zeroed or cleared context. */
void sa_context_clear(struct sa_context *ctx);

/*
 * Once per turn: add the counters to the shared ones. Returns what of the SA's lifetime was reached and has not been
 * told before by anyone (0, or AGENT_EXPIRE_SOFT | AGENT_EXPIRE_HARD of agent/contract.h): send that to the IKE daemon.
 * Cheap when nothing was counted.
 */
unsigned sa_context_flush(struct sa_context *ctx);

/* Is this the SA's remote address? 4 or 16 bytes, by family. */
bool sa_context_is_peer(const struct sa_context *ctx, uint8_t family, const uint8_t *address);

/* Count the fate of one packet of this SA: esp_seal and esp_open call it themselves. */
void sa_context_count_drop(struct sa_context *ctx, enum drop_reason reason);
/* Is a hard limit (time, bytes, packets) reached? esp_seal and esp_open ask it themselves. */
bool sa_context_reached(const struct sa_context *ctx, uint64_t now_ns);
static inline bool sa_context_expired(const struct sa_context *ctx, uint64_t now_ns)
{
	return now_ns >= ctx->expires_ns || (ctx->counted && sa_context_reached(ctx, now_ns));
}

#endif
