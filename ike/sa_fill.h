/* SPDX-License-Identifier: Apache-2.0 */
/* From the engine's child_install to the slot of the SADB. Pure. */
#ifndef ESPALIER_IKE_SA_FILL_H
#define ESPALIER_IKE_SA_FILL_H

#include "ike/engine.h"

#include <stdbool.h>

/* Packets after which an SA without extended sequence numbers is rekeyed, whatever the configuration says (RFC
 * 4303 3.3.3). */
#define SA_SOFT_PACKETS_MAX UINT64_C(0xe0000000)

/* All but generation and state. The caller wipes it. */
void sa_fill(const struct child_install *install, enum sa_direction direction, uint32_t tunnel, uint64_t now,
	struct sa *out);

#endif
