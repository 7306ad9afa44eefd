/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IKE engine under arbitrary datagrams. Byte 0 picks the state: 0 nothing, 1 half-open, 2 up, 3 up and rekeying;
 * then records of {kind, length (2), bytes}: kind 0: the bytes as a datagram; 1: the same with the SPIs of the IKE SA;
 * 2: exchange, then payloads {type, length, bytes} that are encrypted with the peer's true keys, so that what lies
 * behind the integrity check is reached; 3: time passes.
 */
#include "ike/core.h"
#include "ike/payload/notify.h"
#include "ike/prf.h"

#include <stdio.h>
#include <stdlib.h>

struct world {
	struct ike_engine *side[2];
	uint64_t now;
	uint32_t seed;
	unsigned rounds;
};

static const struct endpoint ends[2] = {{{IP_V4, {192, 0, 2, 1}}, IKE_PORT}, {{IP_V4, {203, 0, 113, 1}}, IKE_PORT}};

static void next_random(void *context, void *out, size_t len)
{
	struct world *world = context;
	uint8_t *bytes = out;

	while (len--) {
		world->seed = world->seed * 1664525u + 1013904223u;
		*bytes++ = (uint8_t)(world->seed >> 16);
	}
}

static struct engine_config *make_config(int side)
{
	struct engine_config *config = calloc(1, sizeof(*config));
	struct conn_config *conn = calloc(1, sizeof(*conn));
	struct child_config *child = calloc(1, sizeof(*child));
	char error[128];

	*config = (struct engine_config){.cookie_threshold = 4, .half_open_max = 8, .conn_count = 1, .conns = conn};
	snprintf(conn->name, sizeof(conn->name), "fuzz");
	conn->local = ends[side].addr;
	conn->remote = ends[!side].addr;
	conn->local_auth.method = conn->remote_auth.method = AUTH_PSK;
	proposal_parse("aes256gcm16-prfsha256-x25519-ecp256", PROTOCOL_IKE,
		&conn->proposals.items[conn->proposals.count++], error, sizeof(error));
	conn->children = child;
	conn->child_count = 1;
	snprintf(child->name, sizeof(child->name), "child");
	proposal_parse("aes256gcm16-x25519", PROTOCOL_ESP, &child->proposals.items[child->proposals.count++], error,
		sizeof(error));
	child->mode = SA_TUNNEL;
	conn->dpd_ns = 30 * NS_PER_S;
	return config;
}

static void drain(struct world *world, int side, bool deliver);

static void take(struct world *world, int side, const struct effect *effect, bool deliver)
{
	static const char secret[] = "secret";
	uint8_t auth[PRF_LEN_MAX], copy[IKE_MESSAGE_MAX];
	size_t len;

	if (effect->kind == EFFECT_AUTH) {
		len = prf_len(effect->auth.prf);
		if (!prf_psk_auth(effect->auth.prf, (struct bytes){(const uint8_t *)secret, sizeof(secret) - 1},
			    effect->auth.octets, auth))
			abort();
		engine_answer(world->side[side], effect->auth.request, true, (struct bytes){auth, len}, world->now);
	} else if (effect->kind == EFFECT_SEND && deliver && world->rounds++ < 64) {
		len = effect->send.bytes.len;
		memcpy(copy, effect->send.bytes.data, len);
		drain(world, side, deliver);
		engine_recv(world->side[!side], &ends[!side], &ends[side], (struct bytes){copy, len}, world->now);
		drain(world, !side, deliver);
	}
}

static void drain(struct world *world, int side, bool deliver)
{
	struct effect effect;

	while (engine_next(world->side[side], &effect))
		take(world, side, &effect, deliver);
}

static void start(struct world *world, uint8_t mode)
{
	struct engine_command command = {.kind = ENGINE_UP, .conn = "fuzz"};

	for (int side = 0; side < 2; side++)
		world->side[side] = engine_new(make_config(side), next_random, world, world->now);
	if (!mode)
		return;
	engine_command(world->side[0], &command, world->now);
	if (mode == 1) {
		struct effect effect;

		while (engine_next(world->side[0], &effect))
			if (effect.kind == EFFECT_SEND)
				engine_recv(world->side[1], &ends[1], &ends[0], effect.send.bytes, world->now);
		drain(world, 1, false);
		return;
	}
	drain(world, 0, true);
	if (mode == 3) {
		command.kind = ENGINE_REKEY_CHILD;
		engine_command(world->side[1], &command, world->now);
		drain(world, 1, false);
	}
}

static void put_spis(uint8_t *bytes, size_t len, const struct ike_sa *sa)
{
	struct writer w = writer_of(bytes, len);

	if (!sa || len < 2 * IKE_SPI_LEN)
		return;
	write_u64(&w, sa->spi_i);
	write_u64(&w, sa->spi_r);
}

/* Payloads of the input, encrypted by A's half of the IKE SA. */
static size_t forge(struct reader *r, uint8_t *out, const struct ike_sa *from, const struct ike_sa *to)
{
	uint8_t kind = read_u8(r), iv[16] = {0};
	bool response = kind & 0x80;
	struct ike_header header = {
		.spi_i = from->spi_i,
		.spi_r = from->spi_r,
		.version = IKE_VERSION,
		.exchange = (uint8_t)(IKE_AUTH + kind % 3),
		.flags = (uint8_t)((from->initiator ? IKE_FLAG_INITIATOR : 0) | (response ? IKE_FLAG_RESPONSE : 0)),
		.message_id = response ? to->request.id : to->next_in,
	};
	const struct sk_key *key = from->initiator ? &from->keys.i : &from->keys.r;
	struct message_writer m;

	message_begin(&m, out, IKE_MESSAGE_MAX, &header);
	message_begin_sk(&m, key);
	while (reader_left(r)) {
		uint8_t type = read_u8(r), len = read_u8(r);
		struct reader body = read_sub(r, len < reader_left(r) ? len : reader_left(r));
		struct bytes bytes = read_rest(&body);

		payload_begin(&m, type);
		write_bytes(&m.w, bytes.data, bytes.len);
		payload_end(&m);
	}
	return message_seal(&m, key, iv);
}

static void record(struct world *world, struct reader *r)
{
	uint8_t kind = read_u8(r) % 4, buffer[IKE_MESSAGE_MAX];
	uint16_t want = read_u16(r);
	struct reader body = read_sub(r, want < reader_left(r) ? want : reader_left(r));
	struct ike_sa *from = world->side[0]->sas, *to = world->side[1]->sas;
	size_t len = reader_left(&body);

	if (kind == 3) {
		world->now += (uint64_t)want * NS_PER_S / 16;
		engine_tick(world->side[1], world->now);
	} else if (kind == 2 && from && to && from->keyed && to->keyed) {
		len = forge(&body, buffer, from, to);
		engine_recv(world->side[1], &ends[1], &ends[0], (struct bytes){buffer, len}, world->now);
	} else {
		if (len > sizeof(buffer))
			len = sizeof(buffer);
		read_copy(&body, buffer, len);
		if (kind == 1)
			put_spis(buffer, len, to);
		engine_recv(world->side[1], &ends[1], &ends[0], (struct bytes){buffer, len}, world->now);
	}
	drain(world, 1, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world world = {.now = 1000 * NS_PER_S, .seed = 1};
	struct reader r = reader_of(data, size);

	start(&world, read_u8(&r) % 4);
	for (unsigned i = 0; reader_left(&r) && i < 32; i++)
		record(&world, &r);
	engine_free(world.side[0]);
	engine_free(world.side[1]);
	return 0;
}
