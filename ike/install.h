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
#include <stddef.h>

struct installer; /* opaque */

/* Over an open SADB (borrowed) and the agent's link (borrowed). -errno. */
int installer_new(struct sadb *db, struct agent_link *link, struct installer **installer);
/* Whether tunnels whose child does not say clamp the MSS, from the next installer_configure on; at first they do. */
void installer_clamp_mss(struct installer *installer, bool on);
/* What stands in the maps stays: fail closed. */
void installer_free(struct installer *installer);

/* A child by its names, borrowed of the configuration. */
struct child_place {
	const char *conn;
	const char *child;
};

/*
 * Tunnels and policies for all children of `config`: new ones are added, those that are gone or changed lose theirs
 * once their last SA is gone. -errno: not all of them fit, `failed` (NULL: nobody asks) is the first of these, and the
 * configuration is not in force; what stood before still stands, but for the first time: then what fits stands,
 * together with what an earlier daemon left.
 */
int installer_configure(struct installer *installer, const struct engine_config *config, struct child_place *failed);
/* What such an -errno means, and what to do. */
const char *installer_reason(int rc);
/* After the first installer_configure: remove SAs, tunnels and policies that an earlier daemon left. Gives the number
 * of SAs. */
unsigned installer_clean(struct installer *installer);

/*
 * May a CHILD SA with these selectors be installed (engine_admit_fn)? NOTIFY_NONE; TS_UNACCEPTABLE: another peer or
 * child has its traffic (rivals.h; RFC 7296 2.9, RFC 3948 5); NO_ADDITIONAL_SAS: the maps have no room for it. Without
 * its policies it would be up and its traffic in clear. With `why` in words.
 */
uint16_t installer_admit(struct installer *installer, const struct child_install *install, char *why, size_t why_size);
int installer_install_in(struct installer *installer, const struct child_install *install);
int installer_install_out(struct installer *installer, const struct child_install *install);
void installer_remove_out(struct installer *installer, uint32_t child_id);
void installer_remove_in(struct installer *installer, uint32_t child_id);
int installer_move(struct installer *installer, uint32_t child_id, const struct endpoint *local,
	const struct endpoint *remote, bool udp_encap);

struct tunnel_table *installer_tunnels(struct installer *installer);

#endif
