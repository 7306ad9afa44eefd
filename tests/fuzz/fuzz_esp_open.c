/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ESP open path. First byte: suite; second: form (FORM_*); then either a whole outer packet with the offsets that
 * XDP would have told, or plaintext that is sealed here first, so that what stands behind the integrity check is
 * reached, in tunnel and in transport mode. What is accepted goes the rest of a worker's way: MSS, checksums, TTL, ICMP
 * error, fragments, and back into a tunnel, from which it must come out as it went in.
 */
#include "agent/checksum.h"
#include "agent/esp_open.h"
#include "agent/esp_seal.h"
#include "agent/fragment.h"
#include "agent/icmp_error.h"
#include "agent/inner.h"
#include "agent/mss.h"
#include "agent/sa_context.h"
#include "agent/transport.h"
#include "agent/wire.h"
#include "tests/unit/esp_lab.h"

#include <sanitizer/asan_interface.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FORM_IPV6      0x01u
#define FORM_UDP       0x02u
#define FORM_ESN       0x04u
#define FORM_SEALED    0x08u
#define FORM_TRAILER   0x10u /* a right trailer is put behind the plaintext */
#define FORM_CHECKSUM  0x20u /* the plaintext's IPv4 header checksum is made right */
#define FORM_OTHER_UDP 0x40u /* raw: XDP tells the other form of encapsulation */
#define FORM_TRANSPORT 0x80u
#define FORMS	       16u /* those that make an SA */
#define SUITES_MAX     256u
#define REPLAY_BITS    64u
#define MTU	       600u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned suite_count(void)
{
	static unsigned count;

	while (!count || esp_suite_at(count))
		count++;
	return count;
}

static struct lab_pair *pair_of(unsigned suite, unsigned form)
{
	static struct lab_pair *pairs[SUITES_MAX][FORMS];
	struct lab_pair **slot = &pairs[suite][form % (FORMS / 2) + (form & FORM_TRANSPORT ? FORMS / 2 : 0)];
	uint16_t flags = (uint16_t)((form & FORM_UDP ? SA_UDP_ENCAP : 0) | (form & FORM_ESN ? SA_ESN : 0));

	if (!*slot) {
		*slot = malloc(sizeof(**slot));
		if (!*slot || (form & FORM_TRANSPORT ? lab_pair_init_transport : lab_pair_init)(
				      *slot, esp_suite_at(suite), form & FORM_IPV6 ? 6 : 4, flags, REPLAY_BITS) != 0)
			abort();
		for (unsigned i = 0; i < 2; i++) { /* any address, so that selectors let most packets on */
			memset((*slot)->in.tunnel.local[i].first, 0, 16);
			memset((*slot)->in.tunnel.local[i].last, 0xff, 16);
			(*slot)->in.tunnel.remote[i] = (*slot)->in.tunnel.local[i];
		}
		sa_context_derive(&(*slot)->in);
	}
	(*slot)->run_out = (struct sa_run){0};
	(*slot)->run_in = (struct sa_run){0};
	return *slot;
}

/* Nothing behind the packet may be read but by those who write there first. */
static void poison(struct lab_frame *lab)
{
	uint8_t *end = lab->frame.data + lab->frame.len;

	ASAN_POISON_MEMORY_REGION(end, (size_t)(lab->chunk + FRAME_SIZE - end));
}

static void unpoison(struct lab_frame *lab)
{
	ASAN_UNPOISON_MEMORY_REGION(lab->chunk, FRAME_SIZE);
}

