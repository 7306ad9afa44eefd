/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's announcements: links, addresses, routes, rules, neighbours. Read by the control thread. */
#ifndef ESPALIER_AGENT_WATCH_H
#define ESPALIER_AGENT_WATCH_H

#include "agent/neighbor_news.h"

#include <libmnl/libmnl.h>
#include <stdbool.h>

struct watch {
	struct mnl_socket *socket;
	struct neighbor_records neighbors;
};

/* What happened since the last read. */
struct watch_news {
	bool any; /* something but neighbours: every cached next hop is stale */
	bool neighbors;
	bool links;
	bool addresses;
	bool rules;
};

int watch_init(struct watch *watch);
void watch_clear(struct watch *watch);
int watch_fd(const struct watch *watch);
/* Read everything that waits, and count it in `fib`. When the kernel had to drop announcements, all counts as changed.
 */
struct watch_news watch_read(struct watch *watch, struct fib_news *fib);

#endif
