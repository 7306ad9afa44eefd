/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0) */
/*
 * Both ends of a measurement: `send` runs on frames of the kernel's own (BPF_PROG_RUN with live frames), numbers each
 * and redirects it; `sink` counts what arrives and drops it. Some packets are probes: the sink knows them by their
 * length, which a cipher keeps apart, and takes their time.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tools/bench/wire/load.h"

#define CATCH_UP_NS   100000u /* a sender that was away for longer begins anew */
#define OFF_IP_LENGTH 16
#define OFF_IP_CHECK  24
#define OFF_UDP	      38
#define OFF_NUMBER    46

struct load_state state;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LOAD_BUCKETS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} latency SEC(".maps");

static __always_inline int due(void)
{
	__u64 now_ns;

	if (!state.interval_ns)
		return 1;
	now_ns = bpf_ktime_get_ns();
	if (now_ns < state.next_ns)
		return 0;
	state.next_ns = (now_ns - state.next_ns > CATCH_UP_NS ? now_ns : state.next_ns) + state.interval_ns;
	return 1;
}

/* The size of the next packet: 0, or 1 + the probe's number. */
static __always_inline __u32 next_size(void)
{
	__u64 now_ns, before;
	__u32 probe = state.probe;

	if (!state.probing || probe >= LOAD_PROBES)
		return 0;
	now_ns = bpf_ktime_get_ns();
	if (now_ns - state.probed_ns < LOAD_PROBE_NS)
		return 0;
	before = state.probe_sent_ns[probe];
	if (before && now_ns - before < LOAD_PROBE_OLD_NS)
		return 0;
	state.probed_ns = state.probe_sent_ns[probe] = now_ns;
	state.probe = probe + 1 < LOAD_PROBES ? probe + 1 : 0;
	return probe + 1;
}

SEC("xdp") int send(struct xdp_md *ctx)
{
	__u32 size;
	__u8 *data;

	if (!due())
		return XDP_DROP;
	size = next_size();
	if (size > LOAD_PROBES)
		return XDP_DROP;
	if (size && bpf_xdp_adjust_tail(ctx, (int)(size * LOAD_PROBE_STEP)))
		return XDP_DROP;
	data = (void *)(long)ctx->data;
	if (data + LOAD_FRAME > (__u8 *)(long)ctx->data_end)
		return XDP_DROP;
	*(__u16 *)(data + OFF_IP_LENGTH) = state.sizes[size].ip_length;
	*(__u16 *)(data + OFF_IP_CHECK) = state.sizes[size].ip_check;
	*(__u16 *)(data + OFF_UDP) = state.sizes[size].udp_length;
	*(__u64 *)(data + OFF_NUMBER) = state.sent++;
	return (int)bpf_redirect(state.ifindex, 0);
}

static __always_inline void probe_arrived(__u32 probe)
{
	__u64 sent_ns, *bucket;
	__u32 at;

	if (probe >= LOAD_PROBES)
		return;
	sent_ns = state.probe_sent_ns[probe];
	state.probe_sent_ns[probe] = 0;
	if (!sent_ns)
		return;
	sent_ns = (bpf_ktime_get_ns() - sent_ns) / LOAD_BUCKET_NS;
	at = sent_ns < LOAD_BUCKETS ? (__u32)sent_ns : LOAD_BUCKETS - 1;
	bucket = bpf_map_lookup_elem(&latency, &at);
	if (bucket)
		++*bucket;
}

SEC("xdp") int sink(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	__u32 len = (__u32)(ctx->data_end - ctx->data);

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end || eth->h_proto != bpf_htons(ETH_P_IP) ||
		eth->h_dest[0] & 1)
		return XDP_PASS;
	state.arrived++;
	state.bytes += len;
	if (len > state.sink_len)
		probe_arrived((len - state.sink_len) / LOAD_PROBE_STEP - 1);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
