/* SPDX-License-Identifier: BSD-3-Clause */
/* The helper process: what it does for the daemon, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "helper.h"

/* Two directories: sockets may be in `in`, the pid file and nothing else in `out`. */
struct rig {
	char in[64], out[64], dir[32];
	struct helper_dirs dirs;
	int fd; /* to a helper that is served as another process would */
	pid_t pid;
	uint32_t seq;
};

static const char *at(const char *dir, const char *name)
{
	static char path[4][128];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static bool exists(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

static int setup(void **state)
{
	static struct rig r;
	int fds[2];

	r = (struct rig){.dir = "/tmp/ringway-helper.XXXXXX"};
	if (!mkdtemp(r.dir))
		return -1;
	snprintf(r.in, sizeof(r.in), "%s/in", r.dir);
	snprintf(r.out, sizeof(r.out), "%s/out", r.dir);
	if (mkdir(r.in, 0700) || mkdir(r.out, 0700) || helper_allow_dir(&r.dirs, r.in) ||
		helper_allow_pidfile(&r.dirs, at(r.out, "pid")) ||
		helper_allow_socket(&r.dirs, at(r.out, "ctl")) ||
		helper_allow_file(&r.dirs, at(r.out, "conf")) ||
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return -1;
	fflush(NULL);
	r.pid = fork();
	if (!r.pid) {
		close(fds[0]);
		helper_serve(fds[1], &r.dirs);
		_exit(0);
	}
	close(fds[1]);
	r.fd = fds[0];
	*state = &r;
	return r.pid < 0;
}

/* The daemon's end is closed; the helper removes what it made and ends. */
static void helper_leave(struct rig *r)
{
	int status = -1;

	close(r->fd);
	r->fd = -1;
	if (r->pid > 0)
		assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	r->pid = 0;
	assert_int_equal(status, 0);
}

static int teardown(void **state)
{
	struct rig *r = *state;
	char cmd[64];

	if (r->fd >= 0)
		helper_leave(r);
	helper_dirs_free(&r->dirs);
	snprintf(cmd, sizeof(cmd), "rm -r %s", r->dir);
	return system(cmd);
}

/* Send `len` bytes of a request. The reply's result; `fd` is what came with it, or -1. */
static int send_raw(struct rig *r, const struct helper_request *req, size_t len, int pass, int *fd)
{
	struct helper_reply reply;
	unsigned nfds;

	assert_int_equal(helper_send(r->fd, req, len, pass), len);
	assert_int_equal(helper_receive(r->fd, &reply, sizeof(reply), fd, &nfds), sizeof(reply));
	assert_int_equal(reply.magic, HELPER_MAGIC);
	assert_int_equal(nfds, *fd >= 0);
	return reply.ret;
}

static int ask(struct rig *r, enum helper_op op, const char *path, int *fd)
{
	struct helper_request req = {
		.magic = HELPER_MAGIC, .seq = ++r->seq, .op = op, .access = RW_SOCK_PRIVATE};

	snprintf(req.path, sizeof(req.path), "%s", path);
	return send_raw(r, &req, sizeof(req), -1, fd);
}

/* The result of a request that hands over nothing. */
static int ask_in_vain(struct rig *r, enum helper_op op, const char *path)
{
	int fd, ret = ask(r, op, path, &fd);

	assert_int_equal(fd, -1);
	return ret;
}

static void test_sockets_listen_connect_and_go(void **state)
{
	struct rig *r = *state;
	int listener, client, server;
	struct stat st;

	assert_int_equal(ask(r, HELPER_LISTEN, at(r->in, "a.sock"), &listener), 0);
	assert_true(listener >= 0);
	assert_int_equal(lstat(at(r->in, "a.sock"), &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	assert_int_equal(ask(r, HELPER_CONNECT, at(r->in, "a.sock"), &client), 0);
	server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	assert_int_equal(write(client, "x", 1), 1);
	close(server);
	close(client);
	close(listener);
	/* It still listens in the helper: nobody takes it for left over. */
	assert_int_equal(ask_in_vain(r, HELPER_UNLINK, at(r->in, "a.sock")), 0);
	assert_false(exists(at(r->in, "a.sock")));
	assert_int_equal(ask_in_vain(r, HELPER_UNLINK, at(r->in, "a.sock")), -ENOENT);
}

static void test_a_socket_is_given_to_whom_it_is_for(void **state)
{
	struct rig *r = *state;
	struct helper_request req = {.magic = HELPER_MAGIC,
		.seq = ++r->seq,
		.op = HELPER_LISTEN,
		.access = {0660, geteuid(), getegid()}};
	struct stat st;
	int fd;

	snprintf(req.path, sizeof(req.path), "%s", at(r->in, "given.sock"));
	assert_int_equal(send_raw(r, &req, sizeof(req), -1, &fd), 0);
	close(fd);
	assert_int_equal(lstat(at(r->in, "given.sock"), &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0660);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(ask_in_vain(r, HELPER_UNLINK, at(r->in, "given.sock")), 0);
}

/* When the process `pid` started, as the helper says: in ms since the boot. 0: it does not. */
static uint64_t started_ms(struct rig *r, pid_t pid)
{
	struct helper_request req = {.magic = HELPER_MAGIC, .op = HELPER_STARTED};
	struct helper_reply reply;
	unsigned nfds;
	int fd;

	snprintf(req.path, sizeof(req.path), "%d", (int)pid);
	assert_int_equal(helper_send(r->fd, &req, sizeof(req), -1), sizeof(req));
	assert_int_equal(helper_receive(r->fd, &reply, sizeof(reply), &fd, &nfds), sizeof(reply));
	assert_int_equal(nfds, 0);
	return reply.ret ? 0 : reply.ms;
}

static uint64_t boot_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void test_it_says_when_a_process_started(void **state)
{
	struct rig *r = *state;
	uint64_t before, mine, its;
	pid_t child;

	usleep(20000); /* two of the kernel's ticks */
	before = boot_ms();
	child = fork();
	if (!child) {
		/* The name of a process may look like the end of it. */
		prctl(PR_SET_NAME, "a) R 1 (b");
		pause();
		_exit(0);
	}
	mine = started_ms(r, getpid());
	its = started_ms(r, child);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_in_range(mine, 1, before - 10);
	assert_in_range(its, before - 10, boot_ms());
	assert_int_equal(started_ms(r, child), 0);
	assert_int_equal(ask_in_vain(r, HELPER_STARTED, "-1"), -EINVAL);
	assert_int_equal(ask_in_vain(r, HELPER_STARTED, "1/../../etc/passwd"), -EINVAL);
	assert_int_equal(ask_in_vain(r, HELPER_STARTED, "self"), -EINVAL);
	assert_int_equal(ask_in_vain(r, HELPER_STARTED, "0"), -ENOENT);
}

static void test_users_and_groups_have_numbers(void **state)
{
	struct helper_request req = {.magic = HELPER_MAGIC, .path = "root"};
	struct helper_reply reply;
	struct rig *r = *state;
	unsigned nfds;
	int fd;

	for (req.op = HELPER_USER; req.op <= HELPER_GROUP; req.op++) {
		assert_int_equal(helper_send(r->fd, &req, sizeof(req), -1), sizeof(req));
		assert_int_equal(
			helper_receive(r->fd, &reply, sizeof(reply), &fd, &nfds), sizeof(reply));
		assert_int_equal(reply.ret, 0);
		assert_int_equal(reply.number, 0);
		assert_int_equal(nfds, 0);
		assert_int_equal(ask_in_vain(r, req.op, "no-such-name"), -ENOENT);
		assert_int_equal(ask_in_vain(r, req.op, "root:x"), -ENOENT);
	}
}

static void test_no_path_leaves_its_directory(void **state)
{
	struct rig *r = *state;
	char path[256];
	int fd;

	assert_int_equal(ask_in_vain(r, HELPER_LISTEN, at(r->dir, "a.sock")), -EXDEV);
	assert_int_equal(ask_in_vain(r, HELPER_LISTEN, at(r->out, "a.sock")), -EXDEV);
	assert_int_equal(ask_in_vain(r, HELPER_CONNECT, at(r->out, "ctl")), -EXDEV);
	assert_int_equal(ask_in_vain(r, HELPER_LISTEN, at(r->out, "pid")), -EXDEV);
	assert_int_equal(ask_in_vain(r, HELPER_PIDFILE, at(r->in, "pid")), -EXDEV);
	assert_int_equal(ask_in_vain(r, HELPER_PIDFILE, at(r->out, "ctl")), -EXDEV);
	assert_int_equal(ask_in_vain(r, HELPER_LISTEN, "a.sock"), -EXDEV);
	assert_int_equal(ask_in_vain(r, HELPER_LISTEN, "/a.sock"), -EXDEV);
	snprintf(path, sizeof(path), "%s/../a.sock", r->in);
	assert_int_equal(ask_in_vain(r, HELPER_LISTEN, path), -EXDEV);
	assert_int_equal(ask_in_vain(r, HELPER_LISTEN, at(r->in, "..")), -EINVAL);
	assert_int_equal(ask_in_vain(r, HELPER_LISTEN, at(r->in, ".")), -EINVAL);
	assert_int_equal(ask_in_vain(r, HELPER_LISTEN, at(r->in, "")), -EINVAL);
	assert_false(exists(at(r->dir, "a.sock")));
	/* Another spelling of the same directory is not another directory. */
	snprintf(path, sizeof(path), "%s/../in/b.sock", r->in);
	assert_int_equal(ask(r, HELPER_LISTEN, path, &fd), 0);
	close(fd);
	assert_true(exists(at(r->in, "b.sock")));
}

static void test_one_file_is_read(void **state)
{
	struct rig *r = *state;
	char text[8] = "";
	int fd;

	assert_int_equal(ask_in_vain(r, HELPER_FILE, at(r->out, "conf")), -ENOENT);
	fd = open(at(r->out, "conf"), O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "a: 1\n", 5), 5);
	close(fd);
	assert_int_equal(ask(r, HELPER_FILE, at(r->out, "conf"), &fd), 0);
	assert_int_equal(read(fd, text, sizeof(text)), 5);
	assert_string_equal(text, "a: 1\n");
	assert_int_equal(write(fd, "b", 1), -1);
	close(fd);
	/* That one alone, for that alone, and nothing but a file. */
	assert_int_equal(ask_in_vain(r, HELPER_FILE, at(r->out, "pid")), -EXDEV);
	assert_int_equal(ask_in_vain(r, HELPER_FILE, at(r->in, "conf")), -EXDEV);
	assert_int_equal(ask_in_vain(r, HELPER_FILE, "/etc/passwd"), -EXDEV);
	assert_int_equal(ask_in_vain(r, HELPER_LISTEN, at(r->out, "conf")), -EXDEV);
	assert_int_equal(ask_in_vain(r, HELPER_UNLINK, at(r->out, "conf")), -ENOENT);
	assert_int_equal(unlink(at(r->out, "conf")), 0);
	assert_int_equal(mkfifo(at(r->out, "conf"), 0600), 0);
	assert_int_equal(ask_in_vain(r, HELPER_FILE, at(r->out, "conf")), -EINVAL);
	assert_int_equal(unlink(at(r->out, "conf")), 0);
	assert_int_equal(mkdir(at(r->out, "conf"), 0700), 0);
	assert_int_equal(ask_in_vain(r, HELPER_FILE, at(r->out, "conf")), -EISDIR);
	/* Another one has taken its place, as editors do it, or a link leads to it. */
	assert_int_equal(rmdir(at(r->out, "conf")), 0);
	assert_int_equal(symlink("/dev/null", at(r->out, "conf")), 0);
	assert_int_equal(ask_in_vain(r, HELPER_FILE, at(r->out, "conf")), -EINVAL);
}

static void test_links_lead_nowhere(void **state)
{
	struct rig *r = *state;
	int fd;

	assert_int_equal(ask(r, HELPER_LISTEN, at(r->in, "real"), &fd), 0);
	assert_int_equal(symlink("real", at(r->in, "link")), 0);
	assert_int_equal(ask_in_vain(r, HELPER_CONNECT, at(r->in, "link")), -ELOOP);
	assert_int_equal(ask_in_vain(r, HELPER_LISTEN, at(r->in, "link")), -EEXIST);
	assert_int_equal(symlink("/dev/null", at(r->out, "pid")), 0);
	assert_int_equal(ask_in_vain(r, HELPER_PIDFILE, at(r->out, "pid")), -ELOOP);
	close(fd);
}

/* What others put in the place of a socket stays. */
/* How many sockets are lost. */
static uint32_t lost(struct rig *r)
{
	struct helper_request req = {.magic = HELPER_MAGIC, .seq = ++r->seq, .op = HELPER_LOST};
	struct helper_reply reply;
	unsigned nfds;
	int fd;

	strcpy(req.path, ".");
	assert_int_equal(helper_send(r->fd, &req, sizeof(req), -1), sizeof(req));
	assert_int_equal(helper_receive(r->fd, &reply, sizeof(reply), &fd, &nfds), sizeof(reply));
	assert_int_equal(reply.ret, 0);
	return reply.number;
}

static void test_a_socket_that_was_removed_is_lost_until_it_is_made_again(void **state)
{
	struct rig *r = *state;
	int fd;

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(ask(r, HELPER_LISTEN, at(r->in, i ? "t" : "s"), &fd), 0);
		close(fd);
	}
	assert_int_equal(lost(r), 0);
	assert_int_equal(ask_in_vain(r, HELPER_IS_THERE, at(r->in, "s")), 0);
	assert_int_equal(unlink(at(r->in, "s")), 0);
	assert_int_equal(lost(r), 1);
	assert_int_equal(ask_in_vain(r, HELPER_IS_THERE, at(r->in, "s")), -ENOENT);
	assert_int_equal(ask_in_vain(r, HELPER_IS_THERE, at(r->in, "t")), 0);
	/* Another file is not ours, and stays. */
	close(open(at(r->in, "s"), O_CREAT | O_WRONLY, 0600));
	assert_int_equal(lost(r), 1);
	assert_int_equal(ask_in_vain(r, HELPER_LISTEN, at(r->in, "s")), -EEXIST);
	assert_int_equal(lost(r), 1);
	assert_int_equal(unlink(at(r->in, "s")), 0);
	assert_int_equal(ask(r, HELPER_LISTEN, at(r->in, "s"), &fd), 0);
	close(fd);
	assert_int_equal(lost(r), 0);
	/* Nor has one that never was there been lost. */
	assert_int_equal(ask_in_vain(r, HELPER_IS_THERE, at(r->in, "u")), -ENOENT);
}

/* Ask to adopt what stands, or stood, at `path`. */
static int adopt(struct rig *r, const char *path, int listener, const struct stat *file)
{
	struct helper_request req = {.magic = HELPER_MAGIC,
		.seq = ++r->seq,
		.op = HELPER_ADOPT,
		.dev = file->st_dev,
		.ino = file->st_ino,
		.access = RW_SOCK_PRIVATE};
	int fd, ret;

	snprintf(req.path, sizeof(req.path), "%s", path);
	ret = send_raw(r, &req, sizeof(req), listener, &fd);
	assert_int_equal(fd, -1);
	return ret;
}

/* A socket that another helper made, as a successor has it. */
static int made_elsewhere(const char *path, struct stat *file)
{
	struct rw_sock_id id;
	int fd = rw_sock_direct.listen(path, &RW_SOCK_PRIVATE, &id);

	assert_true(fd >= 0);
	assert_int_equal(lstat(path, file), 0);
	return fd;
}

static void test_what_another_one_made_is_adopted(void **state)
{
	struct rig *r = *state;
	struct stat file, other;
	int a = made_elsewhere(at(r->in, "a.sock"), &file), b, plain;

	assert_int_equal(adopt(r, at(r->in, "a.sock"), a, &file), 0);
	assert_int_equal(ask_in_vain(r, HELPER_IS_THERE, at(r->in, "a.sock")), 0);
	/* Under the name of another one, outside, or what is no socket that listens. */
	assert_int_equal(adopt(r, at(r->in, "b.sock"), a, &file), -EINVAL);
	assert_int_equal(adopt(r, "/tmp/a.sock", a, &file), -EXDEV);
	plain = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(adopt(r, at(r->in, "a.sock"), plain, &file), -EINVAL);
	/* Somebody has replaced the file: it is lost, and what stands there is not ours. */
	b = made_elsewhere(at(r->in, "b.sock"), &other);
	assert_int_equal(unlink(at(r->in, "b.sock")), 0);
	close(made_elsewhere(at(r->in, "b.sock"), &other));
	assert_int_equal(adopt(r, at(r->in, "b.sock"), b, &file), 0);
	assert_int_equal(ask_in_vain(r, HELPER_IS_THERE, at(r->in, "b.sock")), -ENOENT);
	helper_leave(r);
	assert_false(exists(at(r->in, "a.sock")));
	assert_true(exists(at(r->in, "b.sock")));
	close(a);
	close(b);
	close(plain);
}

/* Another process has it all. */
static void test_what_is_kept_outlives_the_daemon(void **state)
{
	struct rig *r = *state;
	int fd;

	assert_int_equal(ask(r, HELPER_LISTEN, at(r->in, "a.sock"), &fd), 0);
	close(fd);
	assert_int_equal(ask_in_vain(r, HELPER_KEEP, "keep"), 0);
	assert_int_equal(ask_in_vain(r, HELPER_KEEP, "remove"), 0);
	assert_int_equal(ask(r, HELPER_LISTEN, at(r->in, "b.sock"), &fd), 0);
	close(fd);
	assert_int_equal(ask_in_vain(r, HELPER_KEEP, "keep"), 0);
	helper_leave(r);
	assert_true(exists(at(r->in, "a.sock")) && exists(at(r->in, "b.sock")));
}

static void test_only_what_was_made_is_removed(void **state)
{
	struct rig *r = *state;
	int fd;

	close(open(at(r->in, "file"), O_CREAT | O_WRONLY, 0600));
	assert_int_equal(ask_in_vain(r, HELPER_UNLINK, at(r->in, "file")), -ENOENT);
	assert_int_equal(ask_in_vain(r, HELPER_LISTEN, at(r->in, "file")), -EEXIST);
	assert_int_equal(ask_in_vain(r, HELPER_CONNECT, at(r->in, "file")), -ENOTSOCK);
	assert_int_equal(ask(r, HELPER_LISTEN, at(r->in, "s"), &fd), 0);
	close(fd);
	assert_int_equal(unlink(at(r->in, "s")), 0);
	close(open(at(r->in, "s"), O_CREAT | O_WRONLY, 0600));
	assert_int_equal(ask_in_vain(r, HELPER_UNLINK, at(r->in, "s")), 0);
	assert_true(exists(at(r->in, "s")));
	assert_true(exists(at(r->in, "file")));
}

/* A daemon that is killed leaves nothing behind. */
static void test_all_goes_with_the_daemon(void **state)
{
	struct rig *r = *state;
	int fd;

	assert_int_equal(ask(r, HELPER_LISTEN, at(r->in, "a"), &fd), 0);
	close(fd);
	assert_int_equal(ask(r, HELPER_LISTEN, at(r->out, "ctl"), &fd), 0);
	close(fd);
	assert_int_equal(ask(r, HELPER_PIDFILE, at(r->out, "pid"), &fd), 0);
	close(fd);
	assert_true(exists(at(r->out, "pid")));
	helper_leave(r);
	assert_false(exists(at(r->in, "a")));
	assert_false(exists(at(r->out, "ctl")));
	assert_false(exists(at(r->out, "pid")));
}

static void test_a_directory_that_was_replaced_is_found(void **state)
{
	struct rig *r = *state;
	int fd;

	assert_int_equal(ask(r, HELPER_LISTEN, at(r->in, "a"), &fd), 0);
	close(fd);
	assert_int_equal(rename(r->in, at(r->dir, "old")), 0);
	assert_int_equal(ask_in_vain(r, HELPER_LISTEN, at(r->in, "a")), -ENOENT);
	assert_int_equal(mkdir(r->in, 0700), 0);
	assert_int_equal(ask(r, HELPER_LISTEN, at(r->in, "a"), &fd), 0);
	close(fd);
	assert_true(exists(at(r->in, "a")));
}

static void test_malformed_requests_are_refused(void **state)
{
	static struct helper_request good = {
		.magic = HELPER_MAGIC, .op = HELPER_LISTEN, .access = RW_SOCK_PRIVATE, .path = "x"};
	struct rig *r = *state;
	struct {
		struct helper_request req;
		char more[8];
	} bad = {.req = good};
	int fd;

	assert_int_equal(send_raw(r, &good, 1, -1, &fd), -EPROTO);
	assert_int_equal(send_raw(r, &good, sizeof(good) - 1, -1, &fd), -EPROTO);
	assert_int_equal(send_raw(r, &bad.req, sizeof(bad), -1, &fd), -EPROTO);
	assert_int_equal(send_raw(r, &good, sizeof(good), STDERR_FILENO, &fd), -EPROTO);
	bad.req.magic++;
	assert_int_equal(send_raw(r, &bad.req, sizeof(good), -1, &fd), -EPROTO);
	bad.req = good;
	bad.req.op = 0;
	assert_int_equal(send_raw(r, &bad.req, sizeof(good), -1, &fd), -EPROTO);
	bad.req.op = HELPER_OPS;
	assert_int_equal(send_raw(r, &bad.req, sizeof(good), -1, &fd), -EPROTO);
	bad.req = good;
	bad.req.access.mode = 01000;
	assert_int_equal(send_raw(r, &bad.req, sizeof(good), -1, &fd), -EPROTO);
	bad.req = good;
	bad.req.path[0] = 0;
	assert_int_equal(send_raw(r, &bad.req, sizeof(good), -1, &fd), -EPROTO);
	memset(bad.req.path, 'x', sizeof(bad.req.path));
	assert_int_equal(send_raw(r, &bad.req, sizeof(good), -1, &fd), -EPROTO);
	bad.req.path[sizeof(bad.req.path) - 1] = 0;
	assert_int_equal(send_raw(r, &bad.req, sizeof(good), -1, &fd), -EINVAL);
	/* And it goes on. */
	assert_int_equal(ask(r, HELPER_LISTEN, at(r->in, "a"), &fd), 0);
	close(fd);
}

/* The daemon believes the helper as little. */
static void test_malformed_replies_are_refused(void **state)
{
	const struct helper_request to = {.op = HELPER_LISTEN, .seq = 7};
	const struct helper_request unlinks = {.op = HELPER_UNLINK, .seq = 7};
	const struct helper_reply good = {.magic = HELPER_MAGIC, .seq = 7};
	struct helper_reply bad = good;

	(void)state;
	assert_true(helper_reply_valid(&good, sizeof(good), 1, &to));
	assert_true(helper_reply_valid(&good, sizeof(good), 0, &unlinks));
	assert_false(helper_reply_valid(&good, sizeof(good), 0, &to));
	assert_false(helper_reply_valid(&good, sizeof(good), 2, &to));
	assert_false(helper_reply_valid(&good, sizeof(good), 1, &unlinks));
	assert_false(helper_reply_valid(&good, sizeof(good) - 1, 1, &to));
	bad.magic = 0;
	assert_false(helper_reply_valid(&bad, sizeof(bad), 1, &to));
	bad = good;
	bad.seq++;
	assert_false(helper_reply_valid(&bad, sizeof(bad), 1, &to));
	bad = good;
	bad.ret = 1;
	assert_false(helper_reply_valid(&bad, sizeof(bad), 1, &to));
	bad.ret = -4096;
	assert_false(helper_reply_valid(&bad, sizeof(bad), 0, &to));
	bad.ret = -ENOENT;
	assert_true(helper_reply_valid(&bad, sizeof(bad), 0, &to));
	assert_false(helper_reply_valid(&bad, sizeof(bad), 1, &to));
	memset(bad.text, 'x', sizeof(bad.text));
	assert_false(helper_reply_valid(&bad, sizeof(bad), 0, &to));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sockets_listen_connect_and_go),
		TEST(test_a_socket_is_given_to_whom_it_is_for),
		TEST(test_users_and_groups_have_numbers),
		TEST(test_it_says_when_a_process_started),
		TEST(test_no_path_leaves_its_directory),
		TEST(test_one_file_is_read),
		TEST(test_links_lead_nowhere),
		TEST(test_a_socket_that_was_removed_is_lost_until_it_is_made_again),
		TEST(test_what_another_one_made_is_adopted),
		TEST(test_what_is_kept_outlives_the_daemon),
		TEST(test_only_what_was_made_is_removed),
		TEST(test_all_goes_with_the_daemon),
		TEST(test_a_directory_that_was_replaced_is_found),
		TEST(test_malformed_requests_are_refused),
		cmocka_unit_test(test_malformed_replies_are_refused),
	};

	return cmocka_run_group_tests_name("helper", tests, NULL, NULL);
}
