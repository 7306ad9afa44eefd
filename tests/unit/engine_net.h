/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two IKE engines, A and B, in memory: a virtual clock, a network that loses, doubles, reorders and rewrites, a keeper
 * that knows one secret per side, and a model of the SADB that checks after every effect that no packet could be lost:
 * whoever has an older tunnel only switches to an outbound SA whose inbound half stands at the peer.
 */
#ifndef ESPALIER_TESTS_ENGINE_NET_H
#define ESPALIER_TESTS_ENGINE_NET_H

#include "ike/engine.h"
#include "ike/payload/notify.h"
#include "ike/prf.h"
#include "ike/ts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NET_PACKETS_MAX 512
#define NET_SAS_MAX	64
#define NET_LATENCY_NS	(20 * NS_PER_MS)
#define NET_EVENT_KINDS 32

enum { A = 0, B = 1 };

struct net_sa {
	bool used, in, out;
	struct child_install install; /* its pointers are not used */
	char child[IKE_NAME_MAX];
	struct endpoint local, remote;
};

struct net_packet {
	bool used;
	int to;
	uint64_t at;
	struct endpoint local, remote; /* as the receiver sees them */
	size_t len;
	uint8_t bytes[IKE_MESSAGE_MAX];
};

struct net_side {
	struct ike_engine *engine;
	struct net_sa sas[NET_SAS_MAX];
	uint32_t carrier; /* child_id that the tunnel sends on; 0: none */
	const char *secret;
	bool keeper_empty;
	unsigned events[NET_EVENT_KINDS];
	char last_text[NET_EVENT_KINDS][4096];
	unsigned sent, keepalives, moves, resolves;
	bool deaf; /* gets nothing */
	struct endpoint last_from, last_to;
};

struct net {
	uint64_t now;
	struct net_side side[2];
	struct net_packet packets[NET_PACKETS_MAX];
	uint32_t seed;
	unsigned loss_percent, double_percent;
	uint64_t jitter_ns;
	bool nat; /* A is behind a NAT: 192.0.2.1 becomes 198.51.100.7, ports move by `nat_shift` */
	uint16_t nat_shift;
	bool check_lossless;
	void (*tap)(struct net *net, int from, struct bytes bytes);
};

static inline uint32_t net_rand(struct net *net)
{
	net->seed = net->seed * 1664525u + 1013904223u;
	return net->seed >> 8;
}

static inline void net_random(void *context, void *out, size_t len)
{
	uint8_t *bytes = out;

	while (len--)
		*bytes++ = (uint8_t)(net_rand(context) >> 5);
}

static inline struct ip_addr net_addr(const char *text)
{
	struct ip_addr addr = {0};

	assert_true(addr_parse(text, &addr));
	return addr;
}

/* ---- configuration -------------------------------------------------------------------------------------------- */
struct net_options {
	const char *ike, *esp; /* NULL: defaults below */
	const char *id[2], *expect[2];
	unsigned children; /* 0: 1 */
	uint64_t ike_rekey_ns, child_rekey_ns, dpd_ns;
	bool start_a, start_b;
	bool encap_a;
	const char *ike_b, *esp_b;
	const char *local_a, *remote_a, *local_b,
		*remote_b; /* selectors; NULL: 10.1.0.0/16 and 10.2.0.0/16 (+ child number in the third octet) */
	uint32_t cookie_threshold, half_open_max;
	uint32_t keying_tries;
	uint8_t close_action, dpd_action;
	bool ah;	 /* esp and esp_b are AH proposals */
	bool dynamic;	 /* no selectors: the two hosts' own addresses */
	uint8_t mode[2]; /* enum sa_mode; 0: tunnel */
	bool shunt[2];	 /* the last child is a bypass */
	bool nested;	 /* child0 is of 10.1.0.0/16 and 10.2.0.0/16: all the others' selectors are within its own */
};

