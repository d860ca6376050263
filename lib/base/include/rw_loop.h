/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * An epoll loop with timers: the whole of the control thread runs in its callbacks, and no
 * callback may block.
 *
 * Watchers and timers are embedded in their owner's structure; the loop keeps pointers and owns
 * nothing. Any callback may remove any watcher or timer, its own too, and free the structure
 * around it: events already collected for a removed watcher are not delivered.
 *
 * Thread: the one that runs the loop.
 */
#include <sys/epoll.h>

#include "rw_base.h"

struct rw_loop;

/* A watched file descriptor. The owner fills `fn` and `arg` before rw_loop_add. */
struct rw_watch {
	void (*fn)(void *arg, uint32_t events); /* events: EPOLLIN, EPOLLOUT, EPOLLHUP, ... */
	void *arg;
	int fd;      /* set by rw_loop_add; -1 after rw_loop_del */
	bool active; /* set while the loop watches it */
};

/* A timer. The owner fills `fn` and `arg`; the rest belongs to the loop. */
struct rw_timer {
	void (*fn)(void *arg);
	void *arg;
	uint64_t expires_ms; /* rw_now_ms() at which it fires next */
	uint64_t period_ms;  /* 0: once */
	bool active;
	struct rw_timer *next;
};

/* Milliseconds of the monotonic clock. */
uint64_t rw_now_ms(void);

/* A new loop, or NULL with errno set. */
struct rw_loop *rw_loop_new(void);
void rw_loop_free(struct rw_loop *loop);

/* Watch `fd` (which stays the caller's) for `events`. 0 or -errno. */
int rw_loop_add(struct rw_loop *loop, struct rw_watch *w, int fd, uint32_t events);
int rw_loop_mod(struct rw_loop *loop, struct rw_watch *w, uint32_t events);
/* Harmless when `w` is not watched. */
void rw_loop_del(struct rw_loop *loop, struct rw_watch *w);

/* Fire `t` after `delay_ms`, then, when period_ms > 0, every period_ms. Restarts a running one. */
void rw_timer_start(
	struct rw_loop *loop, struct rw_timer *t, uint64_t delay_ms, uint64_t period_ms);
/* Harmless when `t` is not running. */
void rw_timer_stop(struct rw_loop *loop, struct rw_timer *t);

/* Run callbacks for at most `timeout_ms` (-1: until one ran). 0 or -errno. */
int rw_loop_once(struct rw_loop *loop, int timeout_ms);
/* Run until rw_loop_quit. 0 or -errno. */
int rw_loop_run(struct rw_loop *loop);
void rw_loop_quit(struct rw_loop *loop);
