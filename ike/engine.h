/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IKEv2 engine (RFC 7296): pure. Bytes, time and randomness come in; bytes and effects go out. It owns no file
 * descriptor and reads no clock. One thread.
 *
 *   engine_recv     a datagram came in          engine_next     take the next effect, until there is none
 *   engine_tick     the deadline has passed     engine_deadline when to call tick
 *   engine_answer   an asked-for result         engine_command  an operator's or the data path's wish
 *
 * After each call that takes `now`, drain the effects in order: an inbound SA's install stands before the answer that
 * makes the peer use it.
 */
#ifndef ESPALIER_IKE_ENGINE_H
#define ESPALIER_IKE_ENGINE_H

#include "agent/base/addr.h"
#include "agent/base/bytes.h"
#include "bpf/contract.h"
#include "ike/id.h"
#include "ike/limits.h"
#include "ike/proposal.h"

#include <stdbool.h>
#include <stdint.h>

struct ike_engine;
struct child_install;

/* ---- configuration -------------------------------------------------------------------------------------------- */
enum child_action { CHILD_NONE = 0, CHILD_TRAP, CHILD_START };
enum mss_choice { MSS_DEFAULT = 0, MSS_CLAMP, MSS_KEEP }; /* DEFAULT: agent.mss_clamp */
enum unique_policy { UNIQUE_REPLACE = 0, UNIQUE_KEEP, UNIQUE_NEVER };
enum auth_method { AUTH_PSK = 2 }; /* RFC 7296 3.8 */

struct child_config {
	char name[IKE_NAME_MAX];
	uint8_t local_count; /* 0: "dynamic", the connection's own address */
	uint8_t remote_count;
	struct selector local[SELECTORS_MAX];
	struct selector remote[SELECTORS_MAX];
	struct proposal_list proposals;
	uint8_t mode;	   /* enum sa_mode */
	uint8_t shunt;	   /* POLICY_BYPASS or POLICY_DISCARD: a policy without a peer; 0: a child to negotiate */
	uint32_t priority; /* of its policies, lower is asked first; 0: by the selectors' sizes */
	struct tunnel_options options; /* and the next: of its own packets alone, so a change keeps the SAs */
	uint8_t clamp;		       /* enum mss_choice */
	uint8_t start_action;	       /* enum child_action; START and TRAP also mean: up again when lost */
	uint8_t close_action;
	uint8_t dpd_action;
	uint64_t rekey_ns; /* 0: never */
	uint64_t life_ns;
	uint64_t rekey_bytes, life_bytes, rekey_packets, life_packets;
	uint32_t replay_bits;
};

struct auth_config {
	uint8_t method;	  /* enum auth_method */
	struct ike_id id; /* local: IKE_ID_ANY means the address; remote: a pattern */
};

struct conn_config {
	char name[IKE_NAME_MAX];
	struct ip_addr local;  /* IP_NONE: any; before dialling EFFECT_RESOLVE asks for the address to use */
	struct ip_addr remote; /* IP_NONE: any (responder only), or a name not yet resolved */
	bool remote_is_name;   /* commands ENGINE_RESOLVED set `remote` */
	struct proposal_list proposals;
	struct auth_config local_auth;
	struct auth_config remote_auth;
	uint32_t child_count;
	struct child_config *children; /* owned by the engine_config */
	bool encap;
	uint64_t dpd_ns; /* 0: off */
	uint64_t rekey_ns;
	uint64_t over_ns; /* hard lifetime behind rekey_ns */
	uint64_t keepalive_ns;
	uint32_t keying_tries; /* 0: for ever */
	uint8_t unique;	       /* enum unique_policy */
	bool peerless;	       /* all its children are shunts: nothing is negotiated */
};

struct engine_config {
	uint32_t cookie_threshold;
	uint32_t half_open_max;
	uint32_t conn_count;
	struct conn_config *conns;
};

