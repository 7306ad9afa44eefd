/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to rtnetlink and their answers, over libmnl. One socket per thread. */
#ifndef ESPALIER_AGENT_NETLINK_H
#define ESPALIER_AGENT_NETLINK_H

#include "agent/base/addr.h"
#include "bpf/contract.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#define NETLINK_REQUEST_BYTES 1024u

struct netlink {
	struct mnl_socket *socket;
	uint32_t sequence;
};

int netlink_init(struct netlink *netlink);
/* The same for another protocol than NETLINK_ROUTE. */
int netlink_init_family(struct netlink *netlink, int protocol);
void netlink_clear(struct netlink *netlink);

/* Send `request` (sequence number set here) and call `fn` for each message of the answer until MNL_CB_STOP, the
 * acknowledgement or the end of a dump. 0, or -errno: the kernel's own answer, or -EAGAIN when it gave none. */
int netlink_ask(struct netlink *netlink, struct nlmsghdr *request, mnl_cb_t fn, void *context);
/* A request that is only acknowledged. NLM_F_REQUEST | NLM_F_ACK are set here. */
int netlink_do(struct netlink *netlink, struct nlmsghdr *request);

struct link_info {
	uint32_t ifindex;
	uint32_t mtu;
	bool up;	       /* administratively up and with carrier */
	uint64_t tx_accounted; /* packets that the link counts as sent or as dropped on the way */
	uint8_t mac[6];
	char name[IF_NAMESIZE];
	char kind[16];		/* "veth", "vlan", "" for hardware */
	uint32_t master;	/* the bond or bridge that it is a member of; 0: none */
	uint32_t lower;		/* the device below (of a VLAN device); of a veth its peer; 0: none */
	uint16_t vlan_id;	/* kind "vlan" */
	uint16_t vlan_protocol; /* EtherType of its tag, host order */
	bool tun_stays;		/* a TUN device of several queues that outlives them */
};

/* The link of this name, or of this index. -ENODEV. */
int netlink_link(struct netlink *netlink, const char *name, struct link_info *link);
int netlink_link_by_index(struct netlink *netlink, uint32_t ifindex, struct link_info *link);
/* What an RTM_NEWLINK message says; everything else of `link` is 0. False: another message. */
bool link_info_read(const struct nlmsghdr *message, struct link_info *link);

#define LINK_MEMBERS_MAX 16u

/* Names of the members of a bond, at most LINK_MEMBERS_MAX; gives their number, or -errno. */
int netlink_link_members(struct netlink *netlink, uint32_t master, char names[LINK_MEMBERS_MAX][IF_NAMESIZE]);

struct local_addr {
	struct ip_addr addr;
	uint32_t ifindex;
	uint8_t scope; /* RT_SCOPE_* */
};

/* Every address of this host; *list is malloc'd, the caller frees it. -errno. */
int netlink_addresses(struct netlink *netlink, struct local_addr **list, uint32_t *count);

/* Receive queues of an interface in use (ETHTOOL_GCHANNELS), 1 if it does not say. */
uint32_t link_queues(const char *name);
/* Received packets are to be handed up one by one, not merged into large ones (GRO, LRO). */
bool link_merging_off(const char *name);

#endif
