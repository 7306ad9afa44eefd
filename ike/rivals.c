/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/rivals.h"

#include "ike/ts.h"

#include <stdio.h>
#include <string.h>

static struct ts_pairs install_pairs(const struct child_install *install)
{
	return (struct ts_pairs){
		.local = install->local_ts,
		.remote = install->remote_ts,
		.local_count = install->local_count,
		.remote_count = install->remote_count,
	};
}

static struct ts_pairs entry_pairs(const struct tunnel_entry *entry)
{
	return (struct ts_pairs){
		.local = entry->local,
		.remote = entry->remote,
		.local_count = entry->local_count,
		.remote_count = entry->remote_count,
	};
}

static bool same_child(const struct tunnel_entry *entry, const struct child_install *install)
{
	return strcmp(entry->conn, install->conn) == 0 && strcmp(entry->child, install->child) == 0;
}

/* Two policies of the same traffic, of which the older one would get every packet. */
static bool same_policy(const struct ts_pairs *has, uint32_t priority, const struct child_install *install)
{
	const struct ts_pairs asked = install_pairs(install);

	return priority == install->config->priority && ts_pairs_same(has, &asked) >= 0;
}

/* An SA carries some of it for another peer. */
static bool peer_has(const struct tunnel_entry *entry, const struct child_install *install, bool configured)
{
	const struct ts_pairs has = entry_pairs(entry), asked = install_pairs(install);

	if (!entry->pairs || ike_id_equal(&entry->peer, install->peer))
		return false;
	/* Where the file names both sides' selectors, it has said which of two children is asked first. */
	return (same_child(entry, install) || (!configured && !entry->configured_for.on)) &&
	       ts_pairs_overlap(&has, &asked);
}

/* Another child has the very same policy, whoever its peer is. */
static bool child_has(const struct tunnel_entry *entry, const struct child_install *install, bool configured)
{
	const struct ts_pairs known = protection_pairs(&entry->configured_for), has = entry_pairs(entry);

	if (configured || same_child(entry, install))
		return false;
	if (entry->configured_for.on)
		return same_policy(&known, entry->configured_for.priority, install);
	return entry->pairs && same_policy(&has, entry->priority, install);
}

const struct tunnel_entry *rival_find(
	const struct tunnel_table *table, const struct tunnel_entry *own, const struct child_install *install)
{
	bool configured = own && tunnel_is_configured_for(own, install);

	for (const struct tunnel_entry *entry = table->first; entry; entry = entry->next)
		if (entry != own && (peer_has(entry, install, configured) || child_has(entry, install, configured)))
			return entry;
	return NULL;
}

void rival_tell(const struct tunnel_entry *rival, const struct child_install *install, char *out, size_t size)
{
	char asking[IKE_ID_TEXT_LEN], having[IKE_ID_TEXT_LEN] = "", local[TS_TEXT_LEN * 2], remote[TS_TEXT_LEN * 2];

	if (rival->pairs)
		ike_id_format(&rival->peer, having);
	snprintf(out, size,
		"'%s' asks for its %s to our %s, which connection %s, child %s has already%s%s%s: packets for the one "
		"could not be told from packets for the other (RFC 3948 5.1, 5.2), so the first keeps them. Give each "
		"peer addresses, protocols or ports of its own (local_ts there, remote_ts here); if they are one peer, "
		"let it use one identity",
		ike_id_format(install->peer, asking),
		ts_list_format(install->remote_ts, install->remote_count, remote, sizeof(remote)),
		ts_list_format(install->local_ts, install->local_count, local, sizeof(local)), rival->conn,
		rival->child, rival->pairs ? " with '" : "", having, rival->pairs ? "'" : "");
}
