/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon's side of its helper. */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rw_log.h"
#include "sandbox.h"

/*
 * A front-end's socket and directory belong to another user: CAP_DAC_OVERRIDE. In a directory where
 * everybody may create files, such as /tmp, a socket that another user left behind is removed with
 * CAP_FOWNER, which also sets the mode of one that was given away; CAP_CHOWN gives it away.
 */
#define CAPABILITIES (1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FOWNER | 1ull << CAP_CHOWN)

/* All that the helper does is done in microseconds, by a file system that may be slow. */
#define PATIENCE_S 5

static struct {
	int fd; /* the daemon's end; -1: there is no helper */
	pid_t pid;
	uint32_t seq;
	bool said; /* that it is gone */
} own = {.fd = -1};

/* ---- directories ---- */

#define ANY_SOCKET (1u << HELPER_LISTEN | 1u << HELPER_CONNECT)

static bool same_name(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* Both texts are copied. */
static int allow(struct helper_dirs *dirs, const char *path, const char *only, unsigned ops)
{
	struct helper_dir *dir;

	for (unsigned i = 0; i < dirs->n; i++) {
		dir = &dirs->dirs[i];
		if (!strcmp(dir->path, path) && same_name(dir->only, only)) {
			dir->ops |= ops;
			return 0;
		}
	}
	if (dirs->n == HELPER_DIRS_MAX)
		return -ENOSPC;
	dir = &dirs->dirs[dirs->n];
	*dir = (struct helper_dir){strdup(path), only ? strdup(only) : NULL, ops};
	dirs->n++;
	return dir->path && (!only || dir->only) ? 0 : -ENOMEM;
}

/* In the directory of `path`: that file alone, or any. */
static int allow_at(struct helper_dirs *dirs, const char *path, bool alone, unsigned ops)
{
	const char *slash = strrchr(path, '/');
	char *dir = !slash ? strdup(".")
			   : strndup(path, slash == path ? 1 : (size_t)(slash - path));
	int ret = -ENOMEM;

	if (dir)
		ret = allow(dirs, dir, !alone ? NULL : slash ? slash + 1 : path, ops);
	free(dir);
	return ret;
}

int helper_allow_dir(struct helper_dirs *dirs, const char *dir)
{
	return allow(dirs, dir, NULL, ANY_SOCKET);
}

int helper_allow_beside(struct helper_dirs *dirs, const char *path, bool connects)
{
	return allow_at(dirs, path, false, connects ? ANY_SOCKET : 1u << HELPER_LISTEN);
}

int helper_allow_socket(struct helper_dirs *dirs, const char *path)
{
	return allow_at(dirs, path, true, 1u << HELPER_LISTEN);
}

int helper_allow_pidfile(struct helper_dirs *dirs, const char *path)
{
	return allow_at(dirs, path, true, 1u << HELPER_PIDFILE);
}

int helper_allow_file(struct helper_dirs *dirs, const char *path)
{
	return allow_at(dirs, path, true, 1u << HELPER_FILE);
}

void helper_dirs_free(struct helper_dirs *dirs)
{
	while (dirs->n) {
		dirs->n--;
		free(dirs->dirs[dirs->n].path);
		free(dirs->dirs[dirs->n].only);
	}
}

/* ---- requests ---- */

static int gone(void)
{
	if (!own.said)
		rw_error("the helper process has ended: no socket can be opened any more");
	own.said = true;
	return -EPIPE;
}

/* Wait for the reply to `req`; replies to earlier ones, which took too long, are let go. */
static int reply_wait(const struct helper_request *req, struct helper_reply *reply, int *pass)
{
	unsigned nfds;
	ssize_t n;

	for (;;) {
		n = helper_receive(own.fd, reply, sizeof(*reply), pass, &nfds);
		if (n == -EAGAIN)
			return -ETIMEDOUT;
		if (n <= 0)
			return gone();
		if (helper_reply_valid(reply, (size_t)n, nfds, req))
			return reply->ret;
		if (*pass >= 0)
			close(*pass);
		if ((size_t)n == sizeof(*reply) && reply->seq == req->seq)
			return -EPROTO;
	}
}

/*
 * 0 and what it handed over, or -errno. `reply` is filled in, whatever comes of it. `along`: a
 * descriptor that the request has, -1: none.
 */
static int ask_req(struct helper_request *req, const char *path, int along,
	struct helper_reply *reply, int *pass)
{
	ssize_t n;

	req->magic = HELPER_MAGIC;
	req->seq = ++own.seq;

	*reply = (struct helper_reply){.magic = 0};
	*pass = -1;
	if (own.fd < 0)
		return gone();
	if (strlen(path) >= sizeof(req->path))
		return -ENAMETOOLONG;
	strcpy(req->path, path);
	n = helper_send(own.fd, req, sizeof(*req), along);
	if (n < 0)
		return n == -EAGAIN ? -ETIMEDOUT : gone();
	return reply_wait(req, reply, pass);
}

static int ask(enum helper_op op, const char *path, const struct rw_sock_access *access,
	struct helper_reply *reply, int *pass)
{
	struct helper_request req = {.op = op};

	if (access)
		req.access = *access;
	return ask_req(&req, path, -1, reply, pass);
}

static int helper_listen(
	const char *path, const struct rw_sock_access *access, struct rw_sock_id *id)
{
	struct helper_reply reply;
	int fd, ret;

	if (strlen(path) > RW_SOCK_PATH_MAX)
		return -ENAMETOOLONG;
	ret = ask(HELPER_LISTEN, path, access, &reply, &fd);
	if (ret)
		return ret;
	*id = (struct rw_sock_id){reply.dev, reply.ino};
	return fd;
}

static int helper_connect(const char *path)
{
	struct helper_reply reply;
	int fd, ret = ask(HELPER_CONNECT, path, NULL, &reply, &fd);

	return ret ? ret : fd;
}

static void helper_unlink(const char *path, const struct rw_sock_id *id)
{
	struct helper_reply reply;
	int none;

	/* The helper knows which file it made. */
	(void)id;
	ask(HELPER_UNLINK, path, NULL, &reply, &none);
}

static bool helper_is_there(const char *path, const struct rw_sock_id *id)
{
	struct helper_reply reply;
	int none;

	(void)id;
	return ask(HELPER_IS_THERE, path, NULL, &reply, &none) != -ENOENT;
}

static bool helper_any_lost(void)
{
	struct helper_reply reply;
	int none;

	return !ask(HELPER_LOST, ".", NULL, &reply, &none) && reply.number;
}

static int helper_number(enum rw_sock_who who, const char *name, uint32_t *out)
{
	struct helper_reply reply;
	int none,
		ret = ask(who == RW_SOCK_USER ? HELPER_USER : HELPER_GROUP, name, NULL, &reply,
			&none);

	*out = reply.number;
	return ret;
}

static int helper_started(pid_t pid, uint64_t *ms)
{
	struct helper_reply reply;
	char number[16];
	int none, ret;

	snprintf(number, sizeof(number), "%d", (int)pid);
	ret = ask(HELPER_STARTED, number, NULL, &reply, &none);
	*ms = reply.ms;
	return ret;
}

static const struct rw_sock_ops ops = {
	.listen = helper_listen,
	.connect = helper_connect,
	.unlink = helper_unlink,
	.is_there = helper_is_there,
	.any_lost = helper_any_lost,
	.number = helper_number,
	.started = helper_started,
};

int helper_file_open(const char *path)
{
	struct helper_reply reply;
	int fd, ret = ask(HELPER_FILE, path, NULL, &reply, &fd);

	return ret ? ret : fd;
}

int helper_pidfile_open(const char *path, char *err, size_t errlen)
{
	struct helper_reply reply;
	int fd, ret = ask(HELPER_PIDFILE, path, NULL, &reply, &fd);

	if (!ret)
		return fd;
	snprintf(err, errlen, "%s", reply.text[0] ? reply.text : rw_sock_strerror(ret));
	return ret;
}

void helper_pidfile_unlink(const char *path)
{
	struct helper_reply reply;
	int none;

	ask(HELPER_UNLINK, path, NULL, &reply, &none);
}

int helper_adopt(const char *path, int fd, const struct rw_sock_id *id)
{
	struct helper_request req = {.op = HELPER_ADOPT, .dev = id->dev, .ino = id->ino};
	struct helper_reply reply;
	int none;

	return ask_req(&req, path, fd, &reply, &none);
}

int helper_keep(bool keep)
{
	struct helper_reply reply;
	int none;

	return ask(HELPER_KEEP, keep ? "keep" : "remove", NULL, &reply, &none);
}

/* ---- life ---- */

/* In the new process: keep nothing but the socket and what says that something is wrong. */
static void helper_main(int fd, const struct helper_dirs *dirs)
{
	const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_NAME, "ringwayd-helper");
	/* Who ends the daemon's group of processes ends the daemon; that ends the helper. */
	for (size_t i = 0; i < RW_ARRAY_SIZE(signals); i++)
		signal(signals[i], SIG_IGN);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		_exit(1);
	fd = dup2(fd, STDERR_FILENO + 1);
	if (fd < 0 || close_range((unsigned)fd + 1, ~0u, 0) ||
		sandbox_capabilities(NULL, CAPABILITIES) || sandbox_filter(SANDBOX_HELPER))
		_exit(1);
	helper_serve(fd, dirs);
	_exit(0);
}

int helper_begin(const struct helper_dirs *dirs)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return -errno;
	if (setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
		setsockopt(fds[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)))
		goto fail;
	fflush(NULL);
	own.pid = fork();
	if (own.pid < 0)
		goto fail;
	if (!own.pid) {
		close(fds[0]);
		helper_main(fds[1], dirs);
	}
	close(fds[1]);
	own.fd = fds[0];
	rw_sock_use(&ops);
	return 0;

fail:
	close(fds[0]);
	close(fds[1]);
	return -errno;
}

void helper_end(void)
{
	if (own.fd < 0)
		return;
	rw_sock_use(&rw_sock_direct);
	close(own.fd);
	own.fd = -1;
	while (waitpid(own.pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}
