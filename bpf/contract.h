/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The contract between all parts: maps, packet metadata, drop reasons. Shared by the BPF programs and by user space.
 *
 * All maps are pinned under one folder (default /sys/fs/bpf/espalier), mode 0600. Any IKE daemon may populate them.
 *
 *   map         kind                     key -> value                        written by            read by
 *   layout      array[1]                 0 -> struct layout                  agent, once           all, at open
 *   sa          array, mmap              SA index -> struct sa               IKE daemon            agent, tools
 *   sa_run      array, mmap              SA index -> struct sa_run           agent                 all
 *   tunnel      array, mmap              tunnel id -> struct tunnel          IKE daemon            agent, XDP, tools
 *   spi_in      hash                     struct spi_key -> u32 SA index      IKE daemon            XDP, tools
 *   policy4     hash                     struct policy4_key -> struct policy4   IKE daemon         XDP, tools
 *   policy6     hash                     struct policy6_key -> struct policy6   IKE daemon         XDP, tools
 *   policy_lens array[2], mmap           0: IPv4, 1: IPv6 -> struct policy_lens IKE daemon         XDP, tools
 *   local_addr  hash                     struct addr16 -> u32 ifindex        agent                 XDP
 *   port        hash                     u32 ifindex -> struct port_info     agent                 XDP, tools
 *   xsks        xskmap                   slot * QUEUES_MAX + queue -> socket agent                 XDP
 *   capture_to  array[1]                 0 -> u32 ifindex of the host device agent                 tc
 *   xdp_drops   per-CPU array            drop reason -> struct drop_count    XDP, tc               tools
 *   worker      array, mmap              worker -> struct worker_stat        agent                 IKE daemon, tools
 *   events      ring buffer              struct event                        XDP                   IKE daemon
 *
 * Byte order: SPIs and addresses stand as on the wire; ports and all other integers in host order.
 */
#ifndef ESPALIER_BPF_CONTRACT_H
#define ESPALIER_BPF_CONTRACT_H

#include <linux/types.h>

/* Raised with every change of a struct below. User space refuses pinned maps of another version. */
#define LAYOUT_VERSION 3u
#define LAYOUT_MAGIC   0x45535041u /* "ESPA" */

#define PORTS_MAX	     32u
#define QUEUES_MAX	     64u
#define WORKERS_MAX	     64u
#define SA_COUNT_DEFAULT     4096u /* slots of sa and sa_run */
#define TUNNEL_COUNT_DEFAULT 2048u
#define POLICY_COUNT_DEFAULT 4096u /* prefixes per family */
#define LOCAL_ADDR_COUNT     1024u
#define EVENTS_BYTES	     (64u * 1024u)

#define SA_NONE	    0xffffffffu /* "no SA" in struct tunnel */
#define TUNNEL_NONE 0xffffffffu /* "no tunnel" in a policy that bypasses or drops */

#define SELECTORS_MAX	     8u	 /* traffic selectors a side of one tunnel */
#define POLICY_SELECTORS_MAX 64u /* ordered selectors behind one prefix: at least all pairs of one tunnel */
#define REPLAY_BITS_MAX	     8192u
#define REPLAY_WORDS	     (REPLAY_BITS_MAX / 64u)

/* ---- drop reasons --------------------------------------------------------------------------------------------
 * One list feeds the BPF counters, the agent's counters, the CLI, the documentation and the tests. No packet dies
 * uncounted. X(NAME, severity, "sentence"); severity: info (normal life), warn (look when it grows), alert (attack or
 * fault). New reasons go to the end: the number is the index of the counter maps.
 */
