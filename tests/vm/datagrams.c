/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Moves a file by UDP, for guests: nothing in busybox sends more datagrams than one at a time, or
 * leaves their cutting to the kernel.
 *
 *   datagrams receive PORT >FILE
 *   datagrams send ADDRESS PORT SIZE TOGETHER <FILE
 *
 * A datagram is its offset in the file, 8 bytes in the byte order of the guest, and up to SIZE
 * bytes of it. The sender hands TOGETHER of them at a time to the kernel, in one call with
 * UDP_SEGMENT if there are more than one, and waits for the receiver's answer, which is the offset
 * that it wants next; if none comes, it sends them again. A datagram without bytes is the end, and
 * the receiver's: whom its last answer does not reach, learns from ICMP that nobody listens.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define HEAD     sizeof(uint64_t)
#define MOST     65000 /* bytes in one call */
#define AGAIN_US 300000
#define TRIES    100

static char buf[MOST];

static int socket_open(int family, long timeout_us)
{
	struct timeval t = {.tv_sec = timeout_us / 1000000, .tv_usec = timeout_us % 1000000};
	int fd = socket(family, SOCK_DGRAM, 0);

	if (fd < 0)
		err(1, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)))
		err(1, "SO_RCVTIMEO");
	return fd;
}

/* Write what comes in order to the standard output. */
static int receive(uint16_t port)
{
	struct sockaddr_in6 self = {.sin6_family = AF_INET6, .sin6_port = htons(port)}, from;
	int fd = socket_open(AF_INET6, 0);
	uint64_t want = 0, at;

	if (bind(fd, (struct sockaddr *)&self, sizeof(self)))
		err(1, "bind");
	for (;;) {
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len);

		if (n < (ssize_t)HEAD)
			errx(1, "a datagram without a head");
		memcpy(&at, buf, HEAD);
		n -= (ssize_t)HEAD;
		if (at == want && n) {
			if (write(STDOUT_FILENO, buf + HEAD, (size_t)n) != n)
				err(1, "write");
			want += (uint64_t)n;
		}
		sendto(fd, &want, HEAD, 0, (struct sockaddr *)&from, from_len);
		if (!n)
			return 0;
	}
}

/* Send these bytes at once and wait until they have arrived. */
static void send_bytes(int fd, const char *bytes, size_t len, uint64_t next)
{
	uint64_t wanted;

	for (unsigned i = 0; i < TRIES; i++) {
		if (send(fd, bytes, len, 0) != (ssize_t)len && errno != ECONNREFUSED)
			err(1, "send");
		/* Each datagram is answered; a late answer to an earlier one asks for less. */
		while (recv(fd, &wanted, HEAD, 0) == (ssize_t)HEAD)
			if (wanted == next)
				return;
		if (errno == ECONNREFUSED && len == HEAD)
			return;
	}
	errx(1, "no answer at %llu", (unsigned long long)next);
}

static size_t read_full(char *to, size_t len)
{
	size_t got = 0;
	ssize_t n;

	while (got < len && (n = read(STDIN_FILENO, to + got, len - got)) > 0)
		got += (size_t)n;
	return got;
}

static int send_file(int fd, size_t size, size_t together)
{
	uint64_t at = 0;
	size_t len, n;

	if (together > 1) {
		int segment = (int)(HEAD + size);

		if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)))
			err(1, "UDP_SEGMENT");
	}
	for (;;) {
		for (len = 0; len < together * (HEAD + size); len += HEAD + n) {
			memcpy(buf + len, &at, HEAD);
			n = read_full(buf + len + HEAD, size);
			if (!n && len)
				break;
			at += n;
			if (n < size) {
				len += HEAD + n;
				break;
			}
		}
		send_bytes(fd, buf, len, at);
		if (len == HEAD)
			return 0;
	}
}

static int connect_to(const char *address, uint16_t port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd;

	if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
		fd = socket_open(AF_INET, AGAIN_US);
		if (connect(fd, (struct sockaddr *)&v4, sizeof(v4)))
			err(1, "connect");
		return fd;
	}
	if (inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
		errx(1, "%s is no address", address);
	fd = socket_open(AF_INET6, AGAIN_US);
	if (connect(fd, (struct sockaddr *)&v6, sizeof(v6)))
		err(1, "connect");
	return fd;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "receive"))
		return receive((uint16_t)atoi(argv[2]));
	if (argc == 6 && !strcmp(argv[1], "send")) {
		size_t size = (size_t)atoi(argv[4]), together = (size_t)atoi(argv[5]);

		if (!size || !together || together * (HEAD + size) > MOST)
			errx(1, "at most %u bytes at a time", MOST);
		return send_file(connect_to(argv[2], (uint16_t)atoi(argv[3])), size, together);
	}
	errx(1, "receive PORT | send ADDRESS PORT SIZE TOGETHER");
}
