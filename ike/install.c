/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/install_private.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/own.h"
#include "agent/base/secret.h"
#include "ike/payload/notify.h"
#include "ike/rivals.h"
#include "ike/sa_fill.h"
#include "ike/ts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int installer_new(struct sadb *db, struct agent_link *link, struct installer **out)
{
	struct installer *installer = calloc(1, sizeof(*installer));
	int rc;

	if (!installer)
		return -ENOMEM;
	installer->db = db;
	installer->link = link;
	installer->mss_clamp = true;
	tunnel_table_init(&installer->tunnels);
	rc = policy_set_new(db, &installer->policies);
	if (rc) {
		free(installer);
		return rc;
	}
	*out = installer;
	return 0;
}

void installer_free(struct installer *installer)
{
	if (!installer)
		return;
	tunnel_table_clear(&installer->tunnels);
	policy_set_free(installer->policies);
	free(installer);
}

void installer_clamp_mss(struct installer *installer, bool on)
{
	installer->mss_clamp = on;
}

struct tunnel_table *installer_tunnels(struct installer *installer)
{
	return &installer->tunnels;
}

/* ---- slots of tunnels ------------------------------------------------------------------------------------------ */

bool install_clamps_mss(const struct installer *installer, uint8_t choice)
{
	return choice == MSS_DEFAULT ? installer->mss_clamp : choice == MSS_CLAMP;
}

bool install_selectors_same(const struct selector *a, unsigned a_count, const struct selector *b, unsigned b_count)
{
	if (a_count != b_count)
		return false;
	for (unsigned i = 0; i < a_count; i++)
		if (!ts_equal(&a[i], &b[i]))
			return false;
	return true;
}

static bool slot_is_for(const struct tunnel *slot, const struct tunnel *wanted)
{
	return slot->state == TUNNEL_LIVE && slot->mode == wanted->mode &&
	       install_selectors_same(slot->local, slot->local_count, wanted->local, wanted->local_count) &&
	       install_selectors_same(slot->remote, slot->remote_count, wanted->remote, wanted->remote_count);
}

/* An earlier run's tunnels stand until installer_clean. Where that leaves too few, the one of the very same traffic is
 * taken on: its policies lead to it already. */
static int slot_adopt(struct installer *installer, const struct tunnel *wanted, uint32_t *id)
{
	for (uint32_t i = 0; !installer->settled && i < sadb_tunnel_count(installer->db); i++) {
		if (!slot_is_for(sadb_tunnel(installer->db, i), wanted) || tunnel_find_id(&installer->tunnels, i))
			continue;
		sadb_tunnel_update(installer->db, i, wanted);
		*id = i;
		return 0;
	}
	return -ENOSPC;
}

/* The entry's selectors and options into its slot, which is taken if there is none yet. */
int install_slot_write(struct installer *installer, struct tunnel_entry *entry)
{
	struct tunnel tunnel = {
		.mode = entry->mode,
		.flags = install_clamps_mss(installer, entry->clamp) ? TUNNEL_MSS_CLAMP : 0,
		.options = entry->options,
		.local_count = entry->local_count,
		.remote_count = entry->remote_count,
	};

	if (entry->tfc_plain)
		tunnel.options.tfc_pad = 0;
	memcpy(tunnel.local, entry->local, sizeof(tunnel.local));
	memcpy(tunnel.remote, entry->remote, sizeof(tunnel.remote));
	if (entry->id == TUNNEL_NONE) {
		int rc = sadb_tunnel_add(installer->db, &tunnel, &entry->id);

		return rc == -ENOSPC ? slot_adopt(installer, &tunnel, &entry->id) : rc;
	}
	sadb_tunnel_update(installer->db, entry->id, &tunnel);
	return 0;
}

void install_selectors_set(struct tunnel_entry *entry, const struct selector *local, uint8_t local_count,
	const struct selector *remote, uint8_t remote_count)
{
	memset(entry->local, 0, sizeof(entry->local));
	memset(entry->remote, 0, sizeof(entry->remote));
	memcpy(entry->local, local, local_count * sizeof(*local));
	memcpy(entry->remote, remote, remote_count * sizeof(*remote));
	entry->local_count = local_count;
	entry->remote_count = remote_count;
}

/* Without SAs and out of the configuration: nothing holds the entry any more. */
void install_entry_release(struct installer *installer, struct tunnel_entry *entry)
{
	if (entry->configured || entry->pairs)
		return;
	protection_stop(&entry->negotiated_for, installer->policies, installer->link);
	protection_stop(&entry->configured_for, installer->policies, installer->link);
	if (entry->id != TUNNEL_NONE)
		sadb_tunnel_delete(installer->db, entry->id);
	tunnel_entry_delete(&installer->tunnels, entry);
}

/* ---- SAs ------------------------------------------------------------------------------------------------------- */
/* The same peer and selectors: it set its IKE SA up anew and takes over. */
static bool entry_is_for(const struct tunnel_entry *entry, const struct child_install *install)
{
	return strcmp(entry->conn, install->conn) == 0 && strcmp(entry->child, install->child) == 0 &&
	       ike_id_equal(&entry->peer, install->peer) &&
	       install_selectors_same(entry->local, entry->local_count, install->local_ts, install->local_count) &&
	       install_selectors_same(entry->remote, entry->remote_count, install->remote_ts, install->remote_count);
}

