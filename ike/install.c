/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/install.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/own.h"
#include "agent/base/secret.h"
#include "bpf/sadb.h"
#include "ike/sa_fill.h"
#include "ike/ts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct installer {
	struct sadb *db;
	struct agent_link *link;
	struct policy_set *policies;
	struct tunnel_table tunnels;
	bool mss_clamp;
};

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
static bool clamps_mss(const struct installer *installer, uint8_t choice)
{
	return choice == MSS_DEFAULT ? installer->mss_clamp : choice == MSS_CLAMP;
}

/* The entry's selectors and options into its slot, which is taken if there is none yet. */
static int slot_write(struct installer *installer, struct tunnel_entry *entry)
{
	struct tunnel tunnel = {
		.mode = entry->mode,
		.flags = clamps_mss(installer, entry->clamp) ? SA_MSS_CLAMP : 0,
		.options = entry->options,
		.local_count = entry->local_count,
		.remote_count = entry->remote_count,
	};

	if (entry->tfc_plain)
		tunnel.options.tfc_pad = 0;
	memcpy(tunnel.local, entry->local, sizeof(tunnel.local));
	memcpy(tunnel.remote, entry->remote, sizeof(tunnel.remote));
	if (entry->id == TUNNEL_NONE)
		return sadb_tunnel_add(installer->db, &tunnel, &entry->id);
	sadb_tunnel_update(installer->db, entry->id, &tunnel);
	return 0;
}

static void selectors_set(struct tunnel_entry *entry, const struct selector *local, uint8_t local_count,
	const struct selector *remote, uint8_t remote_count)
{
	memset(entry->local, 0, sizeof(entry->local));
	memset(entry->remote, 0, sizeof(entry->remote));
	memcpy(entry->local, local, local_count * sizeof(*local));
	memcpy(entry->remote, remote, remote_count * sizeof(*remote));
	entry->local_count = local_count;
	entry->remote_count = remote_count;
}

static bool selectors_same(const struct selector *a, unsigned a_count, const struct selector *b, unsigned b_count)
{
	if (a_count != b_count)
		return false;
	for (unsigned i = 0; i < a_count; i++)
		if (!ts_equal(&a[i], &b[i]))
			return false;
	return true;
}

/* Without SAs and out of the configuration: nothing holds the entry any more. */
static void entry_release(struct installer *installer, struct tunnel_entry *entry)
{
	if (entry->configured || entry->pairs)
		return;
	protection_stop(&entry->negotiated_for, installer->policies, installer->link);
	protection_stop(&entry->configured_for, installer->policies, installer->link);
	if (entry->id != TUNNEL_NONE)
		sadb_tunnel_delete(installer->db, entry->id);
	tunnel_entry_delete(&installer->tunnels, entry);
}

/* ---- configuration --------------------------------------------------------------------------------------------- */
static bool entry_fits(const struct tunnel_entry *entry, const struct protection *wanted)
{
	const struct protection *has = &entry->configured_for;

	return has->routed == wanted->routed && has->hosts == wanted->hosts && has->action == wanted->action &&
	       has->priority == wanted->priority &&
	       selectors_same(has->local, has->local_count, wanted->local, wanted->local_count) &&
	       selectors_same(has->remote, has->remote_count, wanted->remote, wanted->remote_count);
}

/* Takes slot and policies of a child that is new (or other than before). */
static int child_protect(struct installer *installer, struct tunnel_entry *entry)
{
	struct protection *wanted = &entry->configured_for;
	int rc;

	if (!wanted->local_count || !wanted->remote_count || wanted->on)
		return 0;
	selectors_set(entry, wanted->local, wanted->local_count, wanted->remote, wanted->remote_count);
	rc = entry->shunt ? 0 : slot_write(installer, entry);
	if (!rc)
		rc = protection_start(wanted, installer->policies, installer->link, entry->id);
	if (rc)
		log_error("connection %s, child %s: its policy could not be set (%s); its traffic is not protected",
			entry->conn, entry->child, strerror(-rc));
	return rc;
}

/* What a reload may change under living SAs. */
static void options_set(struct installer *installer, struct tunnel_entry *entry, const struct child_config *child)
{
	bool same =
		memcmp(&entry->options, &child->options, sizeof(child->options)) == 0 && entry->clamp == child->clamp;

	entry->options = child->options;
	entry->clamp = child->clamp;
	if (!same && entry->id != TUNNEL_NONE)
		slot_write(installer, entry);
}

/* Further peers of the child have tunnels of their own. */
static void options_set_all(struct installer *installer, const char *conn, const struct child_config *child)
{
	for (struct tunnel_entry *entry = installer->tunnels.first; entry; entry = entry->next)
		if (strcmp(entry->conn, conn) == 0 && strcmp(entry->child, child->name) == 0)
			options_set(installer, entry, child);
}

static int child_configure(
	struct installer *installer, const struct conn_config *conn, const struct child_config *child)
{
	struct tunnel_entry *entry = tunnel_find_configured(&installer->tunnels, conn->name, child->name);
	struct protection wanted;

	protection_of_child(conn, child, &wanted);
	if (entry && !entry_fits(entry, &wanted)) {
		entry->configured = false; /* kept until its SAs are gone; the engine deletes them */
		entry = NULL;
	}
	if (!entry) {
		entry = tunnel_entry_new(&installer->tunnels, conn->name, child->name);
		if (!entry)
			return -ENOMEM;
		entry->configured = true;
		entry->configured_for = wanted;
		entry->mode = entry->config_mode = child->mode;
		entry->shunt = child->shunt;
	}
	entry->start_action = child->start_action;
	options_set_all(installer, conn->name, child);
	return child_protect(installer, entry);
}

