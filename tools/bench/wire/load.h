/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0) */
/* What the load's programs in the kernel and its process share. */
#ifndef ESPALIER_TOOLS_BENCH_WIRE_LOAD_H
#define ESPALIER_TOOLS_BENCH_WIRE_LOAD_H

#include <linux/types.h>

#define LOAD_FRAME	  78u /* bytes: an IP packet of 64 behind its link header */
#define LOAD_PROBES	  31u /* probes on the way at once; probe i is 4 * (i + 1) bytes longer than other packets */
#define LOAD_PROBE_STEP	  4u
#define LOAD_PROBE_NS	  200000u    /* between two probes */
#define LOAD_PROBE_OLD_NS 100000000u /* it is lost */
#define LOAD_BUCKET_NS	  200u
#define LOAD_BUCKETS	  100000u

/* Header fields of a packet of this size, in network byte order. */
struct load_size {
	__u16 ip_length;
	__u16 ip_check;
	__u16 udp_length;
	__u16 reserved;
};

struct load_state {
	/* the process */
	__u64 interval_ns; /* between two packets; 0: as fast as it goes */
	__u32 ifindex;	   /* to send by */
	__u32 sink_len;	   /* bytes of a frame that is no probe, when it arrives */
	__u32 probing;
	__u32 reserved;
	struct load_size sizes[LOAD_PROBES + 1]; /* [0]: of what is no probe */
	/* the sender */
	__u64 next_ns;
	__u64 sent;
	__u64 probed_ns;
	__u32 probe; /* the next one */
	__u32 reserved1;
	/* both */
	__u64 probe_sent_ns[LOAD_PROBES]; /* 0: not on the way */
	/* the sink */
	__u64 arrived;
	__u64 bytes;
};

#endif
