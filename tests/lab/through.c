/* SPDX-License-Identifier: Apache-2.0 */
/*
 * through: plain packets into one side of a gateway, and an account of the ESP that comes out of the other one.
 *
 *   through OUT IN MAC WINDOW SECONDS      OUT, IN: interfaces here; MAC: of the gateway's behind OUT
 *
 * UDP from 10.1.0.5 to 10.2.0.7, of one tunnel. WINDOW packets are on the way, so the load is as high as the path can
 * carry and no queue overflows. Prints one line of JSON:
 *   {"sent", "arrived", "late", "first", "last", "pps"}
 * late: packets that arrived after one with a later sequence number; first, last: the numbers that arrived.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define NS_PER_S      1000000000ull
#define BATCH	      32u
#define FRAME_LEN     (14u + 64u)
#define SEQ_OFF	      (14u + 20u + 4u)
#define PROTOCOL_OFF  (14u + 9u)
#define WAIT_NS	      (2 * NS_PER_S)
#define SOCKET_BUFFER (64 << 20)

struct account {
	uint64_t sent, arrived, late;
	uint32_t first, last;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int packet_socket(const char *interface, uint16_t protocol)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol)};
	int bytes = SOCKET_BUFFER, fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(protocol));

	to.sll_ifindex = (int)if_nametoindex(interface);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) ||
		bind(fd, (struct sockaddr *)&to, sizeof(to))) {
		fprintf(stderr, "through: %s: %s\n", interface, strerror(errno));
		exit(1);
	}
	return fd;
}

static void frame_make(uint8_t frame[FRAME_LEN], const char *mac)
{
	struct iphdr ip = {.version = 4, .ihl = 5, .tot_len = htons(64), .ttl = 64, .protocol = IPPROTO_UDP};
	struct udphdr udp = {.source = htons(9), .dest = htons(9), .len = htons(44)};
	uint16_t words[10];
	uint32_t sum = 0;

	memset(frame, 0, FRAME_LEN);
	if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &frame[0], &frame[1], &frame[2], &frame[3], &frame[4],
		    &frame[5]) != 6)
		exit(2);
	frame[6] = 2; /* a source of nobody's */
	frame[12] = ETH_P_IP >> 8;
	ip.saddr = htonl(0x0a010005);
	ip.daddr = htonl(0x0a020007);
	memcpy(words, &ip, sizeof(words));
	for (unsigned i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	ip.check = (uint16_t) ~(sum + (sum >> 16));
	memcpy(frame + 14, &ip, sizeof(ip));
	memcpy(frame + 14 + sizeof(ip), &udp, sizeof(udp));
}

/* All that the window leaves room for, a batch at most. */
static void send_some(int fd, uint8_t *frame, uint64_t window, struct account *account)
{
	struct iovec part = {frame, FRAME_LEN};
	struct mmsghdr messages[BATCH] = {0};
	uint64_t room = window - (account->sent - account->arrived);
	unsigned count = room < BATCH ? (unsigned)room : BATCH;
	int sent;

	for (unsigned i = 0; i < count; i++)
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
	sent = count ? sendmmsg(fd, messages, count, 0) : 0;
	account->sent += sent > 0 ? (uint64_t)sent : 0;
}

static void receive_all(int fd, struct account *account)
{
	uint8_t bytes[256];

	while (recv(fd, bytes, sizeof(bytes), 0) > (ssize_t)SEQ_OFF + 4) {
		uint32_t seq;

		if (bytes[PROTOCOL_OFF] != IPPROTO_ESP)
			continue;
		memcpy(&seq, bytes + SEQ_OFF, sizeof(seq));
		seq = ntohl(seq);
		if (!account->arrived++)
			account->first = seq;
		else if (seq < account->last)
			account->late++;
		account->last = seq > account->last ? seq : account->last;
	}
}

int main(int argc, char **argv)
{
	struct account account = {0};
	uint8_t frame[FRAME_LEN];
	uint64_t window, start_ns, end_ns, until_ns;
	struct pollfd wait;
	int out, in;

	if (argc != 6)
		return 2;
	out = packet_socket(argv[1], 0);
	in = packet_socket(argv[2], ETH_P_IP);
	frame_make(frame, argv[3]);
	window = strtoull(argv[4], NULL, 10);
	start_ns = now_ns();
	end_ns = start_ns + strtoull(argv[5], NULL, 10) * NS_PER_S;
	until_ns = end_ns + WAIT_NS;
	wait = (struct pollfd){.fd = in, .events = POLLIN};
	while (now_ns() < end_ns || (account.arrived < account.sent && now_ns() < until_ns)) {
		if (now_ns() < end_ns)
			send_some(out, frame, window, &account);
		receive_all(in, &account);
		if (account.sent - account.arrived >= window)
			poll(&wait, 1, 1);
	}
	printf("{\"sent\": %llu, \"arrived\": %llu, \"late\": %llu, \"first\": %u, \"last\": %u, \"pps\": %llu}\n",
		(unsigned long long)account.sent, (unsigned long long)account.arrived, (unsigned long long)account.late,
		account.first, account.last, (unsigned long long)(account.arrived * NS_PER_S / (end_ns - start_ns)));
	return 0;
}
