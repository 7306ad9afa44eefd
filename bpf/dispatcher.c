/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/dispatcher.h"

#include "agent/base/log.h"
#include "agent/base/own.h"
#include "bpf/dataplane_private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <xdp/libxdp.h>

#define DISPATCHER_PROGRAMS_MAX 10u /* libxdp's own limit */
#define PROGRAM_MAPS_MAX	64u
#define CLASSIFIER_SECTION	"xdp"

static int libxdp_log(enum libxdp_print_level level, const char *format, va_list args)
{
	char line[512];

	(void)level;
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	log_debug("%s", line);
	return 0;
}

static void own_multiprog_(struct xdp_multiprog **multi)
{
	if (!libxdp_get_error(*multi))
		xdp_multiprog__close(*multi);
}
#define OWN_MULTIPROG __attribute__((cleanup(own_multiprog_)))

static void own_program_(struct xdp_program **program)
{
	if (!libxdp_get_error(*program))
		xdp_program__close(*program);
}
#define OWN_PROGRAM __attribute__((cleanup(own_program_)))

/* NULL: none, or not to be read. */
static struct xdp_multiprog *multiprog_get(int ifindex)
{
	struct xdp_multiprog *multi;

	libxdp_set_print(libxdp_log);
	multi = xdp_multiprog__get_from_ifindex(ifindex);
	return libxdp_get_error(multi) ? NULL : multi;
}

enum xdp_occupant dispatcher_query(int ifindex)
{
	OWN_MULTIPROG struct xdp_multiprog *multi = multiprog_get(ifindex);
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	if (multi)
		return xdp_multiprog__is_legacy(multi) ? OCCUPANT_OTHER : OCCUPANT_DISPATCHER;
	if (bpf_xdp_query(ifindex, 0, &query) == 0 && (query.drv_prog_id || query.skb_prog_id || query.hw_prog_id))
		return OCCUPANT_OTHER;
	return OCCUPANT_NONE;
}

/* ---- which of the dispatcher's programs are ours --------------------------------------------------------------- */

static uint32_t map_id(const char *pin_dir, enum map_id map)
{
	uint32_t entries;
	OWN_FD int fd = map_open(pin_dir, map, false, &entries);
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);

	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 ? info.id : 0;
}

static bool program_uses(uint32_t program, uint32_t map)
{
	OWN_FD int fd = bpf_prog_get_fd_by_id(program);
	uint32_t maps[PROGRAM_MAPS_MAX];
	struct bpf_prog_info info = {.nr_map_ids = PROGRAM_MAPS_MAX, .map_ids = (uintptr_t)maps};
	uint32_t len = sizeof(info);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return false;
	for (uint32_t i = 0; i < info.nr_map_ids && i < PROGRAM_MAPS_MAX; i++)
		if (maps[i] == map)
			return true;
	return false;
}

struct program_ids {
	uint32_t ids[DISPATCHER_PROGRAMS_MAX];
	uint32_t count;
};

static struct program_ids programs_ours(const char *pin_dir, const struct xdp_multiprog *multi)
{
	uint32_t port_map = map_id(pin_dir, MAP_port);
	struct program_ids ours = {0};

	if (!port_map || xdp_multiprog__is_legacy(multi))
		return ours;
	for (struct xdp_program *program = xdp_multiprog__next_prog(NULL, multi);
		program && ours.count < DISPATCHER_PROGRAMS_MAX; program = xdp_multiprog__next_prog(program, multi))
		if (program_uses(xdp_program__id(program), port_map))
			ours.ids[ours.count++] = xdp_program__id(program);
	return ours;
}

/* In one step: the interface gets a dispatcher of the programs that are left, or none if there are none. */
static int program_leave(uint32_t id, int ifindex, enum xdp_attach_mode mode)
{
	OWN_PROGRAM struct xdp_program *program = xdp_program__from_id(id);
	int err = (int)libxdp_get_error(program);

	return err ? err : xdp_program__detach(program, ifindex, mode, 0);
}

static int programs_leave(const struct program_ids *ours, int ifindex, enum xdp_attach_mode mode)
{
	int first_err = 0;

	for (uint32_t i = 0; i < ours->count; i++) {
		int err = program_leave(ours->ids[i], ifindex, mode);

		first_err = first_err ? first_err : err;
	}
	return first_err;
}

int dispatcher_leave(const char *pin_dir, int ifindex)
{
	OWN_MULTIPROG struct xdp_multiprog *multi = multiprog_get(ifindex);
	struct program_ids ours;

	if (!multi)
		return -ENOENT;
	ours = programs_ours(pin_dir, multi);
	return ours.count ? programs_leave(&ours, ifindex, xdp_multiprog__attach_mode(multi)) : -ENOENT;
}

int dispatcher_leave_all(const char *pin_dir)
{
	uint32_t key, next, entries;
	OWN_FD int fd = map_open(pin_dir, MAP_port, false, &entries);
	int first_err = 0;
	bool more;

	if (fd < 0)
		return 0;
	for (more = bpf_map_get_next_key(fd, NULL, &next) == 0; more;
		more = bpf_map_get_next_key(fd, &key, &next) == 0) {
		int err = dispatcher_leave(pin_dir, (int)next);

		key = next;
		if (err && err != -ENOENT && !first_err)
			first_err = err;
	}
	return first_err;
}