static const struct child_config *child_find(const struct engine_config *config, const char *conn, const char *child)
{
	for (const struct conn_config *c = config->conns; c < config->conns + config->conn_count; c++)
		for (unsigned i = 0; strcmp(c->name, conn) == 0 && i < c->child_count; i++)
			if (strcmp(c->children[i].name, child) == 0)
				return &c->children[i];
	return NULL;
}

int installer_configure(struct installer *installer, const struct engine_config *config)
{
	struct tunnel_entry *next;
	int first = 0;

	for (const struct conn_config *c = config->conns; c < config->conns + config->conn_count; c++)
		for (unsigned i = 0; i < c->child_count; i++) {
			int rc = child_configure(installer, c, &c->children[i]);

			first = first ? first : rc;
		}
	for (struct tunnel_entry *entry = installer->tunnels.first; entry; entry = next) {
		next = entry->next;
		if (!child_find(config, entry->conn, entry->child))
			entry->configured = false;
		entry_release(installer, entry);
	}
	return first;
}

unsigned installer_clean(struct installer *installer)
{
	unsigned found = 0;
	int rc = policy_set_settle(installer->policies);

	if (rc)
		log_warn("policies of an earlier run could not all be removed: %s", strerror(-rc));
	for (uint32_t i = 0; i < sadb_sa_count(installer->db); i++)
		if (sadb_slot(installer->db, i)->state == SA_LIVE && !tunnel_find_sa(&installer->tunnels, i, NULL))
			found += !sadb_delete(installer->db, i);
	for (uint32_t i = 0; i < sadb_tunnel_count(installer->db); i++)
		if (sadb_tunnel(installer->db, i)->state == TUNNEL_LIVE && !tunnel_find_id(&installer->tunnels, i))
			sadb_tunnel_delete(installer->db, i);
	return found;
}

/* ---- SAs ------------------------------------------------------------------------------------------------------- */
/* The same selectors: a peer that set its IKE SA up anew takes over. */
static bool entry_is_for(const struct tunnel_entry *entry, const struct child_install *install)
{
	return strcmp(entry->conn, install->conn) == 0 && strcmp(entry->child, install->child) == 0 &&
	       selectors_same(entry->local, entry->local_count, install->local_ts, install->local_count) &&
	       selectors_same(entry->remote, entry->remote_count, install->remote_ts, install->remote_count);
}

static struct tunnel_entry *entry_for(struct installer *installer, const struct child_install *install)
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
	if (!entry || entry->pairs)
		entry = tunnel_entry_new(&installer->tunnels, install->conn, install->child);
	return entry;
}

/* Policies for what was negotiated beyond the configuration: "dynamic" sides, further peers of a child. */
static int negotiated_protect(struct installer *installer, struct tunnel_entry *entry)
{
	const struct protection *known = &entry->configured_for;
	struct protection wanted = {.routed = true,
		.hosts = entry->config_mode == SA_TRANSPORT,
		.action = POLICY_PROTECT,
		.priority = entry->priority,
		.local_count = entry->local_count,
		.remote_count = entry->remote_count};
	struct protection old = entry->negotiated_for;
	int rc;

	memcpy(wanted.local, entry->local, sizeof(wanted.local));
	memcpy(wanted.remote, entry->remote, sizeof(wanted.remote));
	if (old.on && selectors_same(old.local, old.local_count, wanted.local, wanted.local_count) &&
		selectors_same(old.remote, old.remote_count, wanted.remote, wanted.remote_count))
		return 0;
	if (known->on && ts_list_contains(known->remote, known->remote_count, wanted.remote, wanted.remote_count) &&
		ts_list_contains(known->local, known->local_count, wanted.local, wanted.local_count))
		rc = 0;
	else
		rc = protection_start(&wanted, installer->policies, installer->link, entry->id);
	if (rc)
		return rc;
	protection_stop(&old, installer->policies, installer->link);
	entry->negotiated_for = wanted;
	return 0;
}

static int sa_add(struct installer *installer, const struct child_install *install, enum sa_direction direction,
	const struct tunnel_entry *entry, uint32_t *index)
{
	struct sa sa;
	int rc;

	sa_fill(install, direction, entry->id, clamps_mss(installer, install->config->clamp), clock_now_ns(), &sa);
	rc = sadb_add(installer->db, &sa, index);
	secret_wipe(&sa, sizeof(sa));
	if (rc)
		*index = SA_NONE;
	return rc;
}

/* What the slot says beside the selectors. */
static void negotiated_set(struct tunnel_entry *entry, const struct child_install *install)
{
	entry->mode = install->mode;
	entry->config_mode = install->config->mode;
	entry->priority = install->config->priority;
	entry->tfc_plain = install->tfc_plain;
	entry->options = install->config->options;
	entry->clamp = install->config->clamp;
}

int installer_install_in(struct installer *installer, const struct child_install *install)
{
	struct tunnel_entry *entry = entry_for(installer, install);
	struct sa_pair *pair = entry ? sa_pair_add(entry, install->child_id, install->spi_in, install->spi_out) : NULL;
	int rc;

	if (!pair)
		return -ENOMEM;
	selectors_set(entry, install->local_ts, install->local_count, install->remote_ts, install->remote_count);
	negotiated_set(entry, install);
	rc = slot_write(installer, entry);
	if (!rc)
		rc = sa_add(installer, install, SA_IN, entry, &pair->sa_in);
	if (!rc)
		rc = negotiated_protect(installer, entry);
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
	selectors_set(entry, known->local, known->local_count, known->remote, known->remote_count);
	entry->mode = entry->config_mode;
	slot_write(installer, entry);
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
	entry_release(installer, entry);
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
