/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/watch.h"

#include "agent/base/own.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <sys/socket.h>

#define NEWS_BYTES 32768u

static const int groups[] = {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
	RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_NEXTHOP};

int watch_init(struct watch *watch)
{
	watch->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!watch->socket)
		return -errno;
	if (mnl_socket_bind(watch->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		goto fail;
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		int group = groups[i];

		if (mnl_socket_setsockopt(watch->socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			goto fail;
	}
	return 0;
fail : {
	int err = -errno;

	watch_clear(watch);
	return err;
}
}

void watch_clear(struct watch *watch)
{
	if (watch->socket)
		mnl_socket_close(watch->socket);
	watch->socket = NULL;
}

int watch_fd(const struct watch *watch)
{
	return mnl_socket_get_fd(watch->socket);
}

struct reading {
	struct watch *watch;
	struct watch_news *news;
	struct fib_news *fib;
};

static void watch_neighbor(struct reading *reading, const struct nlmsghdr *message)
{
	uint16_t group = neighbor_news(&reading->watch->neighbors, message);

	if (!group)
		return;
	atomic_fetch_add(&reading->fib->neighbors[group], 1);
	reading->news->neighbors = true;
}

static int watch_message(const struct nlmsghdr *message, void *context)
{
	struct reading *reading = context;
	struct watch_news *news = reading->news;

	if (message->nlmsg_type == RTM_NEWNEIGH || message->nlmsg_type == RTM_DELNEIGH) {
		watch_neighbor(reading, message);
		return MNL_CB_OK;
	}
	news->any = true;
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		news->links = true;
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		news->addresses = true;
		break;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		news->rules = true;
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

struct watch_news watch_read(struct watch *watch, struct fib_news *fib)
{
	uint8_t buffer[NEWS_BYTES] __attribute__((aligned(8)));
	struct watch_news news = {0};
	struct reading reading = {watch, &news, fib};

	for (;;) {
		ssize_t len = mnl_socket_recvfrom(watch->socket, buffer, sizeof(buffer));

		if (len < 0 && errno == ENOBUFS)
			news = (struct watch_news){.any = true, .links = true, .addresses = true, .rules = true};
		else if (len < 0)
			break;
		else
			mnl_cb_run(buffer, (size_t)len, 0, 0, watch_message, &reading);
	}
	return news;
}