static void set_raw(struct lab_frame *lab, const uint8_t *data, size_t size, unsigned form, const struct lab_pair *pair)
{
	bool udp = !!(form & FORM_UDP) != !!(form & FORM_OTHER_UDP);
	uint8_t offsets[2] = {0, 20};

	if (size >= 2) {
		memcpy(offsets, data, 2);
		data += 2;
		size -= 2;
	}
	lab_frame_set(lab, data, size);
	lab->frame.meta = (struct packet_meta){
		.kind = META_ESP_IN, .family = form & FORM_IPV6 ? 6 : 4, .flags = udp ? META_UDP_ENCAP : 0};
	lab->frame.meta.l3_off = offsets[0];
	lab->frame.meta.payload_off = offsets[1];
	if (offsets[1] + 4u <= size && data[offsets[1]] == 0xff) /* the SPI is not to be guessed */
		memcpy(lab->frame.data + offsets[1], &pair->in.sa.spi, 4);
}

/* What the plaintext looks like; in transport mode its first byte chooses. */
static uint8_t plain_next_header(const uint8_t *data, size_t size, unsigned form)
{
	static const uint8_t carried[] = {IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_DSTOPTS,
		IPPROTO_FRAGMENT, IPPROTO_HOPOPTS, IPPROTO_ESP};

	if (form & FORM_TRANSPORT)
		return carried[size ? data[0] % sizeof(carried) : 0];
	return size && data[0] >> 4 == 6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
}

/* Whatever the fuzzer thinks of as plaintext, sealed as the peer would. */
static void set_sealed(struct lab_frame *lab, const uint8_t *data, size_t size, unsigned form, struct lab_pair *pair)
{
	const struct esp_suite *suite = pair->out.suite;
	struct frame *frame = lab_frame_set(lab, data, size);
	uint8_t next_header = plain_next_header(data, size, form);
	struct esp_job job;
	uint32_t seq = htonl(1), plain_len, ip_len = pair->out.outer_family == 4 ? 20 : 40;

	if (form & FORM_CHECKSUM && size >= 20 && data[0] >> 4 == 4 && (data[0] & 15u) * 4u <= size)
		lab_ipv4_check(frame->data);
	if (form & FORM_TRAILER) {
		while ((frame->len + ESP_TRAILER_LEN) % suite->block)
			frame->data[frame->len++] = 0; /* TFC padding, so that the padding proper has length 0 */
		frame->data[frame->len++] = 0;
		frame->data[frame->len++] = next_header;
	}
	plain_len = frame->len / suite->block * suite->block;
	frame->len = plain_len;
	memcpy(frame_push(frame, ESP_HEADER_LEN + suite->iv_len), &pair->out.sa.spi, 4);
	memcpy(frame->data + 4, &seq, 4);
	job = (struct esp_job){.cipher = &pair->out.cipher, .esp = frame->data, .seq = 1, .text_len = plain_len};
	esp_jobs_seal(&job, 1);
	if (!job.good)
		abort();
	frame->len += suite->icv_len;
	memcpy(frame_push(frame, pair->out.outer_len), pair->out.outer, pair->out.outer_len);
	if (ip_len == 20)
		lab_put16(frame->data + 2, frame->len);
	else
		lab_put16(frame->data + 4, frame->len - 40);
	if (form & FORM_UDP)
		lab_put16(frame->data + ip_len + 4, frame->len - ip_len);
	lab_meta_in(frame, pair->in.sa.flags);
}

static void check_inner(const struct lab_frame *lab, const struct inner *inner)
{
	const struct frame *frame = &lab->frame;

	if (frame->data < lab->chunk || frame->data + frame->len > lab->chunk + FRAME_SIZE ||
		frame->len != inner->len || inner->payload_off > inner->len ||
		inner->source != frame->data + (inner->family == 4 ? 12 : 8))
		abort();
}

static void try_fragments(const struct lab_frame *lab, const struct inner *inner)
{
	static struct lab_frame parts[FRAGMENTS_MAX];
	struct frame frames[FRAGMENTS_MAX];
	bool ipv6 = inner->family == 6;
	uint32_t mtu = ipv6 ? INNER_IPV6_MTU_MIN : MTU;
	unsigned count = ipv6 ? fragment6_count(lab->frame.data, lab->frame.len, mtu)
			      : fragment_count(lab->frame.data, inner, mtu);

	for (unsigned i = 0; i < count; i++)
		frames[i] = (struct frame){.chunk = parts[i].chunk, .size = FRAME_SIZE};
	if (!count)
		return;
	if (ipv6)
		fragment6_split(lab->frame.data, lab->frame.len, mtu, 1, frames, count);
	else
		fragment_split(lab->frame.data, inner, mtu, frames, count);
	for (unsigned i = 0; i < count; i++) {
		if (frames[i].len > mtu)
			abort();
	}
}

