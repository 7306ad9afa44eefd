/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies in the maps (contract.h). Address ranges become prefixes; the ordered selectors of covering prefixes are
 * written behind each longer one. The set lives in the memory of the one writer; after a restart it is rebuilt from the
 * maps. A change costs what the entries cost that it changes: its own prefixes and the longer ones below them.
 */
#ifndef ESPALIER_BPF_POLICY_H
#define ESPALIER_BPF_POLICY_H

#include "bpf/contract.h"
#include "bpf/policy_match.h"

#include <stdbool.h>
#include <stdint.h>

struct sadb;
struct policy_set; /* opaque */

/* One policy: every local selector with every remote selector of the same family and protocol. Lower `priority` is
 * asked first; at the same priority the longer remote prefix, then the older policy. */
struct policy {
	__u32 tunnel; /* tunnel id, or TUNNEL_NONE for bypass and discard */
	__u8 action;  /* enum policy_action */
	__u32 priority;
	__u8 local_count;
	__u8 remote_count;
	struct selector local[SELECTORS_MAX];
	struct selector remote[SELECTORS_MAX];
};

/*
 * The set over the maps of an SADB opened for writing. Entries that an earlier writer left stay in force until
 * `policy_set_settle` or `policy_set_clear`, but an entry of the same prefix is replaced: a restarted daemon adds its
 * policies, then settles, and nothing was in clear in between. (It keeps the old tunnel ids until then, too.) -errno.
 * The caller frees the set before the SADB closes.
 */
int policy_set_new(struct sadb *db, struct policy_set **set);
void policy_set_free(struct policy_set *set);
/* Remove what an earlier writer left in the maps. */
int policy_set_settle(struct policy_set *set);
/* Forget every policy and empty the maps. */
int policy_set_clear(struct policy_set *set);

/*
 * Add a policy; `*id` names it. -E2BIG: more than POLICY_SELECTORS_MAX selectors behind one prefix; -ENOSPC: map full;
 * -EINVAL: no pair of selectors of one family. On failure the maps are as before.
 */
int policy_add(struct policy_set *set, const struct policy *policy, __u32 *id);
/* What policy_add would say to all of these, one after the other (but for failures of the kernel's): 0, -E2BIG,
 * -ENOSPC, -EINVAL, -ENOMEM. Nothing is changed. */
int policy_try(struct policy_set *set, const struct policy *policies, unsigned count);
/* -ENOENT: no such policy. On other failures the maps are as before. */
int policy_remove(struct policy_set *set, __u32 id);

/*
 * What do the policies in force say about a packet? The answer that the BPF programs would give: enum policy_action or
 * POLICY_ANSWER_*; -errno if the maps cannot be read. Only POLICY_BYPASS and POLICY_ANSWER_NONE may let it go in clear.
 * `*tunnel` is the tunnel of POLICY_PROTECT, else TUNNEL_NONE. Costs a system call per prefix length in use. Any thread
 * may ask.
 */
int policy_lookup(const struct sadb *db, const struct policy_question *question, uint32_t *tunnel);
/* Is there a policy whose remote range holds this address, whatever else it asks for? If not, policy_lookup answers
 * POLICY_ANSWER_NONE for every packet to it. True too if the maps cannot be read. Costs as much. Any thread may ask. */
bool policy_covers(const struct sadb *db, uint8_t family, const struct addr16 *remote);
/* Another number once a policy has changed, never 0. Read before an answer that is to be remembered is asked for: as
 * long as the number is the same, so is the answer. Costs two loads. */
uint64_t policy_changes(const struct sadb *db);

#endif
