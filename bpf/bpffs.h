/* SPDX-License-Identifier: Apache-2.0 */
/* The pin folder: made on a bpffs, which is mounted if there is none. Inside the room only. */
#ifndef ESPALIER_BPF_BPFFS_H
#define ESPALIER_BPF_BPFFS_H

/*
 * Make `pin_dir` (0700) on a bpffs. If its parent is on none, one is mounted: on /sys/fs/bpf for folders below it, else
 * on `pin_dir` itself. `error_text` gets a sentence on failure.
 */
int pin_dir_make(const char *pin_dir, char error_text[static 256]);

#endif
