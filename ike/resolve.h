/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to addresses. getaddrinfo blocks, so it runs in one thread of its own; answers come back in the loop. A name in
 * work is not asked for twice, and at most RESOLVE_WAITING_MAX wait.
 */
#ifndef ESPALIER_IKE_RESOLVE_H
#define ESPALIER_IKE_RESOLVE_H

#include "agent/base/addr.h"

#include <systemd/sd-event.h>

#define RESOLVE_NAME_MAX    254u
#define RESOLVE_WAITING_MAX 256u

struct resolver; /* opaque */

/* `addr` has the family IP_NONE if the name has no address (or none of the wanted family). `tag` is the caller's. */
typedef void (*resolve_fn)(void *context, const char *tag, const struct ip_addr *addr);

int resolver_new(sd_event *event, resolve_fn fn, void *context, struct resolver **resolver);
/* Waits for a look-up in work to end. */
void resolver_free(struct resolver *resolver);

/* Look `name` up (IP_NONE: either family, the system's order); the answer comes with `tag` (at most IKE_NAME_MAX
 * bytes). -errno. */
int resolver_ask(struct resolver *resolver, const char *tag, const char *name, enum ip_family family);

#endif
