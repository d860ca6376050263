/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answer.h"
#include "attach.h"
#include "feed.h"
#include "rw_log.h"
#include "rw_sock.h"

#define READ_BYTES      (64u << 10) /* at most, in one turn of a client */
#define ACCEPT_PAUSE_MS 100         /* after accept ran out of something that may come back */

struct client {
	struct ctl_server *srv; /* NULL: the slot is free */
	struct rw_watch watch;
	struct rw_turn turn;      /* queued while there is something to answer */
	struct rw_timer stall;    /* runs while answers wait in `out` */
	uint32_t interest;        /* what `watch` waits for */
	uid_t uid;                /* whose it is */
	struct ctl_answer answer; /* to the line in hand, */
	bool answering;           /* if there is one */
	struct buf in;            /* received, not answered yet */
	size_t scanned;           /* bytes of `in` known to hold no newline */
	struct buf out;           /* answers and events, not sent yet */
	struct ctl_feed feed;     /* events that do not wait in `out` yet */
	bool eof;                 /* nothing more is read: close when all is answered and sent */
	bool send_failed;         /* sending failed: answers are thrown away */
	bool broken;              /* close it now */
	struct ctl_attached attached;
};

struct ctl_server {
	struct rw_loop *loop;
	struct rw_watch listener;
	struct rw_timer accept_again;
	struct ctl_table table;
	uint64_t stall_ms;
	char path[RW_SOCK_PATH_MAX + 1];
	struct rw_sock_id id; /* the socket file, to remove no other one at the end */
	int lost;             /* -errno: it is not there and cannot be made, as was said */
	struct rw_log_limit log_limit;

	/* Events. */
	const struct ctl_event_kind *kinds;
	unsigned nkinds;
	uint32_t wanted; /* by any client, as bits */
	void (*wanted_fn)(void *arg, uint32_t kinds);
	void *wanted_arg;
	struct client *caller;      /* whose request is being answered now */
	struct ctl_foreign foreign; /* closes what clients sent */

	struct client clients[CTL_CLIENTS_MAX];
};

/* Find out which kinds of events anybody wants. */
static void wanted_update(struct ctl_server *srv)
{
	uint32_t wanted = 0;

	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++)
		wanted |= srv->clients[i].feed.kinds;
	if (wanted == srv->wanted)
		return;
	srv->wanted = wanted;
	if (srv->wanted_fn)
		srv->wanted_fn(srv->wanted_arg, wanted);
}

void ctl_close_fd(struct ctl_server *srv, int fd)
{
	ctl_foreign_close(&srv->foreign, fd);
}

static void client_close(struct client *c)
{
	struct ctl_server *srv = c->srv;
	struct rw_loop *loop = srv->loop;
	struct ctl_attached attached = c->attached;
	int fd = c->watch.fd;

	rw_turn_cancel(loop, &c->turn);
	rw_timer_stop(loop, &c->stall);
	ctl_answer_end(&c->answer);
	rw_loop_del(loop, &c->watch);
	close(fd);
	free(c->in.data);
	free(c->out.data);
	ctl_feed_end(&c->feed);
	*c = (struct client){0};
	wanted_update(srv);
	ctl_attached_end(&attached, &srv->foreign);
}

