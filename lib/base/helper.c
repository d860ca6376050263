/* SPDX-License-Identifier: BSD-3-Clause */
#include "rw_helper.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "rw_log.h"
#include "rw_signal.h"
#include "rw_sys.h"

/* A helper's calls need little. */
#define STACK_BYTES (128u << 10)

/*
 * So many suspicions that were dropped within DOUBT_MS make the helper signal for HELPED_MS:
 * watchers that are quick the second time, or a machine on which threads are often scheduled away.
 */
#define DOUBTS    8
#define DOUBT_MS  1000
#define HELPED_MS 10000

/*
 * ticks() that make a signal suspicious: 1 ms of a counter of 1 GHz, less of a faster one. On
 * arm64 the counter's frequency is known.
 */
#define SUSPICIOUS_TICKS 1000000u

enum verdict {
	DIRECT,    /* callers signal */
	SUSPECTED, /* a signal took long: the helper tries once */
	HELPED,    /* the helper signals */
};

/* Control's jobs: to close (`base` NULL), to unmap, or the caller's. */
struct job {
	struct rw_helper_job *job; /* NULL: one of the other two */
	void *base;
	size_t len;
	int fd;
	struct job *next;
};

struct rw_helper {
	uint32_t verdict; /* enum verdict */
	bool no_aio;
	int wake_fd; /* eventfd: jobs, signals, the end */

	/* Signals that are due, and the eventfds they are for: any thread. */
	unsigned nslots;
	uint64_t *due;
	int *slots;

	/*
	 * Lists that one side pushes to and the other one takes as a whole, newest first. There is
	 * no lock: its holder could be scheduled away, and control would wait.
	 */
	struct job *given;
	struct rw_helper_job *done;
	int done_fd;   /* eventfd: `done` is not empty */
	bool ended;    /* rw_helper_free was called */
	bool released; /* and has done its last access */

	unsigned jobs; /* atomic */
	/* What jobs hold that wait or run: atomic; control adds, the thread takes away. */
	struct rw_helper_held held;
	uint64_t signalled;
	uint64_t slow;

	/* The thread's. */
	struct job *todo; /* taken from `given`, oldest first */
	unsigned doubts;  /* suspicions that were dropped since `doubts_ms` */
	uint64_t doubts_ms;
	uint64_t until_ms; /* HELPED: until then; 0: for good */

	/* Control's. */
	struct rw_budgets *budgets;    /* NULL: nobody pays for what jobs hold */
	struct rw_helper_held charged; /* to them */
	struct rw_loop *loop;
	struct rw_watch watch; /* of done_fd */
};

static uint64_t ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else /* arm64 */
	uint64_t t;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
	return t;
#endif
}

static uint64_t suspicious_ticks(void)
{
#if defined(__aarch64__)
	uint64_t hz;

	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	return hz / 1000;
#else
	return SUSPICIOUS_TICKS;
#endif
}

/* ---- the thread ---- */

static uint64_t cpu_time_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void verdict_set(struct rw_helper *h, enum verdict verdict, uint64_t until_ms)
{
	h->until_ms = until_ms;
	__atomic_store_n(&h->verdict, verdict, __ATOMIC_RELAXED);
}

/* A caller's signal took long, the repeated one `us` of CPU time. */
static void judge(struct rw_helper *h, uint64_t us)
{
	uint64_t now = rw_now_ms();

	if (us > RW_HELPER_SLOW_US) {
		verdict_set(h, HELPED, 0);
		return;
	}
	if (now - h->doubts_ms > DOUBT_MS) {
		h->doubts_ms = now;
		h->doubts = 0;
	}
	if (++h->doubts < DOUBTS)
		verdict_set(h, DIRECT, 0);
	else
		verdict_set(h, HELPED, now + HELPED_MS);
}

/* The thread has signalled in a caller's place, which took `us` of CPU time. */
static void signalled(struct rw_helper *h, uint64_t us)
{
	switch (__atomic_load_n(&h->verdict, __ATOMIC_RELAXED)) {
	case SUSPECTED:
		judge(h, us);
		break;
	case HELPED:
		if (us > RW_HELPER_SLOW_US)
			h->until_ms = 0;
		else if (h->until_ms && rw_now_ms() > h->until_ms)
			verdict_set(h, DIRECT, 0);
		break;
	}
	__atomic_store_n(&h->signalled, h->signalled + 1, __ATOMIC_RELAXED);
}

