/* SPDX-License-Identifier: BSD-3-Clause */
/* lib/base: the loop, its timers and its turns. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "rw_loop.h"

/* ---- events and timers ---- */

struct counter {
	struct rw_loop *loop;
	struct rw_watch watch;
	struct rw_watch *victim;
	struct rw_timer timer;
	int fired;
};

static void count_event(void *arg, uint32_t events)
{
	struct counter *c = arg;

	assert_true(events & EPOLLIN);
	c->fired++;
	if (c->victim)
		rw_loop_del(c->loop, c->victim);
}

static void count_timer(void *arg)
{
	struct counter *c = arg;

	c->fired++;
}

static void a_readable_descriptor_is_reported_until_removed(void **state)
{
	struct rw_loop *loop = rw_loop_new();
	struct counter c = {.loop = loop, .watch = {.fn = count_event, .arg = &c}};
	int fd = eventfd(1, EFD_NONBLOCK);

	(void)state;
	assert_int_equal(rw_loop_add(loop, &c.watch, fd, EPOLLIN), 0);
	assert_int_equal(rw_loop_once(loop, 1000), 0);
	assert_int_equal(rw_loop_once(loop, 1000), 0);
	assert_int_equal(c.fired, 2);
	rw_loop_del(loop, &c.watch);
	assert_int_equal(rw_loop_once(loop, 0), 0);
	assert_int_equal(c.fired, 2);
	rw_loop_del(loop, &c.watch); /* harmless */
	close(fd);
	rw_loop_free(loop);
}

static void a_watch_removed_by_another_callback_is_not_called(void **state)
{
	struct rw_loop *loop = rw_loop_new();
	struct counter a = {.loop = loop, .watch = {.fn = count_event, .arg = &a}};
	struct counter b = {.loop = loop, .watch = {.fn = count_event, .arg = &b}};
	int fd_a = eventfd(1, EFD_NONBLOCK), fd_b = eventfd(1, EFD_NONBLOCK);

	(void)state;
	a.victim = &b.watch;
	b.victim = &a.watch;
	assert_int_equal(rw_loop_add(loop, &a.watch, fd_a, EPOLLIN), 0);
	assert_int_equal(rw_loop_add(loop, &b.watch, fd_b, EPOLLIN), 0);
	assert_int_equal(rw_loop_once(loop, 1000), 0);
	assert_int_equal(a.fired + b.fired, 1); /* whoever came first removed the other */
	rw_loop_del(loop, &a.watch);
	rw_loop_del(loop, &b.watch);
	close(fd_a);
	close(fd_b);
	rw_loop_free(loop);
}

static void timers_fire_in_order_once_or_again(void **state)
{
	struct rw_loop *loop = rw_loop_new();
	struct counter once = {.timer = {.fn = count_timer, .arg = &once}};
	struct counter often = {.timer = {.fn = count_timer, .arg = &often}};
	struct counter never = {.timer = {.fn = count_timer, .arg = &never}};

	(void)state;
	rw_timer_start(loop, &never.timer, 100000, 0);
	rw_timer_start(loop, &once.timer, 1, 0);
	rw_timer_start(loop, &often.timer, 1, 1);
	while (often.fired < 3)
		assert_int_equal(rw_loop_once(loop, -1), 0);
	assert_int_equal(once.fired, 1);
	assert_false(once.timer.active);
	assert_true(often.timer.active);
	assert_int_equal(never.fired, 0);
	rw_timer_stop(loop, &often.timer);
	rw_timer_stop(loop, &never.timer);
	assert_int_equal(rw_loop_once(loop, 5), 0);
	assert_int_equal(often.fired, 3);
	rw_loop_free(loop);
}

static void quit_loop(void *arg)
{
	rw_loop_quit(arg);
}

static void run_ends_with_quit(void **state)
{
	struct rw_loop *loop = rw_loop_new();
	struct rw_timer t = {.fn = quit_loop, .arg = loop};

	(void)state;
	rw_timer_start(loop, &t, 1, 0);
	assert_int_equal(rw_loop_run(loop), 0);
	rw_loop_free(loop);
}

/* ---- turns ---- */