/* ---- joining -------------------------------------------------------------------------------------------------- */

static int join_fail(struct attach_result *result, int err, const char *ifname, const char *what)
{
	snprintf(result->reason, sizeof(result->reason), "cannot join the XDP dispatcher of %s: %s%s", ifname, what,
		err == -EPERM ? "; an interface that comes after the agent's start needs a restart of the agent" : "");
	result->mode = ATTACH_NONE;
	return err;
}

/* Attach a copy of the classifier, loaded by libxdp as an extension of the dispatcher. */
static int program_join(struct dataplane *dp, int ifindex, enum xdp_attach_mode mode)
{
	struct classify_bpf *skeleton = NULL;
	OWN_PROGRAM struct xdp_program *program = NULL;
	int err = classifier_prepare(dp, &skeleton);

	if (err)
		return err;
	program = xdp_program__from_bpf_obj(classifier_object(skeleton), CLASSIFIER_SECTION);
	err = (int)libxdp_get_error(program);
	if (!err)
		err = xdp_program__attach(program, ifindex, mode, 0);
	/* Attached, it needs neither of these. */
	if (program && !libxdp_get_error(program))
		xdp_program__close(TAKE_PTR(program));
	classifier_free(skeleton);
	return err;
}

/* Where the kernel has no extension programs libxdp attaches the program alone, without a link: not what was asked. */
static int join_alone_undo(int ifindex)
{
	OWN_MULTIPROG struct xdp_multiprog *multi = multiprog_get(ifindex);

	if (multi && !xdp_multiprog__is_legacy(multi))
		return 0;
	if (multi)
		xdp_multiprog__detach(multi);
	return -EOPNOTSUPP;
}

/* A dispatcher of our own on a free interface. */
static int dispatcher_make(
	struct dataplane *dp, int ifindex, const char *ifname, bool allow_native, struct attach_result *result)
{
	int native_err = allow_native ? program_join(dp, ifindex, XDP_MODE_NATIVE) : 0, err = native_err;

	if (!allow_native || native_err)
		err = program_join(dp, ifindex, XDP_MODE_SKB);
	/* -EINVAL: from Linux 6.12.6 on an extension may change packets only where the dispatcher says that it may. */
	if (err == -EINVAL)
		return -EOPNOTSUPP;
	if (err)
		return join_fail(result, err, ifname, strerror(-err));
	err = join_alone_undo(ifindex);
	if (err)
		return err;
	result->mode = allow_native && !native_err ? ATTACH_NATIVE : ATTACH_GENERIC;
	if (native_err)
		snprintf(result->reason, sizeof(result->reason),
			"generic mode, slower: the driver of %s refuses native XDP (%s)", ifname,
			strerror(-native_err));
	else if (!allow_native)
		snprintf(result->reason, sizeof(result->reason), "generic mode, slower: the configuration asks for it");
	return 0;
}

static int others_count(const struct xdp_multiprog *multi, const struct program_ids *ours)
{
	int count = xdp_multiprog__program_count(multi) - (int)ours->count;

	return count > 0 ? count : 0;
}

int dispatcher_join(
	struct dataplane *dp, int ifindex, const char *ifname, bool allow_native, struct attach_result *result)
{
	OWN_MULTIPROG struct xdp_multiprog *multi = multiprog_get(ifindex);
	enum xdp_attach_mode mode;
	struct program_ids ours;
	int err;

	if (!multi)
		return dispatcher_make(dp, ifindex, ifname, allow_native, result);
	mode = xdp_multiprog__attach_mode(multi);
	if (mode != XDP_MODE_SKB && !allow_native)
		return join_fail(result, -EBUSY, ifname, "it runs in native mode, and xdp_mode is generic");
	ours = programs_ours(dp->pin_dir, multi);
	err = program_join(dp, ifindex, mode);
	if (err == -EINVAL)
		return join_fail(result, err, ifname,
			"the kernel refuses the program there (from Linux 6.12.6 on a program that changes packets "
			"needs the dispatcher of a newer libxdp)");
	if (err)
		return join_fail(result, err, ifname, strerror(-err));
	/* Both maps' users decide alike; the earlier one goes when the new one is in. */
	err = programs_leave(&ours, ifindex, mode);
	if (err)
		log_warn("%s: an earlier program of ours stays in the XDP dispatcher: %s", ifname, strerror(-err));
	result->mode = mode == XDP_MODE_SKB ? ATTACH_GENERIC : ATTACH_NATIVE;
	if (others_count(multi, &ours))
		snprintf(result->reason, sizeof(result->reason),
			"%sshares %s with %d XDP program(s) of others by the dispatcher",
			result->mode == ATTACH_GENERIC ? "generic mode, slower, as its dispatcher is; " : "", ifname,
			others_count(multi, &ours));
	return 0;
}
