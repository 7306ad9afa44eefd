/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the installer: install.c (tunnels and SAs) and install_config.c (what the configuration says). */
#ifndef ESPALIER_IKE_INSTALL_PRIVATE_H
#define ESPALIER_IKE_INSTALL_PRIVATE_H

#include "bpf/sadb.h"
#include "ike/install.h"

struct installer {
	struct sadb *db;
	struct agent_link *link;
	struct policy_set *policies;
	struct tunnel_table tunnels;
	bool mss_clamp;
	bool settled; /* nothing of an earlier run is left */
};

/* Does a child that chose so (enum mss_choice) clamp the MSS? */
bool install_clamps_mss(const struct installer *installer, uint8_t choice);
/* The entry's selectors and options into its slot, which is taken if there is none yet. -errno. */
int install_slot_write(struct installer *installer, struct tunnel_entry *entry);
void install_selectors_set(struct tunnel_entry *entry, const struct selector *local, uint8_t local_count,
	const struct selector *remote, uint8_t remote_count);
bool install_selectors_same(const struct selector *a, unsigned a_count, const struct selector *b, unsigned b_count);
/* Without SAs and out of the configuration: nothing holds the entry any more. */
void install_entry_release(struct installer *installer, struct tunnel_entry *entry);

#endif
