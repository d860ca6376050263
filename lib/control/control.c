/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rw_log.h"
#include "rw_sock.h"

#define READ_BYTES      (64u << 10) /* at most, in one turn of a client */
#define ACCEPT_PAUSE_MS 100         /* after accept ran out of something that may come back */

/* Bytes that wait: data[start, start + len). */
struct buf {
	char *data;
	size_t start, len, cap;
};

struct client {
	struct ctl_server *srv; /* NULL: the slot is free */
	struct rw_watch watch;
	struct rw_timer next_turn; /* runs while whole lines wait in `in` */
	uint32_t interest;         /* what `watch` waits for */
	struct buf in;             /* received, not answered yet */
	size_t scanned;            /* bytes of `in` known to hold no newline */
	struct buf out;            /* answers, not sent yet */
	bool eof;                  /* nothing more is read: close when all is answered and sent */
	bool send_failed;          /* sending failed: answers are thrown away */
	bool broken;               /* close it now */
};

struct ctl_server {
	struct rw_loop *loop;
	struct rw_watch listener;
	struct rw_timer accept_again;
	const struct ctl_method *methods;
	size_t nmethods;
	void *ctx;
	char path[RW_SOCK_PATH_MAX + 1];
	dev_t dev; /* the socket file, to remove no other one at the end */
	ino_t ino;
	struct rw_log_limit log_limit;
	struct client clients[CTL_CLIENTS_MAX];
};

/* Make room for `more` bytes behind the present ones. */
static int buf_reserve(struct buf *b, size_t more)
{
	size_t cap = RW_MAX(b->cap, 4096u);
	char *data;

	if (b->start + b->len + more <= b->cap)
		return 0;
	if (b->start)
		memmove(b->data, b->data + b->start, b->len);
	b->start = 0;
	while (cap < b->len + more)
		cap *= 2;
	if (cap == b->cap)
		return 0;
	data = realloc(b->data, cap);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->cap = cap;
	return 0;
}

/* Drop `n` bytes at the front. An empty buffer keeps no memory: most clients are idle. */
static void buf_consume(struct buf *b, size_t n)
{
	b->start += n;
	b->len -= n;
	if (b->len)
		return;
	free(b->data);
	*b = (struct buf){0};
}

static void client_close(struct client *c)
{
	struct rw_loop *loop = c->srv->loop;
	int fd = c->watch.fd;

	rw_timer_stop(loop, &c->next_turn);
	rw_loop_del(loop, &c->watch);
	close(fd);
	free(c->in.data);
	free(c->out.data);
	*c = (struct client){0};
}

