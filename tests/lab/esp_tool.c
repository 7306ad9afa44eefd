/* SPDX-License-Identifier: Apache-2.0 */
/*
 * esp_tool: the agent's ESP in a pipe. One JSON object per line on stdin, one per line on stdout:
 *
 *   {"op": "seal", "encr": 20, "bits": 256, "integ": 0, "key": HEX, "salt": HEX, "integ_key": HEX, "spi": 1, "local":
 * ADDRESS, "remote": ADDRESS, "local_port": 4500, "remote_port": 4500, "udp": false, "esn": false, "seq": LAST USED,
 * "packet": HEX}
 *   -> {"reason": "NONE", "packet": HEX, "seq": LAST USED}
 *
 *   {"op": "open", ..., "replay_bits": 64, "seq": HIGHEST SEEN, "packet": HEX of the outer packet}
 *   -> {"reason": "NONE", "packet": HEX, "seq": HIGHEST SEEN, "seen_remote_port": 0}
 *
 * "protocol" is 50 (ESP) or 51 (AH, with "integ" and "integ_key" alone), "mode" is "tunnel" or "transport", "options"
 * the tunnel's: {"df": 0, "dscp": 0, "dscp_value": 0, "ecn": 0, "ttl": 0, "flow_label": 0, "tfc_pad": 0} with the
 * numbers of bpf/contract.h; what is left out is 0, or 50, or "tunnel".
 *
 * Addresses are the SA's; every inner address is within the selectors unless "local_ts" or "remote_ts" (an address
 * each) says otherwise.
 * "engine" ("ipsec-mb" or "openssl") says which one is to do it; left out: the agent's own choice.
 *
 * Without IP around it, for published vectors (a number above 2^63 is a text in hexadecimal):
 *   {"op": "cipher_seal", ..., "seq": ALL 64 BITS, "packet": HEX of ESP header, room for the IV, and text}
 *   {"op": "cipher_open", ..., "seq": ALL 64 BITS, "packet": HEX of the ESP packet}
 *   -> {"good": true, "packet": HEX from the ESP header on; after opening without ICV}
 *   {"op": "mac", "integ": 12, "integ_key": HEX, "salt": HEX, "iv": HEX, "data": HEX} -> {"good": true, "icv": HEX}
 *
 * {"op": "suites"} -> {"suites": [{"name", "encr", "bits", "integ", "key_len", "integ_key_len", "salt_len", "iv_len",
 * "icv_len", "engines": [names of those that serve it]}], "ah_suites": the same}. Exit status 1 on a line that is no
 * request.
 */
#include "agent/ah_open.h"
#include "agent/ah_seal.h"
#include "agent/base/addr.h"
#include "agent/esp_open.h"
#include "agent/esp_seal.h"
#include "agent/frame.h"
#include "agent/inner.h"
#include "agent/sa_context.h"
#include "agent/suite_engine.h"
#include "agent/transport.h"
#include "bpf/sadb.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 65536

static unsigned digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* The bytes of a hexadecimal member; 0 if it is not there or too long. */
static uint32_t get_hex(const json_t *request, const char *name, uint8_t *out, size_t size)
{
	const char *text = json_string_value(json_object_get(request, name));
	size_t len = text ? strlen(text) / 2 : 0;

	if (len > size)
		return 0;
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
	return (uint32_t)len;
}

static uint64_t get_number(const json_t *request, const char *name)
{
	const json_t *number = json_object_get(request, name);

	return json_is_string(number) ? strtoull(json_string_value(number), NULL, 16)
				      : (uint64_t)json_integer_value(number);
}

static bool get_flag(const json_t *request, const char *name)
{
	return json_is_true(json_object_get(request, name));
}

static bool get_addr(const json_t *request, const char *name, struct ip_addr *out)
{
	const char *text = json_string_value(json_object_get(request, name));

	return text && addr_parse(text, out);
}