static inline void net_proposals(const char *text, enum ike_protocol protocol, struct proposal_list *out)
{
	char copy[512], error[256], *save = NULL;

	out->count = 0;
	snprintf(copy, sizeof(copy), "%s", text);
	for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save))
		assert_true(proposal_parse(word, protocol, &out->items[out->count++], error, sizeof(error)));
}

static inline void net_selector(const char *text, const char *fallback, unsigned child, struct selector *out)
{
	char error[256], with[64];

	snprintf(with, sizeof(with), fallback, child);
	assert_true(ts_parse(text ? text : with, out, error, sizeof(error)));
}

static inline struct engine_config *net_config(const struct net_options *o, int side)
{
	struct engine_config *config = calloc(1, sizeof(*config));
	struct conn_config *conn = calloc(1, sizeof(*conn));
	const char *ike = side == B && o->ike_b ? o->ike_b : o->ike ? o->ike : "aes256gcm16-prfsha384-x25519";
	const char *esp = side == B && o->esp_b ? o->esp_b : o->esp ? o->esp : "aes256gcm16-x25519";

	config->cookie_threshold = o->cookie_threshold ? o->cookie_threshold : 32;
	config->half_open_max = o->half_open_max ? o->half_open_max : 64;
	config->conn_count = 1;
	config->conns = conn;
	snprintf(conn->name, sizeof(conn->name), "net");
	conn->local = net_addr(side == A ? "192.0.2.1" : "203.0.113.1");
	if (side == A)
		conn->remote = net_addr("203.0.113.1");
	else if (o->start_b)
		conn->remote = net_addr("192.0.2.1");
	net_proposals(ike, PROTOCOL_IKE, &conn->proposals);
	conn->local_auth.method = conn->remote_auth.method = AUTH_PSK;
	assert_true(ike_id_parse(o->id[side] ? o->id[side]
				 : side == A ? "a.example.com"
					     : "b.example.com",
		&conn->local_auth.id));
	assert_true(ike_id_parse(o->expect[side] ? o->expect[side]
				 : side == A	 ? "b.example.com"
						 : "a.example.com",
		&conn->remote_auth.id));
	conn->child_count = o->children ? o->children : 1;
	conn->children = calloc(conn->child_count, sizeof(*conn->children));
	for (unsigned i = 0; i < conn->child_count; i++) {
		struct child_config *child = &conn->children[i];

		snprintf(child->name, sizeof(child->name), "child%u", i);
		child->local_count = child->remote_count = 1;
		net_selector(side == A ? o->local_a : o->local_b, side == A ? "10.1.%u.0/24" : "10.2.%u.0/24", i,
			&child->local[0]);
		net_selector(side == A ? o->remote_a : o->remote_b, side == A ? "10.2.%u.0/24" : "10.1.%u.0/24", i,
			&child->remote[0]);
		if (o->nested && !i) {
			net_selector(NULL, side == A ? "10.1.%u.0/16" : "10.2.%u.0/16", i, &child->local[0]);
			net_selector(NULL, side == A ? "10.2.%u.0/16" : "10.1.%u.0/16", i, &child->remote[0]);
		}
		if (o->dynamic)
			child->local_count = child->remote_count = 0;
		net_proposals(esp, o->ah ? PROTOCOL_AH : PROTOCOL_ESP, &child->proposals);
		child->mode = o->mode[side] ? o->mode[side] : SA_TUNNEL;
		child->shunt = o->shunt[side] && i + 1 == conn->child_count ? POLICY_BYPASS : 0;
		child->start_action = (side == A ? o->start_a : o->start_b) ? CHILD_START : CHILD_NONE;
		child->close_action = o->close_action;
		child->dpd_action = o->dpd_action;
		child->rekey_ns = o->child_rekey_ns;
		child->life_ns = o->child_rekey_ns ? o->child_rekey_ns + o->child_rekey_ns / 2 : 0;
	}
	conn->encap = side == A && o->encap_a;
	conn->dpd_ns = o->dpd_ns;
	conn->rekey_ns = o->ike_rekey_ns;
	conn->over_ns = o->ike_rekey_ns / 2;
	conn->keepalive_ns = IKE_NAT_KEEPALIVE_NS;
	conn->keying_tries = o->keying_tries;
	return config;
}

