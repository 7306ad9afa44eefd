/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Path MTU of the outer path (RFC 1191, RFC 8201, RFC 4301 8.2): an ICMP error says that a protected packet was too
 * big. Anybody may send such an error. It is believed only if it quotes an SA's SPI and a sequence number that was sent
 * in the last seconds (sent.h), however many since, which only those on the path know, and it never lowers the MTU
 * below what every path must carry.
 */
#ifndef ESPALIER_AGENT_PMTU_H
#define ESPALIER_AGENT_PMTU_H

#include "agent/frame.h"
#include "bpf/contract.h"

#include <stdbool.h>
#include <stdint.h>

#define PMTU_IPV4_MIN	  576u	/* what every host takes (RFC 791 3.2); less is no path, it is an attack */
#define PMTU_IPV6_MIN	  1280u /* RFC 8201 4 */
#define PMTU_KEEP_S	  600u	/* RFC 1191 6.3: then a larger one is tried */
#define PMTU_JUDGED_PER_S 1000u /* and worker: errors that name the SPI and the peer of an SA of ours */

/* What the error says of a packet of ours. */
struct pmtu_quote {
	uint8_t family;	  /* 4 or 6 */
	uint8_t protocol; /* 50 or 51 */
	bool udp;	  /* ESP in UDP */
	uint16_t source_port;
	uint16_t destination_port;
	__be32 spi;
	uint32_t seq_low;
	uint32_t mtu;
	struct addr16 source;
	struct addr16 destination;
};

/*
 * Read the ICMP or ICMPv6 error at frame->meta (META_ICMP_IN); nothing of it is trusted. False: it is cut short or its
 * checksum is wrong, it is another error, or it does not quote as far as the sequence number.
 */
bool pmtu_read(const struct frame *frame, struct pmtu_quote *quote);

/* Does the error speak of a packet that this outbound SA has sent lately, and of a size that may be? `before` is the
 * last number that is too old (sent_before), `out_seq` the last one that was taken. */
bool pmtu_believe(const struct pmtu_quote *quote, const struct sa *sa, uint64_t before, uint64_t out_seq);

#endif
