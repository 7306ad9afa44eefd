/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hostdev_private.h"

#include "agent/base/log.h"
#include "agent/base/own.h"
#include "agent/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUTES_AT_ONCE 64

/* Settings of the device. A file may be missing (a kernel without IPv6): then there is nothing to set. */
static const struct {
	const char *path;
	const char *value;
} settings[] = {
	{"/proc/sys/net/ipv4/conf/" HOST_DEVICE "/rp_filter", "2"},    /* any source to which there is a way at all */
	{"/proc/sys/net/ipv4/conf/" HOST_DEVICE "/accept_local", "1"}, /* our own ICMP errors to the host */
	{"/proc/sys/net/ipv4/conf/" HOST_DEVICE "/send_redirects", "0"},
	/* Without an agent there is no carrier. Its routes hold all the same: no other way is taken meanwhile. */
	{"/proc/sys/net/ipv4/conf/" HOST_DEVICE "/ignore_routes_with_linkdown", "0"},
	{"/proc/sys/net/ipv6/conf/" HOST_DEVICE "/ignore_routes_with_linkdown", "0"},
	{"/proc/sys/net/ipv6/conf/" HOST_DEVICE "/addr_gen_mode", "1"}, /* none */
	{"/proc/sys/net/ipv6/conf/" HOST_DEVICE "/accept_ra", "0"},
};

static void hostdev_settings(void)
{
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		OWN_FD int fd = open(settings[i].path, O_WRONLY | O_CLOEXEC);

		if (fd >= 0 && write(fd, settings[i].value, strlen(settings[i].value)) < 0)
			log_warn("%s cannot be set to %s: %s", settings[i].path, settings[i].value, strerror(errno));
	}
}

static int hostdev_up(struct netlink *netlink, uint32_t ifindex)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

	request->nlmsg_type = RTM_NEWLINK;
	body->ifi_index = (int)ifindex;
	body->ifi_flags = IFF_UP;
	body->ifi_change = IFF_UP;
	mnl_attr_put_u32(request, IFLA_MTU, HOST_DEVICE_LINK_MTU);
	mnl_attr_put_u32(request, IFLA_TXQLEN, HOST_DEVICE_TX_QUEUE);
	return netlink_do(netlink, request);
}

/* The device has a ring of its own per queue; a queue before it, for each of the 256 that it might have, would only
 * cost. A kernel that does not want this keeps its default. */
static void hostdev_queue_off(struct netlink *netlink, uint32_t ifindex)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct tcmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));
	int err;

	request->nlmsg_type = RTM_NEWQDISC;
	request->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
	body->tcm_ifindex = (int)ifindex;
	body->tcm_parent = TC_H_ROOT;
	mnl_attr_put_strz(request, TCA_KIND, "noqueue");
	err = netlink_do(netlink, request);
	if (err)
		log_debug("%s keeps its default queue: %s", HOST_DEVICE, strerror(-err));
}

/*
 * An IPv4 address that nobody speaks from or to (scope host, inside 127.0.0.0/8). Reverse path filtering, however
 * loose, takes from a device without any address only what goes back by that device; but answers to a captured packet's
 * peer, and the agent's own ICMP errors, have other ways.
 */
static int hostdev_address(struct netlink *netlink, uint32_t ifindex)
{
	static const uint8_t nobody[4] = {127, 69, 83, 80};
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifaddrmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

	request->nlmsg_type = RTM_NEWADDR;
	request->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
	body->ifa_family = AF_INET;
	body->ifa_prefixlen = 32;
	body->ifa_scope = RT_SCOPE_HOST;
	body->ifa_index = ifindex;
	mnl_attr_put(request, IFA_LOCAL, sizeof(nobody), nobody);
	mnl_attr_put(request, IFA_ADDRESS, sizeof(nobody), nobody);
	return netlink_do(netlink, request);
}

static int hostdev_delete(struct netlink *netlink, const struct link_info *link)
{
	REQUEST_BUFFER;
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

	request->nlmsg_type = RTM_DELLINK;
	body->ifi_index = (int)link->ifindex;
	return netlink_do(netlink, request);
}

/* The device that agents before version 0.2 made: one end of a veth pair. */
static bool hostdev_is_old(struct netlink *netlink, const struct link_info *link)
{
	struct link_info peer;

	return strcmp(link->kind, "veth") == 0 && netlink_link(netlink, HOST_DEVICE "p", &peer) == 0 &&
	       strcmp(peer.kind, "veth") == 0;
}

/* A TUN device of several queues that stays: what tun_open makes, and no other program's. */
static bool hostdev_is_ours(const struct link_info *link)
{
	return strcmp(link->kind, "tun") == 0 && link->tun_stays;
}

static void fds_close(int *fds, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		close(fds[i]);
}

