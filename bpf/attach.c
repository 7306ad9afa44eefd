/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attachments: one pinned BPF link per interface, so that the program outlives the agent. A later agent's program takes
 * the place of the earlier one's in one step, without a moment in which packets pass unseen. Where others' programs are
 * run by libxdp's dispatcher, ours joins them (dispatcher.h).
 */
#include "agent/base/own.h"
#include "bpf/dataplane.h"
#include "bpf/dataplane_private.h"
#include "bpf/dispatcher.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int attach_fail(struct attach_result *result, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int attach_fail(struct attach_result *result, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(result->reason, sizeof(result->reason), format, args);
	va_end(args);
	result->mode = ATTACH_NONE;
	return err;
}

static int link_path(char path[static PIN_PATH_LEN], const char *pin_dir, int ifindex)
{
	char name[32];

	snprintf(name, sizeof(name), LINK_PIN_PREFIX "%d", ifindex);
	return pin_path(path, pin_dir, name);
}

/* The pinned link of an interface, or -errno. A link of an interface that is gone (another may have its index now) is
 * unpinned. */
static int link_open(const char *path, int ifindex)
{
	struct bpf_link_info info = {0};
	uint32_t info_len = sizeof(info);
	OWN_FD int fd = bpf_obj_get(path);
	int err;

	if (fd < 0)
		return fd;
	err = bpf_obj_get_info_by_fd(fd, &info, &info_len);
	if (err)
		return err;
	if (info.type == BPF_LINK_TYPE_XDP && info.xdp.ifindex == (uint32_t)ifindex)
		return TAKE_FD(fd);
	unlink(path);
	return -ENOENT;
}

static enum attach_mode mode_query(int ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	if (bpf_xdp_query(ifindex, 0, &query))
		return ATTACH_NONE;
	if (query.drv_prog_id || query.hw_prog_id)
		return ATTACH_NATIVE;
	return query.skb_prog_id ? ATTACH_GENERIC : ATTACH_NONE;
}

static int link_create(int program_fd, int ifindex, enum attach_mode mode)
{
	LIBBPF_OPTS(
		bpf_link_create_opts, opts, .flags = mode == ATTACH_NATIVE ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);

	return bpf_link_create(program_fd, ifindex, BPF_XDP, &opts);
}

static bool interface_there(int ifindex)
{
	char name[IF_NAMESIZE];

	return if_indextoname((unsigned)ifindex, name) != NULL;
}

static bool error_is_occupied(int err)
{
	return err == -EBUSY || err == -EEXIST;
}

/* "another XDP program is attached: NAME (id N)" */
static int occupied_tell(int ifindex, const char *ifname, struct attach_result *result)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	struct bpf_prog_info info = {0};
	uint32_t info_len = sizeof(info), id;
	OWN_FD int fd = -1;

	if (bpf_xdp_query(ifindex, 0, &query))
		return attach_fail(result, -EBUSY, "%s already has an XDP program", ifname);
	id = query.drv_prog_id ? query.drv_prog_id : query.skb_prog_id ? query.skb_prog_id : query.hw_prog_id;
	fd = bpf_prog_get_fd_by_id(id);
	if (dispatcher_query(ifindex) == OCCUPANT_DISPATCHER)
		return attach_fail(result, -EBUSY,
			"%s is run by an XDP dispatcher, and agent.dispatcher is off; auto shares the interface",
			ifname);
	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &info_len) == 0)
		return attach_fail(result, -EBUSY,
			"%s already has the XDP program \"%s\" (id %u) of someone else; detach it first: ip link set "
			"dev %s xdp off",
			ifname, info.name, id, ifname);
	return attach_fail(result, -EBUSY, "%s already has an XDP program (id %u) of someone else", ifname, id);
}

/*
 * At an MTU above one of its buffers a driver refuses the program for frames of one, and many take the other. It is
 * second: for it some drivers set their rings up for frames of several buffers whatever the MTU.
 */
static int link_create_native(struct dataplane *dp, int ifindex)
{
	int fd = link_create(dp->program_fd, ifindex, ATTACH_NATIVE), fragments_fd;

	if (fd >= 0 || error_is_occupied(fd) || dp->fragments_fd < 0)
		return fd;
	fragments_fd = link_create(dp->fragments_fd, ifindex, ATTACH_NATIVE);
	return fragments_fd >= 0 ? fragments_fd : fd;
}

