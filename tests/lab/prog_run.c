/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prog_run PIN_DIR: runs frames through the loaded classifier with BPF_PROG_TEST_RUN; nothing is attached to an
 * interface. One JSON object per line on stdin, one answer per line on stdout; the pins are removed at the end.
 * Addresses are 32 hex digits in the maps' 16-byte form; selectors have the 16 bytes of struct selector.
 *
 *   {"op": "port", "slot": N, "mac": HEX}       the loopback device, on which the frames arrive, is this
 * port
 *   {"op": "no_port"}                                       ... is none
 *   {"op": "local", "address": HEX}                         -> {}
 *   {"op": "sa", "spi": N, "destination": HEX}              -> {"index": N}
 *       optional: "protocol": 50|51, "replay_bits": N, "flags": SA_*
 *   {"op": "seen", "index": N, "top": N, "numbers": [N]}    the SA's window -> {"dropped": sa_run.dropped_replay}
 *   {"op": "policy", "action": N, "tunnel": N, "priority": N, "local": [SELECTOR], "remote": [SELECTOR]}   -> {"id": N}
 *       SELECTOR: {"family": 4|6, "first": HEX, "last": HEX, "protocol": N, "ports": [N, N]}
 *   {"op": "policy_remove", "id": N}
 *   {"op": "socket", "slot": N}                             an AF_XDP socket stands in xsks for queue 0 of the slot
 *   {"op": "no_socket"}
 *   {"op": "frame", "data": HEX}  -> {"verdict": "pass"|"drop"|"redirect", "reason": NAME or null, "meta": {...} or
 * null, "data": HEX}
 *   {"op": "capture_to", "ifindex": N}                      where the tc program redirects to
 *   {"op": "egress", "data": HEX, "mark": N}                the frame leaves: -> as "frame"; "meta" is null
 *   {"op": "events"}              -> {"events": [{"kind", "spi", "source", "destination"}]}
 * A failure is {"error": TEXT}.
 */
#include "agent/base/own.h"
#include "bpf/capture.h"
#include "bpf/dataplane.h"
#include "bpf/policy.h"
#include "bpf/sadb.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <jansson.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define LOOPBACK_IFINDEX 1 /* in every namespace */
#define FRAME_MAX	 3000u
#define ROOM_MAX	 (FRAME_MAX + sizeof(struct packet_meta))

struct runner {
	const char *pin_dir;
	struct dataplane *dp;
	struct sadb *db;
	struct capture *capture;
	struct policy_set *policies;
	int port_fd;
	int socket_fd;
	uint32_t socket_key;
};

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Hex text of object member `key` into `out`: bytes written, or -EINVAL. */
static int hex_read(const json_t *object, const char *key, uint8_t *out, size_t size)
{
	const char *text = json_string_value(json_object_get(object, key));
	size_t len = text ? strlen(text) : 1;

	if (len % 2 || len / 2 > size)
		return -EINVAL;
	for (size_t i = 0; i < len; i += 2) {
		int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		out[i / 2] = (uint8_t)(high << 4 | low);
	}
	return (int)(len / 2);
}

static json_t *hex_json(const void *data, size_t len)
{
	char text[2 * ROOM_MAX + 1];

	for (size_t i = 0; i < len && i < ROOM_MAX; i++)
		snprintf(text + 2 * i, 3, "%02x", ((const uint8_t *)data)[i]);
	return json_stringn(text, 2 * len);
}

static json_t *answer_of(int err)
{
	return err < 0 ? json_pack("{s:s}", "error", strerror(-err)) : json_object();
}

static uint32_t number(const json_t *object, const char *key)
{
	return (uint32_t)json_integer_value(json_object_get(object, key));
}

static json_t *op_port(struct runner *r, const json_t *request)
{
	struct port_info info = {.slot = number(request, "slot")};
	uint32_t key = LOOPBACK_IFINDEX;

	if (hex_read(request, "mac", info.mac, sizeof(info.mac)) != sizeof(info.mac))
		return answer_of(-EINVAL);
	return answer_of(bpf_map_update_elem(r->port_fd, &key, &info, BPF_ANY));
}