#define DROP_REASONS(X)                                                                                                \
	X(NONE, info, "not dropped")                                                                                   \
	X(SPI_UNKNOWN, warn,                                                                                           \
		"ESP for an SPI that no SA here has; the peer uses an SA that is gone, or someone guesses")            \
	X(SPI_RESERVED, warn, "ESP with SPI 0 or 1-255, which RFC 4303 2.1 reserves")                                  \
	X(ESP_FRAGMENT, warn, "a fragment of an outer ESP packet; the path between the gateways has a smaller MTU")    \
	X(ESP_SHORT, alert, "ESP packet too short for its suite, or not a whole number of cipher blocks")              \
	X(ICV_BAD, alert, "the integrity check failed: altered on the way, or the two sides have different keys")      \
	X(REPLAY, warn, "sequence number seen before")                                                                 \
	X(REPLAY_OLD, warn, "sequence number left of the replay window; heavy reordering, or a replay")                \
	X(SEQ_ZERO, alert, "sequence number 0, which is never sent with anti-replay (RFC 4303 3.3.3)")                 \
	X(PADDING_BAD, alert, "padding is not 1, 2, 3 ... or is longer than the packet (RFC 4303 2.4)")                \
	X(NEXT_HEADER_BAD, warn, "next header is neither IPv4, IPv6 nor a dummy packet in tunnel mode")                \
	X(DUMMY, info, "dummy packet (next header 59), sent to hide the traffic's volume")                             \
	X(INNER_MALFORMED, alert, "the inner packet is not a whole IPv4 or IPv6 packet")                               \
	X(SELECTOR_MISMATCH, alert, "inner addresses, protocol or ports outside the SA's traffic selectors")           \
	X(OUTER_MISMATCH, warn, "encapsulation does not fit the SA: plain ESP on a UDP SA, or the other way round")    \
	X(PLAINTEXT_IN, alert, "plaintext that should have come through a tunnel")                                     \
	X(POLICY_DROP, info, "a policy says drop")                                                                     \
	X(POLICY_NONE, info, "sent to the IPsec host device, but no policy covers it")                                 \
	X(SA_MISSING, warn, "protected traffic without an SA: the tunnel is down, nothing leaves in clear")            \
	X(SA_EXPIRED, warn, "the SA reached its hard lifetime and was not replaced in time")                           \
	X(SEQ_EXHAUSTED, alert, "the SA has used its last sequence number (RFC 4303 3.3.3)")                           \
	X(SA_BROKEN, alert, "the SA's slot holds an algorithm or key that this agent cannot use")                      \
	X(PACKET_MALFORMED, warn, "the packet's headers are cut short or contradict each other")                       \
	X(TOO_BIG, info, "larger than the tunnel's MTU with don't-fragment set; the sender was told")                  \
	X(TTL_EXPIRED, info, "TTL or hop limit reached zero; the sender was told")                                     \
	X(ROUTE_NONE, warn, "no route to the destination")                                                             \
	X(NEIGHBOR_PENDING, info, "the next hop's link address is being resolved and the hold queue is full")          \
	X(NEIGHBOR_FAILED, warn, "the next hop does not answer ARP or neighbour discovery")                            \
	X(PORT_DOWN, warn, "the interface to leave by is down or not served")                                          \
	X(TX_FULL, warn, "the transmit ring is full: more traffic than the interface takes")                           \
	X(RX_FULL, warn, "the receive ring was full: more traffic than the worker takes")                              \
	X(NO_FRAME, warn, "no free packet buffer")                                                                     \
	X(AGENT_DOWN, warn, "no AF_XDP socket on this queue: the agent is not running; nothing leaves in clear")       \
	X(HELD_OVERFLOW, info, "waiting for an SA, and the queue of waiting packets is full")                          \
	X(CRYPTO_ERROR, alert, "the crypto library reported an error while sealing")                                   \
	X(XDP_ERROR, alert,                                                                                            \
		"the XDP program could not write its metadata, or a policy changed again and again under it")          \
	X(FRAGMENT_PORTS, warn,                                                                                        \
		"a later fragment has no ports, and the policy of its addresses names ports (RFC 4301 7)")             \
	X(ECN_MISMATCH, warn,                                                                                          \
		"congestion was marked on the way, but the inner packet's flow does not do ECN (RFC 6040 4.2)")        \
	X(AH_MALFORMED, alert,                                                                                         \
		"AH header whose length does not fit its suite, or mutable headers that cannot be read")               \
	X(REASSEMBLY_FULL, warn,                                                                                       \
		"fragments of more protected packets than are kept at once; the oldest one made room")                 \
	X(REASSEMBLY_TIMEOUT, warn, "a fragment of a protected packet whose other fragments did not come in time")     \
	X(REASSEMBLY_BAD, alert, "fragments of a protected packet that overlap, or make it longer than it may be")     \
	X(ICMP_UNBELIEVED, warn,                                                                                       \
		"an ICMP error about a packet not sent lately, of a size too small, or one of too many")               \
	X(FRAGMENT_TRANSPORT, warn,                                                                                    \
		"a fragment cannot go into a transport mode SA, which takes whole packets alone (RFC 4303 3.3.4)")     \
	X(HANDOVER_FULL, warn, "the worker that numbers this SA's packets has no room for more of them")               \
	X(SOURCE_ROUTE, warn,                                                                                          \
		"a source route that is not used up hides the destination, so the packet goes into no transport mode " \
		"SA")

