/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pings: echo requests, and an account of every answer.
 *
 *   pings COUNT BYTES INTERVAL_MS WAIT_MS dont|want|do ADDRESS
 *
 * As `ping -q -c COUNT -s BYTES -i ... -M ...`, and prints its summary:
 *   "N packets transmitted, M received, +E errors, +D duplicates"
 * but for one thing: it waits WAIT_MS behind the last request for what is missing. ping(8) waits for that only if there
 * was no answer at all; else twice the longest round trip, or the interval if that is longer: of a machine that is busy
 * for some milliseconds it says that it loses packets. Ends early when all have been answered. SIGINT: no further
 * request.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
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

#define NS_PER_S     1000000000ull
#define NS_PER_MS    1000000ull
#define HEADER_LEN   8u /* of ICMP and ICMPv6 echo messages alike */
#define BYTES_MAX    65000u
#define COUNT_MAX    65536u
#define RECEIVE_ROOM (4 << 20)

/* Fills the requests: what captures look for (tests/lab/capture.py). */
static const char marker[] = "ESPALIER-PLAIN!!";

struct pings {
	int fd;
	bool v6;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} to;
	socklen_t to_len;
	uint16_t id;
	uint32_t count, bytes, sent, received, errors, duplicates;
	bool answered[COUNT_MAX];
	uint8_t request[HEADER_LEN + BYTES_MAX];
	uint8_t answer[65536];
};

static volatile sig_atomic_t enough;