void engine_config_free(struct engine_config *config);

/* Fill `out` with random bytes of cryptographic quality. Injected: tests give a fixed stream. */
typedef void (*engine_random_fn)(void *context, void *out, size_t len);

/* Takes ownership of `config`. NULL if memory is short. */
struct ike_engine *engine_new(
	struct engine_config *config, engine_random_fn random, void *random_context, uint64_t now);
/*
 * May this CHILD SA be? Asked before it is agreed to, of whoever knows all tunnels; `install` has no keys yet. 0, or
 * the notify (RFC 7296 3.10.1) to refuse it with, and then why, in words for an operator, in `why`. Without it all may
 * be.
 */
typedef uint16_t (*engine_admit_fn)(void *context, const struct child_install *install, char *why, size_t why_size);
void engine_admit(struct ike_engine *engine, engine_admit_fn admit, void *context);
/* Wipes all keys. No effects are given for the SAs that still live. */
void engine_free(struct ike_engine *engine);

/* ---- in ------------------------------------------------------------------------------------------------------- */
/* One UDP payload. On port 4500 the rim has taken off the non-ESP marker; a keepalive (one byte 0xff) may be passed and
 * is ignored. */
void engine_recv(struct ike_engine *engine, const struct endpoint *local, const struct endpoint *remote,
	struct bytes datagram, uint64_t now);
void engine_tick(struct ike_engine *engine, uint64_t now);
/* When engine_tick is due; UINT64_MAX: not at all. */
uint64_t engine_deadline(const struct ike_engine *engine);

/* Result of EFFECT_AUTH, by its `request`. `ok` false: no such secret. `auth` is the value of the AUTH payload,
 * borrowed for the call. */
void engine_answer(struct ike_engine *engine, uint64_t request, bool ok, struct bytes auth, uint64_t now);

enum engine_command_kind {
	ENGINE_UP,   /* conn, child ("" : all of conn) */
	ENGINE_DOWN, /* conn, child ("": the whole IKE SA) */
	ENGINE_REKEY_CHILD,
	ENGINE_REKEY_IKE,
	ENGINE_ACQUIRE,	   /* conn, child: traffic waits (trap) */
	ENGINE_EXPIRE,	   /* child_id, hard: the data path reports a lifetime */
	ENGINE_UNUSABLE,   /* child_id: its SAs could not be installed; it is deleted, and tried again after a while */
	ENGINE_PEER_MOVED, /* child_id, remote: an authenticated ESP packet came from there */
	ENGINE_RESOLVED,   /* conn, remote.addr, local: the peer's address, and ours towards it (the route's source) */
	ENGINE_PROBE,	   /* conn: liveness check now */
};
struct engine_command {
	enum engine_command_kind kind;
	const char *conn;
	const char *child;
	uint32_t child_id;
	bool hard;
	struct endpoint remote;
	struct ip_addr local; /* ENGINE_RESOLVED only; IP_NONE: could not be found, dial later */
	/* ENGINE_ACQUIRE: of the packet that waits; family 0: not known. Offered first (RFC 7296 2.9). */
	struct selector packet_local, packet_remote;
};
/* 0; -ENOENT: no such connection or child; -EINVAL: cannot be done (no remote address ...). */
int engine_command(struct ike_engine *engine, const struct engine_command *command, uint64_t now);

/*
 * New configuration: applies the difference. Unchanged connections and children (compared field by field) keep their
 * SAs; SAs of removed or changed ones are deleted, with a DELETE to the peer; new start_actions are taken. Takes
 * ownership of `config`.
 */
void engine_reconfigure(struct ike_engine *engine, struct engine_config *config, uint64_t now);
/* Send DELETE for every IKE SA (shutdown); give effects for the removals. */
void engine_shutdown(struct ike_engine *engine, uint64_t now);

