/* SPDX-License-Identifier: Apache-2.0 */
/*
 * impair: a bad link. Forwards frames between two interfaces of its namespace, and loses, delays, duplicates and
 * reorders them as told; kernels without netem need no more than AF_PACKET for it.
 *
 *   impair [-s SEED] [-l LOSS] [-d DUPLICATE] [-r REORDER] [-w DELAY_US] [-j JITTER_US] INTERFACE INTERFACE
 *
 * Rates are per mille. A reordered frame waits REORDER_EXTRA_NS longer than the others. The same seed and the same
 * frames give the same fates. Prints "ready" when it forwards, and counters when it ends (SIGTERM, SIGINT).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX	 (66u * 1024u) /* a segmentation-offloaded frame with its virtio header */
#define WAITING_MAX	 16384u	       /* frames under way; further ones are lost, and counted */
#define REORDER_EXTRA_NS 3000000ull
#define PER_MILLE	 1000u
#define SOCKET_BUFFER	 (8 << 20)
#define BATCH		 64u /* frames a call */

struct frame {
	uint64_t due_ns;
	uint64_t order; /* among equals the earlier one first */
	uint8_t *bytes;
	size_t len;
	int to;
};

struct rates {
	unsigned loss, duplicate, reorder; /* per mille */
	uint64_t delay_ns, jitter_ns;
};

struct impair {
	int fds[2];
	struct rates rates;
	uint64_t random;
	uint64_t arrived, lost, duplicated, reordered, overflowed;
	struct frame heap[WAITING_MAX]; /* the one due first is at 0 */
	size_t waiting;
};

static volatile sig_atomic_t ended;

static void end_on_signal(int number)
{
	(void)number;
	ended = 1;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* xorshift64*: seeded, and good enough for dice. */
static uint64_t dice(struct impair *link)
{
	link->random ^= link->random >> 12;
	link->random ^= link->random << 25;
	link->random ^= link->random >> 27;
	return link->random * 0x2545f4914f6cdd1dull >> 16;
}

static bool happens(struct impair *link, unsigned per_mille)
{
	return dice(link) % PER_MILLE < per_mille;
}

static bool frame_before(const struct frame *a, const struct frame *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void heap_push(struct impair *link, const struct frame *frame)
{
	size_t at = link->waiting++;

	while (at && frame_before(frame, &link->heap[(at - 1) / 2])) {
		link->heap[at] = link->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	link->heap[at] = *frame;
}

static struct frame heap_pop(struct impair *link)
{
	struct frame first = link->heap[0], last = link->heap[--link->waiting];
	size_t at = 0;

	for (size_t child = 1; child < link->waiting; child = 2 * at + 1) {
		if (child + 1 < link->waiting && frame_before(&link->heap[child + 1], &link->heap[child]))
			child++;
		if (!frame_before(&link->heap[child], &last))
			break;
		link->heap[at] = link->heap[child];
		at = child;
	}
	link->heap[at] = last;
	return first;
}

static void link_hold(struct impair *link, const uint8_t *bytes, size_t len, int to, uint64_t due_ns)
{
	struct frame frame = {.due_ns = due_ns, .order = link->arrived, .len = len, .to = to};

	if (link->waiting == WAITING_MAX || !(frame.bytes = malloc(len))) {
		link->overflowed++;
		return;
	}
	memcpy(frame.bytes, bytes, len);
	heap_push(link, &frame);
}

/* Every frame throws the same number of dice, so that one rate does not change the fates by another. */
static void link_arrived(struct impair *link, const uint8_t *bytes, size_t len, int to)
{
	const struct rates *rates = &link->rates;
	bool lost = happens(link, rates->loss), again = happens(link, rates->duplicate);
	bool late = happens(link, rates->reorder);
	uint64_t jitter = dice(link), due = now_ns() + rates->delay_ns;

	link->arrived++;
	if (rates->jitter_ns)
		due += jitter % rates->jitter_ns;
	if (lost) {
		link->lost++;
		return;
	}
	if (late) {
		link->reordered++;
		due += REORDER_EXTRA_NS;
	}
	link_hold(link, bytes, len, to, due);
	if (again) {
		link->duplicated++;
		link_hold(link, bytes, len, to, due);
	}
}

static void link_recv(struct impair *link, int from)
{
	static uint8_t bytes[BATCH][FRAME_MAX];
	struct sockaddr_ll sources[BATCH];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH] = {0};
	int count;

	for (unsigned i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){bytes[i], FRAME_MAX};
		messages[i].msg_hdr = (struct msghdr){.msg_name = &sources[i],
			.msg_namelen = sizeof(sources[i]),
			.msg_iov = &parts[i],
			.msg_iovlen = 1};
	}
	count = recvmmsg(link->fds[from], messages, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		if (messages[i].msg_len > sizeof(struct virtio_net_hdr) && sources[i].sll_pkttype != PACKET_OUTGOING)
			link_arrived(link, bytes[i], messages[i].msg_len, !from);
}

/* In their order; one that the interface refuses is lost. */
static void frames_send(struct impair *link, int to, const struct frame *frames, unsigned count)
{
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH] = {0};
	unsigned sent = 0;

	for (unsigned i = 0; i < count; i++) {
		parts[i] = (struct iovec){frames[i].bytes, frames[i].len};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	}
	while (sent < count) {
		int done = sendmmsg(link->fds[to], messages + sent, count - sent, 0);

		link->overflowed += done <= 0;
		sent += done > 0 ? (unsigned)done : 1;
	}
	for (unsigned i = 0; i < count; i++)
		free(frames[i].bytes);
}

static void link_send_due(struct impair *link)
{
	struct frame due[2][BATCH];
	unsigned counts[2] = {0};
	uint64_t now = now_ns();

	while (link->waiting && link->heap[0].due_ns <= now) {
		struct frame frame = heap_pop(link);

		due[frame.to][counts[frame.to]++] = frame;
		if (counts[frame.to] == BATCH) {
			frames_send(link, frame.to, due[frame.to], BATCH);
			counts[frame.to] = 0;
		}
	}
	for (int to = 0; to < 2; to++)
		frames_send(link, to, due[to], counts[to]);
}

static int wait_ms(const struct impair *link)
{
	uint64_t now = now_ns();

	if (!link->waiting)
		return -1;
	return link->heap[0].due_ns <= now ? 0 : (int)((link->heap[0].due_ns - now + 999999u) / 1000000u);
}

static void link_run(struct impair *link)
{
	struct pollfd polls[2] = {{.fd = link->fds[0], .events = POLLIN}, {.fd = link->fds[1], .events = POLLIN}};

	while (!ended) {
		if (poll(polls, 2, wait_ms(link)) < 0 && errno != EINTR)
			break;
		for (int i = 0; i < 2; i++)
			if (polls[i].revents & POLLIN)
				link_recv(link, i);
		link_send_due(link);
	}
}

/* With the virtio header checksum and segmentation offload pass through as they came. */
static int port_open(const char *ifname)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct packet_mreq all = {.mr_type = PACKET_MR_PROMISC};
	int one = 1, size = SOCKET_BUFFER;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	address.sll_ifindex = all.mr_ifindex = (int)if_nametoindex(ifname);
	if (fd < 0 || !address.sll_ifindex || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) ||
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
		setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) ||
		bind(fd, (const struct sockaddr *)&address, sizeof(address))) {
		fprintf(stderr, "impair: %s: %s\n", ifname, strerror(errno));
		exit(1);
	}
	return fd;
}

