/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow: numbered datagrams, as many as the way takes, and an account of every one.
 *
 *   flow echo ADDRESS PORT                                 answers, until SIGTERM; prints "ready"
 *   flow load ADDRESS PORT FLOWS WINDOW SECONDS [SIZE [RATE]]   sends over FLOWS sockets
 *
 * Each flow keeps WINDOW numbers on the way, so the load is as high as the path can carry and no queue overflows; RATE
 * bounds it to so many datagrams a second, of all flows together (0: no bound). SIGTERM: no further datagram. A
 * number without an answer is a packet that the path has lost. The echo counts, flow by flow, the requests that came
 * after a later one and writes the count into its answers. `load` prints one line of JSON:
 *   {"sent", "answered", "lost", "duplicates", "late_there", "late_back", "pps"}
 * late_there and late_back: packets that arrived after a later one of their flow, on the way there and back.
 */
#include <arpa/inet.h>
#include <errno.h>
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

#define NS_PER_S      1000000000ull
#define LOST_AFTER_NS (2 * NS_PER_S)
#define FLOWS_MAX     64u
#define WINDOW_MAX    1024u
#define SIZE_MAX_     1400u
#define SOCKET_BUFFER (8 << 20)
#define RATE_BURST_NS (NS_PER_S / 100)

/* Fills the datagrams behind their heads: what captures look for (tests/lab/capture.py). */
static const char marker[] = "ESPALIER-PLAIN!!";

struct head {
	uint32_t run; /* a load's own number: the echo begins to count anew */
	uint16_t flow;
	uint16_t reserved;
	uint32_t late; /* in an answer: requests of this flow that came late so far */
	uint32_t reserved1;
	uint64_t number;
};

struct flow {
	int fd;
	uint64_t next;	 /* number to send */
	uint64_t oldest; /* all before are settled */
	uint64_t newest; /* highest answered, +1 */
	uint64_t sent_ns[WINDOW_MAX];
	bool open[WINDOW_MAX]; /* on the way */
	uint32_t late_there;
	uint64_t answered, lost, duplicates, late_back;
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
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "flow: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint32_t number_of(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || end == text || value > UINT16_MAX) {
		fprintf(stderr, "flow: '%s': a number from 0 to 65535 was expected\n", text);
		exit(2);
	}
	return (uint32_t)value;
}

static socklen_t address_read(const char *text, const char *port, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)number_of(port));
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1) {
		fprintf(stderr, "flow: '%s': an address was expected\n", text);
		exit(2);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)number_of(port));
	return sizeof(*v6);
}

static int socket_open(int family)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), size = SOCKET_BUFFER;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	return fd;
}

/* ---- echo */

static void echo_run(int fd)
{
	static uint64_t newest[FLOWS_MAX];
	static uint32_t late[FLOWS_MAX], run[FLOWS_MAX];
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	uint8_t bytes[2048];

	while (!ended) {
		struct sockaddr_storage from;
		socklen_t from_len = sizeof(from);
		ssize_t len = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &from_len);
		struct head head;

		if (len < 0) {
			poll(&wait, 1, 1000);
			continue;
		}
		if ((size_t)len < sizeof(head))
			continue;
		memcpy(&head, bytes, sizeof(head));
		if (head.flow >= FLOWS_MAX)
			continue;
		if (head.run != run[head.flow]) {
			run[head.flow] = head.run;
			newest[head.flow] = 0;
			late[head.flow] = 0;
		}
		if (head.number + 1 > newest[head.flow])
			newest[head.flow] = head.number + 1;
		else
			late[head.flow]++;
		head.late = late[head.flow];
		memcpy(bytes, &head, sizeof(head));
		sendto(fd, bytes, (size_t)len, 0, (struct sockaddr *)&from, from_len);
	}
}

static void echo_main(char **argv)
{
	struct sockaddr_storage address;
	socklen_t len = address_read(argv[0], argv[1], &address);
	int fd = socket_open(address.ss_family);

	if (bind(fd, (struct sockaddr *)&address, len))
		die("bind");
	printf("ready\n");
	fflush(stdout);
	echo_run(fd);
}

/* ---- load */

/* Numbers that are settled, answered or given up, leave the window. */
static void flow_settle(struct flow *flow, uint32_t window, uint64_t now)
{
	while (flow->oldest < flow->next) {
		uint32_t at = (uint32_t)(flow->oldest % window);

		if (flow->open[at]) {
			if (now - flow->sent_ns[at] < LOST_AFTER_NS)
				return;
			flow->open[at] = false;
			flow->lost++;
		}
		flow->oldest++;
	}
}

static void flow_send(struct flow *flow, uint32_t index, uint32_t window, uint32_t size, uint64_t *allowed)
{
	uint8_t bytes[SIZE_MAX_];
	struct head head = {.run = (uint32_t)getpid(), .flow = (uint16_t)index};

	for (uint32_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)marker[i % (sizeof(marker) - 1)];
	while (*allowed && flow->next - flow->oldest < window) {
		uint32_t at = (uint32_t)(flow->next % window);

		head.number = flow->next;
		memcpy(bytes, &head, sizeof(head));
		if (send(flow->fd, bytes, size, 0) < 0) {
			if (errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED && errno != ENETUNREACH &&
				errno != EHOSTUNREACH)
				die("send");
			return;
		}
		flow->open[at] = true;
		flow->sent_ns[at] = now_ns();
		flow->next++;
		(*allowed)--;
	}
}

