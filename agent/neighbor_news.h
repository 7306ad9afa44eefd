/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which announcements about neighbours are news. The kernel announces every step of a neighbour's state, and what it
 * tried in vain to find; of interest to cached next hops is only whether there is a link address, and which. Were each
 * announcement a reason to ask the kernel anew for all of them, anybody who makes the gateway look for hosts that are
 * not there, and a network of some thousand hosts by itself, would keep the workers busy with questions.
 */
#ifndef ESPALIER_AGENT_NEIGHBOR_NEWS_H
#define ESPALIER_AGENT_NEIGHBOR_NEWS_H

#include "agent/fib_news.h"

#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <stdbool.h>
#include <stdint.h>

#define NEIGHBOR_USABLE (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)

struct neighbor_record {
	uint32_t ifindex; /* 0: empty */
	uint8_t family;	  /* AF_INET or AF_INET6 */
	bool usable;
	uint8_t mac[6];
	uint8_t address[16];
};

/* By group; one of the same group takes the place. */
struct neighbor_records {
	struct neighbor_record records[FIB_NEIGHBORS];
};

/* The neighbour's group in struct fib_news, not 0. `address`: IPv4 in the first 4 bytes, the rest 0. */
uint16_t neighbor_group(uint8_t family, uint32_t ifindex, const uint8_t address[static 16]);

/*
 * Remember what RTM_NEWNEIGH or RTM_DELNEIGH says. Gives the group of a neighbour that has news: another link address,
 * none any more, or one for the first time; 0: there is none. A neighbour of which nothing was known and nothing is
 * known now is no news: an answer about it that is from before the records began, or from before another one of its
 * group took its record, lives for some seconds.
 */
uint16_t neighbor_news(struct neighbor_records *records, const struct nlmsghdr *message);

#endif
