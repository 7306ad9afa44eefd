/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/bpffs.h"

#include "agent/base/own.h"
#include "bpf/map_set.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define SYS_BPF "/sys/fs/bpf"

static bool on_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (uint32_t)fs.f_type == (uint32_t)BPF_FS_MAGIC;
}

static int bpffs_mount(const char *path)
{
	return mount("bpf", path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") ? -errno : 0;
}

static int dir_make(const char *path)
{
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

/* The folders above `path`, each if missing. */
static int parents_make(const char *path)
{
	char part[PIN_PATH_LEN];

	if (strlen(path) >= sizeof(part))
		return -ENAMETOOLONG;
	memcpy(part, path, strlen(path) + 1);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		int err;

		*slash = '\0';
		err = dir_make(part);
		*slash = '/';
		if (err)
			return err;
	}
	return 0;
}

/* Folders cannot be made below /sys/fs/bpf before it is a bpffs. */
static int sys_bpf_mount(const char *pin_dir)
{
	if (strncmp(pin_dir, SYS_BPF "/", strlen(SYS_BPF "/")) != 0 || on_bpffs(SYS_BPF))
		return 0;
	return bpffs_mount(SYS_BPF);
}

int pin_dir_make(const char *pin_dir, char error_text[static 256])
{
	int err = pin_dir[0] == '/' ? sys_bpf_mount(pin_dir) : -EINVAL;

	if (!err)
		err = parents_make(pin_dir);
	if (!err)
		err = dir_make(pin_dir);
	if (!err && !on_bpffs(pin_dir))
		err = bpffs_mount(pin_dir);
	if (!err && chmod(pin_dir, 0700))
		err = -errno;
	if (err)
		snprintf(error_text, 256, "cannot make the pin folder %.150s on a BPF file system: %s", pin_dir,
			strerror(-err));
	return err;
}