enum drop_reason {
#define DROP_ENUM(name, severity, sentence) DROP_##name,
	DROP_REASONS(DROP_ENUM)
#undef DROP_ENUM
		DROP_REASON_COUNT
};
#define DROP_SLOTS 64u /* entries of the counter maps; room for reasons to come */

struct drop_count {
	__u64 packets;
	__u64 last_ns; /* CLOCK_MONOTONIC; 0: never */
};

/* ---- layout -------------------------------------------------------------------------------------------------- */
struct layout {
	__u32 magic;
	__u32 version;
	__u32 sa_count;
	__u32 tunnel_count;
};

struct addr16 {
	__u8 bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
};

/* ---- packet metadata -------------------------------------------------------------------------------------------
 * XDP writes it in front of the frame, so that nothing is parsed twice. It makes room with bpf_xdp_adjust_head, not
 * with data_meta, which the drivers of cloud NICs (ena, gve) do not offer: what an AF_XDP socket receives is struct
 * packet_meta, then the frame. The receiver copies the first sizeof(struct packet_meta) bytes out and skips them.
 * Offsets count from the frame's first byte (the Ethernet header), that is, from behind the metadata.
 */
enum meta_kind {
	META_ESP_IN = 1,    /* ESP to open: `index` is the SA, `payload_off` the SPI */
	META_PLAIN_OUT = 2, /* plaintext to protect: `index` is the tunnel, `payload_off` the transport header */
	META_AH_IN = 3,	    /* AH to check: `index` is the SA, `payload_off` the AH header */
	/* A fragment of ESP, AH or ESP in UDP for this host: `payload_off` is what stands behind the IP (and fragment)
	 * header, `index` SA_NONE; the agent puts the packet together and asks for its SA itself. */
	META_FRAGMENT_IN = 4,
	/* An ICMP or ICMPv6 error for this host that quotes ESP, AH or ESP in UDP: `payload_off` is the ICMP header,
	 * `index` SA_NONE. */
	META_ICMP_IN = 5,
};

#define META_UDP_ENCAP 0x01u /* the ESP packet came inside UDP (RFC 3948) */
#define META_FROM_HOST 0x02u /* came in by the host device: the kernel already counted this hop */
#define META_FRAGMENT  0x04u /* inner packet is a fragment; ports are unknown if not the first */

struct packet_meta {
	__u8 kind;     /* enum meta_kind */
	__u8 flags;    /* META_* */
	__u8 family;   /* 4 or 6: the header at l3_off */
	__u8 protocol; /* IP protocol behind the network header (and IPv6 extension headers) */
	__u16 l3_off;
	__u16 payload_off;
	__u32 index;
	__u32 reserved;
};
#ifndef __bpf__
_Static_assert(sizeof(struct packet_meta) == 16, "metadata: 16 bytes, written in front of every redirected frame");
#endif

/* ---- SADB ---------------------------------------------------------------------------------------------------- */
enum sa_state {
	SA_FREE = 0,
	SA_LIVE = 1,
	SA_RETIRED = 2, /* deleted, keys wiped; free again after every worker passed a quiescent point */
};

enum sa_direction { SA_IN = 1, SA_OUT = 2 };
enum sa_mode { SA_TUNNEL = 1, SA_TRANSPORT = 2 };

#define SA_UDP_ENCAP 0x0001u /* ESP in UDP (RFC 3948); ports below */
#define SA_ESN	     0x0002u /* 64-bit sequence numbers (RFC 4304) */

#define SA_KEY_MAX	 32u
#define SA_INTEG_KEY_MAX 64u