static uint8_t get_mode(const json_t *request)
{
	const char *mode = json_string_value(json_object_get(request, "mode"));

	return !mode || strcmp(mode, "tunnel") == 0 ? SA_TUNNEL : SA_TRANSPORT;
}

static struct tunnel_options get_options(const json_t *request)
{
	const json_t *options = json_object_get(request, "options");

	return (struct tunnel_options){
		.df = (uint8_t)get_number(options, "df"),
		.dscp = (uint8_t)get_number(options, "dscp"),
		.dscp_value = (uint8_t)get_number(options, "dscp_value"),
		.ecn = (uint8_t)get_number(options, "ecn"),
		.ttl = (uint8_t)get_number(options, "ttl"),
		.flow_label = (uint8_t)get_number(options, "flow_label"),
		.tfc_pad = (uint16_t)get_number(options, "tfc_pad"),
	};
}

static json_t *hex_string(const uint8_t *data, uint32_t len)
{
	static char text[2 * FRAME_SIZE + 1];

	for (uint32_t i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", data[i]);
	text[2 * len] = '\0';
	return json_string(text);
}

/* All but the addresses. */
static void read_cipher(const json_t *request, struct sa *sa, bool outbound)
{
	memset(sa, 0, sizeof(*sa));
	sa->state = SA_LIVE;
	sa->direction = outbound ? SA_OUT : SA_IN;
	sa->protocol = (uint8_t)(get_number(request, "protocol") ? get_number(request, "protocol") : IPPROTO_ESP);
	sa->mode = get_mode(request);
	sa->spi = htonl((uint32_t)get_number(request, "spi"));
	sa->encr = (uint16_t)get_number(request, "encr");
	sa->encr_key_bits = (uint16_t)get_number(request, "bits");
	sa->integ = (uint16_t)get_number(request, "integ");
	sa->flags = (uint16_t)((get_flag(request, "udp") ? SA_UDP_ENCAP : 0) | (get_flag(request, "esn") ? SA_ESN : 0));
	sa->local_port = (uint16_t)get_number(request, "local_port");
	sa->remote_port = (uint16_t)get_number(request, "remote_port");
	sa->replay_bits = (uint32_t)get_number(request, "replay_bits");
	get_hex(request, "key", sa->encr_key, sizeof(sa->encr_key));
	get_hex(request, "salt", sa->salt, sizeof(sa->salt));
	get_hex(request, "integ_key", sa->integ_key, sizeof(sa->integ_key));
}

static bool read_sa(const json_t *request, struct sa *sa, bool outbound)
{
	struct ip_addr local, remote;

	read_cipher(request, sa, outbound);
	if (!get_addr(request, "local", &local) || !get_addr(request, "remote", &remote))
		return false;
	addr_to_mapped(&local, sa->local.bytes);
	addr_to_mapped(&remote, sa->remote.bytes);
	return true;
}

/* One address, or everything of both families. */
static uint8_t read_selectors(const json_t *request, const char *name, struct selector *out)
{
	struct ip_addr addr;

	memset(out, 0, 2 * sizeof(*out));
	out[0].port_last = out[1].port_last = UINT16_MAX;
	if (get_addr(request, name, &addr)) {
		out[0].family = addr.family;
		memcpy(out[0].first, addr.bytes, 16);
		memcpy(out[0].last, addr.bytes, 16);
		return 1;
	}
	out[0].family = 4;
	out[1].family = 6;
	memset(out[0].last, 0xff, 16);
	memset(out[1].last, 0xff, 16);
	return 2;
}

/* What XDP would tell of this outer packet. */
static void set_meta(struct frame *frame)
{
	uint8_t family = frame->len ? frame->data[0] >> 4 : 4;
	struct transport_place place = {0};
	bool udp, found = false;

	for (uint32_t at = family == 4 ? 20 : 40; at <= frame->len && !found; at += 4)
		found = transport_place_in(frame->data, frame->len, at, &place) &&
			(place.protocol == IPPROTO_ESP || place.protocol == IPPROTO_AH ||
				place.protocol == IPPROTO_UDP);
	udp = place.protocol == IPPROTO_UDP;
	frame->meta = (struct packet_meta){.kind = place.protocol == IPPROTO_AH ? META_AH_IN : META_ESP_IN,
		.family = family,
		.flags = udp ? META_UDP_ENCAP : 0};
	frame->meta.payload_off = (uint16_t)(place.header_len + (udp ? 8 : 0));
}

static enum drop_reason seal(struct sa_context *ctx, struct frame *frame)
{
	struct inner inner;

	if (!inner_parse(frame->data, frame->len, &inner))
		return DROP_PACKET_MALFORMED;
	return ctx->sa.protocol == IPPROTO_AH ? ah_seal(ctx, frame, &inner, 1) : esp_seal(ctx, frame, &inner, 1);
}

static enum drop_reason open_frame(struct sa_context *ctx, struct frame *frame)
{
	struct inner inner;

	set_meta(frame);
	if ((frame->meta.kind == META_AH_IN) != (ctx->sa.protocol == IPPROTO_AH))
		return DROP_SPI_UNKNOWN;
	return ctx->sa.protocol == IPPROTO_AH ? ah_open(ctx, frame, &inner, 1) : esp_open(ctx, frame, &inner, 1);
}

/* The cipher of this SA by the engine that was asked for. */
static int make_cipher(const json_t *request, struct esp_cipher *cipher, const struct sa *sa)
{
	const char *name = json_string_value(json_object_get(request, "engine"));
	const struct suite_engine *engine = name ? suite_engine_find(name) : NULL;

	if (!name)
		return esp_cipher_init(cipher, sa);
	return engine ? esp_cipher_init_by(cipher, sa, engine) : -1;
}

static json_t *answer_cipher(const json_t *request, bool outbound)
{
	static uint8_t packet[FRAME_SIZE];
	struct esp_cipher cipher;
	struct esp_job job = {.cipher = &cipher, .esp = packet, .seq = get_number(request, "seq")};
	uint32_t len = get_hex(request, "packet", packet, sizeof(packet) - ESP_ICV_MAX), around;
	struct sa sa;

	read_cipher(request, &sa, outbound);
	if (make_cipher(request, &cipher, &sa) != 0)
		return NULL;
	around = ESP_HEADER_LEN + cipher.suite->iv_len + (outbound ? 0u : cipher.suite->icv_len);
	if (len < around + cipher.suite->block)
		return NULL;
	job.text_len = len - around;
	if (outbound)
		esp_jobs_seal(&job, 1);
	else
		esp_jobs_open(&job, 1);
	len = outbound ? len + cipher.suite->icv_len : len - cipher.suite->icv_len;
	esp_cipher_clear(&cipher);
	return json_pack("{s:b, s:o}", "good", job.good, "packet", hex_string(packet, len));
}

static json_t *answer_mac(const json_t *request)
{
	static uint8_t data[FRAME_SIZE];
	uint8_t iv[ESP_IV_MAX] = {0}, icv[ESP_ICV_MAX];
	uint32_t len = get_hex(request, "data", data, sizeof(data)), icv_len;
	struct esp_cipher cipher;
	struct sa sa;
	bool good;

	read_cipher(request, &sa, true);
	sa.protocol = IPPROTO_AH;
	get_hex(request, "iv", iv, sizeof(iv));
	if (!len || make_cipher(request, &cipher, &sa) != 0)
		return NULL;
	icv_len = cipher.suite->icv_len;
	good = esp_cipher_mac(&cipher, data, len, iv, icv);
	esp_cipher_clear(&cipher);
	return json_pack("{s:b, s:o}", "good", good, "icv", hex_string(icv, good ? icv_len : 0));
}

static json_t *answer_packet(const json_t *request, bool outbound)
{
	static uint8_t chunk[FRAME_SIZE];
	static struct sa_run run;
	static struct sa_context ctx;
	struct frame frame = {.chunk = chunk, .size = sizeof(chunk), .data = chunk + FRAME_HEADROOM};
	struct tunnel tunnel = {.state = TUNNEL_LIVE, .mode = get_mode(request), .options = get_options(request)};
	struct sa sa;
	enum drop_reason reason = DROP_SA_BROKEN;

	memset(&run, 0, sizeof(run));
	if (!read_sa(request, &sa, outbound))
		return NULL;
	frame.len = get_hex(request, "packet", frame.data, FRAME_DATA_MAX);
	run.out_seq = run.replay_top = get_number(request, "seq");
	tunnel.local_count = read_selectors(request, "local_ts", tunnel.local);
	tunnel.remote_count = read_selectors(request, "remote_ts", tunnel.remote);
	if (sa_context_init(&ctx, &sa, &tunnel, &run) == 0) {
		esp_cipher_clear(&ctx.cipher);
		if (make_cipher(request, &ctx.cipher, &sa) != 0)
			return NULL;
		reason = outbound ? seal(&ctx, &frame) : open_frame(&ctx, &frame);
	}
	sa_context_clear(&ctx);
	return json_pack("{s:s, s:o, s:I, s:I}", "reason", drop_reason_name(reason), "packet",
		hex_string(frame.data, reason == DROP_NONE ? frame.len : 0), "seq",
		(json_int_t)(outbound ? run.out_seq : run.replay_top), "seen_remote_port",
		(json_int_t)run.seen_remote_port);
}

static json_t *suite_list(const struct esp_suite *(*at)(unsigned))
{
	json_t *list = json_array();
	const struct esp_suite *suite;

	for (unsigned i = 0; (suite = at(i)); i++) {
		json_t *engines = json_array();

		for (unsigned j = 0; suite_engine_at(j); j++) {
			if (suite_engine_at(j)->serves(suite))
				json_array_append_new(engines, json_string(suite_engine_at(j)->name));
		}
		json_array_append_new(list,
			json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:o}", "name", suite->name, "encr",
				suite->encr, "bits", suite->encr_key_bits, "integ", suite->integ, "key_len",
				suite->encr_key_len, "integ_key_len", suite->integ_key_len, "salt_len", suite->salt_len,
				"iv_len", suite->iv_len, "icv_len", suite->icv_len, "engines", engines));
	}
	return list;
}

