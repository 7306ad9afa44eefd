/* SPDX-License-Identifier: Apache-2.0 */
/* Attaching to real interfaces, in a network namespace of the test's own: veth0 -- veth1, and dummy0, which has no
 * native XDP. */
#include "agent/base/own.h"
#include "bpf/capture.h"
#include "bpf/dataplane.h"
#include "bpf/dataplane_private.h"
#include "bpf/policy.h"
#include "bpf/sadb.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include <cmocka.h>

#define PIN_DIR	      "/sys/fs/bpf/espalier_test_attach"
#define PIN_DIR_OTHER "/sys/fs/bpf/espalier_test_attach_other"

static const struct dataplane_options options = {
	.pin_dir = PIN_DIR, .sa_count = 8, .tunnel_count = 8, .policy_count = 8};
static const struct port_info port = {.slot = 1, .mac = {2, 0, 0, 0, 0, 1}};

/* A line for the shell; true if it succeeded. */
static bool run_try(const char *command)
{
	char *const argv[] = {(char *)"sh", (char *)"-c", (char *)(uintptr_t)command, NULL};
	int status = -1;
	pid_t pid;

	if (posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) || waitpid(pid, &status, 0) != pid)
		return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void run(const char *command)
{
	if (!run_try(command))
		fail_msg("failed: %s", command);
}

static struct dataplane *dataplane_new(void)
{
	struct dataplane *dp;
	char error[256];

	if (dataplane_open(&options, &dp, error))
		fail_msg("%s", error);
	return dp;
}

/* Every test starts with fresh interfaces and no pins. */
static int setup(void **state)
{
	dataplane_remove(PIN_DIR);
	run("ip link add veth0 type veth peer name veth1");
	run("ip link set veth0 up && ip link set veth1 up && ip link set lo up");
	*state = dataplane_new();
	return 0;
}

static int teardown(void **state)
{
	dataplane_close(*state);
	run_try("ip link del veth0 2>/dev/null");
	return dataplane_remove(PIN_DIR);
}

static int index_of(const char *name)
{
	return (int)if_nametoindex(name);
}

/* Id of the XDP program on an interface; 0: none. */
static uint32_t program_on(const char *name)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	assert_int_equal(bpf_xdp_query(index_of(name), 0, &query), 0);
	return query.drv_prog_id ? query.drv_prog_id : query.skb_prog_id;
}

static bool pinned(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), PIN_DIR "/link_%d", index_of(name));
	return access(path, F_OK) == 0;
}

/* Id of the pinned link of an interface: another one means that there was a gap. */
static uint32_t link_id(const char *name)
{
	struct bpf_link_info info = {0};
	uint32_t len = sizeof(info);
	char path[128];
	OWN_FD int fd = -1;

	snprintf(path, sizeof(path), PIN_DIR "/link_%d", index_of(name));
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	return info.id;
}

static void test_native(void **state)
{
	struct dataplane *dp = *state;
	struct attach_result result;
	struct stat st;
	char path[128];

	assert_int_equal(dataplane_attach(dp, index_of("veth0"), "veth0", &port, true, &result), 0);
	assert_int_equal(result.mode, ATTACH_NATIVE);
	assert_string_equal(result.reason, "");
	assert_true(program_on("veth0"));
	snprintf(path, sizeof(path), PIN_DIR "/link_%d", index_of("veth0"));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(dataplane_detach(dp, index_of("veth0"), "veth0"), 0);
	assert_int_equal(program_on("veth0"), 0);
	assert_false(pinned("veth0"));
}

static void test_generic(void **state)
{
	struct attach_result result;

	assert_int_equal(dataplane_attach(*state, index_of("lo"), "lo", &port, true, &result), 0);
	assert_int_equal(result.mode, ATTACH_GENERIC);
	assert_non_null(strstr(result.reason, "refuses native XDP"));
	assert_int_equal(dataplane_attach(*state, index_of("veth0"), "veth0", &port, false, &result), 0);
	assert_int_equal(result.mode, ATTACH_GENERIC);
	assert_non_null(strstr(result.reason, "the configuration asks"));
}