static unsigned long number_of(const char *text, unsigned long max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || end == text || value > max) {
		fprintf(stderr, "impair: '%s': a number from 0 to %lu was expected\n", text, max);
		exit(2);
	}
	return value;
}

static void options_read(struct impair *link, int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "s:l:d:r:w:j:")) != -1) {
		switch (option) {
		case 's':
			link->random ^= number_of(optarg, UINT32_MAX) * 0x9e3779b97f4a7c15ull;
			break;
		case 'l':
			link->rates.loss = (unsigned)number_of(optarg, PER_MILLE);
			break;
		case 'd':
			link->rates.duplicate = (unsigned)number_of(optarg, PER_MILLE);
			break;
		case 'r':
			link->rates.reorder = (unsigned)number_of(optarg, PER_MILLE);
			break;
		case 'w':
			link->rates.delay_ns = number_of(optarg, 10000000) * 1000u;
			break;
		case 'j':
			link->rates.jitter_ns = number_of(optarg, 10000000) * 1000u;
			break;
		default:
			exit(2);
		}
	}
	if (argc - optind != 2) {
		fprintf(stderr,
			"usage: impair [-s SEED] [-l LOSS] [-d DUPLICATE] [-r REORDER] [-w DELAY_US] [-j JITTER_US] "
			"INTERFACE INTERFACE\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static struct impair link = {.random = 88172645463325252ull};
	struct sigaction action = {.sa_handler = end_on_signal};

	options_read(&link, argc, argv);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	for (int i = 0; i < 2; i++)
		link.fds[i] = port_open(argv[optind + i]);
	puts("ready");
	fflush(stdout);
	link_run(&link);
	printf("arrived %llu lost %llu duplicated %llu reordered %llu overflowed %llu\n",
		(unsigned long long)link.arrived, (unsigned long long)link.lost, (unsigned long long)link.duplicated,
		(unsigned long long)link.reordered, (unsigned long long)link.overflowed);
	return 0;
}
