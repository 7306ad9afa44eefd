/* SPDX-License-Identifier: Apache-2.0 */
/* The process: what is set up, in which order, and the control thread that looks after it. */
#ifndef ESPALIER_AGENT_AGENT_H
#define ESPALIER_AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#define INTERFACES_MAX 31u /* PORTS_MAX but for the host device */

struct agent_options {
	const char *pin_dir;
	const char *socket_path;
	const char *interfaces[INTERFACES_MAX];
	uint32_t interface_count;
	const char *xdp_mode;	/* "auto", "native", "generic" */
	const char *dispatcher; /* "auto", "on", "off" */
	const char *tx_engine;	/* "auto" (NULL), "xsk", "live" */
	bool busy_poll;
	uint32_t workers;   /* at least so many; 0: as many as the widest interface has queues */
	const char *lend;   /* "auto" (NULL), "off" */
	uint32_t ring_size; /* 0: default; a power of two between XSK_RING_SIZE_MIN and _MAX */
	uint32_t sa_count;  /* 0: default */
	uint32_t tunnel_count;
	uint32_t policy_count;
};

struct agent;

/* Load, attach, start the workers. 0, or -errno with a sentence in `error`; then nothing is left running. */
int agent_start(const struct agent_options *options, struct agent **agent, char error[static 256]);
/* Serve until SIGINT or SIGTERM. */
int agent_run(struct agent *agent);
/* Stop the workers, close everything. XDP programs and maps stay: protected traffic does not leave in clear while no
 * agent runs. */
void agent_stop(struct agent *agent);

#endif
