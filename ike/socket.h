/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The UDP sockets of IKE: ports 500 and 4500 of both families, on all addresses. The rest of the daemon sees endpoints
 * and datagrams; the non-ESP marker (RFC 3948 2.2) is put on and taken off here. All sockets carry AGENT_MARK, so that
 * IKE never enters the tunnels it makes.
 */
#ifndef ESPALIER_IKE_SOCKET_H
#define ESPALIER_IKE_SOCKET_H

#include "agent/base/addr.h"
#include "agent/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define SOCKET_BATCH 16u /* datagrams read in one turn of the loop and socket */

enum socket_index { SOCKET_V4_IKE, SOCKET_V4_NATT, SOCKET_V6_IKE, SOCKET_V6_NATT, SOCKET_COUNT };

struct socket_counters {
	uint64_t received;
	uint64_t sent;
	uint64_t send_failed;
	uint64_t esp_ignored; /* ESP on port 4500 that XDP should have taken */
	uint64_t truncated;
};

struct socket_set; /* opaque */

/*
 * Open and bind. Without IPv6 in the kernel its two stay closed. -errno with a sentence in `error`; the caller ends it
 * with socket_set_free. Needs CAP_NET_BIND_SERVICE and CAP_NET_ADMIN (the mark); later calls need no rights.
 */
int socket_set_new(struct socket_set **set, char *error, size_t error_size);
void socket_set_free(struct socket_set *set);

/* The descriptor to poll for reading, or -1. */
int socket_fd(const struct socket_set *set, enum socket_index index);

/* One datagram; `bytes` is valid during the call. */
typedef void (*socket_recv_fn)(
	void *context, const struct endpoint *local, const struct endpoint *remote, struct bytes bytes);
/* Read at most SOCKET_BATCH datagrams and hand them over, without markers and ESP. */
void socket_recv(struct socket_set *set, enum socket_index index, socket_recv_fn fn, void *context);

/* Send from `local` (its port chooses the socket) to `remote`; on port 4500 with the non-ESP marker in front. False and
 * a rate-limited log line on failure. */
bool socket_send(
	struct socket_set *set, const struct endpoint *local, const struct endpoint *remote, struct bytes bytes);
/* The NAT keepalive of RFC 3948 2.3: one byte 0xff, no marker. */
bool socket_send_keepalive(struct socket_set *set, const struct endpoint *local, const struct endpoint *remote);

/* The address that packets to `remote` leave from, by the kernel's routes. False if there is no route. */
bool socket_source_of(const struct socket_set *set, const struct ip_addr *remote, struct ip_addr *source);

const struct socket_counters *socket_counters(const struct socket_set *set);

#endif
