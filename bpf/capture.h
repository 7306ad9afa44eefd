/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tc program that sends into the host device what leaves this host by a served interface and a policy protects. For
 * the agent alone. Filters stay attached when it dies, and with the host device without a reader nothing leaves in
 * clear.
 */
#ifndef ESPALIER_BPF_CAPTURE_H
#define ESPALIER_BPF_CAPTURE_H

#include <stdint.h>

struct capture; /* opaque: the loaded program */
struct dataplane;

/* Load the program over the maps of `dp`, and let what it captures go to the interface `to` (the host device). The
 * caller frees it before `dp`; filters stay. -errno with a sentence in `error`. */
int capture_open(struct dataplane *dp, uint32_t to, struct capture **capture, char error[static 256]);
void capture_close(struct capture *capture);
int capture_program_fd(const struct capture *capture);

/* Attach to an interface's egress, or replace the filter of an earlier agent, at once. Needs the kernel's clsact
 * queueing discipline, which is made where it is missing. */
int capture_attach(const struct capture *capture, int ifindex, char error[static 256]);
/* Take our filter off, and nobody else's; harmless if there is none. The queueing discipline stays: others may use it.
 */
int capture_detach(int ifindex);
/* Take our filter off every interface of this namespace but those listed. */
int capture_keep_only(const int *ifindexes, uint32_t count);

#endif