/* The entry that is to have the SAs; NULL: a new one. */
static struct tunnel_entry *entry_find(struct installer *installer, const struct child_install *install)
{
	struct tunnel_entry *entry = NULL;

	if (install->replaces)
		entry = tunnel_find_child(&installer->tunnels, install->replaces, NULL);
	for (struct tunnel_entry *e = installer->tunnels.first; !entry && e; e = e->next)
		if (e->pairs && entry_is_for(e, install))
			entry = e;
	if (entry)
		return entry;
	entry = tunnel_find_configured(&installer->tunnels, install->conn, install->child);
	/* Another peer of the same child has it: this one gets a tunnel of its own. */
	return entry && !entry->pairs ? entry : NULL;
}

static struct tunnel_entry *entry_for(struct installer *installer, const struct child_install *install)
{
	struct tunnel_entry *entry = entry_find(installer, install);

	return entry ? entry : tunnel_entry_new(&installer->tunnels, install->conn, install->child);
}

/* What is to be protected if that goes beyond the configuration: "dynamic" sides, further peers of a child. */
static struct protection negotiated_protection(const struct child_install *install)
{
	struct protection wanted = {
		.routed = true,
		.hosts = install->config->mode == SA_TRANSPORT,
		.action = POLICY_PROTECT,
		.priority = install->config->priority,
		.local_count = install->local_count,
		.remote_count = install->remote_count,
	};

	memcpy(wanted.local, install->local_ts, sizeof(wanted.local));
	memcpy(wanted.remote, install->remote_ts, sizeof(wanted.remote));
	return wanted;
}

/* Has an earlier negotiation put the same in force? */
static bool negotiated_stands(const struct tunnel_entry *entry, const struct child_install *install)
{
	const struct protection *old = &entry->negotiated_for;

	return old->on &&
	       install_selectors_same(old->local, old->local_count, install->local_ts, install->local_count) &&
	       install_selectors_same(old->remote, old->remote_count, install->remote_ts, install->remote_count);
}

/* New policies first, then those away whose place they take. */
static int negotiated_protect(
	struct installer *installer, struct tunnel_entry *entry, const struct child_install *install)
{
	struct protection old = entry->negotiated_for, wanted = negotiated_protection(install);
	int rc = 0;

	if (negotiated_stands(entry, install))
		return 0;
	if (!tunnel_is_configured_for(entry, install))
		rc = protection_start(&wanted, installer->policies, installer->link, entry->id);
	if (rc)
		return rc;
	protection_stop(&old, installer->policies, installer->link);
	entry->negotiated_for = wanted;
	return 0;
}

/* Is there room for its SAs, its tunnel and its policies? 0 or -errno. */
static int room_for(struct installer *installer, const struct tunnel_entry *entry, const struct child_install *install)
{
	struct policy policies[PROTECTION_POLICIES_MAX];
	struct protection wanted = negotiated_protection(install);

	if (!sadb_has_room(installer->db, 2, !entry || entry->id == TUNNEL_NONE))
		return -ENOSPC;
	if (entry && (negotiated_stands(entry, install) || tunnel_is_configured_for(entry, install)))
		return 0;
	return policy_try(installer->policies, policies, protection_policies(&wanted, TUNNEL_NONE, policies));
}

uint16_t installer_admit(struct installer *installer, const struct child_install *install, char *why, size_t why_size)
{
	const struct tunnel_entry *entry = entry_find(installer, install);
	const struct tunnel_entry *rival = rival_find(&installer->tunnels, entry, install);
	int rc;

	if (rival) {
		rival_tell(rival, install, why, why_size);
		return TS_UNACCEPTABLE;
	}
	rc = room_for(installer, entry, install);
	if (!rc)
		return NOTIFY_NONE;
	snprintf(why, why_size, "%s", installer_reason(rc));
	return NO_ADDITIONAL_SAS;
}

static int sa_add(struct installer *installer, const struct child_install *install, enum sa_direction direction,
	const struct tunnel_entry *entry, uint32_t *index)
{
	struct sa sa;
	int rc;

	sa_fill(install, direction, entry->id, clock_now_ns(), &sa);
	rc = sadb_add(installer->db, &sa, index);
	secret_wipe(&sa, sizeof(sa));
	if (rc)
		*index = SA_NONE;
	return rc;
}

/* Whose it is, and what the slot says beside the selectors. */
static void negotiated_set(struct tunnel_entry *entry, const struct child_install *install)
{
	entry->peer = *install->peer;
	entry->mode = install->mode;
	entry->config_mode = install->config->mode;
	entry->priority = install->config->priority;
	entry->tfc_plain = install->tfc_plain;
	entry->options = install->config->options;
	entry->clamp = install->config->clamp;
}

