/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper as a process of its own: it gives text without secrets and AUTH values, and a bad file leaves it with the
 * last good one. */
#include "ike/keeper.h"

#include "agent/base/config.h"
#include "agent/base/own.h"
#include "ike/proposal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char good[] =
	"connections:\n  x:\n    local: {id: a.example}\n    remote: {id: b.example}\n    children: {c: {}}\n"
	"secrets:\n  - {ids: [b.example], secret: hidden one} # hidden\n";

struct scene {
	char path[64];
	struct keeper *keeper;
};

static void file_write(const struct scene *s, const char *text)
{
	OWN_FD int fd = open(s->path, O_WRONLY | O_TRUNC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	int fd;

	snprintf(s->path, sizeof(s->path), "/tmp/espalier-keeper-XXXXXX");
	fd = mkstemp(s->path);
	assert_true(fd >= 0);
	close(fd);
	file_write(s, good);
	assert_int_equal(keeper_start(s->path, &s->keeper), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;

	keeper_free(s->keeper);
	unlink(s->path);
	free(s);
	return 0;
}

static void text_has_no_secret(void **state)
{
	struct scene *s = *state;
	char error[CONFIG_ERROR_LEN];
	size_t len;
	bool dead;
	char *text = keeper_load(s->keeper, &len, error, sizeof(error), &dead);

	assert_non_null(text);
	assert_null(memmem(text, len, "hidden", 6));
	assert_non_null(memmem(text, len, "redacted", 8));
	free(text);
}

/* AUTH as the keeper gives it and as it is computed here. */
static void assert_auth(struct scene *s, const char *remote, const char *secret)
{
	static const struct bytes octets = {.data = (const uint8_t *)"signed octets", .len = 13};
	struct bytes key = {.data = (const uint8_t *)secret, .len = strlen(secret)};
	uint8_t auth[PRF_LEN_MAX], expected[PRF_LEN_MAX];
	struct ike_id local_id, remote_id;
	int len;

	assert_true(ike_id_parse("a.example", &local_id) && ike_id_parse(remote, &remote_id));
	len = keeper_psk_auth(s->keeper, PRF_HMAC_SHA2_384, &local_id, &remote_id, octets, auth);
	assert_int_equal(len, secret[0] ? 48 : 0);
	if (!secret[0])
		return;
	assert_true(prf_psk_auth(PRF_HMAC_SHA2_384, key, octets, expected));
	assert_memory_equal(auth, expected, 48);
}

static void load(struct scene *s, bool good_file, const char *message)
{
	char error[CONFIG_ERROR_LEN] = "";
	size_t len;
	bool dead;
	char *text = keeper_load(s->keeper, &len, error, sizeof(error), &dead);

	assert_int_equal(text != NULL, good_file);
	assert_false(dead);
	assert_non_null(strstr(error, message));
	free(text);
}

static void auth_follows_the_last_good_file(void **state)
{
	struct scene *s = *state;

	assert_auth(s, "b.example", ""); /* nothing is loaded yet */
	load(s, true, "");
	assert_auth(s, "b.example", "hidden one");
	assert_auth(s, "c.example", "");
	file_write(s, "secrets:\n  - {secret: [}\n");
	load(s, false, ":2: YAML syntax");
	assert_auth(s, "b.example", "hidden one");
	file_write(
		s, "connections:\n  x:\n    proposals: [no]\n    local: {}\n    remote: {}\n    children: {c: {}}\n");
	load(s, false, ":3: connections.x.proposals[0]");
	assert_auth(s, "b.example", "hidden one");
	file_write(s, "secrets: [{secret: new}]\n");
	load(s, true, "");
	assert_auth(s, "c.example", "new");
}

/* Its death is seen on the descriptor, and calls say so. */
static void death_is_seen(void **state)
{
	struct scene *s = *state;
	struct pollfd poll_fd = {.fd = keeper_fd(s->keeper), .events = POLLIN};
	char error[CONFIG_ERROR_LEN];
	size_t len;
	bool dead;

	load(s, true, "");
	shutdown(keeper_fd(s->keeper), SHUT_WR); /* it ends when the line does */
	assert_int_equal(poll(&poll_fd, 1, 10000), 1);
	assert_null(keeper_load(s->keeper, &len, error, sizeof(error), &dead));
	assert_true(dead);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(text_has_no_secret, setup, teardown),
		cmocka_unit_test_setup_teardown(auth_follows_the_last_good_file, setup, teardown),
		cmocka_unit_test_setup_teardown(death_is_seen, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