/* ---- out ------------------------------------------------------------------------------------------------------ */
/* Keys of one direction of a CHILD SA (RFC 7296 2.17). */
struct child_keys {
	uint8_t encr[32];
	uint8_t salt[4];
	uint8_t integ[64];
};

/* All that the SADB needs. Names and lists are borrowed until the next engine call. */
struct child_install {
	uint32_t child_id; /* the engine's, unique for its life */
	uint32_t replaces; /* child_id that this one rekeys; 0: none. Same tunnel and policy. */
	const char *conn;
	const char *child;
	const struct ike_id *peer; /* authenticated */
	uint32_t spi_in;	   /* host order */
	uint32_t spi_out;
	struct suite suite;
	struct child_keys in;
	struct child_keys out;
	struct endpoint local; /* outer; ports count only with udp_encap */
	struct endpoint remote;
	bool udp_encap;
	uint8_t mode;	/* enum sa_mode, as negotiated */
	bool tfc_plain; /* the peer takes no TFC padding (RFC 7296 1.3.1) */
	const struct child_config *config;
	uint8_t local_count, remote_count;
	struct selector local_ts[SELECTORS_MAX];
	struct selector remote_ts[SELECTORS_MAX];
};

enum effect_kind {
	EFFECT_SEND = 1,   /* send.bytes from send.local to send.remote; on port 4500 the rim puts the non-ESP marker in
			      front */
	EFFECT_KEEPALIVE,  /* send one byte 0xff from local to remote, without marker (RFC 3948 2.3) */
	EFFECT_AUTH,	   /* ask the keeper; answer by engine_answer */
	EFFECT_INSTALL_IN, /* install the inbound SA of child.child_id (and its tunnel and policy), now */
	EFFECT_INSTALL_OUT, /* install the outbound SA (unless it stands already) and switch the tunnel to it */
	EFFECT_REMOVE_OUT,  /* child_id: stop sending on it (before REMOVE_IN, at a delete) */
	EFFECT_REMOVE_IN,   /* child_id: remove it wholly; `keep_policy`: the tunnel stays, fail closed */
	EFFECT_MOVE,	    /* child_id: new local and remote endpoints */
	EFFECT_EVENT,	    /* something a person wants to know */
	EFFECT_RESOLVE, /* conn: resolve its remote name (or take its remote address) and find our address towards it,
			   then ENGINE_RESOLVED */
};

enum ike_event_kind {
	EVENT_IKE_UP = 1,
	EVENT_IKE_DOWN,
	EVENT_IKE_REKEYED,
	EVENT_CHILD_UP,
	EVENT_CHILD_DOWN,
	EVENT_CHILD_REKEYED,
	EVENT_PEER_DEAD,
	EVENT_PROPOSAL_MISMATCH,
	EVENT_TS_MISMATCH,
	EVENT_AUTH_FAILED,
	EVENT_NO_CONNECTION,
	EVENT_MESSAGE_BAD,
	EVENT_COOKIES_ON,
	EVENT_COOKIES_OFF,
	EVENT_ENDPOINT_MOVED,
	EVENT_MODE_TUNNEL,   /* transport mode was wanted, tunnel mode it is */
	EVENT_CHILD_REFUSED, /* by engine_admit_fn */
};

struct effect {
	enum effect_kind kind;
	union {
		struct {
			struct endpoint local, remote;
			struct bytes bytes; /* valid until the next engine_next or other engine call */
		} send;
		struct {
			/*
			 * PSK: AUTH = prf(prf(secret, "Key Pad for IKEv2"), octets) (RFC 7296 2.15), by the secret for
			 * (local_id, remote_id). For verifying the peer the same is asked with the peer's octets, and
			 * the engine compares.
			 */
			uint64_t request;
			enum auth_method method;
			uint16_t prf; /* enum prf_id */
			const struct ike_id *local_id;
			const struct ike_id *remote_id;
			struct bytes octets; /* <SignedOctets> */
		} auth;
		struct child_install install;
		struct {
			uint32_t child_id;
			bool keep_policy;
		} remove;
		struct {
			uint32_t child_id;
			struct endpoint local, remote;
			bool udp_encap;
		} move;
		struct {
			enum ike_event_kind kind;
			const char *conn;  /* may be "" */
			const char *child; /* may be "" */
			struct endpoint remote;
			const char *text; /* sentence(s); may be several lines */
		} event;
		struct {
			const char *conn;
		} resolve;
	};
};

