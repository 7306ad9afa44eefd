/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0) */
/* The consumer of the transmit ring: one record a run. transmit.h has the rules of the ring. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/transmit.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct transmit_ring);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, TRANSMIT_PORTS);
	__type(key, __u32);
	__type(value, __u32);
} devices SEC(".maps");

struct transmit_state state __attribute__((aligned(128)));

/* Read-modify-write with its result used is a full barrier; BPF on these kernels has no weaker one. */
static __always_inline __u32 full_barrier(void)
{
	return __sync_fetch_and_add(&state.barrier, 0);
}

/*
 * The record's length, 0 if it is none. What keeps the two comparisons apart is for the verifier of Linux 6.1: a
 * compiler makes one of them, of a copy less the minimum, which says nothing about the length itself.
 */
static __always_inline __u32 record_len(const struct transmit_record *record)
{
	__u32 len = *(volatile __u32 *)&record->len;

	if (len > TRANSMIT_FRAME_MAX)
		len = 0;
	asm volatile("" : "+r"(len));
	return len;
}

/* Is there a record to take? The producer's word is read only when what was seen of it is used up. */
static __always_inline int record_waits(__u32 at)
{
	if (at != state.seen)
		return 1;
	state.seen = *(volatile __u32 *)&state.produced;
	if (at == state.seen)
		return 0;
	state.seen |= full_barrier();
	return 1;
}

/* What was taken is free for the producer. */
static __always_inline void tell(__u32 taken)
{
	state.untold = 0;
	*(volatile __u32 *)&state.consumed = taken + full_barrier();
}

static __always_inline int record_send(struct xdp_md *ctx, const struct transmit_record *record, __u32 len)
{
	if (bpf_xdp_adjust_tail(ctx, (int)len - (int)bpf_xdp_get_buff_len(ctx)))
		return XDP_DROP;
	if (bpf_xdp_store_bytes(ctx, 0, (void *)record->data, len))
		return XDP_DROP;
	return (int)bpf_redirect_map(&devices, record->port, XDP_DROP);
}

SEC("xdp") int transmit(struct xdp_md *ctx)
{
	__u32 at = state.taken, key = 0, len;
	struct transmit_ring *bytes = bpf_map_lookup_elem(&ring, &key);
	const struct transmit_record *record;
	int action = XDP_DROP;

	*(volatile __u32 *)&state.runs = state.runs + 1;
	if (!bytes)
		return XDP_DROP;
	if (!record_waits(at)) {
		if (state.untold)
			tell(at);
		return XDP_DROP;
	}
	record = (void *)bytes->bytes + (at & (TRANSMIT_UNITS - 1)) * TRANSMIT_UNIT;
	len = record_len(record);
	if (len >= TRANSMIT_FRAME_MIN) {
		action = record_send(ctx, record, len);
		at += transmit_units(len);
	} else {
		at = state.seen; /* never written by the producer: where the next one begins is not known */
	}
	if (action != XDP_REDIRECT)
		state.malformed++;
	state.taken = at;
	if (++state.untold >= TRANSMIT_TELL)
		tell(at);
	return action;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
