/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/socket.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/own.h"
#include "agent/contract.h"
#include "ike/limits.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define MARKER_LEN     4u /* RFC 3948 2.2: four zero bytes where ESP has its SPI */
#define BUFFER_LEN     (IKE_MESSAGE_MAX + MARKER_LEN)
#define RECEIVE_BUFFER (1024 * 1024) /* bytes; a burst of new peers fits */
#define SEND_LOG_EVERY (10 * NS_PER_S)
#define CONTROL_LEN    CMSG_SPACE(sizeof(struct in6_pktinfo))
#define KEEPALIVE_BYTE 0xffu

struct batch {
	struct mmsghdr messages[SOCKET_BATCH];
	struct iovec vectors[SOCKET_BATCH];
	struct sockaddr_storage from[SOCKET_BATCH];
	_Alignas(struct cmsghdr) uint8_t control[SOCKET_BATCH][CONTROL_LEN];
	uint8_t buffers[SOCKET_BATCH][BUFFER_LEN];
};

struct socket_set {
	int fds[SOCKET_COUNT];
	int probes[2]; /* IPv4, IPv6: never send, only ask for routes */
	struct socket_counters counters;
	uint64_t send_logged_ns;
	uint64_t send_unlogged;
	struct batch batch;
};

static const struct {
	int family;
	uint16_t port;
} places[SOCKET_COUNT] = {
	[SOCKET_V4_IKE] = {AF_INET, IKE_PORT},
	[SOCKET_V4_NATT] = {AF_INET, IKE_NATT_PORT},
	[SOCKET_V6_IKE] = {AF_INET6, IKE_PORT},
	[SOCKET_V6_NATT] = {AF_INET6, IKE_NATT_PORT},
};

/* ---- open ------------------------------------------------------------------------------------------------------ */
static int option_set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* A marked socket, without which IKE could be routed into its own tunnel. */
static int marked_open(int family, int *fd)
{
	OWN_FD int opened = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (opened < 0)
		return -errno;
	rc = option_set(opened, SOL_SOCKET, SO_MARK, (int)AGENT_MARK);
	if (!rc)
		*fd = TAKE_FD(opened);
	return rc;
}

static int family_options(int fd, int family)
{
	int rc;

	if (family == AF_INET) {
		rc = option_set(fd, IPPROTO_IP, IP_PKTINFO, 1);
		/* A big IKE_AUTH may be fragmented; "don't fragment" would lose it. */
		return rc ? rc : option_set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
	}
	rc = option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (!rc)
		rc = option_set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	return rc ? rc : option_set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
}

