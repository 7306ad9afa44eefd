/* SPDX-License-Identifier: Apache-2.0 */
/* The policy question asked from user space: the same maps, lengths and selectors as policy.bpf.h. */
#include "bpf/policy.h"
#include "bpf/policy_lens.h"
#include "bpf/sadb_private.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#define READINGS_MAX 8 /* of entries that were rewritten while they were read */
#define MISS	     (-ENOENT)

static int probe4(const struct sadb *db, struct policy_question *q, uint32_t len)
{
	struct policy4_key key = policy4_key_of(q, len);
	struct policy4 entry;
	int err = bpf_map_lookup_elem(db->fds[MAP_policy4], &key, &entry);

	if (err)
		return err;
	return POLICY_SOUND(&entry, &key, entry.generation) ? POLICY_WALK(&entry, q, selector4_match)
							    : POLICY_ANSWER_BUSY;
}

static int probe6(const struct sadb *db, struct policy_question *q, uint32_t len)
{
	struct policy6_key key = policy6_key_of(q, len);
	struct policy6 entry;
	int err = bpf_map_lookup_elem(db->fds[MAP_policy6], &key, &entry);

	if (err)
		return err;
	return POLICY_SOUND(&entry, &key, entry.generation) ? POLICY_WALK(&entry, q, selector6_match)
							    : POLICY_ANSWER_BUSY;
}

/* One pass over the lengths. */
static int lookup_pass(const struct sadb *db, struct policy_question *q)
{
	const struct policy_lens *lens = &db->policy_lens[q->family == 4 ? 0 : 1];
	int len = policy_lens_next(lens, POLICY_LENS_HEAD);

	for (; len >= 0; len = policy_lens_next(lens, (uint32_t)len)) {
		int answer = q->family == 4 ? probe4(db, q, (uint32_t)len) : probe6(db, q, (uint32_t)len);

		if (answer != MISS)
			return answer;
	}
	return POLICY_ANSWER_NONE;
}

int policy_lookup(const struct sadb *db, const struct policy_question *question, uint32_t *tunnel)
{
	struct policy_question q = *question;
	int answer = POLICY_ANSWER_BUSY;

	q.tunnel = TUNNEL_NONE;
	for (int i = 0; i < READINGS_MAX && answer == POLICY_ANSWER_BUSY; i++)
		answer = lookup_pass(db, &q);
	*tunnel = answer == POLICY_PROTECT ? q.tunnel : TUNNEL_NONE;
	return answer;
}

bool policy_covers(const struct sadb *db, uint8_t family, const struct addr16 *remote)
{
	const struct policy_lens *lens = &db->policy_lens[family == 4 ? 0 : 1];
	struct policy_question q = {.family = family};
	int len = policy_lens_next(lens, POLICY_LENS_HEAD);

	memcpy(q.remote, remote, sizeof(q.remote));
	for (; len >= 0; len = policy_lens_next(lens, (uint32_t)len))
		if ((family == 4 ? probe4(db, &q, (uint32_t)len) : probe6(db, &q, (uint32_t)len)) != MISS)
			return true;
	return false;
}

uint64_t policy_changes(const struct sadb *db)
{
	return 1 + __atomic_load_n(&db->policy_lens[0].changes, __ATOMIC_ACQUIRE) +
	       __atomic_load_n(&db->policy_lens[1].changes, __ATOMIC_ACQUIRE);
}
