/* SPDX-License-Identifier: Apache-2.0 */
/* Frames, inner packets and SA pairs for the tests of the data plane's pure half. */
#ifndef ESPALIER_TESTS_UNIT_ESP_LAB_H
#define ESPALIER_TESTS_UNIT_ESP_LAB_H

#include "agent/checksum.h"
#include "agent/esp_open.h"
#include "agent/esp_seal.h"
#include "agent/frame.h"
#include "agent/inner.h"
#include "agent/sa_context.h"
#include "agent/suite.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define LAB_SPI 0x11223344u

/* A frame with memory of its own, as a port would give it: FRAME_HEADROOM before the data. */
struct lab_frame {
	uint8_t chunk[FRAME_SIZE];
	struct frame frame;
};

static inline struct frame *lab_frame_set(struct lab_frame *lab, const void *data, size_t len)
{
	memset(lab, 0, sizeof(*lab));
	lab->frame.chunk = lab->chunk;
	lab->frame.size = sizeof(lab->chunk);
	lab->frame.data = lab->chunk + FRAME_HEADROOM;
	lab->frame.len = (uint32_t)len;
	if (len)
		memcpy(lab->frame.data, data, len);
	return &lab->frame;
}

static inline void lab_put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void lab_ipv4_check(uint8_t *ip)
{
	uint16_t check;

	memset(ip + 10, 0, 2);
	check = (uint16_t)~checksum_fold(checksum_add(0, ip, (ip[0] & 15u) * 4u));
	memcpy(ip + 10, &check, 2);
}

/* 10.1.0.5 -> 10.2.0.7 or fd01::5 -> fd02::7, `protocol`, `payload_len` bytes of a pattern behind the IP header. Gives
 * the length. */
static inline uint32_t lab_packet(uint8_t *out, uint8_t family, uint8_t protocol, uint32_t payload_len)
{
	uint32_t header_len = family == 4 ? 20 : 40;

	memset(out, 0, header_len);
	for (uint32_t i = 0; i < payload_len; i++)
		out[header_len + i] = (uint8_t)(i * 7 + 3);
	if (family == 4) {
		out[0] = 0x45;
		lab_put16(out + 2, header_len + payload_len);
		out[8] = 64;
		out[9] = protocol;
		memcpy(out + 12, (uint8_t[]){10, 1, 0, 5, 10, 2, 0, 7}, 8);
		lab_ipv4_check(out);
	} else {
		out[0] = 0x60;
		lab_put16(out + 4, payload_len);
		out[6] = protocol;
		out[7] = 64;
		inet_pton(AF_INET6, "fd01::5", out + 8);
		inet_pton(AF_INET6, "fd02::7", out + 24);
	}
	return header_len + payload_len;
}

/* UDP or TCP ports of a lab_packet. */
static inline void lab_ports(uint8_t *packet, uint16_t source, uint16_t destination)
{
	uint8_t *transport = packet + (packet[0] >> 4 == 4 ? 20 : 40);

	lab_put16(transport, source);
	lab_put16(transport + 2, destination);
}

/* A selector from texts; any port. */
static inline struct selector lab_selector(const char *first, const char *last)
{
	struct selector selector = {.family = strchr(first, ':') ? 6 : 4, .port_last = 0xffff};
	int family = selector.family == 4 ? AF_INET : AF_INET6;

	inet_pton(family, first, selector.first);
	inet_pton(family, last, selector.last);
	return selector;
}

static inline void lab_mapped(const char *text, struct addr16 *out)
{
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET6, text, out->bytes) == 1)
		return;
	memset(out->bytes + 10, 0xff, 2);
	inet_pton(AF_INET, text, out->bytes + 12);
}

/* The tunnel as the receiver sees it: local is what lab_packet is sent to. */
static inline struct tunnel lab_tunnel(void)
{
	struct tunnel tunnel = {.state = TUNNEL_LIVE, .mode = SA_TUNNEL, .local_count = 2, .remote_count = 2};

	tunnel.local[0] = lab_selector("10.2.0.0", "10.2.255.255");
	tunnel.local[1] = lab_selector("fd02::", "fd02::ffff");
	tunnel.remote[0] = lab_selector("10.1.0.0", "10.1.255.255");
	tunnel.remote[1] = lab_selector("fd01::", "fd01::ffff");
	return tunnel;
}

/* The sender's SA between 192.0.2.1 and 198.51.100.2, or 2001:db8::1 and ::2; with SA_UDP_ENCAP ports 4500 and 14500.
 */
