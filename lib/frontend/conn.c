/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fe_conn.h"

#define LISTEN_BACKLOG 8

void fe_conn_init(struct fe_conn *c, int fd)
{
	*c = (struct fe_conn){.fd = fd, .timeout_ms = FE_TIMEOUT_MS};
}

void fe_conn_close(struct fe_conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->protocol_features = 0;
}

/* A new socket and the address of `path`. Returns it or -errno. */
static int unix_socket(const char *path, struct sockaddr_un *sa)
{
	int fd;

	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(sa->sun_path))
		return -ENAMETOOLONG;
	memcpy(sa->sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int fe_conn_open(struct fe_conn *c, const char *path)
{
	struct sockaddr_un sa;
	int fd = unix_socket(path, &sa);
	int err;

	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	fe_conn_close(c);
	c->fd = fd;
	return 0;
}

/* Wait for `events` on `fd`; a closed peer counts as every event. Returns 0 or -errno. */
static int wait_for(int fd, short events, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n;

	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == 0 ? -ETIMEDOUT : 0;
}

/* Remove a socket that nobody listens at any more. */
static void stale_remove(const char *path)
{
	struct stat st;

	if (!lstat(path, &st) && S_ISSOCK(st.st_mode))
		unlink(path);
}

int fe_conn_listen(const char *path)
{
	struct sockaddr_un sa;
	int fd = unix_socket(path, &sa);
	int err;

	if (fd < 0)
		return fd;
	stale_remove(path);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) || listen(fd, LISTEN_BACKLOG)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int fe_conn_accept(struct fe_conn *c, int listen_fd, int timeout_ms)
{
	struct pollfd p = {.fd = listen_fd, .events = POLLIN};
	/* A signal ends the wait: what it waits for is up to somebody else. */
	int n = poll(&p, 1, timeout_ms), fd;

	if (n <= 0)
		return n ? -errno : -ETIMEDOUT;
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return -errno;
	fe_conn_close(c);
	c->fd = fd;
	return 0;
}

/* A peer that closes with our bytes unread causes a reset. It counts as closed, too. */
static int closed_error(void)
{
	return errno == EPIPE ? -ECONNRESET : -errno;
}

int fe_conn_send_bytes(
	struct fe_conn *c, const void *bytes, size_t len, const int *fds, uint32_t nfds)
{
	union {
		char buf[CMSG_SPACE(253 * sizeof(int))]; /* the kernel's limit */
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *cm;
	ssize_t n;
	int err;

	if (nfds > 253)
		return -EINVAL;
	if (nfds) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, nfds * sizeof(int));
	}
	while (iov.iov_len) {
		n = sendmsg(c->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN) {
			err = wait_for(c->fd, POLLOUT, c->timeout_ms);
			if (err)
				return err;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return closed_error();
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		mh.msg_control = NULL;
		mh.msg_controllen = 0;
	}
	return 0;
}

int fe_conn_send(struct fe_conn *c, const struct fe_msg *msg)
{
	uint8_t bytes[VU_HEADER_SIZE + VU_MAX_PAYLOAD];
	uint32_t size = RW_MIN(msg->header.size, VU_MAX_PAYLOAD);

	memcpy(bytes, &msg->header, VU_HEADER_SIZE);
	memcpy(bytes + VU_HEADER_SIZE, &msg->payload, size);
	return fe_conn_send_bytes(c, bytes, VU_HEADER_SIZE + size, msg->fds, msg->nfds);
}

static void take_fds(struct msghdr *mh, struct fe_msg *msg)
{
	struct cmsghdr *cm;
	size_t i, n;
	int fd;

	for (cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof(fd));
			if (msg->nfds < VU_MAX_FDS)
				msg->fds[msg->nfds++] = fd;
			else
				close(fd);
		}
	}
}

static int recv_all(struct fe_conn *c, struct fe_msg *msg, void *buf, size_t len)
{
	union {
		char buf[CMSG_SPACE(VU_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov;
	struct msghdr mh;
	size_t done = 0;
	ssize_t n;
	int err;

	while (done < len) {
		err = wait_for(c->fd, POLLIN, c->timeout_ms);
		if (err)
			return err;
		iov = (struct iovec){.iov_base = (char *)buf + done, .iov_len = len - done};
		mh = (struct msghdr){.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.buf,
			.msg_controllen = sizeof(control.buf)};
		n = recvmsg(c->fd, &mh, MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return closed_error();
		if (n == 0)
			return -ECONNRESET;
		take_fds(&mh, msg);
		done += (size_t)n;
	}
	return 0;
}

void fe_msg_drop_fds(struct fe_msg *msg)
{
	while (msg->nfds)
		close(msg->fds[--msg->nfds]);
}

int fe_conn_recv(struct fe_conn *c, struct fe_msg *msg)
{
	struct fe_msg in;
	int err;

	memset(&in, 0, sizeof(in));
	err = recv_all(c, &in, &in.header, VU_HEADER_SIZE);
	if (!err && in.header.size > VU_MAX_PAYLOAD)
		err = -EPROTO;
	if (!err)
		err = recv_all(c, &in, &in.payload, in.header.size);
	if (err) {
		fe_msg_drop_fds(&in);
		return err;
	}
	*msg = in;
	return 0;
}

/* Receive the answer to `msg`, which was sent. */
static int answer(struct fe_conn *c, const struct fe_msg *msg, struct fe_msg *reply)
{
	struct fe_msg in;
	int err;

	err = fe_conn_recv(c, &in);
	if (err)
		return err;
	if (in.header.request != msg->header.request ||
		in.header.flags != (VU_VERSION | VU_FLAG_REPLY)) {
		fe_msg_drop_fds(&in);
		return -EPROTO;
	}
	*reply = in;
	return 0;
}

int fe_conn_ask_fds(struct fe_conn *c, struct fe_msg *msg, struct fe_msg *reply)
{
	int err;

	msg->header.flags |= VU_VERSION;
	err = fe_conn_send(c, msg);
	return err ? err : answer(c, msg, reply);
}

int fe_conn_ask(struct fe_conn *c, struct fe_msg *msg, struct fe_msg *reply)
{
	struct fe_msg in;
	int err;

	err = fe_conn_ask_fds(c, msg, &in);
	if (err)
		return err;
	if (in.nfds) {
		fe_msg_drop_fds(&in);
		return -EPROTO;
	}
	*reply = in;
	return 0;
}

int fe_conn_tell(struct fe_conn *c, struct fe_msg *msg)
{
	struct fe_msg reply;
	int err;

	msg->header.flags |= VU_VERSION;
	if (c->no_ack || !(c->protocol_features >> VU_PF_REPLY_ACK & 1))
		return fe_conn_send(c, msg);
	msg->header.flags |= VU_FLAG_NEED_REPLY;
	err = fe_conn_ask(c, msg, &reply);
	if (err)
		return err;
	if (reply.header.size != sizeof(reply.payload.u64))
		return -EPROTO;
	return reply.payload.u64 ? -EREMOTEIO : 0;
}
