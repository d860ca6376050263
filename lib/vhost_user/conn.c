/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages out of a byte stream. A front-end that stalls leaves a partial message here and delays
 * nobody.
 *
 * Each read asks for what the present message lacks and no more, so descriptors can only belong to
 * the message with whose bytes they come.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"
#include "rw_signal.h"

struct vu_conn *vu_conn_new(int fd, struct rw_helper *helper)
{
	struct vu_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->fd = fd;
	c->helper = helper;
	return c;
}

static void msg_close_fds(struct vu_conn *c)
{
	struct vu_msg *m = &c->msg;

	for (unsigned i = 0; i < m->nfds; i++)
		rw_helper_close(c->helper, m->fds[i]);
	m->nfds = 0;
}

void vu_conn_free(struct vu_conn *c)
{
	msg_close_fds(c);
	/* Messages that were not read bring descriptors, which are closed with the socket. */
	rw_helper_close(c->helper, c->fd);
	free(c);
}

void vu_conn_shed(struct vu_conn *c)
{
	msg_close_fds(c);
	c->msg.over = true;
}

void vu_conn_next(struct vu_conn *c)
{
	msg_close_fds(c);
	/* The next message may be shorter: no byte of this one may pass for one of it. */
	memset(&c->msg, 0, sizeof(c->msg));
	c->have = 0;
}

int vu_msg_take_fd(struct vu_msg *m, unsigned i)
{
	int fd = m->fds[i];

	m->fds[i] = -1;
	return fd;
}

int vu_msg_take_eventfd(struct vu_msg *m, int *out)
{
	if (m->payload.u64 & VU_VRING_NOFD) {
		*out = -1;
		return 0;
	}
	if (!rw_is_eventfd(m->fds[0]))
		return vu_refuse(m, -EINVAL, "the descriptor is no eventfd");
	*out = vu_msg_take_fd(m, 0);
	return 0;
}

bool vu_is_unix_stream(int fd)
{
	socklen_t len = sizeof(int);
	int domain, type;

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) && domain == AF_UNIX &&
		!getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) && type == SOCK_STREAM;
}

static void take_fds(struct vu_received *in, const struct cmsghdr *cmsg)
{
	size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n && in->nfds < VU_MAX_SENT_FDS; i++, in->nfds++)
		memcpy(&in->fds[in->nfds], CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
}

ssize_t vu_receive(int fd, struct vu_received *in)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(VU_MAX_SENT_FDS * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = in->bytes, .iov_len = in->len};
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return -errno;
	for (struct cmsghdr *p = CMSG_FIRSTHDR(&mh); p; p = CMSG_NXTHDR(&mh, p)) {
		if (p->cmsg_level == SOL_SOCKET && p->cmsg_type == SCM_RIGHTS)
			take_fds(in, p);
	}
	/* More descriptors came than this process may open. */
	in->fds_lost = mh.msg_flags & MSG_CTRUNC;
	return n;
}

/* Read up to `len` bytes and the descriptors with them. How many bytes, 0 at the end, or -errno. */
static ssize_t read_some(struct vu_conn *c, void *dst, size_t len)
{
	struct vu_received in = {.bytes = dst, .len = len};
	ssize_t n = vu_receive(c->fd, &in);
	struct vu_msg *m = &c->msg;

	for (unsigned i = 0; i < in.nfds; i++) {
		if (m->nfds < VU_MAX_FDS) {
			m->fds[m->nfds++] = in.fds[i];
		} else {
			rw_helper_close(c->helper, in.fds[i]);
			m->fds_lost = true;
		}
	}
	if (in.fds_lost)
		m->fds_lost = true;
	return n;
}

/* Where the next bytes of the message go, and how many of them: 0 when it is complete. */
static size_t next_piece(struct vu_conn *c, uint8_t *spill, size_t spill_len, uint8_t **dst)
{
	const size_t size = c->msg.hdr.size;
	size_t off;

	if (c->have < VU_HEADER_SIZE) {
		*dst = (uint8_t *)&c->msg.hdr + c->have;
		return VU_HEADER_SIZE - c->have;
	}
	off = c->have - VU_HEADER_SIZE;
	if (off < VU_MAX_PAYLOAD) {
		*dst = c->msg.payload.bytes + off;
		return RW_MIN(size, VU_MAX_PAYLOAD) - off;
	}
	*dst = spill;
	return RW_MIN(size - off, spill_len);
}

int vu_conn_read(struct vu_conn *c)
{
	uint8_t spill[512], *dst;
	size_t len;

	while ((len = next_piece(c, spill, sizeof(spill), &dst))) {
		ssize_t n = read_some(c, dst, len);

		if (n == -EAGAIN || n == -EINTR)
			return VU_CONN_WAIT;
		/* When a front-end dies with replies unread, the connection is reset. */
		if (n == -ECONNRESET || (!n && !c->have))
			return VU_CONN_EOF;
		if (!n)
			return -ECONNABORTED;
		if (n < 0)
			return (int)n;
		c->have += (size_t)n;
		if (c->have == VU_HEADER_SIZE && c->msg.hdr.size > VU_MAX_DRAIN)
			return -EMSGSIZE;
	}
	return VU_CONN_MESSAGE;
}

int vu_conn_reply(struct vu_conn *c, const void *payload, uint32_t len, int fd)
{
	struct vu_header hdr = {
		.request = c->msg.hdr.request,
		.flags = VU_VERSION | VU_FLAG_REPLY,
		.size = len,
	};
	struct iovec iov[] = {
		{.iov_base = &hdr, .iov_len = sizeof(hdr)},
		{.iov_base = (void *)(uintptr_t)payload, .iov_len = len},
	};
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = RW_ARRAY_SIZE(iov)};
	union {
		struct cmsghdr hdr;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.room = {0}};
	ssize_t n;

	if (fd >= 0) {
		mh.msg_control = &control;
		mh.msg_controllen = sizeof(control);
		control.hdr.cmsg_level = SOL_SOCKET;
		control.hdr.cmsg_type = SCM_RIGHTS;
		control.hdr.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.hdr), &fd, sizeof(fd));
	}
	n = sendmsg(c->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	/*
	 * A front-end waits for one reply at a time. One that leaves so many unread that the socket
	 * is full loses the connection.
	 */
	return (size_t)n == sizeof(hdr) + len ? 0 : -EAGAIN;
}