static inline struct sa lab_sa_out(const struct esp_suite *suite, uint8_t outer_family, uint16_t flags)
{
	struct sa sa = {
		.state = SA_LIVE, .direction = SA_OUT, .protocol = IPPROTO_ESP, .mode = SA_TUNNEL, .flags = flags};

	sa.spi = htonl(LAB_SPI);
	sa.encr = suite->encr;
	sa.encr_key_bits = suite->encr_key_bits;
	sa.integ = suite->integ;
	lab_mapped(outer_family == 4 ? "192.0.2.1" : "2001:db8::1", &sa.local);
	lab_mapped(outer_family == 4 ? "198.51.100.2" : "2001:db8::2", &sa.remote);
	if (flags & SA_UDP_ENCAP) {
		sa.local_port = 4500;
		sa.remote_port = 14500;
	}
	for (unsigned i = 0; i < suite->encr_key_len; i++)
		sa.encr_key[i] = (uint8_t)(i + 1);
	for (unsigned i = 0; i < suite->integ_key_len; i++)
		sa.integ_key[i] = (uint8_t)(0x80 + i);
	memcpy(sa.salt, (uint8_t[]){0xca, 0xfe, 0xba, 0xbe}, 4);
	return sa;
}

/* The same SA at the receiver. */
static inline struct sa lab_sa_in(const struct sa *out, uint32_t replay_bits)
{
	struct sa sa = *out;

	sa.direction = SA_IN;
	sa.local = out->remote;
	sa.remote = out->local;
	sa.local_port = out->remote_port;
	sa.remote_port = out->local_port;
	sa.replay_bits = replay_bits;
	return sa;
}

/* Both ends of one SA. */
struct lab_pair {
	struct sa_run run_out, run_in;
	struct sa_context out, in;
};

static inline int lab_pair_init(struct lab_pair *pair, const struct esp_suite *suite, uint8_t outer_family,
	uint16_t flags, uint32_t replay_bits)
{
	struct tunnel tunnel = lab_tunnel();
	struct sa out = lab_sa_out(suite, outer_family, flags), in = lab_sa_in(&out, replay_bits);
	int error;

	memset(pair, 0, sizeof(*pair));
	error = sa_context_init(&pair->out, &out, &tunnel, &pair->run_out);
	return error ? error : sa_context_init(&pair->in, &in, &tunnel, &pair->run_in);
}