static int hostdev_attach(uint32_t queues, int *fds, char error[static 256])
{
	for (uint32_t i = 0; i < queues; i++) {
		fds[i] = tun_open(HOST_DEVICE);
		if (fds[i] >= 0)
			continue;
		if (fds[i] == -EINVAL || fds[i] == -EBUSY)
			snprintf(error, 256, "an interface %s exists that is not ours; remove or rename it",
				HOST_DEVICE);
		else
			snprintf(error, 256, "the host device %s cannot be made: %s%s", HOST_DEVICE, strerror(-fds[i]),
				fds[i] == -ENOENT ? " (/dev/net/tun; is the kernel's module tun there?)" : "");
		fds_close(fds, i);
		return fds[i];
	}
	return 0;
}

/* ---- a new device in place of an old one --------------------------------------------------------------------- */

/* The prefixes of the tunnels' routes; while the device is changed they lead nowhere instead of elsewhere. */
struct hostdev_kept {
	struct ip_prefix *prefixes; /* owned */
	uint32_t count;
};

static void kept_collect(const struct ip_prefix *prefix, enum agent_route_use use, void *context)
{
	struct hostdev_kept *kept = context;
	struct ip_prefix *grown;

	if (use != ROUTE_TUNNEL)
		return;
	grown = reallocarray(kept->prefixes, kept->count + 1, sizeof(*grown));
	if (!grown)
		return;
	kept->prefixes = grown;
	kept->prefixes[kept->count++] = *prefix;
}

static void hostdev_keep(struct netlink *netlink, struct hostdev_kept *kept)
{
	hostdev_routes_each(netlink, kept_collect, kept);
	for (uint32_t i = 0; i < kept->count; i++)
		hostdev_nowhere(netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &kept->prefixes[i]);
}

static void hostdev_restore(struct netlink *netlink, uint32_t ifindex, const struct hostdev_kept *kept)
{
	for (uint32_t i = 0; i < kept->count; i++) {
		const struct hostdev_route route = {.prefix = kept->prefixes[i]};

		hostdev_route_add(netlink, ifindex, &route);
	}
}

static void hostdev_kept_clear(struct hostdev_kept *kept)
{
	free(kept->prefixes);
	*kept = (struct hostdev_kept){0};
}

int hostdev_make(struct netlink *netlink, uint32_t queues, int *fds, struct link_info *host, char error[static 256])
{
	struct hostdev_kept kept = {0};
	int err = netlink_link(netlink, HOST_DEVICE, host);

	if (!err && hostdev_is_old(netlink, host)) {
		hostdev_keep(netlink, &kept);
		hostdev_delete(netlink, host);
	}
	err = hostdev_attach(queues, fds, error);
	if (err) {
		hostdev_kept_clear(&kept);
		return err;
	}
	err = netlink_link(netlink, HOST_DEVICE, host);
	hostdev_settings();
	hostdev_queue_off(netlink, host->ifindex);
	err = err ? err : hostdev_up(netlink, host->ifindex);
	err = err ? err : hostdev_address(netlink, host->ifindex);
	if (err) {
		snprintf(error, 256, "the host device %s cannot be brought up: %s", HOST_DEVICE, strerror(-err));
		fds_close(fds, queues);
	}
	hostdev_restore(netlink, host->ifindex, &kept);
	hostdev_kept_clear(&kept);
	return err;
}

/* ---- removal ------------------------------------------------------------------------------------------------- */

struct left {
	uint32_t count;
	struct ip_prefix prefixes[ROUTES_AT_ONCE];
	enum agent_route_use uses[ROUTES_AT_ONCE];
};

static void left_collect(const struct ip_prefix *prefix, enum agent_route_use use, void *context)
{
	struct left *left = context;

	if (left->count == ROUTES_AT_ONCE)
		return;
	left->prefixes[left->count] = *prefix;
	left->uses[left->count++] = use;
}

/* Routes that name no device do not go with it. */
static void hostdev_left_remove(struct netlink *netlink)
{
	struct left left;
	uint32_t gone;

	do {
		left.count = gone = 0;
		hostdev_routes_each(netlink, left_collect, &left);
		for (uint32_t i = 0; i < left.count; i++)
			gone += (left.uses[i] == ROUTE_LOCAL
						? hostdev_throw_delete(netlink, &left.prefixes[i])
						: hostdev_nowhere(netlink, RTM_DELROUTE, 0, &left.prefixes[i])) == 0;
	} while (gone);
}

int hostdev_remove(struct netlink *netlink)
{
	struct link_info host;
	int err = 0;

	if (netlink_link(netlink, HOST_DEVICE, &host) == 0 &&
		(hostdev_is_ours(&host) || hostdev_is_old(netlink, &host)))
		err = hostdev_delete(netlink, &host);
	hostdev_left_remove(netlink);
	hostdev_family_remove(netlink, IP_V4);
	hostdev_family_remove(netlink, IP_V6);
	return err;
}
