/* SPDX-License-Identifier: BSD-3-Clause */
#include "takeover_wire.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rw_base.h"
#include "rw_loop.h"

/* Bytes of one text at most. */
#define TEXT_MAX (16u << 20)
/* Descriptors in one call at most (SCM_MAX_FD is 253). */
#define CALL_FDS 128

/* Before each text. Its descriptors follow, CALL_FDS with each of as many bytes as that takes. */
struct head {
	uint32_t magic;
	uint32_t len;
	uint32_t nfds;
};

#define MAGIC 0x524b5457u

int takeover_fd_add(struct takeover_fds *fds, int fd)
{
	if (fd < 0 || fds->n == TAKEOVER_FDS_MAX)
		return -1;
	fds->fd[fds->n] = fd;
	return (int)fds->n++;
}

int takeover_fd_take(struct takeover_fds *fds, json_int_t index)
{
	int fd;

	if (index < 0 || index >= (json_int_t)fds->n)
		return -1;
	fd = fds->fd[index];
	fds->fd[index] = -1;
	return fd;
}

void takeover_fds_close(struct takeover_fds *fds)
{
	for (unsigned i = 0; i < fds->n; i++) {
		if (fds->fd[i] >= 0)
			close(fds->fd[i]);
	}
	fds->n = 0;
}

/* Wait until the socket is ready for `events`. 0 or -errno. */
static int ready_wait(int sock, short events, uint64_t until_ms)
{
	struct pollfd p = {.fd = sock, .events = events};

	for (;;) {
		uint64_t now = rw_now_ms();
		int n = poll(&p, 1, now < until_ms ? (int)(until_ms - now) : 0);

		if (n > 0)
			return 0;
		if (!n)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

/* ---- out ---- */

/* Send bytes, and `n` descriptors with the first of them. 0 or -errno. */
static int bytes_send(
	int sock, const void *bytes, size_t len, const int *fds, unsigned n, uint64_t until_ms)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(CALL_FDS * sizeof(int))];
	} control = {.room = {0}};
	struct iovec iov = {(void *)(uintptr_t)bytes, len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, n * sizeof(int));
	}
	while (iov.iov_len) {
		ssize_t sent = sendmsg(sock, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
		int ret = sent >= 0 || errno == EINTR ? 0
			: errno == EAGAIN             ? ready_wait(sock, POLLOUT, until_ms)
						      : -errno;

		if (ret)
			return ret;
		if (sent <= 0)
			continue;
		iov.iov_base = (char *)iov.iov_base + sent;
		iov.iov_len -= (size_t)sent;
		mh.msg_control = NULL;
		mh.msg_controllen = 0;
	}
	return 0;
}

int takeover_send(int sock, json_t *text, const struct takeover_fds *fds, int timeout_ms)
{
	uint64_t until_ms = rw_now_ms() + (uint64_t)timeout_ms;
	char *bytes = text ? json_dumps(text, JSON_COMPACT) : NULL;
	struct head head = {.magic = MAGIC, .nfds = fds ? fds->n : 0};
	int ret = -ENOMEM;

	json_decref(text);
	if (!bytes)
		return ret;
	head.len = (uint32_t)strlen(bytes);
	ret = head.len > TEXT_MAX ? -EMSGSIZE
				  : bytes_send(sock, &head, sizeof(head), NULL, 0, until_ms);
	for (unsigned at = 0; !ret && at < head.nfds; at += CALL_FDS)
		ret = bytes_send(sock, "", 1, &fds->fd[at],
			RW_MIN(head.nfds - at, (unsigned)CALL_FDS), until_ms);
	if (!ret)
		ret = bytes_send(sock, bytes, head.len, NULL, 0, until_ms);
	free(bytes);
	return ret;
}

/* ---- in ---- */

/* Keep what came with a call. */
static void fds_keep(struct msghdr *mh, struct takeover_fds *fds)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (takeover_fd_add(fds, fd) < 0)
				close(fd);
		}
	}
}

/* Receive exactly `len` bytes and what comes with them. 0 or -errno. */
static int bytes_receive(
	int sock, void *bytes, size_t len, struct takeover_fds *fds, uint64_t until_ms)
{
	while (len) {
		union {
			struct cmsghdr head;
			char room[CMSG_SPACE(CALL_FDS * sizeof(int))];
		} control;
		struct iovec iov = {bytes, len};
		struct msghdr mh = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		int ret = n > 0 || (n < 0 && errno == EINTR) ? 0
			: n < 0 && errno == EAGAIN           ? ready_wait(sock, POLLIN, until_ms)
			: n                                  ? -errno
							     : -ECONNRESET;

		if (n > 0)
			fds_keep(&mh, fds);
		if (n > 0 && mh.msg_flags & MSG_CTRUNC)
			ret = -EMFILE;
		if (ret)
			return ret;
		if (n <= 0)
			continue;
		bytes = (char *)bytes + n;
		len -= (size_t)n;
	}
	return 0;
}

static int text_receive(int sock, const struct head *head, json_t **out, uint64_t until_ms)
{
	struct takeover_fds none = {.n = 0};
	char *bytes = malloc((size_t)head->len + 1);
	int ret = -ENOMEM;

	if (bytes)
		ret = bytes_receive(sock, bytes, head->len, &none, until_ms);
	if (!ret)
		*out = json_loadb(bytes, head->len, JSON_REJECT_DUPLICATES, NULL);
	if (!ret && !json_is_object(*out)) {
		json_decref(*out);
		ret = -EPROTO;
	}
	free(bytes);
	takeover_fds_close(&none);
	return ret;
}

int takeover_receive(int sock, json_t **text, struct takeover_fds *fds, int timeout_ms)
{
	uint64_t until_ms = rw_now_ms() + (uint64_t)timeout_ms;
	struct head head;
	char byte;
	int ret;

	fds->n = 0;
	ret = bytes_receive(sock, &head, sizeof(head), fds, until_ms);
	if (!ret && (head.magic != MAGIC || head.len > TEXT_MAX || head.nfds > TAKEOVER_FDS_MAX))
		ret = -EPROTO;
	for (unsigned at = 0; !ret && at < head.nfds; at += CALL_FDS)
		ret = bytes_receive(sock, &byte, 1, fds, until_ms);
	if (!ret && fds->n != head.nfds)
		ret = -EPROTO;
	if (!ret)
		ret = text_receive(sock, &head, text, until_ms);
	if (ret)
		takeover_fds_close(fds);
	return ret;
}