/*
 * Static half of an SA. Written by user space alone, under the generation: odd while it is being written, even when
 * stable; every change moves it on. A reader copies the slot and takes the copy if the generation was even and is
 * unchanged. Algorithm numbers are IANA's IKEv2 transform ids (types 1 and 3); lengths in bits as in the key-length
 * attribute.
 */
struct sa {
	__u32 generation;
	__u8 state;	/* enum sa_state */
	__u8 direction; /* enum sa_direction */
	__u8 protocol;	/* 50 ESP, 51 AH */
	__u8 mode;	/* enum sa_mode */
	__be32 spi;
	__u32 tunnel; /* tunnel id */
	__u16 encr;   /* ENCR_*: 20 AES-GCM-16, 12 AES-CBC, ... */
	__u16 encr_key_bits;
	__u16 integ; /* AUTH_*: 0 none (AEAD), 12 HMAC-SHA2-256-128, ... */
	__u16 flags; /* SA_* */
	struct addr16 local;
	struct addr16 remote;
	__u16 local_port; /* UDP encapsulation, else 0 */
	__u16 remote_port;
	__u32 replay_bits; /* window size, power of two; 0 switches anti-replay off */
	__u8 encr_key[SA_KEY_MAX];
	__u8 salt[4]; /* AEAD salt, from the end of the key material (RFC 4106 8.1) */
	__u8 integ_key[SA_INTEG_KEY_MAX];
	__u32 mtu; /* outer path MTU in bytes; 0: the interface's */
	/* Lifetimes; 0 means none. Times are CLOCK_MONOTONIC. */
	__u64 soft_bytes;
	__u64 hard_bytes;
	__u64 soft_packets;
	__u64 hard_packets;
	__u64 created_ns;
	__u64 soft_ns;
	__u64 hard_ns;
	__u64 reserved[4];
};

/* Run half of an SA, same index. The agent writes; it outlives agent and IKE daemon. */
struct sa_run {
	/* Outbound: the last number taken. Taken before the packet leaves, so that a restarted agent never reuses (key,
	 * nonce). */
	__u64 out_seq;
	__u64 packets;
	__u64 bytes; /* of inner packets */
	__u64 last_use_ns;
	/* Inbound: highest authenticated sequence number; bit n of the window is sequence number n modulo replay_bits.
	 */
	__u64 replay_top;
	__u64 dropped_replay; /* XDP adds its own */
	__u64 dropped_icv;
	__u64 dropped_other;
	/* Inbound UDP encapsulation: source of the last authenticated packet if it differs from sa.remote; port 0: it
	 * does not. */
	struct addr16 seen_remote;
	__u32 seen_remote_port;
	__u32 expire_told; /* EXPIRE_* already reported to the IKE daemon */
	/* Copies of the static half's, set when the SA is added: what XDP needs to know a certain replay. */
	__u32 replay_bits;
	__u32 flags; /* SA_* */
	/* Outbound: what an ICMP error taught about the path (RFC 8201, RFC 1191), 0: nothing; forgotten at
	 * path_mtu_until_ns.
	 */
	__u32 path_mtu;
	__u32 reserved0;
	__u64 path_mtu_until_ns;
	__u64 reserved[2];
	__u64 replay_window[REPLAY_WORDS];
};

/* One address range of a traffic selector (RFC 7296 3.13.1). IPv4 stands in the first 4 bytes. */
struct selector {
	__u8 family;   /* 4 or 6 */
	__u8 protocol; /* 0: any */
	/* Of ICMP and ICMPv6 type << 8 | code stands for both ports, of the Mobility Header type << 8 (RFC
	 * 7296 3.13.1). */
	__u16 port_first;
	__u16 port_last; /* 0-65535: any; 65535-0: OPAQUE, packets without ports alone */
	__u16 reserved;
	__u8 first[16];
	__u8 last[16];
};

enum tunnel_state { TUNNEL_FREE = 0, TUNNEL_LIVE = 1 };
enum policy_action { POLICY_PROTECT = 1, POLICY_BYPASS = 2, POLICY_DISCARD = 3 };