/* ---- SADB model ----------------------------------------------------------------------------------------------- */
static inline struct net_sa *net_sa_find(struct net_side *side, uint32_t child_id)
{
	for (unsigned i = 0; i < NET_SAS_MAX; i++)
		if (side->sas[i].used && side->sas[i].install.child_id == child_id)
			return &side->sas[i];
	return NULL;
}

static inline struct net_sa *net_sa_by_spi_in(struct net_side *side, uint32_t spi)
{
	for (unsigned i = 0; i < NET_SAS_MAX; i++)
		if (side->sas[i].used && side->sas[i].in && side->sas[i].install.spi_in == spi)
			return &side->sas[i];
	return NULL;
}

/* The SA that child `name` sends on: the one switched to last. */
static inline struct net_sa *net_carrier(struct net_side *side, const char *name)
{
	struct net_sa *best = NULL;

	for (unsigned i = 0; i < NET_SAS_MAX; i++)
		if (side->sas[i].used && side->sas[i].out && strcmp(side->sas[i].child, name) == 0 &&
			(!best || side->sas[i].install.child_id > best->install.child_id))
			best = &side->sas[i];
	return best;
}

/* Would a packet sent now on each outbound SA be opened at the peer with the right keys? */
static inline void net_check(struct net *net)
{
	/* A peer given up after all retransmissions is no longer served: what it sends is lost with it. */
	if (!net->check_lossless || net->side[A].events[EVENT_PEER_DEAD] || net->side[B].events[EVENT_PEER_DEAD])
		return;
	for (int s = 0; s < 2; s++)
		for (unsigned i = 0; i < NET_SAS_MAX; i++) {
			struct net_sa *sa = &net->side[s].sas[i];
			struct net_sa *far;

			if (!sa->used || !sa->out)
				continue;
			far = net_sa_by_spi_in(&net->side[!s], sa->install.spi_out);
			if (!far)
				fail_msg("%c sends on SPI 0x%08x, which the peer does not have", s ? 'B' : 'A',
					sa->install.spi_out);
			assert_memory_equal(&sa->install.out, &far->install.in, sizeof(sa->install.out));
		}
}

static inline void net_install(struct net *net, int s, const struct effect *effect)
{
	struct net_side *side = &net->side[s];
	struct net_sa *sa = net_sa_find(side, effect->install.child_id);

	if (effect->kind == EFFECT_INSTALL_IN)
		assert_null(sa);
	for (unsigned i = 0; !sa && i < NET_SAS_MAX; i++)
		if (!side->sas[i].used)
			sa = &side->sas[i];
	assert_non_null(sa);
	sa->used = true;
	sa->install = effect->install;
	snprintf(sa->child, sizeof(sa->child), "%s", effect->install.child);
	sa->local = effect->install.local;
	sa->remote = effect->install.remote;
	if (effect->kind == EFFECT_INSTALL_IN) {
		sa->in = true;
	} else {
		assert_true(sa->in);
		sa->out = true;
	}
	if (effect->install.replaces && effect->kind == EFFECT_INSTALL_IN)
		assert_non_null(net_sa_find(side, effect->install.replaces));
}

static inline void net_remove(struct net *net, int s, const struct effect *effect)
{
	struct net_sa *sa = net_sa_find(&net->side[s], effect->remove.child_id);

	assert_non_null(sa);
	if (effect->kind == EFFECT_REMOVE_OUT) {
		assert_true(sa->out);
		sa->out = false;
		return;
	}
	assert_false(sa->out);
	memset(sa, 0, sizeof(*sa));
}