static json_t *op_no_port(struct runner *r, const json_t *request)
{
	uint32_t key = LOOPBACK_IFINDEX;

	(void)request;
	bpf_map_delete_elem(r->port_fd, &key);
	return json_object();
}

static json_t *op_local(struct runner *r, const json_t *request)
{
	struct addr16 addr;

	if (hex_read(request, "address", addr.bytes, sizeof(addr.bytes)) != sizeof(addr.bytes))
		return answer_of(-EINVAL);
	return answer_of(dataplane_local_addr_add(r->dp, &addr, LOOPBACK_IFINDEX));
}

static json_t *op_sa(struct runner *r, const json_t *request)
{
	struct sa sa = {
		.direction = SA_IN,
		.protocol = json_object_get(request, "protocol") ? (uint8_t)number(request, "protocol") : 50,
		.mode = SA_TUNNEL,
		.spi = htonl(number(request, "spi")),
		.replay_bits = number(request, "replay_bits"),
		.flags = (uint16_t)number(request, "flags"),
	};
	uint32_t index;
	int err;

	if (hex_read(request, "destination", sa.local.bytes, sizeof(sa.local.bytes)) != sizeof(sa.local.bytes))
		return answer_of(-EINVAL);
	err = sadb_add(r->db, &sa, &index);
	return err ? answer_of(err) : json_pack("{s:i}", "index", (int)index);
}

/* Bits are set as the agent sets them: sequence number n has bit n modulo the window's size. */
static json_t *op_seen(struct runner *r, const json_t *request)
{
	struct sa_run *run = sadb_run(r->db, number(request, "index"));
	const json_t *item;
	size_t i;

	if (!run || !run->replay_bits)
		return answer_of(-EINVAL);
	memset(run->replay_window, 0, sizeof(run->replay_window));
	run->replay_top = (uint64_t)json_integer_value(json_object_get(request, "top"));
	json_array_foreach(json_object_get(request, "numbers"), i, item)
	{
		uint64_t bit = (uint64_t)json_integer_value(item) % run->replay_bits;

		run->replay_window[bit / 64] |= UINT64_C(1) << bit % 64;
	}
	return json_pack("{s:I}", "dropped", (json_int_t)run->dropped_replay);
}

static int selector_read(const json_t *from, struct selector *out)
{
	const json_t *ports = json_object_get(from, "ports");

	*out = (struct selector){
		.family = (uint8_t)number(from, "family"), .protocol = (uint8_t)number(from, "protocol")};
	out->port_first = (uint16_t)json_integer_value(json_array_get(ports, 0));
	out->port_last = (uint16_t)json_integer_value(json_array_get(ports, 1));
	if (hex_read(from, "first", out->first, 16) != 16 || hex_read(from, "last", out->last, 16) != 16)
		return -EINVAL;
	return 0;
}

static int selectors_read(const json_t *from, struct selector out[static SELECTORS_MAX], uint8_t *count)
{
	size_t i;
	const json_t *item;

	if (json_array_size(from) > SELECTORS_MAX)
		return -EINVAL;
	json_array_foreach(from, i, item)
	{
		if (selector_read(item, &out[i]))
			return -EINVAL;
	}
	*count = (uint8_t)json_array_size(from);
	return 0;
}

static json_t *op_policy(struct runner *r, const json_t *request)
{
	struct policy policy = {
		.tunnel = number(request, "tunnel"),
		.action = (uint8_t)number(request, "action"),
		.priority = number(request, "priority"),
	};
	uint32_t id = 0;
	int err = selectors_read(json_object_get(request, "local"), policy.local, &policy.local_count);

	if (!err)
		err = selectors_read(json_object_get(request, "remote"), policy.remote, &policy.remote_count);
	if (!err)
		err = policy_add(r->policies, &policy, &id);
	return err ? answer_of(err) : json_pack("{s:i}", "id", (int)id);
}

static json_t *op_policy_remove(struct runner *r, const json_t *request)
{
	return answer_of(policy_remove(r->policies, number(request, "id")));
}

/* An AF_XDP socket need not be bound to stand in an XSKMAP, though newer kernels want it to have a receive ring; the
 * verdict is then a redirect that a test run does not carry out. */