/* The next effect, in order; false if there is none. Key material in it is wiped by the following engine call. */
bool engine_next(struct ike_engine *engine, struct effect *out);

/* ---- look ----------------------------------------------------------------------------------------------------- */
struct child_info {
	uint32_t child_id;
	const char *name;
	const char *state; /* name of the state, for a person */
	uint32_t spi_in, spi_out;
	struct suite suite;
	uint64_t since_ns;
	uint64_t rekey_at_ns; /* 0: never */
	bool udp_encap;
	uint8_t mode; /* enum sa_mode */
	uint8_t local_count, remote_count;
	const struct selector *local_ts;
	const struct selector *remote_ts;
};
struct ike_info {
	const char *conn;
	const char *state;
	bool initiator;
	uint64_t spi_i, spi_r;
	struct endpoint local, remote;
	struct ike_id local_id, remote_id;
	struct suite suite;
	bool nat_local, nat_remote;
	uint64_t since_ns;
	uint64_t rekey_at_ns;
	uint32_t child_count;
	const struct child_info *children; /* valid during the call-back */
};
/* Call `fn` for each IKE SA. Everything passed is borrowed for the call. */
void engine_each(
	const struct ike_engine *engine, void (*fn)(const struct ike_info *info, void *context), void *context);

/* Counters of refused input: X(NAME, "sentence"). */
#define IKE_COUNTERS(X)                                                                                                \
	X(RECEIVED, "datagrams received")                                                                              \
	X(HEADER_BAD, "header cut short, a length that lies, or another major version")                                \
	X(PAYLOAD_BAD, "a payload that is malformed or does not fit into its message")                                 \
	X(CRITICAL_UNKNOWN, "a critical payload that is not known")                                                    \
	X(EXCHANGE_BAD, "an exchange that is not known or not allowed in this state")                                  \
	X(SPI_UNKNOWN, "no IKE SA has these SPIs")                                                                     \
	X(INTEGRITY_BAD, "an encrypted message failed its integrity check")                                            \
	X(MESSAGE_ID_BAD, "message id outside the window")                                                             \
	X(RETRANSMIT_SEEN, "requests seen before, answered from memory")                                               \
	X(COOKIE_SENT, "cookies asked for")                                                                            \
	X(COOKIE_BAD, "cookies that did not fit")                                                                      \
	X(HALF_OPEN_FULL, "refused: too many half-open IKE SAs")                                                       \
	X(NO_PROPOSAL, "no proposal in common")                                                                        \
	X(NO_CONNECTION, "no connection is configured for this peer")                                                  \
	X(AUTH_FAILED, "the peer failed to authenticate")                                                              \
	X(TS_UNACCEPTABLE, "no traffic selectors in common")                                                           \
	X(RETRANSMITS, "own requests sent again")

enum ike_counter {
#define IKE_COUNTER_ENUM(name, sentence) IKE_COUNTER_##name,
	IKE_COUNTERS(IKE_COUNTER_ENUM)
#undef IKE_COUNTER_ENUM
		IKE_COUNTER_COUNT
};
uint64_t engine_counter(const struct ike_engine *engine, enum ike_counter counter);
const char *ike_counter_name(enum ike_counter counter);
const char *ike_counter_sentence(enum ike_counter counter);

/* The transition table as a Graphviz graph, drawn from itself. Returns bytes written. */
size_t engine_dot(char *out, size_t size);

#endif
