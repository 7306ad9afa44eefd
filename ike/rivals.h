/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who else has the traffic that a peer asks for? Two peers with the same traffic are told apart by nothing: packets for
 * one would be sealed for the other (RFC 3948 5.1: two road warriors with one inner address, 5.2: two hosts behind one
 * NAT in transport mode; it asks implementations to prevent that). So the first one keeps it, and the second is
 * refused.
 */
#ifndef ESPALIER_IKE_RIVALS_H
#define ESPALIER_IKE_RIVALS_H

#include "ike/tunnels.h"

#include <stddef.h>

/*
 * The tunnel that has what `install` asks for, of another peer or of another child; NULL: none. `own` is the tunnel
 * that it would get, NULL: a new one. The same peer takes over its own tunnel: it dialled anew. Children of the
 * configuration that differ in prefix length or priority are no rivals: the file says which of them gets a packet.
 */
const struct tunnel_entry *rival_find(
	const struct tunnel_table *table, const struct tunnel_entry *own, const struct child_install *install);
/* Both by their names, and what to change. */
void rival_tell(const struct tunnel_entry *rival, const struct child_install *install, char *out, size_t size);

#endif