struct worker {
	struct rw_loop *loop;
	struct rw_turn turn;
	struct rw_turn *victim;
	unsigned left;  /* turns that it wants; UINT_MAX: without end */
	unsigned turns; /* that it had */
	unsigned at[8]; /* how many turns all had before each of its first ones */
	unsigned *all;
};

static void work(void *arg)
{
	struct worker *w = arg;

	if (w->turns < RW_ARRAY_SIZE(w->at))
		w->at[w->turns] = *w->all;
	w->turns++;
	(*w->all)++;
	if (w->victim)
		rw_turn_cancel(w->loop, w->victim);
	if (w->left != UINT_MAX)
		w->left--;
	if (w->left)
		rw_turn_queue(w->loop, &w->turn);
}

static void worker_begin(struct worker *w, struct rw_loop *loop, unsigned left, unsigned *all)
{
	*w = (struct worker){
		.loop = loop, .turn = {.fn = work, .arg = w}, .left = left, .all = all};
	rw_turn_queue(loop, &w->turn);
	rw_turn_queue(loop, &w->turn); /* it keeps its place */
}

/* Counts, no times: one is never done, and the others get every second turn all the same. */
static void who_always_has_work_starves_nobody(void **state)
{
	struct rw_loop *loop = rw_loop_new();
	struct worker greedy, modest[2];
	struct counter event = {.loop = loop, .watch = {.fn = count_event, .arg = &event}};
	int fd = eventfd(1, EFD_NONBLOCK);
	unsigned all = 0;

	(void)state;
	worker_begin(&greedy, loop, UINT_MAX, &all);
	worker_begin(&modest[0], loop, 4, &all);
	worker_begin(&modest[1], loop, 4, &all);
	assert_int_equal(rw_loop_add(loop, &event.watch, fd, EPOLLIN), 0);
	while (modest[0].left || modest[1].left)
		assert_int_equal(rw_loop_once(loop, -1), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(greedy.at[i], 3 * i);
		assert_int_equal(modest[0].at[i], 3 * i + 1);
		assert_int_equal(modest[1].at[i], 3 * i + 2);
	}
	/* Events are seen though a turn waits all the time. */
	assert_true(event.fired >= 4);
	rw_turn_cancel(loop, &greedy.turn);
	rw_turn_cancel(loop, &greedy.turn); /* harmless */
	rw_loop_del(loop, &event.watch);
	assert_int_equal(rw_loop_once(loop, 0), 0);
	close(fd);
	rw_loop_free(loop);
}

static void a_turn_removed_by_another_one_is_not_called(void **state)
{
	struct rw_loop *loop = rw_loop_new();
	struct worker a, b, c;
	unsigned all = 0;

	(void)state;
	worker_begin(&a, loop, 1, &all);
	worker_begin(&b, loop, 1, &all);
	worker_begin(&c, loop, 1, &all);
	a.victim = &b.turn;
	while (c.left)
		assert_int_equal(rw_loop_once(loop, -1), 0);
	assert_int_equal(a.turns, 1);
	assert_int_equal(b.turns, 0);
	assert_int_equal(c.turns, 1);
	rw_loop_free(loop);
}

static void a_slice_ends_after_its_items_or_its_time(void **state)
{
	struct rw_slice slice = rw_slice_begin();
	unsigned n = 1;

	(void)state;
	while (!rw_slice_done(&slice))
		n++;
	assert_in_range(n, 1, RW_SLICE_ITEMS);
	slice = (struct rw_slice){.end_us = UINT64_MAX, .items = RW_SLICE_ITEMS};
	for (n = 1; !rw_slice_done(&slice); n++)
		;
	assert_int_equal(n, RW_SLICE_ITEMS);
	slice = (struct rw_slice){.end_us = 0, .items = RW_SLICE_ITEMS};
	assert_true(rw_slice_done(&slice));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_readable_descriptor_is_reported_until_removed),
		cmocka_unit_test(a_watch_removed_by_another_callback_is_not_called),
		cmocka_unit_test(timers_fire_in_order_once_or_again),
		cmocka_unit_test(run_ends_with_quit),
		cmocka_unit_test(who_always_has_work_starves_nobody),
		cmocka_unit_test(a_turn_removed_by_another_one_is_not_called),
		cmocka_unit_test(a_slice_ends_after_its_items_or_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
