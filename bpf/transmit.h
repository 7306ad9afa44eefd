/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0) */
/*
 * Transmission without socket buffers: an XDP program that the kernel runs over and over on frames of its own
 * (BPF_PROG_RUN with live frames, Linux 5.18). Each run takes the next record of a ring in shared memory, gives its
 * frame those bytes, and redirects it to the interface that the record names. While the ring is empty it drops its
 * frames.
 *
 * The ring has one producer, the process, and one consumer, the thread inside transmit_run. Indexes count units of
 * TRANSMIT_UNIT bytes and run freely; unit i lies at i % TRANSMIT_UNITS. A record that begins before the end goes on
 * behind it, where TRANSMIT_FRAME_MAX bytes are spare, so that every record is in one piece.
 *   producer: writes records into [produced, produced + n), then stores `produced` with release.
 *   consumer: full barrier after it read `produced` and before it reads records, and before it stores `consumed`, which
 *   it does every TRANSMIT_TELL records and when it finds no more.
 */
#ifndef ESPALIER_BPF_TRANSMIT_H
#define ESPALIER_BPF_TRANSMIT_H

#ifndef __bpf__
#include <stdint.h>
#endif
#include <linux/types.h>

#define TRANSMIT_UNIT	   32u
#define TRANSMIT_UNITS	   32768u /* 1 MiB; a power of two */
#define TRANSMIT_HEADER	   8u	  /* of a record: struct transmit_record without its data */
#define TRANSMIT_FRAME_MIN 14u
#define TRANSMIT_FRAME_MAX 3064u /* bytes, link header included; a frame of the kernel's is in one page */
#define TRANSMIT_PORTS	   32u
#define TRANSMIT_BATCH	   64u /* runs between two flushes of what was redirected */
#define TRANSMIT_TELL	   16u /* records taken before the producer is told: each time costs a full barrier */

struct transmit_record {
	__u32 len;
	__u32 port; /* key of the device map */
	__u8 data[TRANSMIT_FRAME_MAX];
};

struct transmit_ring {
	__u8 bytes[TRANSMIT_UNITS * TRANSMIT_UNIT + sizeof(struct transmit_record)];
};

/* Units that a record with a frame of `len` bytes takes. */
static inline __u32 transmit_units(__u32 len)
{
	return (TRANSMIT_HEADER + len + TRANSMIT_UNIT - 1) / TRANSMIT_UNIT;
}

/* The shared words, cache lines of its own for each writer. */
struct transmit_state {
	__u32 produced; /* process */
	__u8 pad0[124];
	__u32 consumed;	 /* program */
	__u32 taken;	 /* program: as consumed, but not told yet */
	__u32 untold;	 /* program: records since `consumed` was stored */
	__u32 runs;	 /* program, runs in all, modulo 2^32 */
	__u32 seen;	 /* program: `produced` as last read */
	__u32 barrier;	 /* program: always 0 */
	__u64 malformed; /* program: records that could not be sent */
	__u8 pad1[96];
};
_Static_assert(sizeof(struct transmit_state) == 256, "transmit_state");

#ifndef __bpf__
struct transmit;

/* Load the program and map its ring. -errno; -EOPNOTSUPP: the kernel has no live frames. Needs CAP_BPF and
 * CAP_NET_ADMIN. */
int transmit_open(struct transmit **transmit);
void transmit_close(struct transmit *transmit);

/* Key `port` of the device map leads to this interface; 0: to none. -errno. */
int transmit_set_port(struct transmit *transmit, uint32_t port, uint32_t ifindex);

struct transmit_state *transmit_state(struct transmit *transmit);
struct transmit_ring *transmit_ring(struct transmit *transmit);

/*
 * Carry what the ring holds, in the calling thread, until a signal ends it (-EINTR) or it ran a few thousand million
 * times (0). Setting up and ending take some 25 ms each, asleep. Frames in the ring stay for the next call. -errno.
 */
int transmit_run(struct transmit *transmit);
#endif

#endif