/* Any addresses in both directions, for packets between the peers themselves. */
static inline struct tunnel lab_tunnel_any(void)
{
	struct tunnel tunnel = {.state = TUNNEL_LIVE, .mode = SA_TRANSPORT, .local_count = 2, .remote_count = 2};

	tunnel.local[0] = tunnel.remote[0] = lab_selector("0.0.0.0", "255.255.255.255");
	tunnel.local[1] = tunnel.remote[1] = lab_selector("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	return tunnel;
}

/* In transport mode. */
static inline int lab_pair_init_transport(
	struct lab_pair *pair, const struct esp_suite *suite, uint8_t family, uint16_t flags, uint32_t replay_bits)
{
	struct tunnel tunnel = lab_tunnel_any();
	struct sa out = lab_sa_out(suite, family, flags), in;
	int error;

	memset(pair, 0, sizeof(*pair));
	out.mode = SA_TRANSPORT;
	in = lab_sa_in(&out, replay_bits);
	error = sa_context_init(&pair->out, &out, &tunnel, &pair->run_out);
	return error ? error : sa_context_init(&pair->in, &in, &tunnel, &pair->run_in);
}

/* Let a packet go between the addresses of lab_sa_out. */
static inline void lab_between_peers(uint8_t *packet)
{
	if (packet[0] >> 4 == 4) {
		memcpy(packet + 12, (uint8_t[]){192, 0, 2, 1, 198, 51, 100, 2}, 8);
		lab_ipv4_check(packet);
		return;
	}
	inet_pton(AF_INET6, "2001:db8::1", packet + 8);
	inet_pton(AF_INET6, "2001:db8::2", packet + 24);
}

/* Let it go where lab_packet's go. */
static inline void lab_within_tunnel(uint8_t *packet)
{
	if (packet[0] >> 4 == 4) {
		memcpy(packet + 12, (uint8_t[]){10, 1, 0, 5, 10, 2, 0, 7}, 8);
		lab_ipv4_check(packet);
		return;
	}
	inet_pton(AF_INET6, "fd01::5", packet + 8);
	inet_pton(AF_INET6, "fd02::7", packet + 24);
}

static inline void lab_pair_clear(struct lab_pair *pair)
{
	sa_context_clear(&pair->out);
	sa_context_clear(&pair->in);
}

/* What XDP would have written for this outer packet, which begins at its IP header (options and extension headers
 * aside). */
static inline void lab_meta_in(struct frame *frame, uint16_t sa_flags)
{
	frame->meta = (struct packet_meta){.kind = META_ESP_IN, .family = frame->data[0] >> 4};
	frame->meta.payload_off = frame->meta.family == 4 ? 20 : 40;
	if (sa_flags & SA_UDP_ENCAP) {
		frame->meta.flags = META_UDP_ENCAP;
		frame->meta.payload_off = (uint16_t)(frame->meta.payload_off + 8);
	}
}

static inline enum drop_reason lab_seal(struct lab_pair *pair, struct frame *frame)
{
	struct inner inner;
	enum drop_reason reason;

	if (!inner_parse(frame->data, frame->len, &inner))
		return DROP_INNER_MALFORMED;
	reason = esp_seal(&pair->out, frame, &inner, 1);
	if (reason == DROP_NONE)
		lab_meta_in(frame, pair->out.sa.flags);
	return reason;
}

static inline enum drop_reason lab_open(struct lab_pair *pair, struct frame *frame)
{
	struct inner inner;

	return esp_open(&pair->in, frame, &inner, 1);
}

static inline unsigned lab_digit(char digit)
{
	return (unsigned)(digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
}

/* Bytes from hexadecimal text; blanks are skipped. Gives the length. */
static inline size_t lab_hex(const char *text, uint8_t *out)
{
	size_t len = 0;

	for (; *text; text++) {
		if (*text == ' ')
			continue;
		out[len++] = (uint8_t)(lab_digit(text[0]) << 4 | lab_digit(text[1]));
		text++;
	}
	return len;
}

/* A packet with a source route, or with what is none. */
struct lab_route {
	const char *what;
	uint8_t family;
	uint8_t next;	     /* IPv6: what the fixed header names */
	const char *headers; /* hex: options, or extension headers up to UDP */
	bool unfinished;
};

/* NULL past the end. */
static inline const struct lab_route *lab_route_at(unsigned index)
{
	static const struct lab_route routes[] = {
		{"a loose one", 4, 0, "830704 0a000001 00", true},
		{"a strict one, half way, behind others", 4, 0, "01 94040000 890b08 0a000001 0a000002", true},
		{"one that is used up", 4, 0, "830708 0a000001 00", false},
		{"record route", 4, 0, "070704 0a000001 00", false},
		{"behind the end of the list", 4, 0, "00830704 0a000001", false},
		{"type 0", 6, 43, "11 02 00 01 00000000 200100000000000000000000000000aa", true},
		{"type 0, used up", 6, 43, "11 02 00 00 00000000 200100000000000000000000000000aa", false},
		{"segments, behind hop-by-hop options", 6, 0,
			"2b 00 0104 00000000 11 02 04 01 00000000 200100000000000000000000000000aa", true},
	};

	return index < sizeof(routes) / sizeof(routes[0]) ? &routes[index] : NULL;
}

/* Between the addresses of lab_sa_out. Gives the length, at most 128. */
static inline uint32_t lab_route_packet(uint8_t *out, const struct lab_route *route)
{
	uint32_t fixed = route->family == 4 ? 20 : 40, more, len;
	uint8_t headers[64];

	more = (uint32_t)lab_hex(route->headers, headers);
	len = lab_packet(out, route->family, 17, more + 16);
	memcpy(out + fixed, headers, more);
	if (route->family == 4)
		out[0] = (uint8_t)(0x45 + more / 4);
	else
		out[6] = route->next;
	lab_between_peers(out);
	return len;
}

/* A suite in an outer form. */
struct lab_form {
	const struct esp_suite *suite;
	uint8_t outer_family;
	uint16_t flags;
};

/* Every suite in every outer form; false past the end. */
static inline bool lab_form_at(unsigned index, struct lab_form *form)
{
	static const uint16_t flags[] = {0, SA_UDP_ENCAP, SA_ESN, SA_UDP_ENCAP | SA_ESN};

	form->suite = esp_suite_at(index / 8);
	form->outer_family = index / 4 % 2 ? 6 : 4;
	form->flags = flags[index % 4];
	return form->suite != NULL;
}

/* Numbers that look random and are the same in every run. */
static inline uint32_t lab_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*state >> 33);
}

#endif