static void signal_one(struct rw_helper *h, unsigned slot)
{
	/* Control clears the slot before it has the descriptor closed, which this thread does. */
	int fd = __atomic_load_n(&h->slots[slot], __ATOMIC_ACQUIRE), ret;
	uint64_t start = cpu_time_us();

	if (fd < 0)
		return;
	ret = rw_foreign_signal(fd);
	if (ret == -ENOSYS || ret == -EAGAIN)
		rw_eventfd_signal(fd); /* may wait */
	signalled(h, cpu_time_us() - start);
}

static void signals_run(struct rw_helper *h)
{
	for (unsigned i = 0; i < (h->nslots + 63) / 64; i++) {
		uint64_t due = __atomic_load_n(&h->due[i], __ATOMIC_RELAXED)
			? __atomic_exchange_n(&h->due[i], 0, __ATOMIC_ACQUIRE)
			: 0;

		for (; due; due &= due - 1)
			signal_one(h, i * 64 + (unsigned)__builtin_ctzll(due));
	}
}

/* The next job, or NULL. */
static struct job *job_next(struct rw_helper *h)
{
	struct job *j;

	/* Later jobs come behind those that were taken before. */
	if (!h->todo) {
		struct job *given = __atomic_exchange_n(&h->given, NULL, __ATOMIC_ACQUIRE);

		while (given) {
			j = given;
			given = j->next;
			j->next = h->todo;
			h->todo = j;
		}
	}
	j = h->todo;
	if (j)
		h->todo = j->next;
	return j;
}

