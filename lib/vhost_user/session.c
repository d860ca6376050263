/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"
#include "rw_log.h"

/*
 * Messages before the loop turns to the next session. Starting a ring takes about ten; a front-end
 * that sends without end delays the others by no more than this many.
 */
#define MESSAGES_PER_WAKEUP 16

void vu_complain(const struct vu_session *s, const char *fmt, ...)
{
	/* One for all sessions: one each would begin afresh with every reconnection. */
	static struct rw_log_limit limit;
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	rw_log_limited(&limit, RW_LOG_WARNING, "%s: %s", s->name, text);
}

/* Give back all that the session holds but itself. */
static void session_release(struct vu_session *s)
{
	rw_loop_del(s->loop, &s->conn->watch);
	if (s->nrings)
		s->ops->rings_pause(s->dev, 0, s->nrings);
	vu_conn_free(s->conn);
	s->conn = NULL;
	for (unsigned i = 0; i < VU_MAX_RINGS; i++)
		vu_ring_reset(&s->rings[i]);
	gm_map_free(s->mem);
	s->mem = NULL;
}

static void on_readable(void *arg, uint32_t events)
{
	struct vu_session *s = arg;
	int ret = VU_CONN_WAIT;

	(void)events; /* reading tells whatever they say */
	for (int i = 0; i < MESSAGES_PER_WAKEUP; i++) {
		ret = vu_conn_read(s->conn);
		if (ret == VU_CONN_WAIT)
			return;
		if (ret == VU_CONN_EOF)
			break;
		if (ret < 0) {
			vu_complain(s, "closing the connection: %s", strerror(-ret));
			break;
		}
		ret = vu_dispatch(s);
		if (ret)
			break;
		vu_conn_next(s->conn);
	}
	if (!ret)
		return;
	session_release(s);
	/* The owner may free the session in here. */
	s->ops->closed(s->dev, ret == VU_CONN_EOF ? 0 : ret);
}

struct vu_session *vu_session_new(struct rw_loop *loop, int fd, const struct vu_offer *offer,
	const struct vu_ops *ops, void *dev, const char *name)
{
	struct vu_session *s = calloc(1, sizeof(*s));
	int ret;

	assert(offer->max_pairs * 2u <= VU_MAX_RINGS);
	if (!s)
		goto err_close;
	s->loop = loop;
	s->offer = *offer;
	s->ops = ops;
	s->dev = dev;
	s->name = name;
	for (unsigned i = 0; i < VU_MAX_RINGS; i++)
		vu_ring_init(&s->rings[i]);
	s->conn = vu_conn_new(fd);
	if (!s->conn)
		goto err_free;
	s->conn->watch.fn = on_readable;
	s->conn->watch.arg = s;
	ret = rw_loop_add(loop, &s->conn->watch, fd, EPOLLIN);
	if (ret)
		goto err_conn;
	return s;
err_conn:
	vu_conn_free(s->conn);
	free(s);
	errno = -ret;
	return NULL;
err_free:
	free(s);
err_close:
	close(fd);
	errno = ENOMEM;
	return NULL;
}

void vu_session_free(struct vu_session *s)
{
	if (!s)
		return;
	if (s->conn)
		session_release(s);
	free(s);
}
