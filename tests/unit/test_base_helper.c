/* SPDX-License-Identifier: BSD-3-Clause */
/* Foreign descriptors: signals that never wait, and the helper for the calls that do. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lingering.h"
#include "rw_helper.h"
#include "rw_signal.h"

/* ---- signals ---- */

/* Nothing here can wait for long, so a test that hangs says what is wrong. */
static uint64_t count_of(int fd)
{
	eventfd_t n = 0;

	assert_int_equal(eventfd_read(fd, &n), 0);
	return n;
}

static void a_signal_adds_one(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);

	(void)state;
	/* More than an AIO context has room for, and many at once. */
	for (unsigned n = 1; n <= 100000; n = n * 10 + 7) {
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(rw_foreign_signal(fd), 0);
		assert_int_equal(count_of(fd), n);
	}
	close(fd);
}

static void a_full_counter_without_o_nonblock_does_not_make_a_signal_wait(void **state)
{
	int fd = eventfd(0, 0);

	(void)state;
	assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(rw_foreign_signal(fd), 0);
	/* The counter was full and stayed so, then works as before. */
	assert_true(count_of(fd) >= UINT64_MAX - 1);
	assert_int_equal(rw_foreign_signal(fd), 0);
	assert_int_equal(count_of(fd), 1);
	close(fd);
}

static void what_is_no_eventfd_is_refused(void **state)
{
	int fds[6], sv[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	fds[2] = sv[0];
	fds[3] = memfd_create("x", 0);
	fds[4] = epoll_create1(0);
	fds[5] = open("/dev/full", O_WRONLY);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(fds); i++) {
		assert_int_equal(rw_foreign_signal(fds[i]), -EINVAL);
		assert_false(rw_is_eventfd(fds[i]));
		close(fds[i]);
	}
	close(sv[1]);
	assert_int_equal(rw_foreign_signal(-1), -EBADF);
	assert_int_equal(rw_foreign_signal(fds[0]), -EBADF);
	assert_false(rw_is_eventfd(-1));
}

static void the_question_whether_it_is_an_eventfd_does_not_signal_it(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	eventfd_t n;

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_true(rw_is_eventfd(fd));
	assert_int_equal(eventfd_read(fd, &n), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(rw_foreign_signal(fd), 0);
	assert_int_equal(count_of(fd), 1);
	close(fd);
}

static unsigned aio_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += !!strstr(line, "[aio]");
	fclose(f);
	return n;
}

static void *signal_once(void *arg)
{
	return (void *)(intptr_t)rw_foreign_signal(*(int *)arg);
}

static void a_context_ends_with_its_thread(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	unsigned before;

	(void)state;
	assert_int_equal(rw_foreign_signal(fd), 0);
	before = aio_mappings();
	for (int i = 0; i < 50; i++) {
		pthread_t thread;
		void *ret;

		assert_int_equal(pthread_create(&thread, NULL, signal_once, &fd), 0);
		assert_int_equal(pthread_join(thread, &ret), 0);
		assert_null(ret);
	}
	assert_int_equal(count_of(fd), 51);
	assert_int_equal(aio_mappings(), before);
	close(fd);
}

/* ---- the helper ---- */

static struct rw_loop *loop;

static unsigned jobs_of(const struct rw_helper *h)
{
	struct rw_helper_info info;

	rw_helper_describe(h, &info);
	return info.jobs;
}

/* The machine may be busy: wait for long, then fail. */
#define wait_for(condition)                                 \
	do {                                                \
		bool is_ = false;                           \
		for (int i_ = 0; !is_ && i_ < 6000; i_++) { \
			is_ = (condition);                  \
			if (!is_)                           \
				usleep(10000);              \
		}                                           \
		assert_true(is_);                           \
	} while (0)