/* How the outer header is made from the inner one, tunnel mode alone (RFC 4301 5.1.2). All zero is the default. */
enum df_mode { DF_COPY = 0, DF_SET = 1, DF_CLEAR = 2 };
enum dscp_mode { DSCP_COPY = 0, DSCP_SET = 1 };
enum ecn_mode {
	ECN_NORMAL = 0, /* RFC 6040 4.1 normal mode, 4.2 on the way in */
	ECN_OFF = 1,	/* compatibility mode: outer Not-ECT, and the outer field ignored on the way in */
};
enum flow_label_mode { FLOW_LABEL_ZERO = 0, FLOW_LABEL_COPY = 1 };

#define TFC_PAD_MTU 0xffffu /* in tfc_pad: pad every packet to the tunnel's MTU */

struct tunnel_options {
	__u8 df;	 /* enum df_mode */
	__u8 dscp;	 /* enum dscp_mode */
	__u8 dscp_value; /* 0-63, for DSCP_SET */
	__u8 ecn;	 /* enum ecn_mode */
	__u8 ttl;	 /* of the outer header; 0: 64 */
	__u8 flow_label; /* enum flow_label_mode */
	__u16 tfc_pad;	 /* inner packets are padded to at least this many bytes (RFC 4303 2.7); 0: not; TFC_PAD_MTU */
};

#define TUNNEL_MSS_CLAMP 0x0001u /* TCP SYNs announce no longer segments than the tunnel carries */

#define OUT_MORE_MAX 14u /* outbound SAs of a child beside its first (RFC 9611) */

/* One CHILD SA's policy, whichever SAs carry it at the moment. `out_sa` is changed by one store: that is the switch at
 * a rekey. Worker w of n uses out_sa if out_more_count is 0, else the (w % (out_more_count + 1))-th of out_sa and
 * out_more; an SA_NONE there means out_sa. */
struct tunnel {
	__u32 out_sa; /* SA index or SA_NONE */
	__u8 state;   /* enum tunnel_state */
	__u8 mode;    /* enum sa_mode */
	__u8 local_count;
	__u8 remote_count;
	__u32 flags; /* TUNNEL_* */
	/* As an SA's. Flags, options and selectors change under living SAs: a reader takes them anew when it moved on.
	 */
	__u32 generation;
	struct tunnel_options options;
	__u32 out_more_count;
	__u32 out_more[OUT_MORE_MAX];
	__u32 reserved;
	struct selector local[SELECTORS_MAX];
	struct selector remote[SELECTORS_MAX];
};

struct spi_key {
	__be32 spi;
	struct addr16 destination;
	__u8 protocol;
	__u8 reserved[3];
};

/* ---- policy --------------------------------------------------------------------------------------------------
 * The maps are asked with the remote address: the destination of outbound packets, the source of inbound plaintext;
 * first under the longest prefix length in use, then under the next shorter one, until there is an entry. Behind a
 * prefix stand its selectors and those of all shorter prefixes that cover it, in the order in which they are asked
 * (priority, then the longer prefix), so that the first entry is enough. The first selector that matches decides.
 */
/* The local range lies inside the (wider) remote range, as with 10.1.0.0/16 to 0.0.0.0/0: the selector does not match
 * between two addresses of the local range. Those are neighbours, not the other side of the tunnel, and this host stays
 * within their reach. */
#define SELECTOR_NOT_AMONG_LOCAL 0x01u

struct policy4_key {
	__u32 prefix_len;
	__u8 remote[4];
};
struct policy6_key {
	__u32 prefix_len;
	__u8 remote[16];
};
struct policy4_selector {
	__u32 local_first; /* host byte order */
	__u32 local_last;
	__u32 remote_first;
	__u32 remote_last;
	__u16 local_port_first;
	__u16 local_port_last;
	__u16 remote_port_first;
	__u16 remote_port_last;
	__u8 protocol;
	__u8 action; /* enum policy_action */
	__u8 flags;  /* SELECTOR_* */
	__u8 reserved;
	__u32 tunnel;
};
struct policy6_selector {
	__u8 local_first[16];
	__u8 local_last[16];
	__u8 remote_first[16];
	__u8 remote_last[16];
	__u16 local_port_first;
	__u16 local_port_last;
	__u16 remote_port_first;
	__u16 remote_port_last;
	__u8 protocol;
	__u8 action;
	__u8 flags;
	__u8 reserved;
	__u32 tunnel;
};
/*
 * An entry has room for POLICY_SELECTORS_MAX selectors, 2068 bytes (IPv4) or 5152 (IPv6), which the kernel rounds up to
 * 4 and 8 KiB; a map takes that for the prefixes in use alone. Packets pay for the selectors that are there, not for
 * the room.
 *
 * A hash map gives the memory of a replaced entry away at once, while another CPU may still read it. So an entry names
 * its key and carries the number of its writing twice, different with every writing: a reader takes what it read if key
 * and numbers are still the same afterwards, and else asks again.
 */