static json_t *op_socket(struct runner *r, const json_t *request)
{
	uint32_t fd_value;
	int ring = 64;

	if (r->socket_fd < 0)
		r->socket_fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (r->socket_fd < 0)
		return answer_of(-errno);
	if (setsockopt(r->socket_fd, SOL_XDP, XDP_RX_RING, &ring, sizeof(ring)) && errno != EINVAL)
		return answer_of(-errno);
	fd_value = (uint32_t)r->socket_fd;
	r->socket_key = number(request, "slot") * QUEUES_MAX;
	return answer_of(bpf_map_update_elem(dataplane_xsks_fd(r->dp), &r->socket_key, &fd_value, BPF_ANY));
}

static json_t *op_no_socket(struct runner *r, const json_t *request)
{
	(void)request;
	bpf_map_delete_elem(dataplane_xsks_fd(r->dp), &r->socket_key);
	own_close_(&r->socket_fd);
	return json_object();
}

static void drops_read(const struct sadb *db, uint64_t counts[static DROP_REASON_COUNT])
{
	struct drop_count sum;

	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		counts[reason] = sadb_drops(db, (enum drop_reason)reason, &sum) ? 0 : sum.packets;
}

/* The one reason that was counted once; "?" if it was not exactly one packet of one reason. */
static const char *reason_between(const uint64_t *before, const uint64_t *after)
{
	const char *name = NULL;

	for (int reason = 0; reason < DROP_REASON_COUNT; reason++) {
		if (after[reason] == before[reason])
			continue;
		if (name || after[reason] != before[reason] + 1)
			return "?";
		name = drop_reason_name((enum drop_reason)reason);
	}
	return name;
}

static json_t *meta_json(const uint8_t *data, uint32_t len)
{
	struct packet_meta meta;

	if (len < sizeof(meta))
		return json_null();
	memcpy(&meta, data, sizeof(meta));
	return json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:i}", "kind", meta.kind, "flags", meta.flags, "family", meta.family,
		"protocol", meta.protocol, "l3_off", meta.l3_off, "payload_off", meta.payload_off, "index",
		(int)meta.index);
}

static json_t *frame_answer(uint32_t verdict, const char *reason, const uint8_t *data, uint32_t len)
{
	bool redirect = verdict == XDP_REDIRECT;
	size_t skip = redirect && len >= sizeof(struct packet_meta) ? sizeof(struct packet_meta) : 0;
	const char *name = redirect		 ? "redirect"
			   : verdict == XDP_PASS ? "pass"
			   : verdict == XDP_DROP ? "drop"
						 : "other";

	return json_pack("{s:s,s:s?,s:o,s:o}", "verdict", name, "reason", reason, "meta",
		redirect ? meta_json(data, len) : json_null(), "data", hex_json(data + skip, len - skip));
}

static json_t *op_frame(struct runner *r, const json_t *request)
{
	uint64_t before[DROP_REASON_COUNT], after[DROP_REASON_COUNT];
	uint8_t in[FRAME_MAX], out[ROOM_MAX];
	int len = hex_read(request, "data", in, sizeof(in)), err;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_out = out, .data_size_out = sizeof(out), .repeat = 1);

	if (len < 0)
		return answer_of(len);
	opts.data_size_in = (uint32_t)len;
	drops_read(r->db, before);
	err = bpf_prog_test_run_opts(dataplane_program_fd(r->dp), &opts);
	if (err)
		return answer_of(err);
	drops_read(r->db, after);
	return frame_answer(opts.retval, reason_between(before, after), out, opts.data_size_out);
}

static json_t *op_capture_to(struct runner *r, const json_t *request)
{
	char error[256];

	capture_close(r->capture);
	return answer_of(capture_open(r->dp, number(request, "ifindex"), &r->capture, error));
}