/* Send what the client takes. */
static void client_flush(struct client *c)
{
	size_t before = c->out.len;
	ssize_t n;

	while (c->out.len) {
		n = send(c->watch.fd, c->out.data + c->out.start, c->out.len,
			MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			/* The requests that it sent before are still carried out. */
			c->send_failed = true;
		buf_consume(&c->out, n < 0 ? c->out.len : (size_t)n);
	}
	if (!c->out.len)
		rw_timer_stop(c->srv->loop, &c->stall);
	else if (c->out.len < before || !c->stall.active)
		rw_timer_start(c->srv->loop, &c->stall, c->srv->stall_ms, 0);
}

static void client_stalled(void *arg)
{
	struct client *c = arg;

	if (c->feed.kinds)
		return;
	rw_log_limited(&c->srv->log_limit, RW_LOG_WARNING,
		"control: closed a client that does not read its answers");
	client_close(c);
}

/* A step of the answer was made: `ret` says how. */
static void client_added(struct client *c, int ret)
{
	if (c->send_failed)
		buf_consume(&c->out, c->out.len);
	if (!ret && c->out.len <= CTL_OUTPUT_HIGH + CTL_OUTPUT_MAX)
		return;
	rw_log_limited(&c->srv->log_limit, RW_LOG_WARNING,
		"control: closed a client: its answer is too large");
	c->broken = true;
}

static void client_refuse_line(struct client *c)
{
	struct ctl_failure fail;
	int ret;

	ctl_fail(&fail, CTL_ERR_REQUEST, "Invalid Request: a line has at most %u bytes",
		CTL_LINE_MAX);
	ret = ctl_error_add(&c->out, &fail);
	client_added(c, ret ? ret : buf_add(&c->out, "\n", 1));
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

/* Begin to answer the line that came first. False: none waits. */
static bool line_begin(struct client *c)
{
	const char *line;
	size_t len = 0;
	bool whole = client_has_line(c, &len);

	if (!whole && c->in.len <= CTL_LINE_MAX)
		return false;
	if (!whole || len > CTL_LINE_MAX) {
		client_refuse_line(c);
		return false;
	}
	line = c->in.data + c->in.start;
	if (!is_blank(line, len)) {
		client_added(c, ctl_answer_begin(&c->answer, &c->srv->table, line, len, &c->out));
		c->answering = true;
	}
	buf_consume(&c->in, len + 1);
	c->scanned = 0;
	return true;
}

/* One item. Whether there may be another one. */
static bool client_step(struct client *c)
{
	if (!c->answering)
		return line_begin(c);
	if (ctl_answer_goes_on(&c->answer)) {
		client_added(c, ctl_answer_step(&c->answer, &c->out));
		return true;
	}
	if (c->answer.nonempty)
		client_added(c, buf_add(&c->out, "\n", 1));
	c->answering = false;
	return true;
}

static void client_read(struct client *c)
{
	ssize_t n;

	if (buf_reserve(&c->in, READ_BYTES)) {
		c->broken = true;
		return;
	}
	n = ctl_receive(c->watch.fd, c->in.data + c->in.start + c->in.len, READ_BYTES - 1,
		&c->attached, &c->srv->foreign);
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

/* Whether so much waits for the client that it is not served further. */
static bool client_is_full(const struct client *c)
{
	return c->out.len >= CTL_OUTPUT_HIGH;
}

/* Events stand between two answers. */
static void client_feed(struct client *c)
{
	if (c->answering || client_is_full(c) || !ctl_feed_waits(&c->feed))
		return;
	if (ctl_feed_take(&c->feed, &c->out))
		c->broken = true;
}

/* One slice of work for a client; then set the events to wait for. */
static void client_turn(void *arg)
{
	struct client *c = arg;
	struct rw_slice slice = rw_slice_begin();
	bool more = true;
	uint32_t interest;

	c->srv->caller = c;
	while (more && !c->broken && !client_is_full(c)) {
		more = client_step(c);
		if (rw_slice_done(&slice) || c->answer.waits)
			break;
	}
	c->srv->caller = NULL;
	if (!c->broken)
		client_feed(c);
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
	if (more && !client_is_full(c))
		rw_turn_queue(c->srv->loop, &c->turn);
}

static void client_event(void *arg, uint32_t events)
{
	struct client *c = arg;

	if (c->turn.active)
		return;
	if ((c->interest & EPOLLIN) && (events & ~(uint32_t)EPOLLOUT))
		client_read(c);
	else if (c->out.len)
		client_flush(c);
	rw_turn_queue(c->srv->loop, &c->turn);
}

static uid_t peer_uid(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) ? (uid_t)-1 : peer.uid;
}

/* A free slot for a client of `uid`. The last one is root's. NULL: there is none. */
static struct client *client_slot(struct ctl_server *srv, uid_t uid)
{
	struct client *slot = NULL;
	unsigned nothers = 0;

	for (struct client *c = srv->clients; c < srv->clients + CTL_CLIENTS_MAX; c++) {
		if (!c->srv)
			slot = c;
		else if (c->uid)
			nothers++;
	}
	return uid && nothers >= CTL_CLIENTS_MAX - 1 ? NULL : slot;
}

/* Serve the connection `fd`. 0 or -errno; `fd` stays the caller's on failure. */
static int client_new(struct ctl_server *srv, int fd)
{
	uid_t uid = peer_uid(fd);
	struct client *c = client_slot(srv, uid);
	int ret;

	if (!c)
		return -EUSERS;
	c->watch.fn = client_event;
	c->watch.arg = c;
	c->turn = (struct rw_turn){.fn = client_turn, .arg = c};
	c->stall = (struct rw_timer){.fn = client_stalled, .arg = c};
	c->uid = uid;
	c->interest = EPOLLIN;
	ret = rw_loop_add(srv->loop, &c->watch, fd, c->interest);
	if (!ret)
		c->srv = srv;
	return ret;
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
		ctl_turn_away(fd, "too many clients");
}

void ctl_server_mend(struct ctl_server *srv)
{
	int old = srv->listener.fd, fd;
	struct rw_sock_id id;

	if (rw_sock_is_there(srv->path, &srv->id))
		return;
	fd = rw_sock_listen(srv->path, &RW_SOCK_PRIVATE, &id);
	if (fd < 0) {
		if (fd != srv->lost)
			rw_log_limited(&srv->log_limit, RW_LOG_WARNING,
				"control: %s was removed or replaced: %s", srv->path,
				rw_sock_strerror(fd));
		srv->lost = fd;
		return;
	}
	srv->lost = 0;
	rw_log_limited(&srv->log_limit, RW_LOG_WARNING,
		"control: %s was removed or replaced; it is there again", srv->path);
	rw_timer_stop(srv->loop, &srv->accept_again);
	rw_loop_del(srv->loop, &srv->listener);
	close(old);
	srv->id = id;
	if (rw_loop_add(srv->loop, &srv->listener, fd, EPOLLIN)) {
		rw_error("control: cannot accept clients any more");
		close(fd);
	}
}

/* A server on the socket `fd` that listens, whose file is `id`. 0; or -errno, `fd` is untouched. */
static int server_make(struct rw_loop *loop, int fd, const char *path, const struct rw_sock_id *id,
	const struct ctl_table *table, struct ctl_server **out)
{
	struct ctl_server *srv = calloc(1, sizeof(*srv));
	int ret;

	if (!srv)
		return -ENOMEM;
	strcpy(srv->path, path);
	srv->id = *id;
	srv->loop = loop;
	srv->foreign.loop = loop;
	srv->table = *table;
	srv->stall_ms = CTL_STALL_MS;
	srv->listener.fn = server_accept;
	srv->listener.arg = srv;
	srv->accept_again.fn = server_accept_again;
	srv->accept_again.arg = srv;
	ret = rw_loop_add(loop, &srv->listener, fd, EPOLLIN);
	if (ret)
		free(srv);
	else
		*out = srv;
	return ret;
}

struct ctl_server *ctl_server_new(struct rw_loop *loop, const char *path,
	const struct ctl_method *methods, size_t nmethods, void *ctx)
{
	const struct ctl_table table = {methods, nmethods, ctx};
	struct ctl_server *srv = NULL;
	struct rw_sock_id id;
	int ret, fd = rw_sock_listen(path, &RW_SOCK_PRIVATE, &id); /* refuses a path too long */

	ret = fd < 0 ? fd : server_make(loop, fd, path, &id, &table, &srv);
	if (!ret)
		return srv;
	if (fd >= 0) {
		rw_sock_unlink(path, &id);
		close(fd);
	}
	errno = -ret;
	return NULL;
}

struct ctl_server *ctl_server_take(struct rw_loop *loop, const struct ctl_listener *at,
	const struct ctl_method *methods, size_t nmethods, void *ctx)
{
	const struct ctl_table table = {methods, nmethods, ctx};
	struct ctl_server *srv = NULL;
	int ret = -ENAMETOOLONG;

	if (strlen(at->path) <= RW_SOCK_PATH_MAX)
		ret = server_make(loop, at->fd, at->path, &at->id, &table, &srv);

	if (ret)
		errno = -ret;
	return srv;
}

struct ctl_listener ctl_server_listener(const struct ctl_server *srv)
{
	return (struct ctl_listener){srv->listener.fd, srv->path, srv->id};
}

int ctl_take_caller(struct ctl_server *srv)
{
	struct client *c = srv->caller;
	int fd = c ? fcntl(c->watch.fd, F_DUPFD_CLOEXEC, 0) : -1;

	if (fd < 0)
		return c ? -errno : -ENOTCONN;
	/* Its answer is sent, and nothing more is read. */
	c->eof = true;
	return fd;
}

void ctl_server_set_stall(struct ctl_server *srv, uint64_t ms)
{
	srv->stall_ms = ms;
}

/* ---- events ---- */

void ctl_server_events(struct ctl_server *srv, const struct ctl_event_kind *kinds, unsigned nkinds,
	void (*wanted)(void *arg, uint32_t kinds), void *arg)
{
	srv->kinds = kinds;
	srv->nkinds = nkinds;
	srv->wanted_fn = wanted;
	srv->wanted_arg = arg;
}

uint32_t ctl_server_wanted(const struct ctl_server *srv)
{
	return srv->wanted;
}

int ctl_subscribe(struct ctl_server *srv, uint32_t kinds, const char *subject)
{
	struct client *c = srv->caller;

	if (!c)
		return -ENOTCONN;
	if (strlen(subject) > CTL_SUBJECT_MAX)
		return -ENAMETOOLONG;
	/* What waits already was wanted then. */
	c->feed.kinds = kinds;
	strcpy(c->feed.subject, subject);
	wanted_update(srv);
	return 0;
}

int ctl_take_fd(struct ctl_server *srv)
{
	return srv->caller ? ctl_attached_take(&srv->caller->attached) : -ENOTCONN;
}

int ctl_tie(struct ctl_server *srv, void (*fn)(void *arg), void *arg)
{
	return srv->caller ? ctl_attached_tie(&srv->caller->attached, fn, arg) : -ENOTCONN;
}

void ctl_untie(struct ctl_server *srv, void *arg)
{
	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++)
		ctl_attached_untie(&srv->clients[i].attached, arg);
}

/* There is something for the client. */
static void client_wake(struct client *c)
{
	if (!client_is_full(c))
		rw_turn_queue(c->srv->loop, &c->turn);
}

void ctl_emit(struct ctl_server *srv, unsigned kind, const char *const subjects[2], json_t *params)
{
	char *line = NULL;
	size_t len;

	for (size_t i = 0; i < CTL_CLIENTS_MAX && (srv->wanted >> kind & 1); i++) {
		struct client *c = &srv->clients[i];

		if (!ctl_feed_wants(&c->feed, kind, subjects))
			continue;
		if (!line)
			line = ctl_event_line(srv->kinds[kind].name, params, &len);
		if (line)
			ctl_feed_add(&c->feed, line, len);
		else
			ctl_feed_lose(&c->feed, 1);
		client_wake(c);
	}
	free(line);
	json_decref(params);
}

void ctl_lose(struct ctl_server *srv, uint32_t kinds, uint64_t n)
{
	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		struct client *c = &srv->clients[i];

		if (!(c->feed.kinds & kinds))
			continue;
		ctl_feed_lose(&c->feed, n);
		client_wake(c);
	}
}

void ctl_server_free(struct ctl_server *srv)
{
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
	rw_sock_unlink(srv->path, &srv->id);
	close(fd);
	rw_helper_free(srv->foreign.helper);
	free(srv);
}