struct policy4 {
	__u32 count;
	__u32 generation;
	struct policy4_key key;
	struct policy4_selector selectors[POLICY_SELECTORS_MAX];
	__u32 generation_end;
};
struct policy6 {
	__u32 count;
	__u32 generation;
	struct policy6_key key;
	struct policy6_selector selectors[POLICY_SELECTORS_MAX];
	__u32 generation_end;
};

/*
 * The prefix lengths in use, as a list from the longest to the shortest: next[POLICY_LENS_HEAD] is the first one plus
 * 1, next[n] the one that follows length n plus 1; 0 ends the list. A length comes in by two stores of a byte (its own
 * successor, then its predecessor's) and goes by one, so that a reader always stands on the way to the end.
 */
#define POLICY_LENS_HEAD 129u
struct policy_lens {
	__u8 next[136];
	/* One more after every change of an entry or of the list, and when a writer begins: whoever remembers answers
	 * asks again then. */
	__u64 changes;
};

/* ---- capture ---- */
/* Sockets that must not enter the tunnel (IKE's) and the agent's own route look-ups carry this mark; `ip rule` sends
 * all else to the table of the host device, and tc leaves what carries it alone. */
#define AGENT_MARK 0x45535000u

/* ---- ports and workers --------------------------------------------------------------------------------------- */
struct port_info {
	__u32 slot; /* index into xsks: slot * QUEUES_MAX + queue */
	__u8 mac[6];
	__u8 reserved[2];
};

/* One per worker, one writer: that worker. `epoch` is odd while the worker is inside a turn (SA slots may be in use).
 */
struct worker_stat {
	__u64 epoch;
	__u64 turns;
	__u64 rx_packets;
	__u64 tx_packets;
	__u64 sealed;
	__u64 opened;
	__u64 lent;	/* packets whose cipher work another worker did for this one */
	__u64 borrowed; /* packets whose cipher work this worker did for another one */
	struct drop_count drops[DROP_SLOTS];
};

/* ---- events -------------------------------------------------------------------------------------------------- */
enum event_kind { EVENT_SPI_UNKNOWN = 1 };

struct event {
	__u32 kind;
	__be32 spi;
	struct addr16 source;
	struct addr16 destination;
	__u64 time_ns;
};

#ifndef __bpf__
_Static_assert(sizeof(struct sa) == 256, "struct sa is part of the pinned layout");
_Static_assert(sizeof(struct sa_run) == 128 + 8 * REPLAY_WORDS, "struct sa_run is part of the pinned layout");
_Static_assert(sizeof(struct selector) == 40, "struct selector is part of the pinned layout");
_Static_assert(sizeof(struct tunnel) == 88 + 2 * 40 * SELECTORS_MAX, "struct tunnel is part of the pinned layout");
_Static_assert(sizeof(struct spi_key) == 24, "struct spi_key is part of the pinned layout");
_Static_assert(sizeof(struct policy4_selector) == 32, "struct policy4_selector is part of the pinned layout");
_Static_assert(sizeof(struct policy6_selector) == 80, "struct policy6_selector is part of the pinned layout");
_Static_assert(sizeof(struct policy4) == 20 + 32 * POLICY_SELECTORS_MAX, "struct policy4 is part of the pinned layout");
_Static_assert(sizeof(struct policy6) == 32 + 80 * POLICY_SELECTORS_MAX, "struct policy6 is part of the pinned layout");
_Static_assert(POLICY_SELECTORS_MAX >= SELECTORS_MAX * SELECTORS_MAX, "all pairs of one tunnel fit behind one prefix");
_Static_assert(sizeof(struct worker_stat) == 64 + 16 * DROP_SLOTS, "struct worker_stat is part of the pinned layout");
_Static_assert(DROP_REASON_COUNT <= DROP_SLOTS, "raise DROP_SLOTS");
#endif

#endif
