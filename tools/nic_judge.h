/* SPDX-License-Identifier: Apache-2.0 */
/* An interface's numbers held against what its driver demands: findings for the doctor. Asks the kernel nothing. */
#ifndef ESPALIER_TOOLS_NIC_JUDGE_H
#define ESPALIER_TOOLS_NIC_JUDGE_H

#include "tools/doctor.h"
#include "tools/nic_limits.h"

struct nic_numbers {
	const char *name;
	const char *driver;
	const struct nic_limits *limits; /* may be NULL */
	const char *mode;		 /* it is served in: "native", "generic", "none"; "": not known */
	uint32_t mtu;
	uint32_t queues;      /* channels that receive, in use */
	uint32_t queues_most; /* that the driver can have */
	uint32_t cpus;
};

/* One finding "queues": too many for the data plane, or for native XDP, or fewer than would be of use. */
void nic_judge_queues(struct doctor *doctor, const struct nic_numbers *nic);
/* One finding "mtu". */
void nic_judge_mtu(struct doctor *doctor, const struct nic_numbers *nic);

#endif