/* The program outlives the agent, and the next agent's takes its place without a gap. */
static void test_restart(void **state)
{
	struct dataplane *dp = *state;
	struct attach_result result;
	uint32_t before, link_less;

	assert_int_equal(dataplane_attach(dp, index_of("veth0"), "veth0", &port, true, &result), 0);
	assert_int_equal(dataplane_attach(dp, index_of("lo"), "lo", &port, true, &result), 0);
	before = program_on("veth0");
	dataplane_close(dp);
	assert_int_equal(program_on("veth0"), before);

	*state = dp = dataplane_new();
	assert_int_equal(dataplane_attach(dp, index_of("veth0"), "veth0", &port, true, &result), 0);
	assert_int_equal(result.mode, ATTACH_NATIVE);
	assert_int_not_equal(program_on("veth0"), before);
	assert_int_not_equal(program_on("veth0"), 0);
	assert_int_equal(dataplane_attach(dp, index_of("lo"), "lo", &port, true, &result), 0);
	assert_int_equal(result.mode, ATTACH_GENERIC);
	assert_non_null(strstr(result.reason, "earlier start"));

	/* lo is no longer configured. */
	int kept = index_of("veth0");

	assert_int_equal(dataplane_keep_only(dp, &kept, 1), 0);
	link_less = program_on("lo");
	assert_int_equal(link_less, 0);
	assert_int_not_equal(program_on("veth0"), 0);
}

/* Above the MTU of one buffer a driver that takes frames of several serves natively, and stays so over a restart. */
static void test_native_fragments(void **state)
{
	struct dataplane *dp = *state;
	struct attach_result result;
	uint32_t before, link;

	if (dp->fragments_fd < 0) {
		print_message("skip: AF_XDP of this kernel takes no frames of several buffers\n");
		skip();
	}
	run("ip link set veth0 mtu 9001 && ip link set veth1 mtu 9001");
	if (dataplane_attach(dp, index_of("veth0"), "veth0", &port, true, &result))
		fail_msg("%s", result.reason);
	assert_string_equal(result.reason, "");
	assert_int_equal(result.mode, ATTACH_NATIVE);
	before = program_on("veth0");
	link = link_id("veth0");
	dataplane_close(dp);
	*state = dp = dataplane_new();
	assert_int_equal(dataplane_attach(dp, index_of("veth0"), "veth0", &port, true, &result), 0);
	assert_int_equal(result.mode, ATTACH_NATIVE);
	assert_int_not_equal(program_on("veth0"), before);
	assert_int_equal(link_id("veth0"), link);
}

/* From native to generic, because the configuration now says so. */
static void test_mode_change(void **state)
{
	struct attach_result result;

	assert_int_equal(dataplane_attach(*state, index_of("veth0"), "veth0", &port, true, &result), 0);
	assert_int_equal(dataplane_attach(*state, index_of("veth0"), "veth0", &port, false, &result), 0);
	assert_int_equal(result.mode, ATTACH_GENERIC);
}

/* Someone else's program stays, and is named. */
static void test_occupied(void **state)
{
	struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_PASS}, {.code = BPF_JMP | BPF_EXIT}};
	OWN_FD int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "neighbour", "GPL", pass, ARRAY_LEN(pass), NULL);
	struct attach_result result;
	char id[32];
	uint32_t theirs;

	assert_true(fd >= 0);
	assert_int_equal(bpf_xdp_attach(index_of("veth0"), fd, XDP_FLAGS_DRV_MODE, NULL), 0);
	theirs = program_on("veth0");
	assert_int_equal(dataplane_attach(*state, index_of("veth0"), "veth0", &port, true, &result), -EBUSY);
	assert_int_equal(result.mode, ATTACH_NONE);
	assert_non_null(strstr(result.reason, "\"neighbour\""));
	snprintf(id, sizeof(id), "id %u", theirs);
	assert_non_null(strstr(result.reason, id));
	assert_int_equal(program_on("veth0"), theirs);
	assert_int_equal(dataplane_attach(*state, index_of("veth0"), "veth0", &port, false, &result), -EBUSY);
	assert_false(pinned("veth0"));
}