/* Selectors and all else that was agreed on, into the entry and its slot. */
static int negotiated_write(
	struct installer *installer, struct tunnel_entry *entry, const struct child_install *install)
{
	install_selectors_set(
		entry, install->local_ts, install->local_count, install->remote_ts, install->remote_count);
	negotiated_set(entry, install);
	return install_slot_write(installer, entry);
}

int installer_install_in(struct installer *installer, const struct child_install *install)
{
	struct tunnel_entry *entry = entry_for(installer, install);
	struct sa_pair *pair = entry ? sa_pair_add(entry, install->child_id, install->spi_in, install->spi_out) : NULL;
	bool fresh;
	int rc;

	if (!pair)
		return -ENOMEM;
	/* What the slot says holds for the SAs that live too: if they are to go on without this one, it stays. */
	fresh = entry->id == TUNNEL_NONE;
	rc = fresh ? negotiated_write(installer, entry, install) : 0;
	if (!rc)
		rc = sa_add(installer, install, SA_IN, entry, &pair->sa_in);
	if (!rc)
		rc = negotiated_protect(installer, entry, install);
	if (!rc && !fresh)
		rc = negotiated_write(installer, entry, install);
	if (rc) {
		installer_remove_in(installer, install->child_id);
		return rc;
	}
	entry->rekeys += install->replaces != 0;
	return 0;
}

int installer_install_out(struct installer *installer, const struct child_install *install)
{
	struct sa_pair *pair;
	struct tunnel_entry *entry = tunnel_find_child(&installer->tunnels, install->child_id, &pair);
	int rc = 0;

	if (!entry)
		return -ENOENT;
	pair->spi_out = install->spi_out;
	if (pair->sa_out == SA_NONE)
		rc = sa_add(installer, install, SA_OUT, entry, &pair->sa_out);
	if (!rc)
		sadb_tunnel_switch(installer->db, entry->id, pair->sa_out);
	return rc;
}

/* Another CHILD SA of the tunnel that can still send, or SA_NONE: hold or drop. */
static uint32_t out_sa_left(const struct tunnel_entry *entry, uint32_t besides)
{
	for (const struct sa_pair *pair = entry->pairs; pair; pair = pair->next)
		if (pair->sa_out != SA_NONE && pair->sa_out != besides)
			return pair->sa_out;
	return SA_NONE;
}

static void out_remove(struct installer *installer, struct tunnel_entry *entry, struct sa_pair *pair)
{
	uint32_t gone = pair->sa_out;

	if (gone == SA_NONE)
		return;
	if (sadb_tunnel(installer->db, entry->id)->out_sa == gone)
		sadb_tunnel_switch(installer->db, entry->id, out_sa_left(entry, gone));
	sadb_delete(installer->db, gone);
	tunnel_totals_retire(entry, installer->db, gone, false);
	pair->sa_out = SA_NONE;
}

void installer_remove_out(struct installer *installer, uint32_t child_id)
{
	struct sa_pair *pair;
	struct tunnel_entry *entry = tunnel_find_child(&installer->tunnels, child_id, &pair);

	if (entry)
		out_remove(installer, entry, pair);
}

/* Back to what the configuration says: waiting, fail closed. What only a negotiation told stays protected as it was. */
static void entry_rest(struct installer *installer, struct tunnel_entry *entry)
{
	const struct protection *known = &entry->configured_for;

	if (!known->on)
		return;
	protection_stop(&entry->negotiated_for, installer->policies, installer->link);
	install_selectors_set(entry, known->local, known->local_count, known->remote, known->remote_count);
	entry->mode = entry->config_mode;
	install_slot_write(installer, entry);
}

void installer_remove_in(struct installer *installer, uint32_t child_id)
{
	struct sa_pair *pair;
	struct tunnel_entry *entry = tunnel_find_child(&installer->tunnels, child_id, &pair);

	if (!entry)
		return;
	out_remove(installer, entry, pair);
	if (pair->sa_in != SA_NONE) {
		sadb_delete(installer->db, pair->sa_in);
		tunnel_totals_retire(entry, installer->db, pair->sa_in, true);
	}
	sa_pair_delete(entry, pair);
	if (!entry->pairs)
		entry_rest(installer, entry);
	install_entry_release(installer, entry);
}

int installer_move(struct installer *installer, uint32_t child_id, const struct endpoint *local,
	const struct endpoint *remote, bool udp_encap)
{
	struct sa_pair *pair;
	struct tunnel_entry *entry = tunnel_find_child(&installer->tunnels, child_id, &pair);
	struct addr16 local_addr, remote_addr;
	uint16_t local_port = udp_encap ? local->port : 0, remote_port = udp_encap ? remote->port : 0;
	int rc = 0;

	if (!entry)
		return -ENOENT;
	addr_to_mapped(&local->addr, local_addr.bytes);
	addr_to_mapped(&remote->addr, remote_addr.bytes);
	if (pair->sa_in != SA_NONE)
		rc = sadb_move(installer->db, pair->sa_in, &local_addr, local_port, &remote_addr, remote_port);
	if (!rc && pair->sa_out != SA_NONE)
		rc = sadb_move(installer->db, pair->sa_out, &local_addr, local_port, &remote_addr, remote_port);
	return rc;
}