static void try_icmp_error(const struct lab_frame *lab, const struct inner *inner)
{
	static const uint8_t source[16] = {10, 0, 0, 1};
	static struct lab_frame out;
	struct inner error;

	out.frame.chunk = out.chunk;
	out.frame.size = sizeof(out.chunk);
	if (!icmp_error_build(&out.frame, ICMP_TOO_BIG, lab->frame.data, inner, source, MTU))
		return;
	if (!inner_parse(out.frame.data, out.frame.len, &error) || error.len != out.frame.len)
		abort();
}

/* Back into a tunnel and out again. */
static void try_seal(struct lab_frame *lab, struct lab_pair *pair, const struct inner *inner)
{
	static uint8_t before[FRAME_SIZE];
	uint32_t len = lab->frame.len;
	struct transport_place place;
	enum drop_reason reason;
	struct inner again;
	uint8_t *data;

	/* where the packet began may have left no room: begin where a port would have put it */
	memcpy(before, lab->frame.data, len);
	lab_frame_set(lab, before, len);
	if (!inner_parse(lab->frame.data, len, &again))
		abort();
	pair->run_out.out_seq = 1;
	if (len > FRAME_DATA_MAX)
		return;
	/* Sealed in transport mode, a packet without anything is a dummy. */
	if (pair->out.sa.mode == SA_TRANSPORT &&
		(again.fragment || !transport_place_out(before, &again, &place) || place.protocol == WIRE_NEXT_DUMMY))
		return;
	reason = esp_seal(&pair->out, &lab->frame, &again, 1);
	if (reason == DROP_SOURCE_ROUTE && pair->out.sa.mode == SA_TRANSPORT)
		return; /* opened it may be, not sealed */
	if (reason != DROP_NONE)
		abort();
	lab_meta_in(&lab->frame, pair->in.sa.flags);
	if (pair->out.sa.mode == SA_TRANSPORT)
		lab->frame.meta.payload_off = (uint16_t)(place.header_len + (pair->in.sa.flags & SA_UDP_ENCAP ? 8 : 0));
	poison(lab);
	if (esp_open(&pair->in, &lab->frame, &again, 1) != DROP_NONE || lab->frame.len != len)
		abort();
	unpoison(lab);
	data = lab->frame.data;
	if (memcmp(data, before, len) != 0 || inner->family != again.family)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct lab_frame lab;
	struct lab_pair *pair;
	struct inner inner;
	unsigned form;

	if (size < 2 || size > FRAME_DATA_MAX - 300)
		return 0;
	form = data[1];
	pair = pair_of(data[0] % suite_count(), form);
	if (form & FORM_SEALED)
		set_sealed(&lab, data + 2, size - 2, form, pair);
	else
		set_raw(&lab, data + 2, size - 2, form, pair);
	poison(&lab);
	if (esp_open(&pair->in, &lab.frame, &inner, 1) == DROP_NONE) {
		if (!(form & FORM_SEALED))
			abort(); /* nobody guesses an ICV */
		check_inner(&lab, &inner);
		mss_clamp(lab.frame.data, &inner, MTU);
		checksum_complete(lab.frame.data, &inner);
		try_icmp_error(&lab, &inner);
		try_fragments(&lab, &inner);
		inner_decrement_ttl(lab.frame.data, &inner);
		unpoison(&lab);
		try_seal(&lab, pair, &inner);
	}
	unpoison(&lab);
	return 0;
}