static void stop(int number)
{
	(void)number;
	enough = 1;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint16_t checksum(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += (uint32_t)data[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* ICMP and ICMPv6 echo messages have one form; of ICMPv6 the kernel computes the checksum. */
static void request_make(struct pings *pings)
{
	uint16_t fields[4] = {0, 0, htons(pings->id), htons((uint16_t)pings->sent)};

	((uint8_t *)fields)[0] = pings->v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
	memcpy(pings->request, fields, sizeof(fields));
	if (!pings->v6) {
		fields[1] = checksum(pings->request, HEADER_LEN + pings->bytes);
		memcpy(pings->request, fields, sizeof(fields));
	}
}

static void request_send(struct pings *pings)
{
	request_make(pings);
	if (sendto(pings->fd, pings->request, HEADER_LEN + pings->bytes, 0, &pings->to.any, pings->to_len) < 0)
		pings->errors++;
	pings->sent++;
}

/* Where the echo message that an ICMP error quotes begins in `message`; 0: nowhere. */
static size_t quoted(const struct pings *pings, const uint8_t *message, size_t len)
{
	size_t at = HEADER_LEN;

	if (len < at + (pings->v6 ? sizeof(struct ip6_hdr) : sizeof(struct ip)))
		return 0;
	if (pings->v6)
		at += sizeof(struct ip6_hdr) + (message[at + 6] == IPPROTO_FRAGMENT ? sizeof(struct ip6_frag) : 0);
	else
		at += (message[at] & 15u) * 4;
	return at + HEADER_LEN <= len ? at : 0;
}

static bool is_error(const struct pings *pings, uint8_t type)
{
	if (pings->v6)
		return !(type & ICMP6_INFOMSG_MASK);
	return type == ICMP_UNREACH || type == ICMP_TIMXCEED || type == ICMP_PARAMPROB;
}

static void message_read(struct pings *pings, const uint8_t *message, size_t len)
{
	bool error = len >= HEADER_LEN && is_error(pings, message[0]);
	size_t echo = error ? quoted(pings, message, len) : 0;
	uint16_t id, number;

	if (len < HEADER_LEN || (error && !echo) ||
		(!error && message[0] != (pings->v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY)))
		return;
	memcpy(&id, message + echo + 4, 2);
	memcpy(&number, message + echo + 6, 2);
	number = ntohs(number);
	if (ntohs(id) != pings->id || number >= pings->sent)
		return;
	if (error) {
		pings->errors++;
	} else if (pings->answered[number]) {
		pings->duplicates++;
	} else {
		pings->answered[number] = true;
		pings->received++;
	}
}

static void receive(struct pings *pings)
{
	ssize_t got;

	while ((got = recv(pings->fd, pings->answer, sizeof(pings->answer), MSG_DONTWAIT)) >= 0 ||
		(errno != EAGAIN && errno != EINTR)) {
		/* A raw socket of IPv4 gives the IP header, too. An error of before is not this packet's. */
		size_t skip = pings->v6 || got <= 0 ? 0 : (pings->answer[0] & 15u) * 4;

		if (got >= 0 && (size_t)got >= skip)
			message_read(pings, pings->answer + skip, (size_t)got - skip);
	}
}

/* Receive until `until_ns`, or until all that was sent is accounted for and `all`. */
static void receive_until(struct pings *pings, uint64_t until_ns, bool all)
{
	struct pollfd poll_fd = {.fd = pings->fd, .events = POLLIN};

	for (;;) {
		uint64_t now = now_ns();
		struct timespec left = {0};

		receive(pings);
		if (now >= until_ns || (enough && !all) || (all && pings->received + pings->errors >= pings->sent))
			return;
		left.tv_sec = (time_t)((until_ns - now) / NS_PER_S);
		left.tv_nsec = (long)((until_ns - now) % NS_PER_S);
		ppoll(&poll_fd, 1, &left, NULL);
	}
}

static int open_socket(struct pings *pings, const char *pmtu)
{
	int discover = strcmp(pmtu, "do") == 0	   ? IP_PMTUDISC_DO
		       : strcmp(pmtu, "want") == 0 ? IP_PMTUDISC_WANT
						   : IP_PMTUDISC_DONT;
	int room = RECEIVE_ROOM;

	pings->fd = socket(pings->to.any.sa_family, SOCK_RAW | SOCK_CLOEXEC, pings->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	if (pings->fd < 0)
		return -1;
	setsockopt(pings->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	return setsockopt(pings->fd, pings->v6 ? IPPROTO_IPV6 : IPPROTO_IP,
		pings->v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, &discover, sizeof(discover));
}

static bool address_read(struct pings *pings, const char *text)
{
	pings->v6 = strchr(text, ':');
	pings->to.any.sa_family = pings->v6 ? AF_INET6 : AF_INET;
	pings->to_len = pings->v6 ? sizeof(pings->to.in6) : sizeof(pings->to.in);
	return inet_pton(pings->to.any.sa_family, text,
		       pings->v6 ? (void *)&pings->to.in6.sin6_addr : (void *)&pings->to.in.sin_addr) == 1;
}

int main(int argc, char **argv)
{
	static struct pings pings;
	const struct sigaction action = {.sa_handler = stop};
	uint64_t interval_ns, next_ns;

	if (argc != 7 || !address_read(&pings, argv[6])) {
		fprintf(stderr, "usage: pings COUNT BYTES INTERVAL_MS WAIT_MS dont|want|do ADDRESS\n");
		return 2;
	}
	pings.count = (uint32_t)strtoul(argv[1], NULL, 10);
	pings.bytes = (uint32_t)strtoul(argv[2], NULL, 10);
	interval_ns = (uint64_t)(strtod(argv[3], NULL) * NS_PER_MS);
	pings.id = (uint16_t)getpid();
	if (!pings.count || pings.count > COUNT_MAX || pings.bytes > BYTES_MAX || open_socket(&pings, argv[5])) {
		fprintf(stderr, "pings: %s\n", errno ? strerror(errno) : "numbers out of range");
		return 2;
	}
	for (uint32_t i = 0; i < pings.bytes; i++)
		pings.request[HEADER_LEN + i] = (uint8_t)marker[i % (sizeof(marker) - 1)];
	sigaction(SIGINT, &action, NULL);
	next_ns = now_ns();
	while (pings.sent < pings.count && !enough) {
		request_send(&pings);
		next_ns += interval_ns;
		if (pings.sent < pings.count)
			receive_until(&pings, next_ns, false);
	}
	receive_until(&pings, now_ns() + (uint64_t)(strtod(argv[4], NULL) * NS_PER_MS), true);
	printf("%u packets transmitted, %u received, +%u errors, +%u duplicates\n", pings.sent, pings.received,
		pings.errors, pings.duplicates);
	return pings.received ? 0 : 1;
}
