/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A back-end played by hand for tests of the front-end: it speaks first, and is listened to later.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fe_guest.h"

/* Connect `c` to ourselves: the other end is ours to read and write. */
static inline int peer_open(struct fe_conn *c)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	fe_conn_init(c, fds[0]);
	c->timeout_ms = 2000;
	return fds[1];
}

static inline void peer_close(struct fe_conn *c, int fd)
{
	fe_conn_close(c);
	close(fd);
}

/* Put a message of the back-end's into the socket, with a descriptor unless that is -1. */
static inline void peer_send_fd(
	int fd, uint32_t request, uint32_t flags, const void *payload, uint32_t len, int sent_fd)
{
	struct fe_conn c = {.fd = fd, .timeout_ms = 2000};
	struct fe_msg m = {.header = {request, flags, len}, .fds = {sent_fd}, .nfds = sent_fd >= 0};

	memcpy(&m.payload, payload, len);
	assert_int_equal(fe_conn_send(&c, &m), 0);
}

static inline void peer_reply(int fd, uint32_t request, const void *payload, uint32_t len)
{
	peer_send_fd(fd, request, VU_VERSION | VU_FLAG_REPLY, payload, len, -1);
}

static inline void peer_ack(int fd, uint32_t request, uint64_t value)
{
	peer_reply(fd, request, &value, sizeof(value));
}

/* The next message that the front-end sent. Its descriptors are closed, their number stays. */
static inline struct fe_msg peer_recv(int fd)
{
	struct fe_conn c = {.fd = fd, .timeout_ms = 2000};
	struct fe_msg m;
	uint32_t i;

	assert_int_equal(fe_conn_recv(&c, &m), 0);
	for (i = 0; i < m.nfds; i++)
		close(m.fds[i]);
	return m;
}

/* Whether the bytes at `mem` are those written out in hexadecimal; blanks do not count. */
static inline void image_is(const void *mem, size_t len, const char *hex)
{
	const uint8_t *p = mem;
	unsigned byte;

	for (; *hex; hex += 2) {
		while (*hex == ' ')
			hex++;
		assert_true(len-- > 0);
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		assert_int_equal(*p++, byte);
	}
	assert_int_equal(len, 0);
}

/* The next message is exactly this: header and payload; and comes with `nfds` descriptors. */
static inline void peer_hears(int fd, uint32_t nfds, const char *hex)
{
	struct fe_msg m = peer_recv(fd);
	uint8_t bytes[VU_HEADER_SIZE + sizeof(union vu_payload)];

	memcpy(bytes, &m.header, VU_HEADER_SIZE);
	memcpy(bytes + VU_HEADER_SIZE, &m.payload, m.header.size);
	image_is(bytes, VU_HEADER_SIZE + m.header.size, hex);
	assert_int_equal(m.nfds, nfds);
}

/* Nothing more was sent. */
static inline void peer_hears_nothing(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}
