/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/interface.h"

#include "agent/base/log.h"
#include "agent/base/own.h"
#include "agent/contract.h"
#include "agent/xsk_port.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void own_port_(struct port **port)
{
	port_free(*port);
}
#define OWN_PORT __attribute__((cleanup(own_port_)))

/* Native XDP of a bond runs on its members, and hands packets over as theirs: a socket of the bond never gets them. */
static const char bond_reason[] =
	"a bond is served in generic mode, slower: native XDP would see its members' packets, "
	"which no AF_XDP socket of the bond receives";

static bool link_is_bond(const struct link_info *link)
{
	return strcmp(link->kind, "bond") == 0;
}

/* Native, where the options allow nothing else: generic mode may only be left from an earlier start, so once anew. */
static int interface_attach_native(const struct interface_options *options, const struct link_info *link,
	const struct port_info *info, struct attach_result *result)
{
	char reason[sizeof(result->reason)];

	for (unsigned i = 0; i < 2; i++) {
		int err = dataplane_attach(options->dataplane, (int)link->ifindex, link->name, info, true, result);

		if (err || result->mode == ATTACH_NATIVE)
			return err;
		dataplane_detach(options->dataplane, (int)link->ifindex, link->name);
	}
	snprintf(reason, sizeof(reason), "%s", result->reason);
	snprintf(result->reason, sizeof(result->reason), "xdp_mode is native, but it could only be %.150s", reason);
	return -EOPNOTSUPP;
}

/* Generic mode looks at packets after the kernel has merged them: larger than a frame, they would be lost. The members
 * of a bond merge before the bond sees them. */
static void interface_merging_off(const struct interface_options *options, const struct link_info *link)
{
	char members[LINK_MEMBERS_MAX][IF_NAMESIZE];
	int count = link_is_bond(link) ? netlink_link_members(options->netlink, link->ifindex, members) : 0;

	if (!link_merging_off(link->name))
		log_warn("%s: GRO could not be switched off; merged packets are lost in generic mode", link->name);
	for (int i = 0; i < count; i++)
		if (!link_merging_off(members[i]))
			log_warn("%s, member of %s: GRO could not be switched off; merged packets are lost", members[i],
				link->name);
}

static int interface_attach(const struct interface_options *options, const struct link_info *link, struct port *port,
	char error[static 256])
{
	struct port_info info = {.slot = port->slot};
	bool native = options->allow_native && !link_is_bond(link);
	struct attach_result result = {0};
	int err;

	memcpy(info.mac, port->mac, sizeof(info.mac));
	if (!options->allow_generic && link_is_bond(link)) {
		snprintf(error, 256, "xdp_mode is native, but %s", bond_reason);
		return -EOPNOTSUPP;
	}
	if (options->allow_generic)
		err = dataplane_attach(options->dataplane, (int)link->ifindex, link->name, &info, native, &result);
	else
		err = interface_attach_native(options, link, &info, &result);
	if (err) {
		snprintf(error, 256, "%s", result.reason[0] ? result.reason : strerror(-err));
		return err;
	}
	if (result.mode == ATTACH_GENERIC)
		interface_merging_off(options, link);
	port->mode = result.mode;
	snprintf(port->reason, sizeof(port->reason), "%s",
		link_is_bond(link) && options->allow_native ? bond_reason : result.reason);
	return 0;
}

/* A socket on every queue. One that the kernel refuses leaves the whole port unusable: its packets would die unseen. */
static int interface_sockets(const struct interface_options *options, struct port *port, char error[static 256])
{
	struct xsk_outcome outcome = {.zero_copy = port->mode == ATTACH_NATIVE};

	for (uint32_t i = 0; i < port->queue_count; i++) {
		int err = xsk_queue_open(port, i, options->umem, dataplane_xsks_fd(options->dataplane), &options->xsk,
			&outcome, &port->queues[i]);

		if (err) {
			snprintf(error, 256, "%s: no AF_XDP socket on queue %u: %s%s", port->name, i, strerror(-err),
				err == -EBUSY ? " (another program has one there)" : "");
			return err;
		}
		port->queues[i]->shared = port->queue_count < options->worker_count;
	}
	port->zero_copy = outcome.zero_copy;
	port->multi_buffer = outcome.multi_buffer;
	port->need_wakeup = outcome.need_wakeup;
	port->ring_size = options->xsk.ring_size ? options->xsk.ring_size : XSK_RING_SIZE;
	port->busy_poll = !options->xsk.busy_poll ? BUSY_POLL_OFF
			  : outcome.busy_poll	  ? BUSY_POLL_ON
						  : BUSY_POLL_REFUSED;
	return 0;
}

__attribute__((format(printf, 2, 3))) static void interface_note(struct port *port, const char *format, ...)
{
	size_t len = strlen(port->reason);
	va_list arguments;

	if (len && len + 2 < sizeof(port->reason))
		len += (size_t)snprintf(port->reason + len, sizeof(port->reason) - len, "; ");
	va_start(arguments, format);
	vsnprintf(port->reason + len, sizeof(port->reason) - len, format, arguments);
	va_end(arguments);
}

/* The host's own packets that leave by the interface; transit and what routes lead to the host device need no filter.
 */
static void interface_capture(const struct interface_options *options, struct port *port)
{
	char reason[256] = "";

	port->captures = !capture_attach(options->capture, (int)port->ifindex, reason);
	if (!port->captures)
		interface_note(port, "%s, so routes tell this host's own packets, by address alone", reason);
}

static void interface_note_queues(const struct interface_options *options, struct port *port)
{
	if (port->queue_count < options->worker_count)
		interface_note(port, "%u queue%s for %u workers: the others send by a shared queue", port->queue_count,
			port->queue_count == 1 ? "" : "s", options->worker_count);
}

int interface_open(const struct interface_options *options, const struct link_info *link, uint32_t slot,
	struct port **out, char error[static 256])
{
	OWN_PORT struct port *port = calloc(1, sizeof(*port));
	int err;

	if (!port)
		return -ENOMEM;
	port->slot = slot;
	port->ifindex = link->ifindex;
	snprintf(port->name, sizeof(port->name), "%s", link->name);
	memcpy(port->mac, link->mac, sizeof(port->mac));
	atomic_store(&port->mtu, link->mtu);
	atomic_store(&port->up, link->up);
	port->queue_count = link_queues(link->name);
	if (port->queue_count > QUEUES_MAX) {
		snprintf(error, 256, "%s has %u queues, at most %u can be served: `ethtool -L %s combined %u`",
			link->name, port->queue_count, QUEUES_MAX, link->name, QUEUES_MAX);
		return -E2BIG;
	}
	err = interface_attach(options, link, port, error);
	if (err)
		return err;
	interface_capture(options, port);
	/* Without sockets the programs stay: what policies protect is dropped here, not sent or taken in clear. */
	err = interface_sockets(options, port, error);
	if (err)
		return err;
	interface_note_queues(options, port);
	*out = TAKE_PTR(port);
	return 0;
}
