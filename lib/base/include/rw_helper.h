/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A port's helper: a thread that makes those calls on the port's foreign descriptors that can wait.
 *
 * Whoever sent a descriptor decides how long close(2), read(2), write(2) and munmap(2) take: a TCP
 * socket lingers, a file system in user space never answers, another process holds the lock of a
 * socket. So control and workers make none of these calls; each port has a helper, and a call that
 * waits delays that port only. Jobs run in the order in which they were given, so a descriptor that
 * is closed last is not closed under a job that uses it.
 *
 * Call eventfds are signalled by rw_foreign_signal, which does not wait. But the wake-up itself can
 * take long when many epoll sets watch the eventfd, and nothing interrupts it. rw_helper_signal
 * therefore measures each signal. After one of more than about 1 ms the helper repeats the signal
 * and measures its own CPU time: if that is over RW_HELPER_SLOW_US too, this port is signalled by
 * its helper from then on. Otherwise the thread was only scheduled away, and nothing changes. The
 * helper also signals where the kernel has no AIO.
 *
 * A helper that is stuck when its port ends stays behind until its call returns.
 *
 * Threads: control calls all of it but rw_helper_signal, which any thread may call.
 */
#include <sys/types.h>

#include "rw_base.h"
#include "rw_budget.h"
#include "rw_loop.h"

struct rw_helper;

/* A signal that takes the helper this much CPU time is too long for a worker, microseconds. */
#define RW_HELPER_SLOW_US 1000

/*
 * Jobs that may wait; when there are more, the port takes no descriptors: rw_helper_is_full.
 */
#define RW_HELPER_MAX_JOBS 2048

/*
 * A helper without jobs whose `nslots` eventfds may be signalled. `loop` runs what its jobs have to
 * say to control. It inherits the caller's CPUs, which are not the workers'. NULL with errno set.
 */
struct rw_helper *rw_helper_new(struct rw_loop *loop, unsigned nslots);
/*
 * The port ends. Jobs that close or unmap are still carried out, others are freed unless they run.
 * Does not wait. NULL is fine.
 */
void rw_helper_free(struct rw_helper *h);

/* Close `fd`; -1 is fine. With `h` NULL, in this thread: for descriptors of our own, and tests. */
void rw_helper_close(struct rw_helper *h, int fd);
/* Unmap whole pages, which nobody touches any more. As above. */
void rw_helper_unmap(struct rw_helper *h, void *base, size_t len);

/* A job of the caller's: malloc'd, the first member of it. */
struct rw_helper_job {
	/* The helper's thread; may wait. */
	void (*run)(struct rw_helper_job *job);
	/* Control, after it; frees the job. Not called once the helper was freed: free() then. */
	void (*done)(struct rw_helper_job *job);
	struct rw_helper_job *next; /* the helper's */
};
/* With `h` NULL both are called at once. */
void rw_helper_run(struct rw_helper *h, struct rw_helper_job *job);

/*
 * Add 1 to `fd`, the eventfd of slot `slot`, and never wait. 0; or -EINVAL or -EBADF: it cannot be
 * signalled. The slot remembers `fd` until rw_helper_close closes it: the caller stops signalling
 * before. With `h` NULL: `fd` is our own.
 */
int rw_helper_signal(struct rw_helper *h, unsigned slot, int fd);

/* Too many jobs wait: a call is stuck. */
bool rw_helper_is_full(const struct rw_helper *h);

/* What jobs that wait or run hold: descriptors to close, mappings to unmap. */
struct rw_helper_held {
	uint64_t fds;
	uint64_t mappings;
	uint64_t mapped; /* bytes of these */
};

/*
 * From now on charge what jobs hold to `budgets`, whatever their limits: it is there already.
 * NULL: nobody pays. They outlive the helper, or rw_helper_free comes first.
 */
void rw_helper_charge(struct rw_helper *h, struct rw_budgets *budgets);
/*
 * Charge what jobs hold now, and give back what they have let go. The loop does so when they have;
 * whoever wants to know what is used calls it before. Mappings are charged when they are given to
 * the helper. NULL is fine.
 */
void rw_helper_settle(struct rw_helper *h);
/* How many descriptors are charged. */
uint64_t rw_helper_charged_fds(const struct rw_helper *h);

struct rw_helper_info {
	unsigned jobs; /* that wait or run */
	struct rw_helper_held held;
	bool signals;       /* the helper signals in the workers' place */
	bool no_aio;        /* because the kernel has no AIO */
	uint64_t signalled; /* signals by the helper */
	uint64_t slow;      /* signals that took a caller long, helper's verdict aside */
};
void rw_helper_describe(const struct rw_helper *h, struct rw_helper_info *out);