static int place_open(enum socket_index index, int *fd)
{
	const struct endpoint any = {
		.addr.family = places[index].family == AF_INET ? IP_V4 : IP_V6, .port = places[index].port};
	struct sockaddr_storage name;
	socklen_t len = endpoint_to_sockaddr(&any, &name);
	OWN_FD int opened = -1;
	int rc = marked_open(places[index].family, &opened);

	if (!rc)
		rc = family_options(opened, places[index].family);
	if (rc)
		return rc;
	option_set(opened, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
	if (bind(opened, (struct sockaddr *)&name, len) < 0)
		return -errno;
	*fd = TAKE_FD(opened);
	return 0;
}

static void batch_init(struct batch *batch)
{
	for (unsigned i = 0; i < SOCKET_BATCH; i++) {
		batch->vectors[i] = (struct iovec){.iov_base = batch->buffers[i], .iov_len = BUFFER_LEN};
		batch->messages[i].msg_hdr.msg_iov = &batch->vectors[i];
		batch->messages[i].msg_hdr.msg_iovlen = 1;
		batch->messages[i].msg_hdr.msg_name = &batch->from[i];
		batch->messages[i].msg_hdr.msg_control = batch->control[i];
	}
}

static int places_open(struct socket_set *set, char *error, size_t error_size)
{
	for (enum socket_index i = 0; i < SOCKET_COUNT; i++) {
		bool v6 = places[i].family == AF_INET6;
		int rc = place_open(i, &set->fds[i]);

		if (rc == -EAFNOSUPPORT && v6)
			continue;
		if (rc == -EADDRINUSE) {
			snprintf(error, error_size, "UDP port %u (IPv%c) is in use: another IKE daemon is running",
				places[i].port, v6 ? '6' : '4');
			return rc;
		}
		if (rc) {
			snprintf(error, error_size, "UDP port %u (IPv%c) cannot be opened: %s", places[i].port,
				v6 ? '6' : '4', strerror(-rc));
			return rc;
		}
	}
	return 0;
}

int socket_set_new(struct socket_set **out, char *error, size_t error_size)
{
	struct socket_set *set = calloc(1, sizeof(*set));
	int rc;

	if (!set) {
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	for (unsigned i = 0; i < SOCKET_COUNT; i++)
		set->fds[i] = -1;
	set->probes[0] = set->probes[1] = -1;
	batch_init(&set->batch);
	rc = places_open(set, error, error_size);
	if (rc) {
		socket_set_free(set);
		return rc;
	}
	marked_open(AF_INET, &set->probes[0]);
	marked_open(AF_INET6, &set->probes[1]);
	*out = set;
	return 0;
}

void socket_set_free(struct socket_set *set)
{
	if (!set)
		return;
	for (unsigned i = 0; i < SOCKET_COUNT; i++)
		own_close_(&set->fds[i]);
	own_close_(&set->probes[0]);
	own_close_(&set->probes[1]);
	free(set);
}

int socket_fd(const struct socket_set *set, enum socket_index index)
{
	return set->fds[index];
}

const struct socket_counters *socket_counters(const struct socket_set *set)
{
	return &set->counters;
}

/* ---- receive --------------------------------------------------------------------------------------------------- */
/* The address that the datagram was sent to. */
static bool local_of(struct msghdr *header, struct ip_addr *local)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			local->family = IP_V4;
			memcpy(local->bytes, &((struct in_pktinfo *)CMSG_DATA(c))->ipi_addr, 4);
			return true;
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			local->family = IP_V6;
			memcpy(local->bytes, &((struct in6_pktinfo *)CMSG_DATA(c))->ipi6_addr, 16);
			return true;
		}
	}
	return false;
}

/* Takes the marker off; false for what is ESP or a keepalive. */
static bool marker_take(struct socket_set *set, struct bytes *bytes)
{
	static const uint8_t marker[MARKER_LEN];

	if (bytes->len == 1 && bytes->data[0] == KEEPALIVE_BYTE)
		return false;
	if (bytes->len < MARKER_LEN || memcmp(bytes->data, marker, MARKER_LEN) != 0) {
		set->counters.esp_ignored++;
		return false;
	}
	bytes->data += MARKER_LEN;
	bytes->len -= MARKER_LEN;
	return true;
}

static void message_recv(
	struct socket_set *set, enum socket_index index, struct mmsghdr *message, socket_recv_fn fn, void *context)
{
	struct bytes bytes = {.data = message->msg_hdr.msg_iov->iov_base, .len = message->msg_len};
	struct endpoint local = {.port = places[index].port}, remote;

	set->counters.received++;
	if (message->msg_hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		set->counters.truncated++;
		return;
	}
	if (!endpoint_from_sockaddr(message->msg_hdr.msg_name, &remote) || !local_of(&message->msg_hdr, &local.addr))
		return;
	if (places[index].port == IKE_NATT_PORT && !marker_take(set, &bytes))
		return;
	fn(context, &local, &remote, bytes);
}

void socket_recv(struct socket_set *set, enum socket_index index, socket_recv_fn fn, void *context)
{
	struct batch *batch = &set->batch;
	int count;

	for (unsigned i = 0; i < SOCKET_BATCH; i++) {
		batch->messages[i].msg_hdr.msg_namelen = sizeof(batch->from[i]);
		batch->messages[i].msg_hdr.msg_controllen = CONTROL_LEN;
	}
	count = recvmmsg(set->fds[index], batch->messages, SOCKET_BATCH, 0, NULL);
	for (int i = 0; i < count; i++)
		message_recv(set, index, &batch->messages[i], fn, context);
}

