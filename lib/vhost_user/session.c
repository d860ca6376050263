/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

void vu_complain(const struct vu_session *s, const char *fmt, ...)
{
	char text[320];
	va_list ap;

	if (!s->ops->complained)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	s->ops->complained(s->dev, text);
}

void vu_session_release(struct vu_session *s)
{
	bool paused = true;

	rw_loop_del(s->loop, &s->conn->watch);
	rw_turn_cancel(s->loop, &s->turn);
	s->over = true;
	/*
	 * In a postcopy migration a thread may wait for a page that nobody will supply. What it
	 * does from here on does not matter, so the memory is cut off, which wakes it.
	 */
	if (s->nrings)
		paused = s->ops->rings_pause(s->dev, 0, s->nrings);
	vu_postcopy_release(s);
	if (!paused)
		paused = s->ops->rings_pause(s->dev, 0, s->nrings);
	assert(paused);
	(void)paused;
	vu_channel_free(s);
	vu_conn_free(s->conn);
	s->conn = NULL;
	for (unsigned i = 0; i < VU_MAX_RINGS; i++)
		vu_ring_reset(s, &s->rings[i]);
	vu_state_release(s);
	vu_inflight_release(s);
	vu_log_release(s);
	gm_iotlb_free(s->iotlb);
	s->iotlb = NULL;
	gm_map_free(s->mem);
	s->mem = NULL;
	s->waiting = false;
	vu_budget_note(s);
	vu_budget_fds(s);
}

/* reason: 0 the front-end has gone, or -errno. */
static void session_end(struct vu_session *s, int reason)
{
	vu_session_release(s);
	/* The owner may free the session in here. */
	s->ops->closed(s->dev, reason);
}

/* The message stays in the connection. Until it is carried out, only a hang-up is of interest. */
static void session_wait(struct vu_session *s)
{
	s->waiting = true;
	rw_loop_mod(s->loop, &s->conn->watch, EPOLLRDHUP);
}

void vu_serve(struct vu_session *s)
{
	struct rw_slice slice = rw_slice_begin();
	int ret = VU_CONN_WAIT;

	if (s->waiting)
		return;
	do {
		ret = rw_helper_is_full(s->offer.helper) ? -EMFILE : vu_conn_read(s->conn);
		if (vu_budget_fds(s))
			vu_conn_shed(s->conn);
		if (ret == VU_CONN_WAIT) {
			vu_channel_deliver(s);
			return;
		}
		if (ret == VU_CONN_EOF)
			break;
		if (ret < 0) {
			vu_complain(s, "closing the connection: %s", strerror(-ret));
			break;
		}
		ret = vu_dispatch(s);
		/* Its handler may have touched memory that is no longer there. */
		if (gm_owner_loss(&s->owner))
			ret = -EFAULT;
		if (ret == VU_LATER) {
			session_wait(s);
			return;
		}
		if (ret)
			break;
		vu_conn_next(s->conn);
	} while (!rw_slice_done(&slice));
	if (ret)
		session_end(s, ret == VU_CONN_EOF ? 0 : ret);
	else
		/* There may be more: after all other sessions that have something to do. */
		rw_turn_queue(s->loop, &s->turn);
}

static void turn_due(void *arg)
{
	vu_serve(arg);
}

static void on_event(void *arg, uint32_t events)
{
	struct vu_session *s = arg;

	if (!s->waiting)
		rw_turn_queue(s->loop, &s->turn); /* reading shows a hang-up, too */
	else if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		session_end(s, 0);
}

void vu_session_end_if_lost(struct vu_session *s)
{
	if (gm_owner_loss(&s->owner))
		session_end(s, -EFAULT);
}

void vu_session_retry(struct vu_session *s)
{
	if (!s->waiting)
		return;
	s->waiting = false;
	rw_loop_mod(s->loop, &s->conn->watch, EPOLLIN);
	vu_serve(s);
}

