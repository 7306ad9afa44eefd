/* SPDX-License-Identifier: Apache-2.0 */
/* The list of prefix lengths in use (contract.h: struct policy_lens), written while others read it. */
#ifndef ESPALIER_BPF_POLICY_LENS_H
#define ESPALIER_BPF_POLICY_LENS_H

#include "bpf/contract.h"

#include <stdint.h>

/* The entries of a length first, then the length; the last entry away first, then the length. Harmless if it is there
 * (gone) already. */
void policy_lens_insert(struct policy_lens *lens, uint8_t len);
void policy_lens_remove(struct policy_lens *lens, uint8_t len);

/* The length behind `at` (a length, or POLICY_LENS_HEAD), or -1: the list ends. */
int policy_lens_next(const struct policy_lens *lens, uint32_t at);

#endif
