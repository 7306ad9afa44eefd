/* SPDX-License-Identifier: Apache-2.0 */
/* The IKE daemon's installer over real maps, without an agent. Needs root. Programs of this scene run one after
 * another: they pin their maps in one folder. */
#ifndef ESPALIER_TESTS_KERNEL_INSTALL_SCENE_H
#define ESPALIER_TESTS_KERNEL_INSTALL_SCENE_H

#include "bpf/dataplane.h"
#include "bpf/sadb.h"
#include "ike/config.h"
#include "ike/install.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PIN_DIR "/sys/fs/bpf/espalier_test_install"

static const char one_child[] =
	"connections:\n  x:\n    local_addrs: 192.0.2.1\n    remote_addrs: 192.0.2.2\n    local: {id: a}\n"
	"    remote: {id: b}\n    children: {c: {local_ts: 10.1.0.0/16, remote_ts: 10.2.0.0/16}}\n";

struct scene {
	struct dataplane *dp;
	struct sadb *db;
	sd_event *event;
	struct agent_link *link;
	struct installer *installer;
	struct engine_config *config;
};

static inline void no_event(void *context, const struct agent_message *message)
{
	(void)context;
	(void)message;
}

static inline struct engine_config *config_of(const char *text)
{
	char error[CONFIG_ERROR_LEN] = "";
	struct config *config = config_parse("f.yaml", text, strlen(text), error, sizeof(error));
	struct engine_config *engine = config ? ike_config_build(config, error, sizeof(error)) : NULL;

	if (!engine)
		print_error("%s\n", error);
	assert_non_null(engine);
	config_free(config);
	return engine;
}

static inline void daemon_start(struct scene *s)
{
	assert_int_equal(sadb_open(PIN_DIR, true, &s->db), 0);
	assert_true(sd_event_new(&s->event) >= 0);
	assert_int_equal(agent_link_new(s->event, "/run/espalier-test-no-agent", no_event, NULL, &s->link), 0);
	assert_int_equal(installer_new(s->db, s->link, &s->installer), 0);
}

static inline void daemon_end(struct scene *s)
{
	installer_free(s->installer);
	agent_link_free(s->link);
	sd_event_unref(s->event);
	sadb_close(s->db);
}

static inline int setup(void **state)
{
	const struct dataplane_options options = {
		.pin_dir = PIN_DIR, .sa_count = 16, .tunnel_count = 8, .policy_count = 32};
	struct scene *s = calloc(1, sizeof(*s));
	char error[256];

	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	dataplane_remove(PIN_DIR);
	if (dataplane_open(&options, &s->dp, error))
		print_error("%s\n", error);
	assert_non_null(s->dp);
	daemon_start(s);
	s->config = config_of(one_child);
	*state = s;
	return 0;
}

static inline int teardown(void **state)
{
	struct scene *s = *state;

	daemon_end(s);
	engine_config_free(s->config);
	dataplane_close(s->dp);
	dataplane_remove(PIN_DIR);
	free(s);
	return 0;
}

/* ---- looking --------------------------------------------------------------------------------------------------- */
struct policy_look {
	uint8_t second_byte; /* of 10.x.0.0/16 */
	unsigned found;
	uint32_t tunnel;
};

static inline void look_one(const struct policy_entry_info *entry, void *context)
{
	struct policy_look *look = context;

	if (entry->prefix_len != 16 || entry->prefix[1] != look->second_byte || entry->action != POLICY_PROTECT)
		return;
	look->found++;
	look->tunnel = entry->tunnel;
}

/* How many policies protect 10.`second_byte`.0.0/16, and the tunnel of the last of them. */
static inline unsigned policies_to(const struct scene *s, uint8_t second_byte, uint32_t *tunnel)
{
	struct policy_look look = {.second_byte = second_byte};

	sadb_policies(s->db, look_one, &look);
	if (tunnel)
		*tunnel = look.tunnel;
	return look.found;
}

static inline unsigned live_sas(const struct scene *s)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < sadb_sa_count(s->db); i++)
		count += sadb_slot(s->db, i)->state == SA_LIVE;
	return count;
}

static const struct ike_id *id_of(const char *text)
{
	static struct ike_id ids[4];
	static unsigned next;
	struct ike_id *id = &ids[next++ % 4];

	assert_true(ike_id_parse(text, id));
	return id;
}

/* CHILD SA `id` of the configuration's first child, by selectors as configured; `replaces` is 0 or whom it rekeys. */
static inline struct child_install child(const struct scene *s, uint32_t id, uint32_t replaces)
{
	struct child_install install = {
		.child_id = id,
		.replaces = replaces,
		.conn = "x",
		.child = "c",
		.peer = id_of("b"),
		.spi_in = 0x1000 + id,
		.spi_out = 0x2000 + id,
		.suite = {.protocol = PROTOCOL_ESP, .encr = {TRANSFORM_ENCR, ENCR_AES_GCM_16, 256}},
		.config = &s->config->conns[0].children[0],
		.mode = SA_TUNNEL,
		.local_count = 1,
		.remote_count = 1,
	};

	addr_parse("192.0.2.1", &install.local.addr);
	addr_parse("192.0.2.2", &install.remote.addr);
	install.local_ts[0] = install.config->local[0];
	install.remote_ts[0] = install.config->remote[0];
	return install;
}

static inline void up(struct scene *s, uint32_t id, uint32_t replaces)
{
	struct child_install install = child(s, id, replaces);

	assert_int_equal(installer_install_in(s->installer, &install), 0);
	assert_int_equal(installer_install_out(s->installer, &install), 0);
}

/* The SPI by which `tunnel` sends; 0 where it has no SA. */
static inline uint32_t out_spi(const struct scene *s, uint32_t tunnel)
{
	uint32_t sa = sadb_tunnel(s->db, tunnel)->out_sa;

	return sa == SA_NONE ? 0 : ntohl(sadb_slot(s->db, sa)->spi);
}

#endif