struct vu_session *vu_session_alloc(struct rw_loop *loop, const struct vu_offer *offer,
	const struct vu_ops *ops, void *dev, const char *name)
{
	struct vu_session *s = calloc(1, sizeof(*s));

	assert(offer->max_pairs * 2u <= VU_MAX_RINGS);
	if (!s)
		return NULL;
	s->loop = loop;
	s->offer = *offer;
	s->owner.any_file = offer->any_file;
	s->owner.helper = offer->helper;
	s->owner.budgets = offer->budgets;
	s->ops = ops;
	s->dev = dev;
	s->name = name;
	s->turn = (struct rw_turn){.fn = turn_due, .arg = s};
	s->log_mem_fd = -1;
	s->log_fd = -1;
	s->ufd = -1;
	s->inflight.fd = -1;
	for (unsigned i = 0; i < VU_MAX_RINGS; i++)
		vu_ring_init(&s->rings[i]);
	return s;
}

int vu_session_connect(struct vu_session *s, int fd, uint32_t events)
{
	struct vu_conn *conn = vu_conn_new(fd, s->offer.helper);
	int ret;

	if (!conn)
		return -ENOMEM;
	conn->watch.fn = on_event;
	conn->watch.arg = s;
	ret = rw_loop_add(s->loop, &conn->watch, fd, events);
	if (ret) {
		free(conn);
		return ret;
	}
	s->conn = conn;
	ret = vu_budget_fds(s);
	if (!ret)
		return 0;
	rw_loop_del(s->loop, &conn->watch);
	s->conn = NULL;
	free(conn);
	return ret;
}

struct vu_session *vu_session_new(struct rw_loop *loop, int fd, const struct vu_offer *offer,
	const struct vu_ops *ops, void *dev, const char *name)
{
	struct vu_session *s = vu_session_alloc(loop, offer, ops, dev, name);
	int ret = s ? vu_session_connect(s, fd, EPOLLIN) : -ENOMEM;

	if (!ret)
		return s;
	free(s);
	rw_helper_close(offer->helper, fd);
	errno = -ret;
	return NULL;
}

void vu_session_free(struct vu_session *s)
{
	if (!s)
		return;
	if (s->conn)
		vu_session_release(s);
	else
		gm_map_free(s->mem);
	free(s);
}

/* ---- what the owner may read ---- */

uint64_t vu_features(const struct vu_session *s)
{
	return s->features;
}

uint64_t vu_protocol_features(const struct vu_session *s)
{
	return s->protocol_features;
}

bool vu_has_feature(const struct vu_session *s, unsigned bit)
{
	return s->features >> bit & 1;
}

bool vu_has_protocol_feature(const struct vu_session *s, unsigned bit)
{
	return s->protocol_features >> bit & 1;
}

const struct gm_map *vu_mem(const struct vu_session *s)
{
	return s->mem;
}

const struct gm_owner *vu_owner(const struct vu_session *s)
{
	return &s->owner;
}

const struct gm_iotlb *vu_iotlb(const struct vu_session *s)
{
	return s->iotlb;
}

struct dl_log *vu_log(const struct vu_session *s)
{
	return s->log;
}

unsigned vu_nrings(const struct vu_session *s)
{
	return s->nrings;
}

const struct vu_ring *vu_ring(const struct vu_session *s, unsigned i)
{
	return &s->rings[i];
}

uint16_t vu_mtu(const struct vu_session *s)
{
	return s->mtu;
}

uint8_t vu_status(const struct vu_session *s)
{
	return s->status;
}

enum vu_postcopy vu_postcopy_state(const struct vu_session *s)
{
	return s->postcopy;
}

bool vu_has_channel(const struct vu_session *s)
{
	return s->channel;
}

bool vu_is_waiting(const struct vu_session *s)
{
	return s->waiting;
}

bool vu_is_over(const struct vu_session *s)
{
	return s->over;
}
