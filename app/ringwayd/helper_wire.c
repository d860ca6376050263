/* SPDX-License-Identifier: BSD-3-Clause */
/* What passes between the daemon and its helper. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper.h"

/* Room for more descriptors than a packet may have: what does not fit, the kernel closes. */
#define FDS_ROOM 4

bool helper_request_valid(const struct helper_request *req, size_t len, unsigned nfds)
{
	return len == sizeof(*req) && nfds == (req->op == HELPER_ADOPT) &&
		req->magic == HELPER_MAGIC && req->op >= HELPER_LISTEN && req->op < HELPER_OPS &&
		!(req->access.mode & ~0777u) && req->path[0] &&
		memchr(req->path, 0, sizeof(req->path));
}

bool helper_reply_valid(const struct helper_reply *reply, size_t len, unsigned nfds,
	const struct helper_request *to)
{
	bool fd_due = to->op < HELPER_UNLINK;

	return len == sizeof(*reply) && reply->magic == HELPER_MAGIC && reply->seq == to->seq &&
		reply->ret <= 0 && reply->ret > -4096 && nfds == (fd_due && !reply->ret) &&
		memchr(reply->text, 0, sizeof(reply->text));
}

ssize_t helper_send(int fd, const void *packet, size_t len, int pass)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.room = {0}};
	struct iovec iov = {(void *)(uintptr_t)packet, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (pass >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control.room);
		control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.head), &pass, sizeof(pass));
	}
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t helper_receive(int fd, void *packet, size_t len, int *pass, unsigned *nfds)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(FDS_ROOM * sizeof(int))];
	} control;
	struct iovec iov = {packet, len};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	int fds[FDS_ROOM];
	unsigned got = 0;
	ssize_t n;

	*pass = -1;
	*nfds = 0;
	do
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		got = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), got * sizeof(int));
	}
	*nfds = got + (msg.msg_flags & MSG_CTRUNC ? FDS_ROOM : 0);
	if (*nfds == 1) {
		*pass = fds[0];
	} else {
		while (got)
			close(fds[--got]);
	}
	/* A longer packet is as wrong as a shorter one. */
	return msg.msg_flags & MSG_TRUNC ? -EMSGSIZE : n;
}