/* Another gateway of this host (maps of its own) that makes a dispatcher; NULL: this kernel has none, and the fallback
 * is as it should be. */
static struct dataplane *neighbour_new(void)
{
	const struct dataplane_options theirs = {.pin_dir = PIN_DIR_OTHER,
		.sa_count = 8,
		.tunnel_count = 8,
		.policy_count = 8,
		.dispatcher = DISPATCHER_ON};
	struct attach_result result;
	struct dataplane *dp;
	char error[256];

	dataplane_remove(PIN_DIR_OTHER);
	if (dataplane_open(&theirs, &dp, error))
		fail_msg("%s", error);
	if (dataplane_attach(dp, index_of("veth0"), "veth0", &port, true, &result))
		fail_msg("%s", result.reason);
	assert_int_equal(result.mode, ATTACH_NATIVE);
	if (!strstr(result.reason, "refuses extension programs"))
		return dp;
	assert_int_not_equal(program_on("veth0"), 0);
	dataplane_close(dp);
	assert_int_equal(dataplane_remove(PIN_DIR_OTHER), 0);
	assert_int_equal(program_on("veth0"), 0);
	return NULL;
}

static int programs_in_dispatcher(const char *name)
{
	struct xdp_multiprog *multi = xdp_multiprog__get_from_ifindex(index_of(name));
	int count;

	if (libxdp_get_error(multi))
		return 0;
	count = xdp_multiprog__is_legacy(multi) ? -1 : xdp_multiprog__program_count(multi);
	xdp_multiprog__close(multi);
	return count;
}

/* Ours joins the programs of others, follows itself at a restart without a gap, and leaves them behind alone. */
static void test_dispatcher(void **state)
{
	struct dataplane *theirs = neighbour_new(), *dp = *state;
	struct attach_result result;
	uint32_t before;

	if (!theirs) {
		print_message("skip: this kernel refuses extension programs; the program stood alone and said so\n");
		skip();
	}
	assert_int_equal(programs_in_dispatcher("veth0"), 1);
	if (dataplane_attach(dp, index_of("veth0"), "veth0", &port, true, &result))
		fail_msg("%s", result.reason);
	assert_int_equal(result.mode, ATTACH_NATIVE);
	assert_non_null(strstr(result.reason, "shares veth0"));
	assert_int_equal(programs_in_dispatcher("veth0"), 2);
	before = program_on("veth0");

	dataplane_close(dp); /* as by a kill */
	assert_int_equal(program_on("veth0"), before);
	*state = dp = dataplane_new();
	assert_int_equal(dataplane_attach(dp, index_of("veth0"), "veth0", &port, true, &result), 0);
	assert_int_equal(programs_in_dispatcher("veth0"), 2);
	assert_int_not_equal(program_on("veth0"), before);

	assert_int_equal(dataplane_detach(dp, index_of("veth0"), "veth0"), 0);
	assert_int_equal(programs_in_dispatcher("veth0"), 1);
	assert_int_equal(dataplane_attach(dp, index_of("veth0"), "veth0", &port, true, &result), 0);
	dataplane_close(dp);
	*state = NULL;
	assert_int_equal(dataplane_remove(PIN_DIR), 0);
	assert_int_equal(programs_in_dispatcher("veth0"), 1);
	dataplane_close(theirs);
	assert_int_equal(dataplane_remove(PIN_DIR_OTHER), 0);
	assert_int_equal(program_on("veth0"), 0);
}

