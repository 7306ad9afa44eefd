/* SPDX-License-Identifier: Apache-2.0 */
#include "ike/sandbox.h"

#include "agent/base/own.h"

#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#if defined(__x86_64__)
#define ARCH_HERE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH_HERE AUDIT_ARCH_AARCH64
#else
#error "name the audit architecture of this processor"
#endif

/* ---- capabilities ---------------------------------------------------------------------------------------------- */
static int capabilities_keep(const cap_value_t *keep, int count)
{
	cap_t caps = cap_init(); /* empty */
	int rc = 0;

	if (!caps)
		return -errno;
	if (count && (cap_set_flag(caps, CAP_PERMITTED, count, keep, CAP_SET) ||
			     cap_set_flag(caps, CAP_EFFECTIVE, count, keep, CAP_SET)))
		rc = -errno;
	if (!rc && cap_set_proc(caps))
		rc = -errno;
	cap_free(caps);
	return rc;
}

/* Keep `wanted` if this process has it: in a container even root may not. */
static int capability_keep(cap_value_t wanted)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t has = CAP_CLEAR;

	if (caps)
		cap_get_flag(caps, wanted, CAP_PERMITTED, &has);
	cap_free(caps);
	return capabilities_keep(&wanted, has == CAP_SET);
}

static int rights_lock(void)
{
	const struct rlimit none = {0, 0};
	int rc = 0;

	if (setrlimit(RLIMIT_CORE, &none) < 0)
		rc = -errno;
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		rc = -errno;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		rc = -errno;
	return rc;
}

/* ---- system calls ---------------------------------------------------------------------------------------------- */
#ifndef __SANITIZE_ADDRESS__
/* Refused calls give EPERM rather than death: another C library may use a call that is not known here, and can do
 * without. */
#define REFUSE (SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA))

static const uint32_t calls_allowed[] = {
	__NR_read,
	__NR_pread64,
	__NR_readv,
	__NR_write,
	__NR_writev,
	__NR_close,
	__NR_fstat,
	__NR_newfstatat,
	__NR_statx,
	__NR_lseek,
	__NR_recvfrom,
	__NR_sendto,
	__NR_recvmsg,
	__NR_sendmsg,
	__NR_mmap,
	__NR_munmap,
	__NR_mremap,
	__NR_madvise,
	__NR_brk,
	__NR_futex,
	__NR_getrandom,
	__NR_clock_gettime,
	__NR_gettimeofday,
	__NR_rt_sigreturn,
	__NR_rt_sigaction,
	__NR_rt_sigprocmask,
	__NR_exit,
	__NR_exit_group,
	__NR_getpid,
	__NR_gettid,
	__NR_getuid,
	__NR_geteuid,
	__NR_getgid,
	__NR_getegid,
	__NR_sched_yield,
	__NR_restart_syscall,
	__NR_fcntl,
};

#define FILTER_MAX (ARRAY_LEN(calls_allowed) + 16u)

static unsigned filter_build(struct sock_filter filter[static FILTER_MAX])
{
	const uint32_t write_flags = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;
	const uint32_t flags_at = offsetof(struct seccomp_data, args[2]);
	unsigned n = 0;

	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH_HERE, 1, 0);
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < ARRAY_LEN(calls_allowed); i++) {
		uint8_t to_allow = (uint8_t)(ARRAY_LEN(calls_allowed) - i + 3);

		filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls_allowed[i], to_allow, 0);
	}
	/* Allowing is the last instruction, three behind the look at openat. Files open for reading alone. */
	filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_openat, 0, 2);
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, flags_at);
	filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, write_flags, 0, 1);
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, REFUSE);
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	return n;
}

static int calls_limit(void)
{
	struct sock_filter filter[FILTER_MAX];
	struct sock_fprog program = {.len = (unsigned short)filter_build(filter), .filter = filter};

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}
#else
/* The address sanitizer's own calls are not listed above. */
static int calls_limit(void)
{
	return 0;
}
#endif

int sandbox_keeper(void)
{
	int rc = capability_keep(CAP_DAC_READ_SEARCH);
	int next = rights_lock();

	rc = rc ? rc : next;
	next = calls_limit();
	return rc ? rc : next;
}

int sandbox_daemon(void)
{
	int rc = capability_keep(CAP_BPF);
	int next = rights_lock();

	return rc ? rc : next;
}
