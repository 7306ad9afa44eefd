/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/keeper.h"

#include "agent/base/own.h"
#include "ike/keeper_wire.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

struct keeper {
	int fd;
	pid_t pid;
};

/* In the child: end with the parent, keep only the line to it. */
static void child_run(int fd, pid_t parent, const char *path) __attribute__((noreturn));
static void child_run(int fd, pid_t parent, const char *path)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1); /* it died before the line above */
	prctl(PR_SET_NAME, "espalier-keeper");
	/* The terminal's and the service manager's signals are for the daemon; it closes the line when it is done. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	keeper_serve(fd, path);
}

int keeper_start(const char *path, struct keeper **out)
{
	const struct timeval timeout = {.tv_sec = KEEPER_TIMEOUT_S};
	OWN_PTR struct keeper *keeper = calloc(1, sizeof(*keeper));
	pid_t parent = getpid();
	int pair[2];

	if (!keeper)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	keeper->pid = fork();
	if (keeper->pid == 0) {
		close(pair[0]);
		child_run(pair[1], parent, path);
	}
	close(pair[1]);
	keeper->fd = pair[0];
	if (keeper->pid < 0) {
		close(pair[0]);
		return -errno;
	}
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	*out = TAKE_PTR(keeper);
	return 0;
}

void keeper_free(struct keeper *keeper)
{
	if (!keeper)
		return;
	close(keeper->fd); /* it ends by that */
	waitpid(keeper->pid, NULL, 0);
	free(keeper);
}

int keeper_fd(const struct keeper *keeper)
{
	return keeper->fd;
}

static char *answer_recv(struct keeper *keeper, struct keeper_header *header)
{
	OWN_PTR char *answer = NULL;

	if (wire_recv(keeper->fd, header, sizeof(*header)) || header->len > KEEPER_ANSWER_MAX)
		return NULL;
	answer = malloc((size_t)header->len + 1);
	if (!answer || wire_recv(keeper->fd, answer, header->len))
		return NULL;
	answer[header->len] = '\0';
	return TAKE_PTR(answer);
}

char *keeper_load(struct keeper *keeper, size_t *len, char *error, size_t error_size, bool *dead)
{
	struct keeper_header header;
	OWN_PTR char *answer = NULL;

	*dead = false;
	if (!wire_send(keeper->fd, KEEPER_LOAD, NULL, 0, NULL, 0))
		answer = answer_recv(keeper, &header);
	if (!answer) {
		*dead = true;
		snprintf(error, error_size, "the keeper process, which reads the configuration, has died");
		return NULL;
	}
	if (header.kind != KEEPER_TEXT) {
		snprintf(error, error_size, "%s", answer);
		return NULL;
	}
	*len = header.len;
	return TAKE_PTR(answer);
}

int keeper_psk_auth(struct keeper *keeper, uint16_t prf, const struct ike_id *local, const struct ike_id *remote,
	struct bytes octets, uint8_t auth[static PRF_LEN_MAX])
{
	struct keeper_auth ask = {.prf = prf, .local = *local, .remote = *remote};
	struct keeper_header header;
	int rc;

	if (octets.len > KEEPER_OCTETS_MAX)
		return 0;
	rc = wire_send(keeper->fd, KEEPER_AUTH, &ask, sizeof(ask), octets.data, octets.len);
	if (!rc)
		rc = wire_recv(keeper->fd, &header, sizeof(header));
	if (!rc && (header.kind != KEEPER_AUTH || header.len > PRF_LEN_MAX))
		rc = -EPROTO;
	if (!rc)
		rc = wire_recv(keeper->fd, auth, header.len);
	return rc ? rc : (int)header.len;
}