static void flow_recv(struct flow *flow, uint32_t window)
{
	uint8_t bytes[2048];

	for (ssize_t len; (len = recv(flow->fd, bytes, sizeof(bytes), 0)) >= 0;) {
		struct head head;
		uint32_t at;

		if ((size_t)len < sizeof(head))
			continue;
		memcpy(&head, bytes, sizeof(head));
		at = (uint32_t)(head.number % window);
		if (head.number >= flow->next || head.number < flow->oldest || !flow->open[at]) {
			flow->duplicates++;
			continue;
		}
		flow->open[at] = false;
		flow->answered++;
		flow->late_there = head.late > flow->late_there ? head.late : flow->late_there;
		if (head.number + 1 > flow->newest)
			flow->newest = head.number + 1;
		else
			flow->late_back++;
	}
}

static bool flows_settled(const struct flow *flows, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (flows[i].oldest < flows[i].next)
			return false;
	return true;
}

/* Datagrams that may leave now; the time since `*since_ns` that makes whole ones is used up. What a stall has held back
 * does not come in one burst. */
static uint64_t rate_allows(uint32_t rate, uint64_t *since_ns, uint64_t now)
{
	uint64_t count;

	if (!rate)
		return UINT64_MAX;
	if (now - *since_ns > RATE_BURST_NS)
		*since_ns = now - RATE_BURST_NS;
	count = (now - *since_ns) * rate / NS_PER_S;
	*since_ns += count * NS_PER_S / rate;
	return count;
}

static void load_run(struct flow *flows, uint32_t count, uint32_t window, uint32_t size, uint32_t rate, uint64_t end_ns)
{
	struct pollfd wait[FLOWS_MAX];
	uint64_t since_ns = now_ns();
	uint32_t first = 0; /* to send; what the rate leaves goes round */

	for (uint32_t i = 0; i < count; i++)
		wait[i] = (struct pollfd){.fd = flows[i].fd, .events = POLLIN};
	for (;;) {
		uint64_t now = now_ns();
		bool sending = now < end_ns && !ended;
		uint64_t allowed = sending ? rate_allows(rate, &since_ns, now) : 0;

		for (uint32_t n = 0; n < count; n++) {
			uint32_t i = (n + first) % count;

			flow_recv(&flows[i], window);
			flow_settle(&flows[i], window, now);
			flow_send(&flows[i], i, window, size, &allowed);
		}
		first++;
		if (!sending && flows_settled(flows, count))
			return;
		poll(wait, count, rate ? 1 : 20);
	}
}

static void load_tell(const struct flow *flows, uint32_t count, uint64_t took_ns)
{
	uint64_t sent = 0, answered = 0, lost = 0, duplicates = 0, late_there = 0, late_back = 0;

	for (uint32_t i = 0; i < count; i++) {
		sent += flows[i].next;
		answered += flows[i].answered;
		lost += flows[i].lost;
		duplicates += flows[i].duplicates;
		late_there += flows[i].late_there;
		late_back += flows[i].late_back;
	}
	printf("{\"sent\": %llu, \"answered\": %llu, \"lost\": %llu, \"duplicates\": %llu, \"late_there\": %llu, "
	       "\"late_back\": %llu, \"pps\": %.0f}\n",
		(unsigned long long)sent, (unsigned long long)answered, (unsigned long long)lost,
		(unsigned long long)duplicates, (unsigned long long)late_there, (unsigned long long)late_back,
		(double)sent * (double)NS_PER_S / (double)took_ns);
}

static void load_main(int argc, char **argv)
{
	static struct flow flows[FLOWS_MAX];
	struct sockaddr_storage address;
	socklen_t len = address_read(argv[0], argv[1], &address);
	uint32_t count = number_of(argv[2]), window = number_of(argv[3]);
	uint32_t size = argc > 5 ? number_of(argv[5]) : 200, rate = argc > 6 ? number_of(argv[6]) : 0;
	uint64_t start = now_ns();

	if (!count || count > FLOWS_MAX || !window || window > WINDOW_MAX || size < sizeof(struct head) ||
		size > SIZE_MAX_) {
		fprintf(stderr, "flow: at most %u flows, a window of %u and %u bytes\n", FLOWS_MAX, WINDOW_MAX,
			SIZE_MAX_);
		exit(2);
	}
	for (uint32_t i = 0; i < count; i++) {
		flows[i].fd = socket_open(address.ss_family);
		if (connect(flows[i].fd, (struct sockaddr *)&address, len))
			die("connect");
	}
	load_run(flows, count, window, size, rate, start + number_of(argv[4]) * NS_PER_S);
	load_tell(flows, count, now_ns() - start);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = end_on_signal};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	if (argc == 4 && strcmp(argv[1], "echo") == 0) {
		echo_main(argv + 2);
	} else if (argc >= 7 && argc <= 9 && strcmp(argv[1], "load") == 0) {
		load_main(argc - 2, argv + 2);
	} else {
		fprintf(stderr,
			"usage: flow echo ADDRESS PORT | flow load ADDRESS PORT FLOWS WINDOW SECONDS [SIZE [RATE]]\n");
		return 2;
	}
	return 0;
}
