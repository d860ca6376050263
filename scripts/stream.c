/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A numbered stream between two guests, both ways at the same time, for scripts/migration-lab and
 * tests/vm.
 *
 *   stream run PEER RATE SIZE REPORT    datagrams of SIZE bytes to and from PEER, RATE per second
 *                                       to it, or none if that is 0
 *   stream dirty MEBIBYTES RATE         writes RATE pages per second of that much memory
 *
 * A datagram has a number, the time of its sender's clock, a pattern that follows from the number,
 * and a checksum over all of it. At SIGUSR1 the receiver writes a line to the file REPORT, renamed
 * into place, and forgets its largest gap:
 *
 *   sent N received N lost N duplicated N wrong N late N gap_ns N
 *
 * All but the gap count from the start. `lost` are numbers below the highest one that came, `late`
 * came after a higher one and are no longer lost, `wrong` have another pattern or checksum than
 * their number says. The gap is the longest time between two datagrams that came one after the
 * other, by the receiver's clock or by the sender's, whichever says more: the clock of a guest
 * that migrates stands still during the pause, the other one's does not.
 */
#define _GNU_SOURCE /* ppoll */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT      7007
#define NS        1000000000ULL
#define FOREVER   (1000000 * NS)
#define MOST      1400       /* bytes of a datagram */
#define NUMBERS   (1U << 24) /* that can be told apart: hours */
#define AT_ONCE   64         /* datagrams that are sent to catch up; later ones are due anew */
#define RECV_SIZE (4U << 20)
#define PAGE      4096

struct head {
	uint64_t number;
	uint64_t sent_ns;
	uint64_t sum;
};

struct report {
	uint64_t sent, received, duplicated, wrong, late, gap_ns;
};

static struct report count;
static uint64_t highest; /* number that came, plus one */
static uint64_t last_ns, last_sent_ns;
static uint8_t seen[NUMBERS / 8];
static volatile sig_atomic_t asked;