static void client_flush(struct client *c)
{
	ssize_t n;

	while (c->out.len) {
		n = send(c->watch.fd, c->out.data + c->out.start, c->out.len,
			MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			c->send_failed =
				true; /* the requests that it sent before are still carried out */
		buf_consume(&c->out, n < 0 ? c->out.len : (size_t)n);
	}
}

/* Queue one answer, which is freed. */
static void client_queue(struct client *c, char *answer)
{
	size_t len = answer ? strlen(answer) : 0;

	if (!answer || c->send_failed)
		goto out;
	if (c->out.len + len + 1 > CTL_OUTPUT_MAX)
		client_flush(c);
	if (c->out.len + len + 1 > CTL_OUTPUT_MAX || buf_reserve(&c->out, len + 1)) {
		rw_log_limited(&c->srv->log_limit, RW_LOG_WARNING,
			"control: closed a client that does not read its answers");
		c->broken = true;
		goto out;
	}
	memcpy(c->out.data + c->out.start + c->out.len, answer, len);
	c->out.data[c->out.start + c->out.len + len] = '\n';
	c->out.len += len + 1;
out:
	free(answer);
}

static void client_refuse_line(struct client *c)
{
	struct ctl_failure fail;

	ctl_fail(&fail, CTL_ERR_REQUEST, "Invalid Request: a line has at most %u bytes",
		CTL_LINE_MAX);
	client_queue(c, ctl_error_text(&fail));
	buf_consume(&c->in, c->in.len);
	c->scanned = 0;
	c->eof = true;
}

/* Whether a whole line waits; `*len` is its length without the newline. */
static bool client_has_line(struct client *c, size_t *len)
{
	const char *line, *end;

	if (c->scanned == c->in.len)
		return false;
	line = c->in.data + c->in.start;
	end = memchr(line + c->scanned, '\n', c->in.len - c->scanned);
	c->scanned = end ? (size_t)(end - line) : c->in.len;
	*len = c->scanned;
	return end;
}

static bool is_blank(const char *line, size_t len)
{
	while (len && memchr(" \t\r", line[len - 1], 3))
		len--;
	return !len;
}

/* Answer the line that came first. Whether another one waits. */
static bool client_serve(struct client *c)
{
	const struct ctl_server *srv = c->srv;
	const char *line;
	size_t len = 0;
	bool whole = client_has_line(c, &len);

	if (whole && len <= CTL_LINE_MAX) {
		line = c->in.data + c->in.start;
		if (!is_blank(line, len)) {
			client_queue(
				c, ctl_answer(srv->methods, srv->nmethods, srv->ctx, line, len));
		}
		buf_consume(&c->in, len + 1);
		c->scanned = 0;
		whole = client_has_line(c, &len);
	}
	if (!whole && c->in.len <= CTL_LINE_MAX)
		return false;
	if (whole && len <= CTL_LINE_MAX)
		return true;
	client_refuse_line(c);
	return false;
}

static void client_read(struct client *c)
{
	ssize_t n;

	if (buf_reserve(&c->in, READ_BYTES)) {
		c->broken = true;
		return;
	}
	n = recv(c->watch.fd, c->in.data + c->in.start + c->in.len, READ_BYTES - 1, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		c->in.len += (size_t)n;
		return;
	}
	c->eof = true;
	if (c->in.len)
		c->in.data[c->in.start + c->in.len++] = '\n'; /* the end of the stream ends it */
}

/*
 * Answer one line, send, and set the events to wait for. A client with more lines continues in a
 * timer, after whatever else the loop has to do.
 */
static void client_turn(void *arg)
{
	struct client *c = arg;
	bool more = client_serve(c);
	uint32_t interest;

	if (!c->broken)
		client_flush(c);
	if (c->broken || (c->eof && !more && !c->out.len)) {
		client_close(c);
		return;
	}
	interest = (c->eof || more ? 0 : EPOLLIN) | (c->out.len ? EPOLLOUT : 0);
	if (interest != c->interest && rw_loop_mod(c->srv->loop, &c->watch, interest)) {
		client_close(c);
		return;
	}
	c->interest = interest;
	if (more)
		rw_timer_start(c->srv->loop, &c->next_turn, 0, 0);
}

static void client_event(void *arg, uint32_t events)
{
	struct client *c = arg;

	if ((c->interest & EPOLLIN) && (events & ~(uint32_t)EPOLLOUT))
		client_read(c);
	client_turn(c);
}

/* Serve the connection `fd`. 0 or -errno; `fd` stays the caller's on failure. */
static int client_new(struct ctl_server *srv, int fd)
{
	struct client *c = srv->clients;
	int ret;

	while (c < srv->clients + CTL_CLIENTS_MAX && c->srv)
		c++;
	if (c == srv->clients + CTL_CLIENTS_MAX)
		return -EUSERS;
	c->watch.fn = client_event;
	c->watch.arg = c;
	c->next_turn.fn = client_turn;
	c->next_turn.arg = c;
	c->interest = EPOLLIN;
	ret = rw_loop_add(srv->loop, &c->watch, fd, c->interest);
	if (!ret)
		c->srv = srv;
	return ret;
}

/* Send one line that says why, then close. */
static void refuse(int fd, const char *why)
{
	struct ctl_failure fail;
	char *text;

	ctl_fail(&fail, CTL_ERR_FAILED, "%s", why);
	text = ctl_error_text(&fail);
	/* A new connection has room for a line. */
	if (!text || send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 ||
		send(fd, "\n", 1, MSG_NOSIGNAL) < 0)
		rw_debug("control: could not tell a client why it is refused");
	free(text);
	close(fd);
}

static void server_accept_again(void *arg)
{
	struct ctl_server *srv = arg;

	/* Without it no client is accepted any more; the switch continues. */
	if (rw_loop_mod(srv->loop, &srv->listener, EPOLLIN))
		rw_error("control: cannot accept clients any more");
}

static void server_accept(void *arg, uint32_t events)
{
	struct ctl_server *srv = arg;
	int fd;

	(void)events;
	fd = accept4(srv->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return;
	if (fd < 0) {
		/* The client still waits in the queue, so epoll would report it without end. */
		rw_log_limited(&srv->log_limit, RW_LOG_WARNING,
			"control: cannot accept a client: %s", strerror(errno));
		if (!rw_loop_mod(srv->loop, &srv->listener, 0))
			rw_timer_start(srv->loop, &srv->accept_again, ACCEPT_PAUSE_MS, 0);
		return;
	}
	if (client_new(srv, fd))
		refuse(fd, "too many clients");
}

struct ctl_server *ctl_server_new(struct rw_loop *loop, const char *path,
	const struct ctl_method *methods, size_t nmethods, void *ctx)
{
	struct ctl_server *srv = calloc(1, sizeof(*srv));
	struct stat st;
	int fd, ret;

	if (!srv)
		return NULL;
	fd = rw_sock_listen(path, 0600);
	ret = fd;
	if (ret < 0)
		goto free_srv;
	strcpy(srv->path, path); /* fits: rw_sock_listen refuses a longer one */
	if (!lstat(path, &st)) {
		srv->dev = st.st_dev;
		srv->ino = st.st_ino;
	}
	srv->loop = loop;
	srv->methods = methods;
	srv->nmethods = nmethods;
	srv->ctx = ctx;
	srv->listener.fn = server_accept;
	srv->listener.arg = srv;
	srv->accept_again.fn = server_accept_again;
	srv->accept_again.arg = srv;
	ret = rw_loop_add(loop, &srv->listener, fd, EPOLLIN);
	if (ret)
		goto close_fd;
	return srv;

close_fd:
	close(fd);
	unlink(path);
free_srv:
	free(srv);
	errno = -ret;
	return NULL;
}

void ctl_server_free(struct ctl_server *srv)
{
	struct stat st;
	int fd;

	if (!srv)
		return;
	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		if (srv->clients[i].srv)
			client_close(&srv->clients[i]);
	}
	fd = srv->listener.fd;
	rw_timer_stop(srv->loop, &srv->accept_again);
	rw_loop_del(srv->loop, &srv->listener);
	/* Removed while the socket still listens, so that nobody else can have replaced it. */
	if (!lstat(srv->path, &st) && st.st_dev == srv->dev && st.st_ino == srv->ino)
		unlink(srv->path);
	close(fd);
	free(srv);
}
