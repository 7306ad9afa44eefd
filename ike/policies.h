/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which policies (bpf/policy.h) protect a set of traffic selectors: pure, so that the configuration is checked with the
 * very policies that will stand in the maps.
 */
#ifndef ESPALIER_IKE_POLICIES_H
#define ESPALIER_IKE_POLICIES_H

#include "bpf/policy.h"
#include "ike/engine.h"
#include "ike/ts_pairs.h"

#include <stdbool.h>

/* One a remote selector, so that each has the priority of its own prefix, and one a pair of which the remote selector
 * contains the local one: what is on this side stays there. */
#define PROTECTION_POLICIES_MAX (SELECTORS_MAX + SELECTORS_MAX * SELECTORS_MAX)

struct protection {
	bool on;
	bool routed;	   /* the host's own traffic goes by the host device */
	bool hosts;	   /* transport mode: the selectors' addresses are the two hosts' own */
	uint8_t action;	   /* enum policy_action */
	uint32_t priority; /* of the configuration; 0: by the selectors' sizes */
	uint8_t local_count;
	uint8_t remote_count;
	struct selector local[SELECTORS_MAX];
	struct selector remote[SELECTORS_MAX];
	uint32_t policies[PROTECTION_POLICIES_MAX]; /* ids of those in force */
	uint32_t policy_count;
};

/* The protection of a child as far as it is known before a negotiation: "dynamic" is the side's own address. False: a
 * side is not known yet, so there are no policies before that. */
bool protection_of_child(
	const struct conn_config *conn, const struct child_config *child, struct protection *protection);
/* Its policies in the order in which they are to be added; their number. */
unsigned protection_policies(
	const struct protection *protection, uint32_t tunnel, struct policy policies[static PROTECTION_POLICIES_MAX]);
/* Its selectors, borrowed. */
struct ts_pairs protection_pairs(const struct protection *protection);
/* Has it local selectors of this family? */
bool protection_has_local(const struct protection *protection, uint8_t family);

/*
 * Of policies without a priority of their own, which stand behind all that have one (1 to PRIORITY_AUTO - 1). Lower is
 * asked first: the order of prefixes, longest first, and selectors of one protocol before those of any.
 * Without it a policy that covers a narrower one could hide it.
 */
#define PRIORITY_AUTO 100000u
uint32_t protection_priority(const struct selector *remote, bool any_protocol);

/* Bits that all addresses of a selector have in common, from the first on. */
unsigned selector_common_bits(const struct selector *selector);
/* Is `local` a part of `remote`, not all of it? Then `remote` says "everything but us". */
bool selector_is_inside(const struct selector *local, const struct selector *remote);

#endif