/* Hand a job that has run back to control. */
static void job_return(struct rw_helper *h, struct rw_helper_job *job)
{
	job->next = __atomic_load_n(&h->done, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(
		&h->done, &job->next, job, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	rw_eventfd_signal(h->done_fd);
}

static void job_run(struct rw_helper *h, struct job *j, bool ended)
{
	if (j->job && ended) {
		free(j->job);
	} else if (j->job) {
		j->job->run(j->job);
		job_return(h, j->job);
	} else if (j->base) {
		munmap(j->base, j->len);
		__atomic_sub_fetch(&h->held.mapped, j->len, __ATOMIC_RELAXED);
		__atomic_sub_fetch(&h->held.mappings, 1, __ATOMIC_RELEASE);
	} else {
		close(j->fd);
		__atomic_sub_fetch(&h->held.fds, 1, __ATOMIC_RELEASE);
	}
	free(j);
	__atomic_sub_fetch(&h->jobs, 1, __ATOMIC_RELEASE);
}

static void helper_delete(struct rw_helper *h)
{
	while (h->done) {
		struct rw_helper_job *job = h->done;

		h->done = job->next;
		free(job);
	}
	if (h->wake_fd >= 0)
		close(h->wake_fd);
	if (h->done_fd >= 0)
		close(h->done_fd);
	free(h->slots);
	free(h->due);
	free(h);
}

static void *helper_main(void *arg)
{
	struct rw_helper *h = arg;
	bool ended = false;

	/* By itself: to name another thread opens a file. */
	pthread_setname_np(pthread_self(), "rw-helper");
	while (!ended) {
		bool let_go = false;
		struct job *j;
		uint64_t n;

		/* Blocking, and ours: it is written for each job and each signal. */
		while (read(h->wake_fd, &n, sizeof(n)) < 0 && errno == EINTR)
			;
		/*
		 * Pairs with the release in rw_helper_free: the jobs that were given before are
		 * seen.
		 */
		ended = __atomic_load_n(&h->ended, __ATOMIC_ACQUIRE);
		do {
			signals_run(h);
			j = job_next(h);
			let_go |= j && !j->job;
			if (j)
				job_run(h, j, __atomic_load_n(&h->ended, __ATOMIC_RELAXED));
		} while (j);
		/* Control gives back what was charged for it. */
		if (let_go)
			rw_eventfd_signal(h->done_fd);
	}
	/* An earlier signal may have shown the end before rw_helper_free has sent its own. */
	while (!__atomic_load_n(&h->released, __ATOMIC_ACQUIRE))
		sched_yield();
	helper_delete(h);
	return NULL;
}

static int thread_start(struct rw_helper *h)
{
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	ret = rw_thread_start(&thread, &attr, helper_main, h);
	pthread_attr_destroy(&attr);
	return ret;
}

/* ---- control ---- */

/* What of `kind` jobs hold now is charged, and no more. */
static void charge_move(
	struct rw_budgets *b, enum rw_budget_kind kind, uint64_t *charged, uint64_t now)
{
	if (now > *charged)
		rw_budget_charge(b, kind, now - *charged);
	else
		rw_budget_give(b, kind, *charged - now);
	*charged = now;
}

static void mappings_settle(struct rw_helper *h)
{
	if (!h->budgets)
		return;
	charge_move(h->budgets, RW_BUDGET_MAPPINGS, &h->charged.mappings,
		__atomic_load_n(&h->held.mappings, __ATOMIC_ACQUIRE));
	charge_move(h->budgets, RW_BUDGET_MAPPED, &h->charged.mapped,
		__atomic_load_n(&h->held.mapped, __ATOMIC_RELAXED));
}

void rw_helper_settle(struct rw_helper *h)
{
	if (!h || !h->budgets)
		return;
	charge_move(h->budgets, RW_BUDGET_FDS, &h->charged.fds,
		__atomic_load_n(&h->held.fds, __ATOMIC_ACQUIRE));
	mappings_settle(h);
}

void rw_helper_charge(struct rw_helper *h, struct rw_budgets *budgets)
{
	h->budgets = budgets;
	rw_helper_settle(h);
}

uint64_t rw_helper_charged_fds(const struct rw_helper *h)
{
	return h ? h->charged.fds : 0;
}

/* Jobs are done: in the order in which they were. */
static void on_done(void *arg, uint32_t events)
{
	struct rw_helper *h = arg;
	struct rw_helper_job *list, *ordered = NULL;
	uint64_t n;

	(void)events;
	if (read(h->done_fd, &n, sizeof(n)) < 0)
		return;
	rw_helper_settle(h);
	list = __atomic_exchange_n(&h->done, NULL, __ATOMIC_ACQUIRE);
	while (list) {
		struct rw_helper_job *next = list->next;

		list->next = ordered;
		ordered = list;
		list = next;
	}
	while (ordered) {
		struct rw_helper_job *next = ordered->next;

		ordered->done(ordered);
		ordered = next;
	}
}

struct rw_helper *rw_helper_new(struct rw_loop *loop, unsigned nslots)
{
	struct rw_helper *h = calloc(1, sizeof(*h));
	int ret = -ENOMEM;

	if (!h)
		return NULL;
	h->wake_fd = -1;
	h->done_fd = -1;
	h->loop = loop;
	h->nslots = nslots;
	h->watch = (struct rw_watch){.fn = on_done, .arg = h};
	h->due = calloc((nslots + 63) / 64 + 1, sizeof(*h->due));
	h->slots = malloc((nslots + 1) * sizeof(*h->slots));
	if (!h->due || !h->slots)
		goto err;
	memset(h->slots, 0xff, (nslots + 1) * sizeof(*h->slots));
	h->wake_fd = eventfd(0, EFD_CLOEXEC);
	h->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = h->wake_fd < 0 || h->done_fd < 0 ? -errno
					       : rw_loop_add(loop, &h->watch, h->done_fd, EPOLLIN);
	if (!ret)
		ret = thread_start(h);
	if (!ret)
		return h;
err:
	rw_loop_del(loop, &h->watch);
	helper_delete(h);
	errno = -ret;
	return NULL;
}

void rw_helper_free(struct rw_helper *h)
{
	if (!h)
		return;
	rw_loop_del(h->loop, &h->watch);
	h->budgets = NULL;
	__atomic_store_n(&h->ended, true, __ATOMIC_RELEASE);
	rw_eventfd_signal(h->wake_fd);
	/* The last access of control. */
	__atomic_store_n(&h->released, true, __ATOMIC_RELEASE);
}

static void job_add(struct rw_helper *h, const struct job *what)
{
	struct job *j = malloc(sizeof(*j));

	if (!j) {
		/* To make the call here could stop control, and that is worse. */
		rw_error("no memory: a descriptor or a mapping of a front-end stays behind");
		if (what->job)
			free(what->job);
		return;
	}
	*j = *what;
	__atomic_add_fetch(&h->jobs, 1, __ATOMIC_RELAXED);
	if (j->base) {
		__atomic_add_fetch(&h->held.mappings, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&h->held.mapped, j->len, __ATOMIC_RELAXED);
	} else if (!j->job) {
		__atomic_add_fetch(&h->held.fds, 1, __ATOMIC_RELAXED);
	}
	/* Descriptors: when their owner has counted that it has them no more. */
	mappings_settle(h);
	j->next = __atomic_load_n(&h->given, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(
		&h->given, &j->next, j, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	rw_eventfd_signal(h->wake_fd);
}

void rw_helper_close(struct rw_helper *h, int fd)
{
	if (fd < 0)
		return;
	if (!h) {
		close(fd);
		return;
	}
	for (unsigned i = 0; i < h->nslots; i++) {
		if (__atomic_load_n(&h->slots[i], __ATOMIC_RELAXED) == fd)
			__atomic_store_n(&h->slots[i], -1, __ATOMIC_RELAXED);
	}
	job_add(h, &(struct job){.fd = fd});
}

void rw_helper_unmap(struct rw_helper *h, void *base, size_t len)
{
	if (h)
		job_add(h, &(struct job){.base = base, .len = len, .fd = -1});
	else
		munmap(base, len);
}

void rw_helper_run(struct rw_helper *h, struct rw_helper_job *job)
{
	if (!h) {
		job->run(job);
		job->done(job);
		return;
	}
	job_add(h, &(struct job){.job = job, .fd = -1});
}

bool rw_helper_is_full(const struct rw_helper *h)
{
	return h && __atomic_load_n(&h->jobs, __ATOMIC_RELAXED) >= RW_HELPER_MAX_JOBS;
}

void rw_helper_describe(const struct rw_helper *h, struct rw_helper_info *out)
{
	*out = (struct rw_helper_info){
		.jobs = __atomic_load_n(&h->jobs, __ATOMIC_RELAXED),
		.held = {__atomic_load_n(&h->held.fds, __ATOMIC_RELAXED),
			__atomic_load_n(&h->held.mappings, __ATOMIC_RELAXED),
			__atomic_load_n(&h->held.mapped, __ATOMIC_RELAXED)},
		.signals = __atomic_load_n(&h->verdict, __ATOMIC_RELAXED) == HELPED,
		.no_aio = __atomic_load_n(&h->no_aio, __ATOMIC_RELAXED),
		.signalled = __atomic_load_n(&h->signalled, __ATOMIC_RELAXED),
		.slow = __atomic_load_n(&h->slow, __ATOMIC_RELAXED),
	};
}

/* ---- any thread ---- */

/* Have the helper signal `fd`. */
static RW_NOINLINE void hand_over(struct rw_helper *h, unsigned slot, int fd)
{
	__atomic_store_n(&h->slots[slot], fd, __ATOMIC_RELEASE);
	__atomic_fetch_or(&h->due[slot / 64], 1ull << slot % 64, __ATOMIC_RELEASE);
	rw_eventfd_signal(h->wake_fd);
}

/* A signal took long. One thread's suspicion is enough until the helper has judged. */
static RW_NOINLINE void suspect(struct rw_helper *h, unsigned slot, int fd)
{
	uint32_t direct = DIRECT;

	__atomic_fetch_add(&h->slow, 1, __ATOMIC_RELAXED);
	__atomic_compare_exchange_n(
		&h->verdict, &direct, SUSPECTED, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	hand_over(h, slot, fd);
}

int rw_helper_signal(struct rw_helper *h, unsigned slot, int fd)
{
	uint64_t start;
	int ret;

	if (!h)
		return rw_eventfd_signal(fd);
	if (rw_unlikely(__atomic_load_n(&h->verdict, __ATOMIC_RELAXED) != DIRECT)) {
		hand_over(h, slot, fd);
		return 0;
	}
	start = ticks();
	ret = rw_foreign_signal(fd);
	if (rw_unlikely(ticks() - start > suspicious_ticks()))
		suspect(h, slot, fd);
	if (rw_likely(!ret) || ret == -EINVAL || ret == -EBADF)
		return ret;
	if (ret == -ENOSYS) {
		__atomic_store_n(&h->no_aio, true, __ATOMIC_RELAXED);
		__atomic_store_n(&h->verdict, HELPED, __ATOMIC_RELAXED);
	}
	hand_over(h, slot, fd);
	return 0;
}