static json_t *answer_suites(void)
{
	return json_pack("{s:o, s:o}", "suites", suite_list(esp_suite_at), "ah_suites", suite_list(ah_suite_at));
}

static json_t *answer(const json_t *request)
{
	const char *op = json_string_value(json_object_get(request, "op"));

	if (!op)
		return NULL;
	if (strcmp(op, "suites") == 0)
		return answer_suites();
	if (strcmp(op, "seal") == 0)
		return answer_packet(request, true);
	if (strcmp(op, "open") == 0)
		return answer_packet(request, false);
	if (strcmp(op, "cipher_seal") == 0)
		return answer_cipher(request, true);
	if (strcmp(op, "cipher_open") == 0)
		return answer_cipher(request, false);
	if (strcmp(op, "mac") == 0)
		return answer_mac(request);
	return NULL;
}

int main(void)
{
	static char line[LINE_MAX_BYTES];

	while (fgets(line, sizeof(line), stdin)) {
		json_error_t error;
		json_t *request = json_loads(line, 0, &error);
		json_t *reply = request ? answer(request) : NULL;

		if (!reply) {
			fprintf(stderr, "esp_tool: no request: %s\n",
				request ? "op, suite, engine or address is missing or unknown" : error.text);
			json_decref(request);
			return 1;
		}
		json_dumpf(reply, stdout, JSON_COMPACT);
		fputc('\n', stdout);
		fflush(stdout);
		json_decref(reply);
		json_decref(request);
	}
	return 0;
}
