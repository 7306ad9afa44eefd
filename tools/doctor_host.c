/* SPDX-License-Identifier: Apache-2.0 */
/* What of the host's settings the gateway's packets meet: forwarding, reverse path filters, the clock. */
#include "tools/doctor.h"

#include <stdio.h>
#include <sys/timex.h>
#include <time.h>

#define FIND(...)      doctor_find(doctor, &(struct finding){__VA_ARGS__})
#define CLOCK_EARLIEST 1735689600 /* 2025-01-01: before this program was written */
#define RP_STRICT      1

static void doctor_forwarding(struct doctor *doctor)
{
	static const struct {
		const char *path, *check, *what_good, *what, *todo;
	} rows[] = {
		{"/proc/sys/net/ipv4/ip_forward", "forwarding4", "IPv4 forwarding is on", "IPv4 forwarding is off",
			"sysctl -w net.ipv4.ip_forward=1, if this host is a gateway for others"},
		{"/proc/sys/net/ipv6/conf/all/forwarding", "forwarding6", "IPv6 forwarding is on",
			"IPv6 forwarding is off",
			"sysctl -w net.ipv6.conf.all.forwarding=1, if this host is a gateway for others over IPv6"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		long on;

		if (!doctor_read_number(rows[i].path, &on))
			continue;
		if (on)
			FIND(FINDING_GOOD, "host", rows[i].check, rows[i].what_good, NULL, NULL);
		else
			FIND(FINDING_NOTE, "host", rows[i].check, rows[i].what,
				"between served interfaces the agent forwards by itself; what comes or goes by other "
				"interfaces the kernel would have to forward",
				rows[i].todo);
	}
}

static void doctor_rp_filter(struct doctor *doctor)
{
	long all = 0;

	if (!doctor_read_number("/proc/sys/net/ipv4/conf/all/rp_filter", &all))
		return;
	if (all == RP_STRICT)
		FIND(FINDING_NOTE, "host", "rp_filter", "strict reverse path filtering is on for all interfaces",
			"it also binds ipsec0: what a tunnel brings to this host from a source that is routed "
			"elsewhere "
			"is dropped by the kernel, and counted nowhere by Espalier",
			"sysctl -w net.ipv4.conf.all.rp_filter=2 (loose), or 0 there and 1 on the other interfaces");
	else
		FIND(FINDING_GOOD, "host", "rp_filter", "reverse path filtering does not drop what tunnels bring", NULL,
			NULL);
}

static void doctor_clock(struct doctor *doctor)
{
	struct timex state = {0};
	int fate = adjtimex(&state);

	if (time(NULL) < CLOCK_EARLIEST)
		FIND(FINDING_WRONG, "host", "clock", "the clock is wrong by years",
			"certificates are judged by it, and logs are useless", "install and start an NTP client");
	else if (fate < 0)
		FIND(FINDING_UNSEEN, "host", "clock", "the state of the clock cannot be read", NULL, NULL);
	else if (fate == TIME_ERROR || state.status & STA_UNSYNC)
		FIND(FINDING_NOTE, "host", "clock", "nothing keeps the clock right (not synchronized)",
			"certificates are judged by it; lifetimes of SAs are not, they go by the monotonic clock",
			"run an NTP client (systemd-timesyncd, chrony)");
	else
		FIND(FINDING_GOOD, "host", "clock", "the clock is synchronized", NULL, NULL);
}

void doctor_host(struct doctor *doctor)
{
	doctor_forwarding(doctor);
	doctor_rp_filter(doctor);
	doctor_clock(doctor);
}