static void a_close_that_lingers_delays_its_own_port_alone(void **state)
{
	struct rw_helper *a = rw_helper_new(loop, 4), *b = rw_helper_new(loop, 4);
	int peer, fd = lingering_socket(&peer), p[2], copy;
	char c;

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	rw_helper_close(a, fd);
	assert_int_equal(pipe(p), 0);
	copy = dup(p[1]);
	rw_helper_close(a, p[1]);
	assert_int_equal(jobs_of(a), 2);
	/* The other port's closes go on. */
	rw_helper_close(b, copy);
	wait_for(!jobs_of(b));
	assert_int_equal(jobs_of(a), 2);
	/* The peer gives up: the jobs go on in their order. */
	close(peer);
	assert_int_equal(read(p[0], &c, 1), 0);
	wait_for(!jobs_of(a));
	close(p[0]);
	rw_helper_free(a);
	rw_helper_free(b);
}

static void a_port_ends_although_its_helper_is_stuck(void **state)
{
	struct rw_helper *h = rw_helper_new(loop, 4);
	int peer, fd = lingering_socket(&peer), p[2];
	char c;

	(void)state;
	rw_helper_close(h, fd);
	assert_int_equal(pipe(p), 0);
	rw_helper_close(h, p[1]);
	rw_helper_free(h);
	close(peer);
	/* What it was given before is closed. */
	assert_int_equal(read(p[0], &c, 1), 0);
	close(p[0]);
}

