/* SPDX-License-Identifier: BSD-3-Clause */
#include "rw_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_PER_WAIT 64

struct rw_loop {
	int epfd;
	bool quit;
	struct rw_timer *timers; /* by expires_ms, soonest first: there are few */
	struct rw_turn *first, *last;
	uint64_t pass; /* number of the present pass over the turns */
	int nevents;   /* events collected by the current epoll_wait */
	struct epoll_event events[EVENTS_PER_WAIT];
};

uint64_t rw_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t rw_now_ms(void)
{
	return rw_now_us() / 1000;
}

struct rw_loop *rw_loop_new(void)
{
	struct rw_loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return NULL;
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0) {
		free(loop);
		return NULL;
	}
	return loop;
}

void rw_loop_free(struct rw_loop *loop)
{
	if (!loop)
		return;
	close(loop->epfd);
	free(loop);
}

int rw_loop_add(struct rw_loop *loop, struct rw_watch *w, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	if (epoll_ctl(loop->epfd, EPOLL_CTL_ADD, fd, &ev))
		return -errno;
	w->fd = fd;
	w->active = true;
	return 0;
}

int rw_loop_mod(struct rw_loop *loop, struct rw_watch *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	return epoll_ctl(loop->epfd, EPOLL_CTL_MOD, w->fd, &ev) ? -errno : 0;
}

void rw_loop_del(struct rw_loop *loop, struct rw_watch *w)
{
	if (!w->active)
		return;
	epoll_ctl(loop->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	w->active = false;
	w->fd = -1;
	for (int i = 0; i < loop->nevents; i++) {
		if (loop->events[i].data.ptr == w)
			loop->events[i].data.ptr = NULL;
	}
}

void rw_timer_stop(struct rw_loop *loop, struct rw_timer *t)
{
	struct rw_timer **p;

	if (!t->active)
		return;
	for (p = &loop->timers; *p != t; p = &(*p)->next)
		;
	*p = t->next;
	t->active = false;
}

static void timer_insert(struct rw_loop *loop, struct rw_timer *t)
{
	struct rw_timer **p;

	for (p = &loop->timers; *p && (*p)->expires_ms <= t->expires_ms; p = &(*p)->next)
		;
	t->next = *p;
	*p = t;
	t->active = true;
}

void rw_timer_start(struct rw_loop *loop, struct rw_timer *t, uint64_t delay_ms, uint64_t period_ms)
{
	rw_timer_stop(loop, t);
	t->expires_ms = rw_now_ms() + delay_ms;
	t->period_ms = period_ms;
	timer_insert(loop, t);
}

static void timers_run(struct rw_loop *loop)
{
	uint64_t now = rw_now_ms();

	while (loop->timers && loop->timers->expires_ms <= now) {
		struct rw_timer *t = loop->timers;

		rw_timer_stop(loop, t);
		if (t->period_ms) {
			/* A late loop skips the periods that it missed. */
			t->expires_ms = RW_MAX(t->expires_ms + t->period_ms, now + 1);
			timer_insert(loop, t);
		}
		t->fn(t->arg); /* may free t */
	}
}

void rw_turn_queue(struct rw_loop *loop, struct rw_turn *t)
{
	if (t->active)
		return;
	t->active = true;
	t->pass = loop->pass;
	t->next = NULL;
	t->prev = loop->last;
	if (loop->last)
		loop->last->next = t;
	else
		loop->first = t;
	loop->last = t;
}

void rw_turn_cancel(struct rw_loop *loop, struct rw_turn *t)
{
	if (!t->active)
		return;
	if (t->prev)
		t->prev->next = t->next;
	else
		loop->first = t->next;
	if (t->next)
		t->next->prev = t->prev;
	else
		loop->last = t->prev;
	t->active = false;
}

struct rw_slice rw_slice_begin(void)
{
	return (struct rw_slice){rw_now_us() + RW_SLICE_US, RW_SLICE_ITEMS};
}

bool rw_slice_done(struct rw_slice *slice)
{
	return !--slice->items || rw_now_us() >= slice->end_us;
}

/* The turns that wait, each once at most, for one slice in all or for one turn. */
static void turns_run(struct rw_loop *loop)
{
	uint64_t end_us, pass;
	struct rw_turn *t;

	if (!loop->first)
		return;
	end_us = rw_now_us() + RW_SLICE_US;
	pass = ++loop->pass;
	/* Those queued from here on have the number of this pass, and come behind the others. */
	while ((t = loop->first) && t->pass != pass) {
		rw_turn_cancel(loop, t);
		t->fn(t->arg); /* may free t */
		if (rw_now_us() >= end_us)
			return;
	}
}

/* `timeout_ms`, cut short by the next timer, and zero when a turn waits. */
static int wait_time(const struct rw_loop *loop, int timeout_ms)
{
	uint64_t now, left;

	if (loop->first)
		return 0;
	if (!loop->timers)
		return timeout_ms;
	now = rw_now_ms();
	left = loop->timers->expires_ms > now ? loop->timers->expires_ms - now : 0;
	if (left > INT32_MAX)
		left = INT32_MAX;
	return timeout_ms < 0 || (int)left < timeout_ms ? (int)left : timeout_ms;
}

int rw_loop_once(struct rw_loop *loop, int timeout_ms)
{
	int n = epoll_wait(loop->epfd, loop->events, EVENTS_PER_WAIT, wait_time(loop, timeout_ms));

	if (n < 0 && errno != EINTR)
		return -errno;
	loop->nevents = RW_MAX(n, 0);
	for (int i = 0; i < loop->nevents; i++) {
		struct rw_watch *w = loop->events[i].data.ptr;

		if (w)
			w->fn(w->arg, loop->events[i].events);
	}
	loop->nevents = 0;
	timers_run(loop);
	turns_run(loop);
	return 0;
}

int rw_loop_run(struct rw_loop *loop)
{
	loop->quit = false;
	while (!loop->quit) {
		int ret = rw_loop_once(loop, -1);

		if (ret)
			return ret;
	}
	return 0;
}

void rw_loop_quit(struct rw_loop *loop)
{
	loop->quit = true;
}
