/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between the IKE daemon and the agent: SOCK_SEQPACKET, default /run/espalier/agent.sock, one struct
 * agent_message per packet. SA state does not go this way (it stands in the BPF maps); this carries what needs the
 * agent's rights (routes) or is an event of the data path. Either side may restart: the IKE daemon connects again and
 * repeats its routes. Messages shorter than their struct, of another version or of an unknown kind are ignored and
 * logged.
 */
#ifndef ESPALIER_AGENT_CONTRACT_H
#define ESPALIER_AGENT_CONTRACT_H

#include "bpf/contract.h"

#include <stdint.h>

#define AGENT_SOCKET_DEFAULT  "/run/espalier/agent.sock"
#define AGENT_MESSAGE_VERSION 1u

/* AGENT_MARK is the BPF programs' too: bpf/contract.h. */
#define AGENT_ROUTE_TABLE   4500u
#define AGENT_RULE_PRIORITY 4500u
/*
 * A full tunnel (a route of length 0) must not hide the networks that the host knows ways to, and takes only what its
 * selectors let in. Its route stands in a table of its own behind further rules, which stand while there is one:
 *   4501 the main table, but not its default route    4504 all other known sources: go to 4506
 *   4502 AGENT_MARK: go to 4506                       4505 the host's packets without a source yet:
 * AGENT_ROUTE_TABLE_ALL 4503 sources of local selectors: AGENT_ROUTE_TABLE_ALL          4506 go on
 */
#define AGENT_ROUTE_TABLE_ALL 4501u
#define AGENT_RULE_MAIN	      4501u
#define AGENT_RULE_MARKED     4502u
#define AGENT_RULE_SOURCE     4503u
#define AGENT_RULE_OTHERS     4504u
#define AGENT_RULE_UNBOUND    4505u
#define AGENT_RULE_END	      4506u
#define HOST_DEVICE	      "ipsec0" /* routes point here */
#define HOST_DEVICE_MTU	      1400u    /* until a tunnel says otherwise; leaves room for IPv6 + UDP + ESP in 1500 */

enum agent_message_kind {
	AGENT_ROUTE_ADD = 1, /* IKE -> agent: send `prefix` into the host device; idempotent, counted per prefix */
	AGENT_ROUTE_DELETE,  /* IKE -> agent */
	AGENT_ROUTES_RESET,  /* IKE -> agent, first message after connecting: forget all routes not repeated before
				AGENT_ROUTES_DONE */
	AGENT_ROUTES_DONE,   /* IKE -> agent */
	AGENT_PORTS_QUERY,   /* IKE -> agent: answer with one AGENT_PORT each, the last has port.more == 0 */
	AGENT_PORT,	     /* agent -> IKE */
	AGENT_ACQUIRE,	  /* agent -> IKE: a packet needs tunnel `acquire.tunnel`, which has no SA; at most one a second
			     and tunnel */
	AGENT_EXPIRE,	  /* agent -> IKE: soft or hard lifetime of an SA by bytes, packets or time;
			     told again to a daemon that has connected anew */
	AGENT_PEER_MOVED, /* agent -> IKE: an authenticated packet came from another address or port (RFC 7296 2.23) */
	AGENT_SUITES_QUERY = 20, /* IKE -> agent: answer with one AGENT_SUITE each, the last has suite.more == 0 */
	AGENT_SUITE,		 /* agent -> IKE */
	AGENT_DUMMY = 30,	 /* IKE -> agent: send dummy packets by a tunnel (RFC 4303 2.6); no answer */
};

/* What is to become of a prefix. */
enum agent_route_use {
	ROUTE_TUNNEL, /* its packets go into the host device */
	ROUTE_LOCAL,  /* not these, though a wider prefix does: they are on this side */
	ROUTE_SOURCE, /* packets from it, to wherever the host has only a default route, go into the host device */
	/* Some of its packets are to go into the host device, as the policies say: captured where interfaces can do
	 * that (bpf/capture.h). As ROUTE_TUNNEL while one cannot, or what is to be protected would leave by it in
	 * clear. */
	ROUTE_CAPTURED,
};

enum agent_tx_engine {
	TX_ENGINE_XSK,	      /* AF_XDP */
	TX_ENGINE_LIVE_READY, /* AF_XDP now, live frames under load */
	TX_ENGINE_LIVE,	      /* live frames carry now */
};

#define AGENT_DUMMY_COUNT_MAX 10000u /* of one message */
#define AGENT_DUMMY_BYTES_MAX 9000u

enum agent_busy_poll { BUSY_POLL_OFF, BUSY_POLL_ON, BUSY_POLL_REFUSED };

enum agent_expire { AGENT_EXPIRE_SOFT = 1, AGENT_EXPIRE_HARD = 2 };

struct agent_message {
	uint32_t version;
	uint32_t kind; /* enum agent_message_kind */
	union {
		struct {
			struct addr16 prefix;
			uint8_t len;	/* of the mapped form's own family: 0-32 or 0-128 */
			uint8_t family; /* 4 or 6 */
			uint8_t use;	/* enum agent_route_use; counted apart */
			uint8_t reserved[5];
			struct addr16
				source_first; /* a local address in this range is preferred as source; all zero: none */
			struct addr16 source_last;
		} route;
		struct {
			char ifname[16];
			uint32_t ifindex;
			uint32_t queues;
			uint8_t mode; /* enum attach_mode */
			uint8_t zero_copy;
			uint8_t more;
			uint8_t host;	      /* 1: the host device */
			char reason[256];     /* why not better; "" if nothing to say */
			uint8_t tx_engine;    /* enum agent_tx_engine */
			uint8_t multi_buffer; /* 1: packets longer than one buffer are taken */
			uint8_t busy_poll;    /* enum agent_busy_poll */
			uint8_t need_wakeup;  /* 1: the kernel is called only when it asks for that */
			uint32_t ring_size;   /* descriptors of each AF_XDP ring; 0: there is none */
			char tx_reason[128];  /* why this engine, and no other; "" if nothing to say */
		} port;
		struct {
			uint32_t tunnel;
			struct selector local; /* of the packet: single addresses and ports */
			struct selector remote;
		} acquire;
		struct {
			uint32_t sa;
			__be32 spi;
			uint32_t kind; /* enum agent_expire */
		} expire;
		struct {
			uint32_t tunnel;
			uint32_t count; /* 1 to AGENT_DUMMY_COUNT_MAX */
			uint32_t
				bytes; /* each before padding, cut to what the path carries; to AGENT_DUMMY_BYTES_MAX */
		} dummy;
		struct {
			uint32_t sa;
			__be32 spi;
			struct addr16 remote;
			uint16_t remote_port;
			uint8_t reserved[2];
		} moved;
		struct {
			char name[24];	 /* "aes256gcm16" */
			char engine[16]; /* what serves it: "ipsec-mb" or "openssl" */
			uint16_t encr;	 /* as in struct sa */
			uint16_t encr_key_bits;
			uint16_t integ;
			uint8_t protocol; /* 50 ESP, 51 AH */
			uint8_t more;
			uint32_t ns_small; /* one packet of 64 and of 1408 bytes among others, measured at start; 0: not
					    */
			uint32_t ns_large;
		} suite;
	};
};

#endif
