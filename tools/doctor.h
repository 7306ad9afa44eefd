/* SPDX-License-Identifier: Apache-2.0 */
/* `espalier doctor`: findings about this machine, each in sentences. The checks ask the kernel and the daemons, change
 * nothing, and say what they could not see. */
#ifndef ESPALIER_TOOLS_DOCTOR_H
#define ESPALIER_TOOLS_DOCTOR_H

#include "tools/command.h"

#include <jansson.h>

struct config;

enum finding_state {
	FINDING_GOOD,
	FINDING_NOTE,	/* works, but could be better, or may matter */
	FINDING_UNSEEN, /* could not be looked at, mostly for want of root */
	FINDING_WRONG,	/* something does not work */
};

struct finding {
	enum finding_state state;
	const char *area; /* what the finding is about: "kernel", an interface's name, ... */
	const char *check;
	const char *what; /* a sentence */
	const char *why;  /* why it matters; NULL for what is good */
	const char *todo; /* what to do; NULL: nothing */
};

struct doctor {
	const struct config *config; /* NULL: could not be read */
	const json_t *status;	     /* the daemon's; NULL: it does not answer */
	json_t *findings;
	unsigned wrong;
};

/* The texts are copied. */
void doctor_find(struct doctor *doctor, const struct finding *finding);
/* The same with `what` made by printf. */
void doctor_find_text(struct doctor *doctor, const struct finding *finding, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The first number in a file of /proc or /sys. False: it cannot be read (errno). */
bool doctor_read_number(const char *path, long *number);
/* A line of a file without its end; "" if it cannot be read. */
void doctor_read_line(const char *path, char *line, size_t size);

void doctor_kernel(struct doctor *doctor);
void doctor_host(struct doctor *doctor);
void doctor_firewall(struct doctor *doctor);
/* The XDP program on the interface, if there is one. */
void doctor_xdp(struct doctor *doctor, const char *interface);
void doctor_interface(struct doctor *doctor, const char *name);

#endif