static void a_helper_with_too_many_jobs_is_full(void **state)
{
	struct rw_helper *h = rw_helper_new(loop, 4);
	int peer, fd = lingering_socket(&peer);

	(void)state;
	rw_helper_close(h, fd);
	for (unsigned i = 1; i < RW_HELPER_MAX_JOBS; i++) {
		assert_false(rw_helper_is_full(h));
		rw_helper_unmap(
			h, mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
	}
	assert_true(rw_helper_is_full(h));
	close(peer);
	wait_for(!rw_helper_is_full(h));
	rw_helper_free(h);
}

/* The port that sent it pays for it as long as it is there. */
static void what_waits_is_charged(void **state)
{
	struct rw_helper *h = rw_helper_new(loop, 4);
	int peer, fd = lingering_socket(&peer), p[2];
	struct rw_budgets b;
	const struct rw_budget *fds = &b.of[RW_BUDGET_FDS], *maps = &b.of[RW_BUDGET_MAPPINGS];

	(void)state;
	rw_budgets_init(&b, "a");
	rw_budget_limit(&b, RW_BUDGET_FDS, 1);
	rw_helper_charge(h, &b);
	assert_int_equal(pipe(p), 0);
	rw_helper_close(h, fd);
	rw_helper_close(h, p[1]);
	/* Mappings at once; descriptors when it is asked. */
	rw_helper_unmap(h, mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
	assert_int_equal(maps->used, 1);
	assert_int_equal(b.of[RW_BUDGET_MAPPED].used, 4096);
	assert_int_equal(fds->used, 0);
	rw_helper_settle(h);
	assert_int_equal(fds->used, 2); /* the limit is no reason to deny it */
	assert_int_equal(rw_helper_charged_fds(h), 2);
	assert_int_equal(rw_budget_take(&b, RW_BUDGET_FDS, 1), -EDQUOT);
	assert_int_equal(fds->refused, 1);
	/* They are closed: the loop gives it back by itself. */
	close(peer);
	wait_for((rw_loop_once(loop, 0), !fds->used && !maps->used));
	assert_int_equal(b.of[RW_BUDGET_MAPPED].used, 0);
	close(p[0]);
	rw_helper_free(h);
}

struct counting_job {
	struct rw_helper_job job;
	pthread_t ran_by;
};

static pthread_t ran_by;
static unsigned ndone;

static void counting_run(struct rw_helper_job *job)
{
	((struct counting_job *)job)->ran_by = pthread_self();
}

static void counting_done(struct rw_helper_job *job)
{
	ran_by = ((struct counting_job *)job)->ran_by;
	ndone++;
	free(job);
}

static void job_give(struct rw_helper *h)
{
	struct counting_job *job = calloc(1, sizeof(*job));

	job->job.run = counting_run;
	job->job.done = counting_done;
	rw_helper_run(h, &job->job);
}

static void jobs_run_in_the_helper_and_are_done_in_the_loop(void **state)
{
	struct rw_helper *h = rw_helper_new(loop, 4);

	(void)state;
	ndone = 0;
	for (int i = 0; i < 100; i++)
		job_give(h);
	while (ndone < 100)
		assert_int_equal(rw_loop_once(loop, 1000), 0);
	assert_false(pthread_equal(ran_by, pthread_self()));
	/* Jobs that are done too late are freed, which AddressSanitizer sees. */
	for (int i = 0; i < 100; i++)
		job_give(h);
	rw_helper_free(h);
	assert_int_equal(rw_loop_once(loop, 0), 0);
}

static void each_signal_through_a_helper_arrives(void **state)
{
	struct rw_helper *h = rw_helper_new(loop, 100);
	int fd = eventfd(0, EFD_NONBLOCK);
	eventfd_t n = 0;

	(void)state;
	/* Signals that are due become one, so each is awaited before the next. */
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(rw_helper_signal(h, 99, fd), 0);
		wait_for(!eventfd_read(fd, &n));
	}
	rw_helper_close(h, fd);
	wait_for(!jobs_of(h));
	rw_helper_free(h);
}

/* Watch `fd` in `nsets` epoll sets by `nsets` numbers each. */
static void watchers_add(int fd, int *sets, int *copies, unsigned nsets)
{
	for (unsigned i = 0; i < nsets; i++)
		copies[i] = dup(fd);
	for (unsigned i = 0; i < nsets; i++) {
		sets[i] = epoll_create1(0);
		for (unsigned k = 0; k < nsets; k++) {
			struct epoll_event ev = {.events = EPOLLIN | EPOLLET};

			assert_int_equal(epoll_ctl(sets[i], EPOLL_CTL_ADD, copies[k], &ev), 0);
		}
	}
}

static bool is_helped(const struct rw_helper *h)
{
	struct rw_helper_info info;

	rw_helper_describe(h, &info);
	return info.signals;
}

static void a_port_whose_signals_are_slow_is_signalled_by_its_helper(void **state)
{
	enum { SETS = 300 };
	struct rw_helper *slow = rw_helper_new(loop, 4), *quick = rw_helper_new(loop, 4);
	int fd = eventfd(0, EFD_NONBLOCK), sets[SETS], copies[SETS];
	struct rw_helper_info info;
	eventfd_t n;

	(void)state;
	watchers_add(fd, sets, copies, SETS);
	assert_int_equal(rw_helper_signal(slow, 0, fd), 0);
	wait_for(is_helped(slow));
	assert_false(is_helped(quick));
	rw_helper_describe(slow, &info);
	assert_int_equal(info.slow, 1);
	/* From now on nobody else does, and each signal arrives all the same. */
	eventfd_read(fd, &n);
	for (int i = 0; i < 3; i++) {
		uint64_t before = info.signalled;

		assert_int_equal(rw_helper_signal(slow, 0, fd), 0);
		wait_for(!eventfd_read(fd, &n));
		wait_for((rw_helper_describe(slow, &info), info.signalled > before));
	}
	assert_true(is_helped(slow));
	assert_int_equal(info.slow, 1);
	for (unsigned i = 0; i < SETS; i++) {
		close(sets[i]);
		close(copies[i]);
	}
	rw_helper_close(slow, fd);
	rw_helper_free(slow);
	rw_helper_free(quick);
}

static int begin(void **state)
{
	(void)state;
	loop = rw_loop_new();
	return loop ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	rw_loop_free(loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signal_adds_one),
		cmocka_unit_test(a_full_counter_without_o_nonblock_does_not_make_a_signal_wait),
		cmocka_unit_test(what_is_no_eventfd_is_refused),
		cmocka_unit_test(the_question_whether_it_is_an_eventfd_does_not_signal_it),
		cmocka_unit_test(a_context_ends_with_its_thread),
		cmocka_unit_test(a_close_that_lingers_delays_its_own_port_alone),
		cmocka_unit_test(a_port_ends_although_its_helper_is_stuck),
		cmocka_unit_test(a_helper_with_too_many_jobs_is_full),
		cmocka_unit_test(what_waits_is_charged),
		cmocka_unit_test(jobs_run_in_the_helper_and_are_done_in_the_loop),
		cmocka_unit_test(each_signal_through_a_helper_arrives),
		cmocka_unit_test(a_port_whose_signals_are_slow_is_signalled_by_its_helper),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
