/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's effects on the SADB: tunnels, policies and SAs in the pinned maps. Every configured child whose
 * selectors are known is protected from the moment the configuration is read: its tunnel stands without an SA, and its
 * traffic waits or dies, but never leaves in clear. Policies of an earlier run stay in force until those of this one
 * stand.
 */
#ifndef ESPALIER_IKE_INSTALL_H
#define ESPALIER_IKE_INSTALL_H

#include "ike/tunnels.h"

#include <stdbool.h>

struct installer; /* opaque */

/* Over an open SADB (borrowed) and the agent's link (borrowed). -errno. */
int installer_new(struct sadb *db, struct agent_link *link, struct installer **installer);
/* Whether tunnels and SAs made from now on clamp the MSS; at first they do. */
void installer_clamp_mss(struct installer *installer, bool on);
/* What stands in the maps stays: fail closed. */
void installer_free(struct installer *installer);

/*
 * Tunnels and policies for all children of `config`: new ones are added, those that are gone or changed lose theirs
 * once their last SA is gone. The first -errno met; it goes on with the others.
 */
int installer_configure(struct installer *installer, const struct engine_config *config);
/* After the first installer_configure: remove SAs, tunnels and policies that an earlier daemon left. Gives the number
 * of SAs. */
unsigned installer_clean(struct installer *installer);

int installer_install_in(struct installer *installer, const struct child_install *install);
int installer_install_out(struct installer *installer, const struct child_install *install);
void installer_remove_out(struct installer *installer, uint32_t child_id);
void installer_remove_in(struct installer *installer, uint32_t child_id);
int installer_move(struct installer *installer, uint32_t child_id, const struct endpoint *local,
	const struct endpoint *remote, bool udp_encap);

struct tunnel_table *installer_tunnels(struct installer *installer);

#endif
