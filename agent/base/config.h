/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file (espalier.yaml(5)): one YAML file for agent, IKE daemon and tools, key names those of
 * swanctl.conf where a key means the same. Loaded by schema (libcyaml); texts that only one program understands
 * (proposals, identities, selectors) stay texts here and are checked by that program with `config_error_at`.
 */
#ifndef ESPALIER_BASE_CONFIG_H
#define ESPALIER_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_FILE_DEFAULT "/etc/espalier/espalier.yaml"
#define CONFIG_BYTES_MAX    (1024u * 1024u) /* a longer file is refused */
#define CONFIG_ERROR_LEN    512u	    /* room for any message; longer ones are cut */

struct config_agent {
	char **interfaces; /* NICs to serve */
	unsigned interfaces_count;
	char *pin_dir;	    /* NULL: PIN_DIR_DEFAULT */
	char *socket;	    /* NULL: AGENT_SOCKET_DEFAULT */
	char *xdp_mode;	    /* "auto" (NULL), "native", "generic" */
	char *dispatcher;   /* "auto" (NULL), "on", "off" */
	char *tx_engine;    /* "auto" (NULL), "xsk", "live" */
	bool *busy_poll;    /* NULL: off */
	uint32_t workers;   /* 0: as many as queues */
	char *lend;	    /* "auto" (NULL), "off" */
	uint32_t ring_size; /* 0: default */
	uint32_t sa_count;  /* 0: default */
	uint32_t tunnel_count;
	uint32_t policy_count;
	bool *mss_clamp; /* NULL: on */
};

struct config_auth {
	char *auth; /* "psk" */
	char *id;   /* NULL: the address; remote: "%any" */
};

struct config_child {
	char *name;
	char **local_ts; /* "10.1.0.0/16", "10.1.0.1-10.1.0.9", "...[tcp/443]", "dynamic" */
	unsigned local_ts_count;
	char **remote_ts;
	unsigned remote_ts_count;
	char **esp_proposals;
	unsigned esp_proposals_count;
	char **ah_proposals; /* instead of esp_proposals */
	unsigned ah_proposals_count;
	char *mode;	      /* "tunnel" (NULL), "transport", "pass", "drop" */
	char *start_action;   /* "none" (NULL), "trap", "start" */
	char *close_action;   /* "none" (NULL), "trap", "start" */
	char *dpd_action;     /* "clear" (NULL), "trap", "restart" */
	char *rekey_time;     /* "1h", "90m", "3600s", "3600"; NULL: 1h; "0": never */
	char *life_time;      /* NULL: rekey_time + 10 % */
	uint64_t rekey_bytes; /* 0: none */
	uint64_t life_bytes;
	uint64_t rekey_packets; /* 0: by the suite's limits */
	uint64_t life_packets;
	uint32_t *replay_window; /* NULL: 1024 */
	uint32_t *priority;	 /* of the policies, lower is asked first; NULL: by the selectors' sizes */
	char *df;		 /* "copy" (NULL), "set", "clear" */
	char *dscp;		 /* "copy" (NULL), "0" to "63" */
	bool *copy_ecn;		 /* NULL: on */
	uint32_t *ttl;		 /* NULL: 64 */
	char *flow_label;	 /* "zero" (NULL), "copy" */
	char *tfc_padding;	 /* "0" (NULL), bytes, "mtu" */
	bool *mss_clamp;	 /* NULL: agent.mss_clamp */
};

struct config_connection {
	char *name;
	char **local_addrs; /* empty or "%any" */
	unsigned local_addrs_count;
	char **remote_addrs; /* addresses or names; empty or "%any": responder only */
	unsigned remote_addrs_count;
	char **proposals;
	unsigned proposals_count;
	struct config_auth *local;
	struct config_auth *remote;
	struct config_child *children;
	unsigned children_count;
	bool *encap;	       /* NULL: off; on: force UDP encapsulation */
	char *dpd_delay;       /* NULL: 30s; "0": off */
	char *rekey_time;      /* NULL: 4h; "0": never */
	char *over_time;       /* NULL: 10 % of rekey_time */
	char *nat_keepalive;   /* NULL: 20s */
	uint32_t *keyingtries; /* NULL: 0 (for ever) */
	char *unique;	       /* "replace" (NULL), "keep", "never" */
};

struct config_secret {
	char *name;
	char **ids; /* none: for any */
	unsigned ids_count;
	char *secret; /* text; "0x..." hex; "0s..." base64. Only the keeper sees it. */
};

struct config_ike {
	char *socket;		    /* operator API; NULL: default */
	char *log_level;	    /* "info" (NULL), "debug", "warn", "error" */
	uint32_t *cookie_threshold; /* half-open IKE SAs from which on cookies are asked; NULL: 32 */
	uint32_t *half_open_max;    /* NULL: 1024 */
};

struct config_source;

struct config {
	char *path;
	struct config_source *source; /* the lines, for config_error_at */
	struct config_agent *agent;   /* may be NULL */
	struct config_ike *ike;	      /* may be NULL */
	struct config_connection *connections;
	unsigned connections_count;
	struct config_secret *secrets;
	unsigned secrets_count;
};

/*
 * Load and check against the schema. NULL on failure: `error` then holds "FILE:LINE: KEY: what was expected" in one
 * line. The result is freed with config_free, which wipes the secrets.
 */
struct config *config_load(const char *path, char *error, size_t error_size);
/* The same from memory (`path` is for messages). `text` need not end in NUL. */
struct config *config_parse(const char *path, const char *text, size_t len, char *error, size_t error_size);
void config_free(struct config *config);
/* agent.mss_clamp, or its default. */
bool config_mss_clamp(const struct config *config);
/* Wipe the secrets and forget them: for programs that need none. */
void config_forget_secrets(struct config *config);
/* The file's text, bounded by CONFIG_BYTES_MAX. malloc'd (wipe it: it may hold secrets); NULL with a message in
 * `error`. */
char *config_read_file(const char *path, size_t *len, char *error, size_t error_size);
/* May users other than the owner read or change the file? Then the secrets in it are not secret. */
bool config_file_is_open(const char *path);

/*
 * For checks above the schema: writes "FILE:LINE: KEY: message" with the line on which the value at `key_path` stands
 * (for example "connections.home.proposals[0]"); line of the nearest parent if the key itself is not there.
 */
void config_error_at(const struct config *config, const char *key_path, char *error, size_t error_size,
	const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Do both say the same (defaults left out and defaults spelt out are not the same)? */
bool config_connection_equal(const struct config_connection *a, const struct config_connection *b);

/* "90s", "5m", "1h", "1d" or plain seconds to nanoseconds. False if it is none of these. */
bool config_duration(const char *text, uint64_t *ns);

/* The file's text with every secret's value replaced by "redacted": what the keeper gives to the process that parses
 * the internet. malloc'd; NULL on failure. */
char *config_redact(const char *text, size_t len, size_t *redacted_len);

#endif
