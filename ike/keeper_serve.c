/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's own process: reads the file, keeps the secrets, computes. Any error of the line to the daemon ends it.
 */
#include "agent/base/log.h"
#include "agent/base/own.h"
#include "agent/base/secret.h"
#include "ike/config.h"
#include "ike/keeper_wire.h"
#include "ike/prf.h"
#include "ike/sandbox.h"
#include "ike/secrets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct keeper_state {
	int fd;
	const char *path;
	struct secrets *secrets; /* NULL before the first good file */
	bool warned;
};

/* Everything that the daemon will make of the file is made here first, so that a bad one changes nothing. */
static struct secrets *text_check(const struct keeper_state *state, const char *text, size_t len, char *error)
{
	struct config *config = config_parse(state->path, text, len, error, CONFIG_ERROR_LEN);
	struct engine_config *engine = config ? ike_config_build(config, error, CONFIG_ERROR_LEN) : NULL;
	struct secrets *secrets = engine ? secrets_new(config, error, CONFIG_ERROR_LEN) : NULL;

	if (engine)
		engine_config_free(engine);
	config_free(config);
	return secrets;
}

static void permissions_warn(struct keeper_state *state)
{
	if (!state->warned && config_file_is_open(state->path)) {
		log_warn("%s holds secrets and users other than its owner may read or change it; chmod 600 it",
			state->path);
		state->warned = true;
	}
}

static int error_answer(const struct keeper_state *state, const char *error)
{
	return wire_send(state->fd, KEEPER_ERROR, error, strlen(error), NULL, 0);
}

static int load_serve(struct keeper_state *state)
{
	char error[CONFIG_ERROR_LEN] = "";
	size_t len, redacted_len = 0;
	OWN_PTR char *text = config_read_file(state->path, &len, error, sizeof(error));
	OWN_PTR char *redacted = NULL;
	struct secrets *secrets;

	if (!text)
		return error_answer(state, error);
	secrets = text_check(state, text, len, error);
	if (secrets)
		redacted = config_redact(text, len, &redacted_len);
	secret_wipe(text, len);
	if (!redacted) {
		secrets_free(secrets);
		return error_answer(state, secrets ? "out of memory" : error);
	}
	permissions_warn(state);
	secrets_free(state->secrets);
	state->secrets = secrets;
	return wire_send(state->fd, KEEPER_TEXT, redacted, redacted_len, NULL, 0);
}

static int auth_serve(const struct keeper_state *state, const uint8_t *request, size_t len)
{
	uint8_t auth[PRF_LEN_MAX];
	struct keeper_auth ask;
	struct bytes secret, octets;
	size_t auth_len = 0;
	int rc;

	if (len < sizeof(ask))
		return -EPROTO;
	memcpy(&ask, request, sizeof(ask));
	if (ask.local.len > IKE_ID_MAX || ask.remote.len > IKE_ID_MAX)
		return -EPROTO;
	octets = (struct bytes){.data = request + sizeof(ask), .len = len - sizeof(ask)};
	if (state->secrets && secrets_find(state->secrets, &ask.local, &ask.remote, &secret) &&
		prf_psk_auth(ask.prf, secret, octets, auth))
		auth_len = prf_len(ask.prf);
	rc = wire_send(state->fd, KEEPER_AUTH, auth, auth_len, NULL, 0);
	secret_wipe(auth, sizeof(auth));
	return rc;
}

static int request_serve(struct keeper_state *state)
{
	static uint8_t request[KEEPER_REQUEST_MAX];
	struct keeper_header header;
	int rc = wire_recv(state->fd, &header, sizeof(header));

	if (rc)
		return rc;
	if (header.len > sizeof(request))
		return -EPROTO;
	rc = wire_recv(state->fd, request, header.len);
	if (rc)
		return rc;
	switch (header.kind) {
	case KEEPER_LOAD:
		return load_serve(state);
	case KEEPER_AUTH:
		return auth_serve(state, request, header.len);
	default:
		return -EPROTO;
	}
}

void keeper_serve(int fd, const char *path)
{
	struct keeper_state state = {.fd = fd, .path = path};
	int rc = sandbox_keeper();

	if (rc)
		log_warn("the keeper could not give up all rights: %s", strerror(-rc));
	do
		rc = request_serve(&state);
	while (!rc);
	secrets_free(state.secrets);
	_exit(rc == -EPIPE ? 0 : 1);
}