/* A dispatcher that may not be used is an occupied interface. */
static void test_dispatcher_off(void **state)
{
	struct dataplane_options off = options;
	struct dataplane *theirs = neighbour_new();
	struct attach_result result;
	struct dataplane *dp;
	char error[256];

	if (!theirs) {
		print_message("skip: this kernel refuses extension programs\n");
		skip();
	}
	dataplane_close(*state);
	off.dispatcher = DISPATCHER_OFF;
	assert_int_equal(dataplane_open(&off, &dp, error), 0);
	*state = dp;
	assert_int_equal(dataplane_attach(dp, index_of("veth0"), "veth0", &port, true, &result), -EBUSY);
	assert_non_null(strstr(result.reason, "agent.dispatcher is off"));
	assert_int_equal(programs_in_dispatcher("veth0"), 1);
	dataplane_close(theirs);
	assert_int_equal(dataplane_remove(PIN_DIR_OTHER), 0);
}

/* The interface goes and comes again: its pin is of no use, and not in the way. */
static void test_interface_replaced(void **state)
{
	struct attach_result result;
	int ifindex = index_of("veth0");
	char command[128];

	assert_int_equal(dataplane_attach(*state, ifindex, "veth0", &port, true, &result), 0);
	run("ip link del veth0");
	assert_int_equal(dataplane_attach(*state, ifindex, "veth0", &port, true, &result), -ENODEV);
	assert_string_equal(result.reason, "veth0 has vanished");
	snprintf(command, sizeof(command), "ip link add veth0 index %d type veth peer name veth1", ifindex);
	run(command);
	assert_int_equal(dataplane_attach(*state, ifindex, "veth0", &port, true, &result), 0);
	assert_int_equal(result.mode, ATTACH_NATIVE);
	run("ip link del veth0");
	assert_int_equal(dataplane_detach(*state, ifindex, "veth0"), 0);
}

/* `espalier-agent --detach`: without a loaded data plane, everything goes. */
static void test_remove(void **state)
{
	struct attach_result result;

	assert_int_equal(dataplane_attach(*state, index_of("veth0"), "veth0", &port, true, &result), 0);
	dataplane_close(*state);
	*state = NULL;
	assert_int_equal(dataplane_remove(PIN_DIR), 0);
	assert_int_equal(program_on("veth0"), 0);
	assert_int_equal(access(PIN_DIR, F_OK), -1);
	assert_int_equal(dataplane_remove(PIN_DIR), 0);
}

/* The root of a bpffs holds files of the kernel's; a folder may hold others'. They stay, and are no error. */
static void test_remove_leaves_others(void **state)
{
	assert_int_equal(mkdir(PIN_DIR "/others", 0700), 0);
	dataplane_close(*state);
	*state = NULL;
	assert_int_equal(dataplane_remove(PIN_DIR), 0);
	assert_int_equal(access(PIN_DIR "/sa", F_OK), -1);
	assert_int_equal(rmdir(PIN_DIR "/others"), 0);
	assert_int_equal(dataplane_remove(PIN_DIR), 0);
	assert_int_equal(access(PIN_DIR, F_OK), -1);
}

static void test_needs_root(void **state)
{
	(void)state;
	print_message("skip: attaching needs root\n");
	skip();
}

#define ATTACH_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

/* ---- capture ---- */

/* Somebody else's filter on veth0, one that says `action`. */
static void other_filter(uint32_t priority, uint32_t handle, int action)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = index_of("veth0"), .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, place, .handle = handle, .priority = priority);
	const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = action}, {.code = BPF_JMP | BPF_EXIT}};

	place.prog_fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "other", "GPL", insns, ARRAY_LEN(insns), NULL);
	assert_true(place.prog_fd >= 0);
	assert_int_equal(bpf_tc_hook_create(&hook), 0);
	assert_int_equal(bpf_tc_attach(&hook, &place), 0);
	close(place.prog_fd);
}

/* Did host1 receive exactly so many packets? */
static void received_expect(unsigned count)
{
	char command[128];

	snprintf(command, sizeof(command), "ip -s link show host1 | awk '/RX:/ { getline; exit $2 != %u }'", count);
	run(command);
}

