/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fragments of protected packets put together again (RFC 791 3.2, RFC 8200 4.5, RFC 5722), before ESP and AH see them
 * (RFC 4303 3.4.1). Anybody may send fragments, so memory and time are bounded: so many packets at once, so many of one
 * source, so many bytes, so many seconds. Fragments are copied here; their frames go back at once. One table serves all
 * workers, since fragments of one packet may arrive on several queues: calls are serialised by its lock, which the
 * caller takes. No clock, no packet memory.
 */
#ifndef ESPALIER_AGENT_REASSEMBLY_H
#define ESPALIER_AGENT_REASSEMBLY_H

#include "agent/frame.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define REASSEMBLY_PACKETS	  64u
#define REASSEMBLY_SOURCE_PACKETS 8u   /* of one source address; then its own oldest makes room */
#define REASSEMBLY_HEADER_MAX	  256u /* IPv4 header, or IPv6 header and what stands before the fragment header */
#define REASSEMBLY_PAYLOAD_MAX	  (JUMBO_DATA_MAX - REASSEMBLY_HEADER_MAX)
#define REASSEMBLY_S		  15u /* RFC 791 3.2 proposes this, RFC 8200 4.5 allows 60 */

struct reassembly_key {
	struct addr16 source;
	struct addr16 destination;
	uint32_t id;
	uint8_t family;
	uint8_t protocol; /* IPv4 alone (RFC 791 3.2) */
	uint8_t reserved[2];
};

struct reassembly_packet {
	struct reassembly_key key;
	bool used;
	uint8_t next_off;    /* IPv6: the byte in the header that named the fragment header */
	uint8_t next;	     /* what it is to name */
	uint8_t ecn_seen;    /* bit per code point (RFC 3168 5.3) */
	uint32_t fragments;  /* held */
	uint32_t header_len; /* 0 as long as the first fragment is missing */
	uint32_t total;	     /* bytes of payload; 0 as long as the last fragment is missing */
	uint32_t received;
	uint32_t end; /* behind the last byte there is */
	uint64_t started_ns;
	uint64_t units[(REASSEMBLY_PAYLOAD_MAX / 8 + 63) / 64]; /* bit per 8 bytes of payload */
	uint8_t header[REASSEMBLY_HEADER_MAX];
	uint8_t payload[REASSEMBLY_PAYLOAD_MAX];
};

/* Fragments that had been kept and died since it was last asked. */
struct reassembly_lost {
	uint64_t full;
	uint64_t timeout;
	uint64_t bad;
};

struct reassembly {
	pthread_mutex_t lock;
	struct reassembly_lost lost;
	struct reassembly_packet packets[REASSEMBLY_PACKETS];
};

/* About 1 MiB, touched as it is used. NULL: no memory. */
struct reassembly *reassembly_new(void);
void reassembly_free(struct reassembly *table);

/*
 * The fragment at frame->meta (META_FRAGMENT_IN: l3_off and family; nothing is trusted). On DROP_NONE it was copied; if
 * it was the last one missing, `*whole` is the packet, complete, until it is released; else NULL. Other reasons are
 * this fragment's: DROP_PACKET_MALFORMED, DROP_REASSEMBLY_BAD. An exact duplicate dies alone; one that overlaps
 * otherwise takes all others of its packet with it.
 */
enum drop_reason reassembly_add(
	struct reassembly *table, const struct frame *frame, uint64_t now_ns, struct reassembly_packet **whole);

/* Length of a complete packet, IP header included; put it at `frame->data`, whose buffer has room for it behind
 * FRAME_HEADROOM; it then is as if it had never been fragmented. */
uint32_t reassembly_len(const struct reassembly_packet *whole);
void reassembly_write(const struct reassembly_packet *whole, struct frame *frame);
/* Forget a complete packet; its fragments have become that one packet. */
void reassembly_release(struct reassembly_packet *whole);

/* Give up packets whose time is over, and tell what died since the last call. */
void reassembly_sweep(struct reassembly *table, uint64_t now_ns, struct reassembly_lost *lost);

#endif
