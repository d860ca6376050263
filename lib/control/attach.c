/* SPDX-License-Identifier: BSD-3-Clause */
#include "attach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answer.h"
#include "rw_log.h"

/* What Linux lets a message bring: the kernel closes none for want of room, which can wait. */
#define FDS_MAX 253

void ctl_foreign_close(struct ctl_foreign *f, int fd)
{
	if (!f->helper)
		f->helper = rw_helper_new(f->loop, 1);
	/* If there is no thread for it, there is nobody else. */
	rw_helper_close(f->helper, fd);
}

static void fd_forget(struct ctl_attached *a, struct ctl_foreign *f)
{
	if (a->has_fd)
		ctl_foreign_close(f, a->fd);
	a->has_fd = false;
}

static void fds_take(struct ctl_attached *a, struct ctl_foreign *f, const struct cmsghdr *cmsg)
{
	size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n; i++) {
		fd_forget(a, f);
		memcpy(&a->fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
		a->has_fd = true;
	}
}

ssize_t ctl_receive(int fd, char *to, size_t room, struct ctl_attached *a, struct ctl_foreign *f)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = to, .iov_len = room};
	struct msghdr mh = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return n;
	for (struct cmsghdr *p = CMSG_FIRSTHDR(&mh); p; p = CMSG_NXTHDR(&mh, p)) {
		if (p->cmsg_level == SOL_SOCKET && p->cmsg_type == SCM_RIGHTS)
			fds_take(a, f, p);
	}
	return n;
}

int ctl_attached_take(struct ctl_attached *a)
{
	if (!a->has_fd)
		return -ENOENT;
	a->has_fd = false;
	return a->fd;
}

int ctl_attached_tie(struct ctl_attached *a, void (*fn)(void *arg), void *arg)
{
	if (a->gone)
		return -EBUSY;
	a->gone = fn;
	a->arg = arg;
	return 0;
}

void ctl_attached_untie(struct ctl_attached *a, const void *arg)
{
	if (a->gone && a->arg == arg)
		a->gone = NULL;
}

void ctl_attached_end(struct ctl_attached *a, struct ctl_foreign *f)
{
	fd_forget(a, f);
	if (a->gone)
		a->gone(a->arg);
}

void ctl_turn_away(int fd, const char *why)
{
	struct ctl_failure fail;
	struct buf text = {0};

	ctl_fail(&fail, CTL_ERR_FAILED, "%s", why);
	/* A new connection has room for a line. */
	if (ctl_error_add(&text, &fail) || buf_add(&text, "\n", 1) ||
		send(fd, text.data, text.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		rw_debug("control: could not tell a client why it is refused");
	free(text.data);
	close(fd);
}
