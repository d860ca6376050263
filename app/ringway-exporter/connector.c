/* SPDX-License-Identifier: BSD-3-Clause */
#include "connector.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confine.h"
#include "rw_sock.h"

static int child_fd = -1; /* to the child; -1: there is none */

/* Send the result of one attempt, and the descriptor if there is one. False: nobody listens. */
static bool result_send(int to, int result)
{
	char room[CMSG_SPACE(sizeof(int))] = {0};
	int fd = result, code = result < 0 ? result : 0;
	struct iovec iov = {&code, sizeof(code)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (result >= 0) {
		msg.msg_control = room;
		msg.msg_controllen = sizeof(room);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(to, &msg, MSG_NOSIGNAL) == sizeof(code);
}

/* The life of the child: each byte is a wish for a connection. */
static void child_serve(int parent, const char *path)
{
	char wish;

	while (recv(parent, &wish, 1, 0) == 1) {
		int fd = rw_sock_connect(path);
		bool sent = result_send(parent, fd);

		if (fd >= 0)
			close(fd);
		if (!sent)
			break;
	}
}

int connector_begin(const char *path, enum sandbox_mode seccomp)
{
	char own[RW_SOCK_PATH_MAX + 1] = "";
	int fds[2];
	pid_t pid;

	strncat(own, path, RW_SOCK_PATH_MAX);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return -errno;
	pid = fork();
	if (pid < 0) {
		close(fds[0]);
		close(fds[1]);
		return -errno;
	}
	if (!pid) {
		close(fds[0]);
		if (!confine_connector(fds[1], seccomp))
			child_serve(fds[1], own);
		_exit(0);
	}
	close(fds[1]);
	child_fd = fds[0];
	return 0;
}

/* What the child answers. */
static int result_receive(void)
{
	char room[CMSG_SPACE(sizeof(int))];
	int code, fd = -EIO;
	struct iovec iov = {&code, sizeof(code)};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = room,
		.msg_controllen = sizeof(room)};
	struct cmsghdr *c;

	if (recvmsg(child_fd, &msg, MSG_CMSG_CLOEXEC) != sizeof(code))
		return -EPIPE;
	if (code)
		return code;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

int connector_connect(const char *path)
{
	if (child_fd < 0)
		return rw_sock_connect(path);
	if (send(child_fd, "", 1, MSG_NOSIGNAL) != 1)
		return -EPIPE;
	return result_receive();
}