/* ---- network -------------------------------------------------------------------------------------------------- */
static inline void net_queue(struct net *net, int from, const struct effect *effect)
{
	unsigned copies = 1 + (net_rand(net) % 100 < net->double_percent);
	struct endpoint source = effect->send.local, target = effect->send.remote;

	net->side[from].sent++;
	net->side[from].last_from = source;
	net->side[from].last_to = target;
	if (net->tap)
		net->tap(net, from, effect->send.bytes);
	if (net->nat && from == A) {
		source.addr = net_addr("198.51.100.7");
		source.port = (uint16_t)(source.port + net->nat_shift);
	} else if (net->nat && from == B) {
		/* Back through the NAT: only to the mapping that A has opened. */
		if (!addr_equal(&target.addr, &(struct ip_addr){IP_V4, {198, 51, 100, 7}}))
			return;
		target.addr = net_addr("192.0.2.1");
		target.port = (uint16_t)(target.port - net->nat_shift);
	}
	while (copies--) {
		struct net_packet *packet = NULL;

		if (net_rand(net) % 100 < net->loss_percent)
			continue;
		for (unsigned i = 0; !packet && i < NET_PACKETS_MAX; i++)
			if (!net->packets[i].used)
				packet = &net->packets[i];
		assert_non_null(packet);
		packet->used = true;
		packet->to = !from;
		packet->at = net->now + NET_LATENCY_NS + (net->jitter_ns ? net_rand(net) % net->jitter_ns : 0);
		packet->local = target;
		packet->remote = source;
		packet->len = effect->send.bytes.len;
		memcpy(packet->bytes, effect->send.bytes.data, packet->len);
	}
}

static inline void net_drain(struct net *net, int s);

static inline void net_keeper(struct net *net, int s, const struct effect *effect)
{
	struct net_side *side = &net->side[s];
	uint8_t auth[PRF_LEN_MAX];
	uint64_t request = effect->auth.request;
	size_t len = prf_len(effect->auth.prf);

	assert_true(prf_psk_auth(effect->auth.prf, (struct bytes){(const uint8_t *)side->secret, strlen(side->secret)},
		effect->auth.octets, auth));
	engine_answer(side->engine, request, !side->keeper_empty, (struct bytes){auth, len}, net->now);
}

static inline void net_effect(struct net *net, int s, const struct effect *effect)
{
	struct net_side *side = &net->side[s];

	switch (effect->kind) {
	case EFFECT_SEND:
		net_queue(net, s, effect);
		break;
	case EFFECT_KEEPALIVE:
		side->keepalives++;
		break;
	case EFFECT_AUTH:
		net_keeper(net, s, effect);
		break;
	case EFFECT_INSTALL_IN:
	case EFFECT_INSTALL_OUT:
		net_install(net, s, effect);
		break;
	case EFFECT_REMOVE_OUT:
	case EFFECT_REMOVE_IN:
		net_remove(net, s, effect);
		break;
	case EFFECT_MOVE:
		side->moves++;
		assert_non_null(net_sa_find(side, effect->move.child_id));
		net_sa_find(side, effect->move.child_id)->remote = effect->move.remote;
		break;
	case EFFECT_EVENT:
		side->events[effect->event.kind]++;
		snprintf(side->last_text[effect->event.kind], sizeof(side->last_text[0]), "%s", effect->event.text);
		if (getenv("NET_VERBOSE"))
			printf("%8.3f %c %s\n", (double)net->now / 1e9, s ? 'B' : 'A', effect->event.text);
		break;
	case EFFECT_RESOLVE:
		side->resolves++;
		break;
	}
	net_check(net);
}

static inline void net_drain(struct net *net, int s)
{
	struct effect effect;

	while (engine_next(net->side[s].engine, &effect))
		net_effect(net, s, &effect);
}

static inline struct net_packet *net_first(struct net *net)
{
	struct net_packet *first = NULL;

	for (unsigned i = 0; i < NET_PACKETS_MAX; i++)
		if (net->packets[i].used && (!first || net->packets[i].at < first->at))
			first = &net->packets[i];
	return first;
}

