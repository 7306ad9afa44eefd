/* SPDX-License-Identifier: Apache-2.0 */
/* What the configuration says, put in force: all of it, or nothing. */
#include "agent/base/log.h"
#include "ike/install_private.h"

#include <errno.h>
#include <string.h>

static bool entry_fits(const struct tunnel_entry *entry, const struct protection *wanted)
{
	const struct protection *has = &entry->configured_for;

	return has->routed == wanted->routed && has->hosts == wanted->hosts && has->action == wanted->action &&
	       has->priority == wanted->priority &&
	       install_selectors_same(has->local, has->local_count, wanted->local, wanted->local_count) &&
	       install_selectors_same(has->remote, has->remote_count, wanted->remote, wanted->remote_count);
}

/* Takes slot and policies of a child that is new (or other than before). */
static int child_protect(struct installer *installer, struct tunnel_entry *entry)
{
	struct protection *wanted = &entry->configured_for;
	int rc;

	if (!wanted->local_count || !wanted->remote_count)
		return 0;
	install_selectors_set(entry, wanted->local, wanted->local_count, wanted->remote, wanted->remote_count);
	rc = entry->shunt ? 0 : install_slot_write(installer, entry);
	return rc ? rc : protection_start(wanted, installer->policies, installer->link, entry->id);
}

/* What a reload may change under living SAs. */
static void options_set(struct installer *installer, struct tunnel_entry *entry, const struct child_config *child)
{
	const struct tunnel *slot = sadb_tunnel(installer->db, entry->id);
	bool same = memcmp(&entry->options, &child->options, sizeof(child->options)) == 0 && slot &&
		    install_clamps_mss(installer, child->clamp) == !!(slot->flags & TUNNEL_MSS_CLAMP);

	entry->options = child->options;
	entry->clamp = child->clamp;
	if (!same && slot)
		install_slot_write(installer, entry);
}

/* Further peers of the child have tunnels of their own. */
static void options_set_all(struct installer *installer, const char *conn, const struct child_config *child)
{
	for (struct tunnel_entry *entry = installer->tunnels.first; entry; entry = entry->next)
		if (strcmp(entry->conn, conn) == 0 && strcmp(entry->child, child->name) == 0)
			options_set(installer, entry, child);
}

/* A child that is new, or other than before, gets an entry of its own, beside the one that it had. */
static int child_prepare(struct installer *installer, const struct conn_config *conn, const struct child_config *child)
{
	struct tunnel_entry *entry = tunnel_find_configured(&installer->tunnels, conn->name, child->name);
	struct protection wanted;

	protection_of_child(conn, child, &wanted);
	if (entry && entry_fits(entry, &wanted))
		return 0;
	entry = tunnel_entry_new(&installer->tunnels, conn->name, child->name);
	if (!entry)
		return -ENOMEM;
	entry->pending = true;
	entry->configured_for = wanted;
	entry->mode = entry->config_mode = child->mode;
	entry->shunt = child->shunt;
	entry->options = child->options;
	entry->clamp = child->clamp;
	return child_protect(installer, entry);
}

static void child_commit(struct installer *installer, const struct conn_config *conn, const struct child_config *child)
{
	struct tunnel_entry *entry = tunnel_find_configured(&installer->tunnels, conn->name, child->name);
	struct tunnel_entry *next = tunnel_find_pending(&installer->tunnels, conn->name, child->name);

	if (next) {
		if (entry)
			entry->configured = false; /* kept until its SAs are gone; the engine deletes them */
		next->pending = false;
		next->configured = true;
		entry = next;
	}
	if (entry)
		entry->start_action = child->start_action;
	options_set_all(installer, conn->name, child);
}

static const struct child_config *child_find(const struct engine_config *config, const char *conn, const char *child)
{
	for (const struct conn_config *c = config->conns; c < config->conns + config->conn_count; c++)
		for (unsigned i = 0; strcmp(c->name, conn) == 0 && i < c->child_count; i++)
			if (strcmp(c->children[i].name, child) == 0)
				return &c->children[i];
	return NULL;
}

/* The first failure, and whose it is. While policies of an earlier run stand, the others are still put in force, in
 * the place of these; later a failure is the end: all is to be or nothing. */
static int prepare(struct installer *installer, const struct engine_config *config, struct child_place *failed)
{
	int first = 0;

	for (const struct conn_config *c = config->conns; c < config->conns + config->conn_count; c++)
		for (unsigned i = 0; i < c->child_count && !(first && installer->settled); i++) {
			int rc = child_prepare(installer, c, &c->children[i]);

			if (rc && !first)
				*failed = (struct child_place){.conn = c->name, .child = c->children[i].name};
			first = first ? first : rc;
		}
	return first;
}

static void prepared_drop(struct installer *installer)
{
	struct tunnel_entry *next;

	for (struct tunnel_entry *entry = installer->tunnels.first; entry; entry = next) {
		next = entry->next;
		if (entry->pending)
			install_entry_release(installer, entry);
	}
}

static void commit(struct installer *installer, const struct engine_config *config)
{
	struct tunnel_entry *next;

	for (const struct conn_config *c = config->conns; c < config->conns + config->conn_count; c++)
		for (unsigned i = 0; i < c->child_count; i++)
			child_commit(installer, c, &c->children[i]);
	for (struct tunnel_entry *entry = installer->tunnels.first; entry; entry = next) {
		next = entry->next;
		if (!child_find(config, entry->conn, entry->child))
			entry->configured = false;
		install_entry_release(installer, entry);
	}
}

int installer_configure(struct installer *installer, const struct engine_config *config, struct child_place *failed)
{
	struct child_place ignored;
	int rc = prepare(installer, config, failed ? failed : &ignored);

	/* Of an earlier run's policies some are replaced already, and those stay: they protect as much as the old did.
	 */
	if (rc && installer->settled)
		prepared_drop(installer);
	if (!rc)
		commit(installer, config);
	return rc;
}

const char *installer_reason(int rc)
{
	switch (rc) {
	case -E2BIG:
		return "more pairs of selectors behind one prefix than it holds, beside those of tunnels that run and "
		       "those that cover it; use ranges of ports or wider prefixes, or restart espalier-ike if its new "
		       "configuration alone fits";
	case -ENOSPC:
		return "the maps are full: raise agent.policy_count, agent.tunnel_count or agent.sa_count (pinned maps "
		       "keep their sizes until espalier-agent --detach)";
	default:
		return strerror(-rc);
	}
}

unsigned installer_clean(struct installer *installer)
{
	unsigned found = 0;
	int rc = policy_set_settle(installer->policies);

	installer->settled = true;
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
