/* SPDX-License-Identifier: Apache-2.0 */
/* One served interface: is it there, what its driver can, how it is served and why not better. */
#include "tools/doctor.h"

#include "agent/base/own.h"
#include "tools/field.h"
#include "tools/nic_judge.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define RING_GOOD 1024u /* a smaller receive ring overflows in bursts that one worker's turn outlasts */

#define FIND(state, check, what, why, todo)                                                                            \
	doctor_find(doctor, &(struct finding){FINDING_##state, nic->name, check, what, why, todo})
#define FIND_TEXT(state, check, why, todo, ...)                                                                        \
	doctor_find_text(doctor, &(struct finding){FINDING_##state, nic->name, check, NULL, why, todo}, __VA_ARGS__)

struct nic {
	const char *name;
	int fd;
	char driver[32];		 /* "": it does not say */
	const struct nic_limits *limits; /* may be NULL */
	const json_t *served;		 /* of the daemon's status; may be NULL */
};

static bool nic_ioctl(const struct nic *nic, unsigned long command, struct ifreq *request)
{
	snprintf(request->ifr_name, sizeof(request->ifr_name), "%.15s", nic->name);
	return ioctl(nic->fd, command, request) == 0;
}

static bool nic_ethtool(const struct nic *nic, void *command)
{
	struct ifreq request = {.ifr_data = command};

	return nic_ioctl(nic, SIOCETHTOOL, &request);
}

static bool nic_sysfs(const struct nic *nic, const char *entry, char *path, size_t size)
{
	snprintf(path, size, "/sys/class/net/%s/%s", nic->name, entry);
	return access(path, F_OK) == 0;
}

static const json_t *nic_served(const struct doctor *doctor, const char *name)
{
	const json_t *list = json_object_get(doctor->status, "interfaces"), *entry;
	size_t i;

	json_array_foreach(list, i, entry)
	{
		if (strcmp(field_text(entry, "name", ""), name) == 0)
			return entry;
	}
	return NULL;
}

static void nic_link(struct doctor *doctor, struct nic *nic)
{
	struct ifreq request = {0};
	char path[128];

	if (nic_ioctl(nic, SIOCGIFFLAGS, &request) && !(request.ifr_flags & IFF_UP))
		FIND(WRONG, "link", "the interface is down", "no packet comes or goes by it", "ip link set it up");
	else if (!(request.ifr_flags & IFF_RUNNING))
		FIND(WRONG, "link", "the interface has no carrier", "no packet comes or goes by it",
			"look at the cable, or at the far end");
	else
		FIND(GOOD, "link", "the interface is up", NULL, NULL);
	if (nic_sysfs(nic, "master", path, sizeof(path)))
		FIND(WRONG, "master", "the interface is a member of a bond or bridge",
			"its packets belong to that device: routes and neighbours name it, not the member",
			"serve the bond (in generic mode) or the bridge instead");
}

static void nic_driver(struct doctor *doctor, struct nic *nic)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};

	if (nic_ethtool(nic, &info))
		snprintf(nic->driver, sizeof(nic->driver), "%.31s", info.driver);
	nic->limits = nic_limits_find(nic->driver);
	if (!*nic->driver)
		FIND(UNSEEN, "driver", "the interface does not name its driver", NULL, NULL);
	else
		FIND_TEXT(GOOD, "driver", NULL, NULL, "driver %s%s%s", nic->driver,
			nic->limits && nic->limits->note ? ": " : "",
			nic->limits && nic->limits->note ? nic->limits->note : "");
}

static struct nic_numbers nic_numbers(const struct nic *nic)
{
	return (struct nic_numbers){.name = nic->name,
		.driver = nic->driver,
		.limits = nic->limits,
		.mode = field_text(nic->served, "mode", ""),
		.cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN)};
}

static void nic_channels(struct doctor *doctor, struct nic *nic)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	struct nic_numbers numbers = nic_numbers(nic);

	if (!nic_ethtool(nic, &channels)) {
		FIND(GOOD, "queues", "the driver has no channels to set: one queue", NULL, NULL);
		return;
	}
	numbers.queues = channels.combined_count + channels.rx_count;
	numbers.queues_most = channels.max_combined ? channels.max_combined : channels.max_rx;
	nic_judge_queues(doctor, &numbers);
}

static void nic_rings(struct doctor *doctor, const struct nic *nic)
{
	struct ethtool_ringparam ring = {.cmd = ETHTOOL_GRINGPARAM};

	if (!nic_ethtool(nic, &ring) || !ring.rx_max_pending)
		return;
	if (ring.rx_pending < RING_GOOD && ring.rx_pending < ring.rx_max_pending)
		FIND_TEXT(NOTE, "rings", "bursts overflow it before a worker comes round",
			"ethtool -G ... rx with a greater number", "the receive ring holds %u of at most %u packets",
			ring.rx_pending, ring.rx_max_pending);
	else
		FIND_TEXT(GOOD, "rings", NULL, NULL, "rings of %u (receive) and %u (send) packets", ring.rx_pending,
			ring.tx_pending);
}

static void nic_mtu(struct doctor *doctor, struct nic *nic)
{
	struct nic_numbers numbers = nic_numbers(nic);
	struct ifreq request = {0};

	if (!nic_ioctl(nic, SIOCGIFMTU, &request))
		return;
	numbers.mtu = (uint32_t)request.ifr_mtu;
	nic_judge_mtu(doctor, &numbers);
}