/* Run until `until`: packets and timers in order of time. */
static inline void net_run_until(struct net *net, uint64_t until)
{
	for (;;) {
		struct net_packet *packet = net_first(net);
		uint64_t at = packet ? packet->at : UINT64_MAX;
		int timer = -1;

		for (int s = 0; s < 2; s++)
			if (net->side[s].engine && engine_deadline(net->side[s].engine) < at) {
				at = engine_deadline(net->side[s].engine);
				timer = s;
			}
		if (at > until)
			break;
		if (at > net->now)
			net->now = at;
		if (timer >= 0) {
			engine_tick(net->side[timer].engine, net->now);
			net_drain(net, timer);
			continue;
		}
		packet->used = false;
		if (net->side[packet->to].deaf || !net->side[packet->to].engine)
			continue;
		engine_recv(net->side[packet->to].engine, &packet->local, &packet->remote,
			(struct bytes){packet->bytes, packet->len}, net->now);
		net_drain(net, packet->to);
	}
	net->now = until;
}

static inline void net_run(struct net *net, uint64_t ns)
{
	net_run_until(net, net->now + ns);
}

static inline int net_command(struct net *net, int s, enum engine_command_kind kind, const char *child)
{
	struct engine_command command = {.kind = kind, .conn = "net", .child = child};
	int result = engine_command(net->side[s].engine, &command, net->now);

	net_drain(net, s);
	return result;
}

static inline struct net *net_new_with(const struct net_options *options, uint32_t seed)
{
	struct net *net = calloc(1, sizeof(*net));

	net->now = 1000 * NS_PER_S;
	net->seed = seed;
	for (int s = 0; s < 2; s++) {
		net->side[s].secret = "a secret that both have";
		net->side[s].engine = engine_new(net_config(options, s), net_random, net, net->now);
		net_drain(net, s);
	}
	return net;
}

static inline void net_free(struct net *net)
{
	engine_free(net->side[A].engine);
	engine_free(net->side[B].engine);
	free(net);
}

/* ---- look ----------------------------------------------------------------------------------------------------- */
struct net_look {
	unsigned ike, ike_up, children, children_up;
	struct ike_info last;
};

static inline void net_look_one(const struct ike_info *info, void *context)
{
	struct net_look *look = context;

	look->ike++;
	look->ike_up += strcmp(info->state, "up") == 0;
	look->children += info->child_count;
	for (unsigned i = 0; i < info->child_count; i++)
		look->children_up += strcmp(info->children[i].state, "up") == 0;
	look->last = *info;
}

static inline struct net_look net_look(struct net *net, int s)
{
	struct net_look look = {0};

	engine_each(net->side[s].engine, net_look_one, &look);
	return look;
}

static inline unsigned net_live(struct net *net, int s, bool out)
{
	unsigned count = 0;

	for (unsigned i = 0; i < NET_SAS_MAX; i++)
		count += net->side[s].sas[i].used && (out ? net->side[s].sas[i].out : net->side[s].sas[i].in);
	return count;
}

/* Both ends have one IKE SA, `children` CHILD SAs, and what one sends the other opens. */
static inline void net_assert_up(struct net *net, unsigned children)
{
	for (int s = 0; s < 2; s++) {
		struct net_look look = net_look(net, s);

		assert_int_equal(look.ike, 1);
		assert_int_equal(look.ike_up, 1);
		assert_int_equal(look.children_up, children);
		assert_int_equal(net_live(net, s, false), children);
		assert_int_equal(net_live(net, s, true), children);
	}
	net->check_lossless = true;
	net_check(net);
}

static inline void net_assert_clean(struct net *net)
{
	for (int s = 0; s < 2; s++) {
		assert_int_equal(net_look(net, s).ike, 0);
		assert_int_equal(net_live(net, s, false), 0);
		assert_int_equal(net_live(net, s, true), 0);
	}
}

#endif
