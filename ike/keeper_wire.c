/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/keeper_wire.h"

#include <errno.h>
#include <sys/socket.h>

static int all_send(int fd, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len) {
		ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return sent < 0 ? -errno : -EPIPE;
		at += sent;
		len -= (size_t)sent;
	}
	return 0;
}

int wire_send(int fd, uint32_t kind, const void *first, size_t first_len, const void *second, size_t second_len)
{
	struct keeper_header header = {.kind = kind, .len = (uint32_t)(first_len + second_len)};
	int rc = all_send(fd, &header, sizeof(header));

	if (!rc)
		rc = all_send(fd, first, first_len);
	return rc ? rc : all_send(fd, second, second_len);
}

int wire_recv(int fd, void *out, size_t len)
{
	uint8_t *at = out;

	while (len) {
		ssize_t got = recv(fd, at, len, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EPIPE;
		at += got;
		len -= (size_t)got;
	}
	return 0;
}