/* ---- send ------------------------------------------------------------------------------------------------------ */
/* At most one line in SEND_LOG_EVERY, with the number of those that were not logged. */
static void send_failed(struct socket_set *set, const struct endpoint *local, const struct endpoint *remote, int reason)
{
	char from[ADDR_TEXT_LEN], to[ADDR_TEXT_LEN];
	uint64_t now = clock_now_ns();

	set->counters.send_failed++;
	if (set->send_logged_ns && now - set->send_logged_ns < SEND_LOG_EVERY) {
		set->send_unlogged++;
		return;
	}
	log_warn("cannot send from %s to %s: %s (and %ju failures since the last such line)",
		endpoint_format(local, from), endpoint_format(remote, to), strerror(reason),
		(uintmax_t)set->send_unlogged);
	set->send_logged_ns = now;
	set->send_unlogged = 0;
}

static int fd_for(const struct socket_set *set, const struct endpoint *local, const struct endpoint *remote)
{
	bool natt = local->port == IKE_NATT_PORT;

	if (remote->addr.family == IP_V4)
		return set->fds[natt ? SOCKET_V4_NATT : SOCKET_V4_IKE];
	return set->fds[natt ? SOCKET_V6_NATT : SOCKET_V6_IKE];
}

/* Ask the kernel to send from `local`. */
static void source_set(struct msghdr *header, const struct ip_addr *local)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(header);

	if (local->family == IP_V4) {
		struct in_pktinfo info = {0};

		memcpy(&info.ipi_spec_dst, local->bytes, 4);
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		header->msg_controllen = CMSG_SPACE(sizeof(info));
	} else if (local->family == IP_V6) {
		struct in6_pktinfo info = {0};

		memcpy(&info.ipi6_addr, local->bytes, 16);
		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	} else {
		header->msg_control = NULL;
		header->msg_controllen = 0;
	}
}

static bool vectors_send(struct socket_set *set, const struct endpoint *local, const struct endpoint *remote,
	struct iovec *vectors, size_t count)
{
	_Alignas(struct cmsghdr) uint8_t control[CONTROL_LEN] = {0};
	struct sockaddr_storage to;
	struct msghdr header = {
		.msg_name = &to,
		.msg_namelen = endpoint_to_sockaddr(remote, &to),
		.msg_iov = vectors,
		.msg_iovlen = count,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	int fd = fd_for(set, local, remote);

	source_set(&header, &local->addr);
	if (fd < 0 || sendmsg(fd, &header, MSG_NOSIGNAL) < 0) {
		send_failed(set, local, remote, fd < 0 ? EAFNOSUPPORT : errno);
		return false;
	}
	set->counters.sent++;
	return true;
}

bool socket_send(
	struct socket_set *set, const struct endpoint *local, const struct endpoint *remote, struct bytes bytes)
{
	static uint8_t marker[MARKER_LEN];
	struct iovec vectors[2] = {
		{.iov_base = marker, .iov_len = MARKER_LEN},
		{.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.len},
	};
	bool marked = local->port == IKE_NATT_PORT;

	return vectors_send(set, local, remote, vectors + !marked, 1u + marked);
}

bool socket_send_keepalive(struct socket_set *set, const struct endpoint *local, const struct endpoint *remote)
{
	static uint8_t keepalive = KEEPALIVE_BYTE;
	struct iovec vector = {.iov_base = &keepalive, .iov_len = 1};

	return vectors_send(set, local, remote, &vector, 1);
}

bool socket_source_of(const struct socket_set *set, const struct ip_addr *remote, struct ip_addr *source)
{
	const struct sockaddr unconnect = {.sa_family = AF_UNSPEC};
	const struct endpoint to = {.addr = *remote, .port = IKE_PORT};
	int fd = set->probes[remote->family == IP_V6];
	struct sockaddr_storage name;
	struct endpoint found;
	socklen_t len = endpoint_to_sockaddr(&to, &name);

	/* A probe keeps the source of its last route unless it is disconnected first. */
	if (fd < 0 || remote->family == IP_NONE || connect(fd, &unconnect, sizeof(unconnect)) < 0 ||
		connect(fd, (struct sockaddr *)&name, len) < 0)
		return false;
	len = sizeof(name);
	if (getsockname(fd, (struct sockaddr *)&name, &len) < 0 || !endpoint_from_sockaddr(&name, &found))
		return false;
	*source = found.addr;
	return true;
}