#define PING "ping -c 3 -i 0.01 -W 1 192.0.2.9 >/dev/null; test $? = 1"

static struct selector host4(uint8_t last)
{
	return (struct selector){
		.family = 4, .port_last = 0xffff, .first = {192, 0, 2, last}, .last = {192, 0, 2, last}};
}

/* What is protected between the hosts themselves leaves by the host device, as long as the filter stands; the filter
 * outlives the agent, and another filter on the interface stays. */
static void test_capture(void **state)
{
	struct dataplane *dp = *state;
	struct policy policy = {.action = POLICY_PROTECT, .local_count = 1, .remote_count = 1};
	struct policy_set *set;
	struct capture *capture;
	struct sadb *db;
	char error[256] = "";
	int veth0 = index_of("veth0");
	uint32_t id;

	run("ip link add host0 type veth peer name host1");
	run("for i in host0 host1; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; ip link set $i up; done");
	run("ip addr add 192.0.2.1/24 dev veth0 && ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev veth0");
	other_filter(7, 1, 0); /* it lets everything go, and so ends the chain */
	assert_int_equal(sadb_open(PIN_DIR, true, &db), 0);
	assert_int_equal(policy_set_new(db, &set), 0);
	policy.local[0] = host4(1);
	policy.remote[0] = host4(9);
	assert_int_equal(policy_add(set, &policy, &id), 0);

	run(PING);
	received_expect(0);
	if (capture_open(dp, (uint32_t)index_of("host0"), &capture, error))
		fail_msg("%s", error);
	assert_int_equal(capture_attach(capture, veth0, error), 0);
	assert_int_equal(capture_attach(capture, veth0, error), 0); /* replaced */
	capture_close(capture);
	run(PING);
	received_expect(3);

	assert_int_equal(capture_keep_only(&veth0, 1), 0);
	run("tc filter show dev veth0 egress | grep -q capture");
	assert_int_equal(capture_keep_only(NULL, 0), 0);
	run("! tc filter show dev veth0 egress | grep -q capture");
	run("tc filter show dev veth0 egress | grep -q other");
	assert_int_equal(capture_detach(veth0), 0);
	policy_set_free(set);
	sadb_close(db);
	run("ip link del host0");
}

/* A filter of somebody else in our place is neither replaced nor removed. */
static void test_capture_place_taken(void **state)
{
	struct dataplane *dp = *state;
	struct capture *capture;
	char error[256] = "";

	other_filter(1, 0x4553, -1);
	assert_int_equal(capture_open(dp, 1, &capture, error), 0);
	assert_int_equal(capture_attach(capture, index_of("veth0"), error), -EEXIST);
	assert_non_null(strstr(error, "another tc filter"));
	assert_int_equal(capture_detach(index_of("veth0")), 0);
	run("tc filter show dev veth0 egress | grep -q other");
	assert_int_equal(capture_attach(capture, 0x7ffffff0, error), -ENODEV);
	capture_close(capture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ATTACH_TEST(test_native),
		ATTACH_TEST(test_native_fragments),
		ATTACH_TEST(test_generic),
		ATTACH_TEST(test_restart),
		ATTACH_TEST(test_mode_change),
		ATTACH_TEST(test_occupied),
		ATTACH_TEST(test_interface_replaced),
		ATTACH_TEST(test_dispatcher),
		ATTACH_TEST(test_dispatcher_off),
		ATTACH_TEST(test_capture),
		ATTACH_TEST(test_capture_place_taken),
		ATTACH_TEST(test_remove),
		ATTACH_TEST(test_remove_leaves_others),
	};
	const struct CMUnitTest without_root[] = {cmocka_unit_test(test_needs_root)};

	if (geteuid() != 0 || unshare(CLONE_NEWNET))
		return cmocka_run_group_tests(without_root, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
