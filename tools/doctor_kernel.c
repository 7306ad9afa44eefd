/* SPDX-License-Identifier: Apache-2.0 */
/* What the data plane needs of the kernel, and what it does not. */
#include "tools/doctor.h"

#include "agent/base/own.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#define KERNEL_MAJOR 6
#define KERNEL_MINOR 1

#define FIND(...) doctor_find(doctor, &(struct finding){__VA_ARGS__})

static void doctor_release(struct doctor *doctor)
{
	struct utsname name;
	char *rest;
	long major, minor;

	uname(&name);
	major = strtol(name.release, &rest, 10);
	minor = *rest == '.' ? strtol(rest + 1, NULL, 10) : 0;
	if (major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR))
		doctor_find_text(doctor, &(struct finding){FINDING_GOOD, "kernel", "release", NULL, NULL, NULL},
			"Linux %s", name.release);
	else
		doctor_find_text(doctor,
			&(struct finding){FINDING_WRONG, "kernel", "release", NULL,
				"the XDP programs are proved on Linux 6.1 and later only",
				"boot a kernel of Debian 12 or later"},
			"Linux %s is older than %d.%d", name.release, KERNEL_MAJOR, KERNEL_MINOR);
}

static void doctor_bpf(struct doctor *doctor)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = sizeof(uint32_t), .value_size = 8, .max_entries = 1};
	OWN_FD int fd = (int)syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));

	if (fd >= 0)
		FIND(FINDING_GOOD, "kernel", "bpf", "BPF maps can be made", NULL, NULL);
	else if (errno == EPERM)
		FIND(FINDING_UNSEEN, "kernel", "bpf", "this user may not make BPF maps", NULL,
			"run `espalier doctor` as root to see whether the agent may");
	else
		FIND(FINDING_WRONG, "kernel", "bpf", "the kernel makes no BPF map", "the agent cannot run without BPF",
			"boot a kernel with CONFIG_BPF_SYSCALL");
}

static void doctor_af_xdp(struct doctor *doctor)
{
	OWN_FD int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		FIND(FINDING_GOOD, "kernel", "af_xdp", "AF_XDP sockets can be opened", NULL, NULL);
	else if (errno == EPERM || errno == EACCES)
		FIND(FINDING_UNSEEN, "kernel", "af_xdp", "this user may not open AF_XDP sockets", NULL,
			"run `espalier doctor` as root to see whether the agent may");
	else
		FIND(FINDING_WRONG, "kernel", "af_xdp", "the kernel has no AF_XDP sockets",
			"the agent receives and sends by them", "boot a kernel with CONFIG_XDP_SOCKETS");
}

static void doctor_btf(struct doctor *doctor)
{
	if (access("/sys/kernel/btf/vmlinux", F_OK) == 0)
		FIND(FINDING_GOOD, "kernel", "btf", "the kernel carries its BTF", NULL, NULL);
	else
		FIND(FINDING_NOTE, "kernel", "btf", "the kernel does not carry its BTF",
			"only sharing an interface with other XDP programs (libxdp's dispatcher) needs it", NULL);
}

static void doctor_bpffs(struct doctor *doctor)
{
	struct statfs fs;

	if (statfs("/sys/fs/bpf", &fs) == 0 && (uint32_t)fs.f_type == (uint32_t)BPF_FS_MAGIC)
		FIND(FINDING_GOOD, "kernel", "bpffs", "a BPF file system is mounted on /sys/fs/bpf", NULL, NULL);
	else
		FIND(FINDING_NOTE, "kernel", "bpffs", "no BPF file system is mounted on /sys/fs/bpf",
			"SAs and programs live there; the agent mounts one when it starts", NULL);
}

static void doctor_jit(struct doctor *doctor)
{
	long jit;

	if (!doctor_read_number("/proc/sys/net/core/bpf_jit_enable", &jit))
		FIND(FINDING_UNSEEN, "kernel", "jit", "net.core.bpf_jit_enable cannot be read here", NULL,
			"run `espalier doctor` as root, outside of network namespaces");
	else if (jit)
		FIND(FINDING_GOOD, "kernel", "jit", "BPF programs are compiled to machine code", NULL, NULL);
	else
		FIND(FINDING_WRONG, "kernel", "jit", "BPF programs are interpreted (net.core.bpf_jit_enable is 0)",
			"every packet passes the classifier, several times slower so",
			"sysctl -w net.core.bpf_jit_enable=1, and for ever in /etc/sysctl.d");
}

static void doctor_memlock(struct doctor *doctor)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit))
		return;
	if (limit.rlim_cur == RLIM_INFINITY)
		FIND(FINDING_GOOD, "kernel", "memlock", "locked memory is not limited", NULL, NULL);
	else
		doctor_find_text(doctor, &(struct finding){FINDING_GOOD, "kernel", "memlock", NULL, NULL, NULL},
			"locked memory is limited to %llu KiB for this user; the agent holds CAP_IPC_LOCK, which the "
			"limit does not bind",
			(unsigned long long)limit.rlim_cur / 1024);
}

static bool module_loaded(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/module/%s", name);
	return access(path, F_OK) == 0;
}

static void doctor_esp(struct doctor *doctor)
{
	if (module_loaded("esp4") || module_loaded("esp6"))
		FIND(FINDING_GOOD, "kernel", "esp",
			"the kernel's own ESP (esp4, esp6) is loaded; Espalier does not use it, and takes ESP before "
			"it on served interfaces",
			NULL, NULL);
	else
		FIND(FINDING_GOOD, "kernel", "esp",
			"the kernel's own ESP (esp4, esp6) is absent, blacklisted or not loaded: that does not matter",
			NULL, NULL);
}

static void doctor_polling(struct doctor *doctor)
{
	long poll = 0;

	doctor_read_number("/proc/sys/net/core/busy_poll", &poll);
	doctor_find_text(doctor, &(struct finding){FINDING_GOOD, "kernel", "polling", NULL, NULL, NULL},
		"AF_XDP sockets wake the kernel only when it asks (need-wakeup); system-wide busy polling is %s",
		poll ? "on, and costs idle processor time" : "off");
}

void doctor_kernel(struct doctor *doctor)
{
	doctor_release(doctor);
	doctor_bpf(doctor);
	doctor_af_xdp(doctor);
	doctor_btf(doctor);
	doctor_bpffs(doctor);
	doctor_jit(doctor);
	doctor_memlock(doctor);
	doctor_esp(doctor);
	doctor_polling(doctor);
}
