/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/nic_judge.h"

#include "bpf/contract.h"

#include <string.h>

#define FIND_TEXT(state, check, why, todo, ...)                                                                        \
	doctor_find_text(doctor, &(struct finding){FINDING_##state, nic->name, check, NULL, why, todo}, __VA_ARGS__)

void nic_judge_queues(struct doctor *doctor, const struct nic_numbers *nic)
{
	if (nic->queues > QUEUES_MAX)
		FIND_TEXT(WRONG, "queues", "the agent does not serve such an interface",
			"ethtool -L ... combined 64, or less", "%u queues in use, at most %u can be served",
			nic->queues, QUEUES_MAX);
	else if (nic->limits && nic->limits->half_the_channels && nic->queues > nic->queues_most / 2)
		FIND_TEXT(WRONG, "queues",
			"the driver then refuses native XDP: every channel needs another one to send by",
			"ethtool -L ... combined: half of the greatest number",
			"%u of %u channels are in use, %s allows native XDP on at most half", nic->queues,
			nic->queues_most, nic->driver);
	else if (nic->queues < nic->cpus && nic->queues < nic->queues_most)
		FIND_TEXT(NOTE, "queues",
			"a worker serves each queue: processors without one only help with cipher work",
			"ethtool -L, up to the number of processors", "%u of %u queues in use, %u processors",
			nic->queues, nic->queues_most, nic->cpus);
	else
		FIND_TEXT(GOOD, "queues", NULL, NULL, "%u queue%s, %u processor%s", nic->queues,
			nic->queues == 1 ? "" : "s", nic->cpus, nic->cpus == 1 ? "" : "s");
}

void nic_judge_mtu(struct doctor *doctor, const struct nic_numbers *nic)
{
	const struct nic_limits *limits = nic->limits;

	if (!limits || !limits->mtu_max || nic->mtu <= limits->mtu_max)
		FIND_TEXT(GOOD, "mtu", NULL, NULL, "the MTU is %u", nic->mtu);
	else if (limits->several_buffers && strcmp(nic->mode, "native") == 0)
		FIND_TEXT(GOOD, "mtu", NULL, NULL, "the MTU is %u: larger packets come in several buffers", nic->mtu);
	else if (limits->several_buffers)
		FIND_TEXT(NOTE, "mtu", "before Linux 6.6 native XDP then has to give way to generic mode",
			"where it does, a newer kernel, or ip link set ... mtu to the limit or below",
			"the MTU is %u, native XDP of %s with one buffer a packet allows %u", nic->mtu, nic->driver,
			limits->mtu_max);
	else
		FIND_TEXT(WRONG, "mtu", "the driver then refuses native XDP, or takes it for short packets only",
			"ip link set ... mtu to the limit or below", "the MTU is %u, native XDP of %s allows %u",
			nic->mtu, nic->driver, limits->mtu_max);
}