static json_t *op_egress(struct runner *r, const json_t *request)
{
	uint64_t before[DROP_REASON_COUNT], after[DROP_REASON_COUNT];
	struct __sk_buff skb = {.mark = number(request, "mark")};
	uint8_t in[FRAME_MAX], out[ROOM_MAX];
	int len = hex_read(request, "data", in, sizeof(in)), err;
	uint32_t verdict;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_out = out, .data_size_out = sizeof(out), .repeat = 1,
		.ctx_in = &skb, .ctx_size_in = sizeof(skb));

	if (len < 0 || !r->capture)
		return answer_of(len < 0 ? len : -EINVAL);
	opts.data_size_in = (uint32_t)len;
	drops_read(r->db, before);
	err = bpf_prog_test_run_opts(capture_program_fd(r->capture), &opts);
	if (err)
		return answer_of(err);
	drops_read(r->db, after);
	verdict = opts.retval;
	return json_pack("{s:s,s:s?,s:n,s:o}", "verdict",
		verdict == TC_ACT_REDIRECT	     ? "redirect"
		: verdict == (uint32_t)TC_ACT_UNSPEC ? "pass"
		: verdict == TC_ACT_SHOT	     ? "drop"
						     : "other",
		"reason", reason_between(before, after), "meta", "data", hex_json(out, opts.data_size_out));
}

static void event_add(const struct event *event, void *context)
{
	json_array_append_new(
		context, json_pack("{s:i,s:I,s:o,s:o}", "kind", (int)event->kind, "spi", (json_int_t)ntohl(event->spi),
				 "source", hex_json(&event->source, sizeof(event->source)), "destination",
				 hex_json(&event->destination, sizeof(event->destination))));
}

static json_t *op_events(struct runner *r, const json_t *request)
{
	json_t *events = json_array();
	int err = sadb_events_read(r->db, event_add, events);

	(void)request;
	if (err) {
		json_decref(events);
		return answer_of(err);
	}
	return json_pack("{s:o}", "events", events);
}

static const struct {
	const char *name;
	json_t *(*fn)(struct runner *r, const json_t *request);
} ops[] = {
	{"port", op_port},
	{"no_port", op_no_port},
	{"local", op_local},
	{"sa", op_sa},
	{"seen", op_seen},
	{"policy", op_policy},
	{"policy_remove", op_policy_remove},
	{"socket", op_socket},
	{"no_socket", op_no_socket},
	{"frame", op_frame},
	{"capture_to", op_capture_to},
	{"egress", op_egress},
	{"events", op_events},
};

static json_t *request_run(struct runner *r, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "op"));

	for (size_t i = 0; name && i < ARRAY_LEN(ops); i++)
		if (strcmp(name, ops[i].name) == 0)
			return ops[i].fn(r, request);
	return json_pack("{s:s}", "error", "unknown op");
}

static void requests_serve(struct runner *r)
{
	char line[4 * ROOM_MAX];

	while (fgets(line, sizeof(line), stdin)) {
		json_t *request = json_loads(line, 0, NULL), *answer = request_run(r, request);
		OWN_PTR char *text = json_dumps(answer, JSON_COMPACT);

		puts(text ? text : "{\"error\": \"out of memory\"}");
		fflush(stdout);
		json_decref(answer);
		json_decref(request);
	}
}

static int runner_open(struct runner *r)
{
	struct dataplane_options options = {
		.pin_dir = r->pin_dir, .sa_count = 64, .tunnel_count = 64, .policy_count = 256};
	char error[256], path[512];
	int err = dataplane_open(&options, &r->dp, error);

	if (err) {
		fprintf(stderr, "prog_run: %s\n", error);
		return err;
	}
	err = sadb_open(r->pin_dir, true, &r->db);
	if (!err)
		err = policy_set_new(r->db, &r->policies);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/port", r->pin_dir);
	r->port_fd = bpf_obj_get(path);
	return r->port_fd < 0 ? r->port_fd : 0;
}

int main(int argc, char **argv)
{
	struct runner r = {.port_fd = -1, .socket_fd = -1};
	int err;

	if (argc != 2) {
		fprintf(stderr, "usage: prog_run PIN_DIR\n");
		return 2;
	}
	r.pin_dir = argv[1];
	err = runner_open(&r);
	if (!err) {
		puts("{\"ready\": true}");
		fflush(stdout);
		requests_serve(&r);
	}
	own_close_(&r.socket_fd);
	own_close_(&r.port_fd);
	capture_close(r.capture);
	policy_set_free(r.policies);
	sadb_close(r.db);
	dataplane_close(r.dp);
	dataplane_remove(r.pin_dir);
	return err ? 1 : 0;
}