static void ask(int signal)
{
	(void)signal;
	asked = 1;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

/* The pattern of a number behind the head; returns the checksum of head and pattern. */
static uint64_t fill(uint8_t *to, size_t len, const struct head *head)
{
	uint64_t sum = mix(head->number) ^ mix(head->sent_ns + 1), word;

	for (size_t at = 0; at < len; at += sizeof(word)) {
		size_t n = len - at < sizeof(word) ? len - at : sizeof(word);

		word = mix(head->number * MOST + at);
		memcpy(to + at, &word, n);
		sum = mix(sum ^ word);
	}
	return sum;
}

static bool is_right(const uint8_t *data, size_t len, struct head *head)
{
	uint8_t pattern[MOST];

	if (len < sizeof(*head))
		return false;
	memcpy(head, data, sizeof(*head));
	len -= sizeof(*head);
	return head->number < NUMBERS && fill(pattern, len, head) == head->sum &&
		!memcmp(pattern, data + sizeof(*head), len);
}

static void take(const uint8_t *data, size_t len, size_t wanted)
{
	uint64_t now = now_ns(), gap;
	struct head head;

	if (len != wanted || !is_right(data, len, &head)) {
		count.wrong++;
		return;
	}
	if (seen[head.number / 8] >> head.number % 8 & 1) {
		count.duplicated++;
		return;
	}
	seen[head.number / 8] |= (uint8_t)(1U << head.number % 8);
	count.received++;
	if (head.number < highest) {
		count.late++;
		return;
	}
	highest = head.number + 1;
	if (last_ns) {
		gap = now - last_ns;
		if (head.sent_ns > last_sent_ns && head.sent_ns - last_sent_ns > gap)
			gap = head.sent_ns - last_sent_ns;
		if (gap > count.gap_ns)
			count.gap_ns = gap;
	}
	last_ns = now;
	last_sent_ns = head.sent_ns;
}

static void report(const char *path)
{
	char new[4096];
	FILE *file;

	snprintf(new, sizeof(new), "%s.new", path);
	file = fopen(new, "w");
	if (!file)
		err(1, "%s", new);
	fprintf(file,
		"sent %llu received %llu lost %llu duplicated %llu wrong %llu late %llu "
		"gap_ns %llu\n",
		(unsigned long long)count.sent, (unsigned long long)count.received,
		(unsigned long long)(highest - count.received),
		(unsigned long long)count.duplicated, (unsigned long long)count.wrong,
		(unsigned long long)count.late, (unsigned long long)count.gap_ns);
	if (fclose(file) || rename(new, path))
		err(1, "%s", path);
	count.gap_ns = 0;
}

static int socket_open(struct sockaddr_in *peer, const char *address)
{
	struct sockaddr_in self = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = RECV_SIZE;

	*peer = self;
	if (inet_pton(AF_INET, address, &peer->sin_addr) != 1)
		errx(1, "%s is no address", address);
	if (fd < 0 || bind(fd, (struct sockaddr *)&self, sizeof(self)))
		err(1, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		warn("SO_RCVBUFFORCE");
	return fd;
}

/* Send what is due. A datagram that the kernel does not take has not been sent. */
static void send_due(
	int fd, const struct sockaddr_in *peer, size_t size, uint64_t *due, uint64_t interval)
{
	uint8_t data[MOST];
	struct head head;

	for (unsigned i = 0; *due <= now_ns(); i++) {
		if (i == AT_ONCE || count.sent >= NUMBERS) {
			*due = now_ns() + interval;
			return;
		}
		*due += interval;
		head.number = count.sent;
		head.sent_ns = now_ns();
		head.sum = fill(data + sizeof(head), size - sizeof(head), &head);
		memcpy(data, &head, sizeof(head));
		if (sendto(fd, data, size, 0, (const struct sockaddr *)peer, sizeof(*peer)) ==
			(ssize_t)size)
			count.sent++;
	}
}

static _Noreturn void run(const char *address, uint64_t rate, size_t size, const char *path)
{
	struct sigaction action = {.sa_handler = ask};
	struct sockaddr_in peer;
	struct pollfd wait = {.fd = socket_open(&peer, address), .events = POLLIN};
	uint64_t interval = rate ? NS / rate : FOREVER, due = now_ns(), now;
	struct timespec left;
	uint8_t data[MOST + 1];
	ssize_t n;

	sigaction(SIGUSR1, &action, NULL);
	report(path);
	if (!rate)
		due += FOREVER;
	for (;;) {
		while ((n = recv(wait.fd, data, sizeof(data), 0)) >= 0)
			take(data, (size_t)n, size);
		send_due(wait.fd, &peer, size, &due, interval);
		if (asked) {
			asked = 0;
			report(path);
		}
		now = now_ns();
		now = due > now ? due - now : 0;
		left.tv_sec = (time_t)(now / NS);
		left.tv_nsec = (long)(now % NS);
		ppoll(&wait, 1, &left, NULL);
	}
}

static _Noreturn void dirty(size_t bytes, uint64_t rate)
{
	uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	struct timespec pause = {.tv_nsec = 10000000};
	uint64_t start = now_ns(), written = 0;

	if (memory == MAP_FAILED)
		err(1, "%zu bytes", bytes);
	for (;;) {
		for (; written < (now_ns() - start) * rate / NS; written++)
			memory[written * PAGE % bytes]++;
		nanosleep(&pause, NULL);
	}
}

int main(int argc, char **argv)
{
	if (argc == 6 && !strcmp(argv[1], "run")) {
		long rate = atol(argv[3]), size = atol(argv[4]);

		if (rate < 0 || rate > 1000000 || size < (long)sizeof(struct head) || size > MOST)
			errx(1, "RATE: 0 to 1000000, SIZE: %zu to %u", sizeof(struct head), MOST);
		run(argv[2], (uint64_t)rate, (size_t)size, argv[5]);
	}
	if (argc == 4 && !strcmp(argv[1], "dirty")) {
		long mebibytes = atol(argv[2]), rate = atol(argv[3]);

		if (mebibytes < 1 || mebibytes > 4096 || rate < 0)
			errx(1, "MEBIBYTES: 1 to 4096");
		dirty((size_t)mebibytes << 20, (uint64_t)rate);
	}
	errx(1, "run PEER RATE SIZE REPORT | dirty MEBIBYTES RATE");
}
