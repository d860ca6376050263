/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* A control server in a temporary directory, and clients that a test plays. One thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.h"
#include "rw_sock.h"

/* The program behind the server. */
struct subject {
	unsigned calls;       /* of "subtract" and "slow" */
	unsigned nbig;        /* calls of "big" */
	size_t counted;       /* elements of "count" */
	unsigned waits, gone; /* calls of "wait", and of what follows it */
	const json_t *waiter; /* its params */
	bool ready;           /* "wait" answers */
	struct rw_loop *loop; /* left by "quit" */
	struct ctl_server *srv;
	uint32_t wanted; /* kinds of events */
	unsigned tied;   /* clients with a tie that are gone */
};

static inline json_t *subtract(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	json_int_t a, b;

	((struct subject *)ctx)->calls++;
	if (json_unpack((json_t *)params, "[I, I]", &a, &b) &&
		json_unpack((json_t *)params, "{s:I, s:I}", "minuend", &a, "subtrahend", &b))
		return ctl_fail(fail, CTL_ERR_PARAMS, "Invalid params: two numbers are wanted");
	return json_integer(a - b);
}

static inline json_t *slow(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	(void)params;
	(void)fail;
	((struct subject *)ctx)->calls++;
	usleep(500);
	return json_true();
}

static inline json_t *big(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	char *text = malloc(1u << 20);
	json_t *result;

	(void)params;
	(void)fail;
	((struct subject *)ctx)->nbig++;
	memset(text, 'x', 1u << 20);
	result = json_stringn(text, 1u << 20);
	free(text);
	return result;
}

#define COUNT 1000

static inline json_t *count(
	void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail)
{
	(void)params;
	(void)fail;
	if (*cursor == COUNT)
		return NULL;
	((struct subject *)ctx)->counted++;
	return json_integer((json_int_t)(*cursor)++);
}

static inline json_t *quit(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	(void)params;
	(void)fail;
	rw_loop_quit(((struct subject *)ctx)->loop);
	return json_true();
}

/* params: the kinds, and the subject. */
static inline json_t *subscribe(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct subject *s = ctx;
	int ret = ctl_subscribe(s->srv, (uint32_t)json_integer_value(json_array_get(params, 0)),
		json_string_value(json_array_get(params, 1)));

	return ret ? ctl_fail(fail, CTL_ERR_FAILED, "%s", strerror(-ret)) : json_true();
}

/* Answers when it may. */
static inline json_t *wait_for(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	struct subject *s = ctx;

	if (s->waits++ && s->waiter != params)
		return ctl_fail(fail, CTL_ERR_FAILED, "these are other params");
	s->waiter = params;
	return s->ready ? json_true() : ctl_later(fail);
}

static inline void wait_gone(void *ctx, const json_t *params)
{
	struct subject *s = ctx;

	s->gone += params == s->waiter;
}

/* How many bytes the file has whose descriptor came, which is then closed. */
static inline json_t *measure(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	struct subject *s = ctx;
	int fd = ctl_take_fd(s->srv);
	struct stat st = {0};

	(void)params;
	if (fd < 0)
		return ctl_fail(fail, CTL_ERR_FAILED, "%s", strerror(-fd));
	fstat(fd, &st);
	ctl_close_fd(s->srv, fd);
	return json_integer(st.st_size);
}

static inline void tied_gone(void *arg)
{
	((struct subject *)arg)->tied++;
}

static inline json_t *tie(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	struct subject *s = ctx;
	int ret = ctl_tie(s->srv, tied_gone, s);

	(void)params;
	return ret ? ctl_fail(fail, CTL_ERR_FAILED, "%s", strerror(-ret)) : json_true();
}

static const struct ctl_method methods[] = {
	{.name = "measure", .fn = measure},
	{.name = "tie", .fn = tie},
	{.name = "wait", .fn = wait_for, .gone = wait_gone},
	{.name = "subscribe", .fn = subscribe},
	{.name = "subtract", .fn = subtract},
	{.name = "slow", .fn = slow},
	{.name = "big", .fn = big},
	{.name = "quit", .fn = quit},
	{.name = "count", .each = count},
};

/* A server in a directory of its own. */
struct place {
	char dir[32], path[64];
	struct subject subject;
	struct ctl_server *srv;
};

static inline struct ctl_server *serve(struct place *p)
{
	return ctl_server_new(
		p->subject.loop, p->path, methods, RW_ARRAY_SIZE(methods), &p->subject);
}

static inline int place_setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	strcpy(p->dir, "/tmp/rw-control-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/c.sock", p->dir);
	p->subject.loop = rw_loop_new();
	p->srv = serve(p);
	p->subject.srv = p->srv;
	assert_non_null(p->srv);
	*state = p;
	return 0;
}

static inline int place_teardown(void **state)
{
	struct place *p = *state;

	ctl_server_free(p->srv);
	rw_loop_free(p->subject.loop);
	unlink(p->path);
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

static inline int client(const struct place *p)
{
	int fd = rw_sock_connect(p->path);

	assert_true(fd >= 0);
	return fd;
}

static inline void put(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Let the server work until it has nothing to do, or `fd` (-1: any) has something to read. */
static inline void run(struct place *p, int fd)
{
	char c;

	for (int idle = 0; idle < 3; idle++) {
		rw_loop_once(p->subject.loop, 1);
		if (fd >= 0 && recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
			return;
	}
}

/* The next line of the server, without its newline; fails after a second of silence. */
static inline char *get_line(struct place *p, int fd, char *line, size_t size)
{
	uint64_t silent_ms = rw_now_ms() + 1000;
	char *end = NULL;
	size_t len = 0;

	while (!end) {
		ssize_t n = recv(fd, line + len, size - len, MSG_PEEK | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN && rw_now_ms() < silent_ms) {
			rw_loop_once(p->subject.loop, 1);
			continue;
		}
		if (n <= 0)
			fail_msg("%s instead of a line", n ? strerror(errno) : "the end");
		end = memchr(line + len, '\n', (size_t)n);
		n = end ? end + 1 - (line + len) : n;
		assert_int_equal(recv(fd, line + len, (size_t)n, 0), n);
		len += (size_t)n;
	}
	*end = 0;
	return line;
}

static inline void expect_line(struct place *p, int fd, const char *want)
{
	char line[512];

	assert_string_equal(get_line(p, fd, line, sizeof(line)), want);
}

/* The server closes `fd` without another byte. */
static inline void expect_end(struct place *p, int fd)
{
	char c;

	run(p, fd);
	run(p, fd);
	assert_true(recv(fd, &c, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET);
	close(fd);
}

#define CALL(id) "{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",\"params\":[3,1],\"id\":" #id "}"
#define DONE(id) "{\"jsonrpc\":\"2.0\",\"result\":2,\"id\":" #id "}"

#define with_server(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)