static void nic_mode(struct doctor *doctor, const struct nic *nic)
{
	const char *mode = field_text(nic->served, "mode", "none");
	const char *reason = field_text(nic->served, "reason", "");

	if (!nic->served)
		FIND(UNSEEN, "mode", "how the interface is served is not known: the daemons do not tell", NULL, NULL);
	else if (strcmp(mode, "none") == 0)
		FIND_TEXT(WRONG, "mode", "its packets pass Espalier by; protected ones still go into the host device",
			"mend the cause; the agent tries again when the interface changes, or at its start",
			"the interface is not served: %s", *reason ? reason : "the agent has not tried it");
	else if (strcmp(mode, "native") != 0)
		FIND_TEXT(NOTE, "mode", "generic mode costs a copy and an skb for each packet",
			"mend the cause, then `espalier-agent --detach` and start it again", "served in %s mode: %s",
			mode, *reason ? reason : "no reason is known");
	else
		FIND_TEXT(GOOD, "mode", NULL, NULL, "served in native mode%s%s", *reason ? "; " : "", reason);
}

static void nic_sockets(struct doctor *doctor, const struct nic *nic)
{
	const char *poll = field_text(nic->served, "busy_poll", "off");

	FIND_TEXT(GOOD, "af_xdp", NULL, NULL, "AF_XDP %s, rings of %llu packets for each queue",
		field_true(nic->served, "zero_copy") ? "without a copy (zero-copy)" : "in copy mode",
		(unsigned long long)field_count(nic->served, "ring_size"));
	if (field_true(nic->served, "need_wakeup"))
		FIND(GOOD, "wakeup", "the kernel is called only when a ring asks for it (need-wakeup)", NULL, NULL);
	else
		FIND(NOTE, "wakeup", "the kernel is called for every batch: it has no need-wakeup", "a call a batch",
			NULL);
	if (strcmp(poll, "refused") == 0)
		FIND(NOTE, "busy_poll", "busy polling was asked for, and the kernel refuses it",
			"the driver's interrupts deliver packets, as without", "take agent.busy_poll out");
	else
		FIND_TEXT(GOOD, "busy_poll", NULL, NULL, "busy polling is %s: %s (agent.busy_poll)", poll,
			strcmp(poll, "on") == 0 ? "the workers drive the driver's receive loop"
						: "the driver's interrupts deliver packets");
}

/* "xsk, live under load" in words. */
static void nic_transmit(struct doctor *doctor, const struct nic *nic)
{
	const char *engine = field_text(nic->served, "tx_engine", "xsk"),
		   *why = field_text(nic->served, "tx_reason", "");
	const char *words = strcmp(engine, "live") == 0	 ? "XDP live frames send"
			    : strcmp(engine, "xsk") == 0 ? "AF_XDP sends"
							 : "AF_XDP sends, and XDP live frames under load";

	FIND_TEXT(GOOD, "transmit", NULL, NULL, "%s%s%s", words, *why ? ": " : "", why);
}

static void nic_merging(struct doctor *doctor, const struct nic *nic)
{
	struct ethtool_value gro = {.cmd = ETHTOOL_GGRO}, flags = {.cmd = ETHTOOL_GFLAGS};
	bool generic = strcmp(field_text(nic->served, "mode", ""), "generic") == 0;

	if (nic_ethtool(nic, &flags) && flags.data & ETH_FLAG_LRO)
		FIND(WRONG, "lro", "LRO is on", "packets merged by the hardware do not fit a frame of the data plane",
			"ethtool -K ... lro off");
	if (nic_ethtool(nic, &gro) && gro.data && generic)
		FIND(WRONG, "gro", "GRO is on, and the interface is served in generic mode",
			"merged packets are larger than a frame, and are lost", "ethtool -K ... gro off");
	else
		FIND(GOOD, "gro", "receive offloads do not harm", NULL, NULL);
}

static void nic_bond(struct doctor *doctor, const struct nic *nic)
{
	char path[128];

	if (nic_sysfs(nic, "bonding", path, sizeof(path)))
		FIND(NOTE, "bond", "the interface is a bond",
			"it is served in generic mode: native XDP would see its "
			"members' packets, which no AF_XDP socket receives",
			"where speed matters, let the switch and routing spread over two served interfaces instead");
}

void doctor_interface(struct doctor *doctor, const char *name)
{
	struct nic made = {.name = name, .served = nic_served(doctor, name)}, *nic = &made;
	OWN_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	made.fd = fd;
	if (!if_nametoindex(name)) {
		FIND(WRONG, "exists", "there is no interface of this name", "the agent waits for it to appear",
			"correct agent.interfaces, or make the interface");
		return;
	}
	nic_link(doctor, nic);
	nic_driver(doctor, nic);
	nic_bond(doctor, nic);
	nic_channels(doctor, nic);
	nic_rings(doctor, nic);
	nic_mtu(doctor, nic);
	doctor_xdp(doctor, name);
	nic_mode(doctor, nic);
	if (nic->served && strcmp(field_text(nic->served, "mode", "none"), "none") != 0) {
		nic_sockets(doctor, nic);
		nic_transmit(doctor, nic);
	}
	nic_merging(doctor, nic);
}