/* Native, else generic: the link's descriptor, with result->mode and, for generic, the reason. */
static int link_create_best(
	struct dataplane *dp, int ifindex, const char *ifname, bool allow_native, struct attach_result *result)
{
	int fd, native_err = 0;

	if (allow_native) {
		fd = link_create_native(dp, ifindex);
		if (fd >= 0) {
			result->mode = ATTACH_NATIVE;
			return fd;
		}
		native_err = fd;
		if (error_is_occupied(fd))
			return occupied_tell(ifindex, ifname, result);
	}
	fd = link_create(dp->program_fd, ifindex, ATTACH_GENERIC);
	if (error_is_occupied(fd))
		return occupied_tell(ifindex, ifname, result);
	if (fd < 0 && !interface_there(ifindex))
		return attach_fail(result, -ENODEV, "%s has vanished", ifname);
	if (fd < 0)
		return attach_fail(result, fd, "%s takes no XDP program, native or generic: %s", ifname, strerror(-fd));
	result->mode = ATTACH_GENERIC;
	if (native_err)
		snprintf(result->reason, sizeof(result->reason),
			"generic mode, slower: the driver of %s refuses native XDP (%s); often the MTU is too large or "
			"the driver too old",
			ifname, strerror(-native_err));
	else
		snprintf(result->reason, sizeof(result->reason), "generic mode, slower: the configuration asks for it");
	return fd;
}

static int link_create_pinned(struct dataplane *dp, const char *path, int ifindex, const char *ifname,
	bool allow_native, struct attach_result *result)
{
	OWN_FD int fd = link_create_best(dp, ifindex, ifname, allow_native, result);
	int err;

	if (fd < 0)
		return fd;
	err = bpf_obj_pin(fd, path);
	if (!err && chmod(path, 0600))
		err = -errno;
	if (err)
		return attach_fail(result, err, "cannot pin the attachment of %s: %s", ifname, strerror(-err));
	return 0;
}

/* The link goes over to this program, in one step; what the driver does not take for frames of one buffer, to the other
 * one. */
static int link_update(struct dataplane *dp, int fd, enum attach_mode mode)
{
	int err = bpf_link_update(fd, dp->program_fd, NULL);

	if (err && mode == ATTACH_NATIVE && dp->fragments_fd >= 0)
		err = bpf_link_update(fd, dp->fragments_fd, NULL);
	return err;
}

/* Put this program in the place of an earlier agent's. False: the link is gone, or the mode has to change; attach anew.
 */
static bool link_replace(
	struct dataplane *dp, const char *path, int ifindex, bool allow_native, struct attach_result *result)
{
	OWN_FD int fd = link_open(path, ifindex);
	enum attach_mode mode;

	if (fd < 0)
		return false;
	mode = mode_query(ifindex);
	if ((mode == ATTACH_NATIVE && !allow_native) || link_update(dp, fd, mode)) {
		bpf_link_detach(fd);
		unlink(path);
		return false;
	}
	result->mode = mode;
	if (mode == ATTACH_GENERIC)
		snprintf(result->reason, sizeof(result->reason),
			allow_native ? "generic mode, slower: kept from an earlier start; after `espalier-agent "
				       "--detach` native mode is tried again"
				     : "generic mode, slower: the configuration asks for it");
	return true;
}

static bool dispatcher_wanted(const struct dataplane *dp, int ifindex)
{
	enum xdp_occupant occupant =
		dp->options.dispatcher == DISPATCHER_OFF ? OCCUPANT_OTHER : dispatcher_query(ifindex);

	return occupant == OCCUPANT_DISPATCHER ||
	       (occupant == OCCUPANT_NONE && dp->options.dispatcher == DISPATCHER_ON);
}

static int attach_anew(struct dataplane *dp, const char *path, int ifindex, const char *ifname, bool allow_native,
	struct attach_result *result)
{
	size_t len;
	int err;

	if (!dispatcher_wanted(dp, ifindex))
		return link_create_pinned(dp, path, ifindex, ifname, allow_native, result);
	err = dispatcher_join(dp, ifindex, ifname, allow_native, result);
	if (err != -EOPNOTSUPP)
		return err;
	*result = (struct attach_result){0};
	err = link_create_pinned(dp, path, ifindex, ifname, allow_native, result);
	len = strlen(result->reason);
	if (!err)
		snprintf(result->reason + len, sizeof(result->reason) - len,
			"%sno XDP dispatcher: this kernel refuses extension programs, so no other XDP program can be "
			"beside ours",
			len ? "; " : "");
	return err;
}

