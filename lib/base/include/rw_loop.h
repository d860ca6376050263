/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * An epoll loop with timers and turns: the whole of the control thread runs in its callbacks, and
 * no callback may block.
 *
 * Whoever has work that a peer can make more of does it in turns. A turn waits in one queue with
 * all others, in the order in which they came, and its owner works for one slice: until 16 items
 * are done or 2 ms have passed, which is checked between two items. Is there more to do, the turn
 * goes to the end of the queue. Events and timers are looked at again at least every 2 ms or, if
 * one turn takes longer, after each turn. So a turn waits for as many slices as there are turns
 * before it, and the last item of each of them may take longer than the slice by itself.
 *
 * Watchers, timers and turns are embedded in their owner's structure; the loop keeps pointers and
 * owns nothing. Any callback may remove any watcher, timer or turn, its own too, and free the
 * structure around it: events already collected for a removed watcher are not delivered.
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

/* Work that is to be continued. The owner fills `fn` and `arg`; the rest belongs to the loop. */
struct rw_turn {
	void (*fn)(void *arg);
	void *arg;
	bool active; /* in the queue */
	uint64_t pass;
	struct rw_turn *prev, *next;
};

/* What one turn may do. */
#define RW_SLICE_ITEMS 16
#define RW_SLICE_US    2000

struct rw_slice {
	uint64_t end_us; /* of rw_now_us */
	unsigned items;  /* left */
};

/* Milliseconds, microseconds of the monotonic clock. */
uint64_t rw_now_ms(void);
uint64_t rw_now_us(void);

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

/* Put `t` at the end of the queue. Harmless when it is in there: it keeps its place. */
void rw_turn_queue(struct rw_loop *loop, struct rw_turn *t);
/* Harmless when `t` is not in the queue. */
void rw_turn_cancel(struct rw_loop *loop, struct rw_turn *t);

struct rw_slice rw_slice_begin(void);
/* An item is done. Whether the slice is used up. */
bool rw_slice_done(struct rw_slice *slice);

/* Run callbacks for at most `timeout_ms` (-1: until one ran). 0 or -errno. */
int rw_loop_once(struct rw_loop *loop, int timeout_ms);
/* Run until rw_loop_quit. 0 or -errno. */
int rw_loop_run(struct rw_loop *loop);
void rw_loop_quit(struct rw_loop *loop);