int dataplane_attach(struct dataplane *dp, int ifindex, const char *ifname, const struct port_info *port,
	bool allow_native, struct attach_result *result)
{
	uint32_t key = (uint32_t)ifindex;
	char path[PIN_PATH_LEN];
	int err = link_path(path, dp->pin_dir, ifindex);

	*result = (struct attach_result){0};
	if (!interface_there(ifindex))
		return attach_fail(result, -ENODEV, "%s has vanished", ifname);
	if (err)
		return attach_fail(result, err, "the pin folder's name is too long");
	/* Before the program: from its first packet on it knows the port. */
	err = bpf_map_update_elem(dp->fds[MAP_port], &key, port, BPF_ANY);
	if (err)
		return attach_fail(result, err, "cannot serve %s: more than %u interfaces", ifname, PORTS_MAX);
	if (link_replace(dp, path, ifindex, allow_native, result))
		return 0;
	err = attach_anew(dp, path, ifindex, ifname, allow_native, result);
	if (err)
		bpf_map_delete_elem(dp->fds[MAP_port], &key);
	return err;
}

static int link_remove(const char *path)
{
	OWN_FD int fd = bpf_obj_get(path);
	int err;

	if (fd < 0)
		return fd;
	err = bpf_link_detach(fd);
	if (unlink(path))
		return -errno;
	/* The interface is gone already. */
	return err == -ENOLINK || err == -ENODEV ? 0 : err;
}

int dataplane_detach(struct dataplane *dp, int ifindex, const char *ifname)
{
	uint32_t key = (uint32_t)ifindex;
	char path[PIN_PATH_LEN];
	int err = link_path(path, dp->pin_dir, ifindex);

	(void)ifname;
	if (!err)
		err = link_remove(path);
	if (err == -ENOENT)
		err = dispatcher_leave(dp->pin_dir, ifindex);
	bpf_map_delete_elem(dp->fds[MAP_port], &key);
	return err;
}

static bool ifindex_listed(int ifindex, const int *ifindexes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (ifindexes[i] == ifindex)
			return true;
	return false;
}

int dataplane_keep_only(struct dataplane *dp, const int *ifindexes, uint32_t count)
{
	uint32_t key, next;
	bool more = bpf_map_get_next_key(dp->fds[MAP_port], NULL, &next) == 0;
	int first_err = 0;

	while (more) {
		int err = 0;

		key = next;
		more = bpf_map_get_next_key(dp->fds[MAP_port], &key, &next) == 0;
		if (!ifindex_listed((int)key, ifindexes, count))
			err = dataplane_detach(dp, (int)key, "");
		if (err && err != -ENOENT && !first_err)
			first_err = err;
	}
	return first_err;
}

static bool name_is_map(const char *name)
{
	for (int map = 0; map < MAP_COUNT; map++)
		if (strcmp(map_name((enum map_id)map), name) == 0)
			return true;
	return false;
}

/* Every pin of ours in the folder: links are detached too. In the root of a bpffs the kernel has files of its own. */
static int pins_remove(const char *pin_dir, DIR *dir)
{
	int first_err = 0;

	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		bool link = strncmp(entry->d_name, LINK_PIN_PREFIX, strlen(LINK_PIN_PREFIX)) == 0;
		char path[PIN_PATH_LEN];
		int err = pin_path(path, pin_dir, entry->d_name);

		if (!link && !name_is_map(entry->d_name))
			continue;
		if (!err && link)
			err = link_remove(path);
		else if (!err && unlink(path))
			err = -errno;
		if (err && !first_err)
			first_err = err;
	}
	return first_err;
}

int dataplane_remove(const char *pin_dir)
{
	DIR *dir = opendir(pin_dir);
	int err, dispatcher_err;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	/* While the maps are there by which our programs are known. */
	dispatcher_err = dispatcher_leave_all(pin_dir);
	err = pins_remove(pin_dir, dir);
	closedir(dir);
	err = err ? err : dispatcher_err;
	/* A folder that is a mount point of its own, or holds files of others, stays. */
	if (!err && rmdir(pin_dir) && errno != EBUSY && errno != ENOTEMPTY)
		err = -errno;
	return err;
}
