/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "idle.h"
#include "rw_sys.h"

/*
 * A worker sleeps when it has found no frame for this time. A sleep delays the next frame by about
 * 20 us (test_idle_storm, RINGWAY_TEST_LATENCY) and costs the worker and the guest about as much
 * CPU time. The wait is five times that, so sleeps cost less than a fifth of the time, whatever the
 * guests do.
 */
#define IDLE_US 100

/* Events read from a set at a time. If there are more, the next sleep ends early. */
#define MAX_EVENTS 64

/* The state of a worker's sleep. */
struct sleeper {
	int set;         /* epoll: the eventfds that wake the worker */
	int wake_fd;     /* eventfd that control writes */
	uint32_t turn;   /* atomic; odd: the worker may sleep, so control must wake it */
	uint32_t sleeps; /* atomic; sleeps that have ended */
	/*
	 * Atomic. One word, so that control reads both parts at once. Awake: 2 * TSC cycles asleep.
	 * Asleep: that, minus 2 * the TSC at which the sleep began, with bit 0 set.
	 */
	uint64_t clock;
	uint32_t called; /* control only: the turn in which control woke it last */
} RW_CACHE_ALIGNED;

/* An rx queue whose kick eventfd may be in a set. */
struct watch {
	int fd; /* valid while watched */
	uint8_t worker;
	bool watched;
	uint32_t plan; /* the number of the last plan that polls it */
};

struct sw_idle {
	struct sleeper sleepers[SW_MAX_WORKERS];
	uint32_t plans; /* number of the latest plan */
	/* One for each queue pair of each port. Large and sparse, like the plans. */
	struct watch *watches;
};

/* ---- the worker's side ---- */

/*
 * Discard the events that came while the worker was awake. The worker checks all their causes after
 * this.
 */
static void drain(const struct sleeper *s)
{
	struct epoll_event events[MAX_EVENTS];

	/* Only once: a front-end may write faster than we read. */
	epoll_wait(s->set, events, MAX_EVENTS, 0);
}

/* Whether control has no work for the worker, so that it may sleep. */
static bool is_free(const struct sw_worker *w, const struct sw_plan *plan)
{
	const struct sw *sw = w->sw;

	if (plan->sleepless[w->index] || __atomic_load_n(&sw->stop, __ATOMIC_RELAXED))
		return false;
	return w->index ||
		__atomic_load_n(&sw->injection->head, __ATOMIC_RELAXED) == sw->injection->tail;
}

/* Enable notifications on all rx queues. False: a queue has work. */
static bool arm(const struct sw_worker *w, const struct sw_plan *plan)
{
	for (unsigned i = plan->first_txq[w->index]; i < plan->first_txq[w->index + 1]; i++) {
		if (port_txq_wants_poll(plan->txqs[i]))
			return false;
	}
	for (unsigned i = plan->first_rxq[w->index]; i < plan->first_rxq[w->index + 1]; i++) {
		struct port_rxq *q = plan->rxqs[i];

		/* If `arm` is NULL, the plan has `sleepless` set and this is not reached. */
		if (!q->ops->arm(q, plan->takes))
			return false;
	}
	return true;
}

static void disarm(const struct sw_worker *w)
{
	/*
	 * Pairs with the release in sw_commit. The plan from before the sleep must not be used: it
	 * may have been replaced.
	 */
	const struct sw_plan *plan = __atomic_load_n(&w->sw->plan, __ATOMIC_ACQUIRE);

	for (unsigned i = plan->first_rxq[w->index]; i < plan->first_rxq[w->index + 1]; i++) {
		if (plan->rxqs[i]->ops->disarm)
			plan->rxqs[i]->ops->disarm(plan->rxqs[i]);
	}
}

/*
 * Sleep until an eventfd in the set is written, or a nap is over. Offline for rte_rcu_qsbr
 * meanwhile.
 */
static void sleep_until_woken(struct sw_worker *w, const struct sleeper *s, bool nap)
{
	struct epoll_event events[MAX_EVENTS];

	rte_rcu_qsbr_thread_offline(w->sw->qsbr, w->index);
	w->napped = !epoll_wait(s->set, events, MAX_EVENTS, nap ? SW_NAP_MS : -1);
	rte_rcu_qsbr_thread_online(w->sw->qsbr, w->index);
}

uint64_t sw_idle_sleep(struct sw_worker *w, uint64_t since)
{
	const struct sw_plan *plan = __atomic_load_n(&w->sw->plan, __ATOMIC_ACQUIRE);
	struct sleeper *s = &w->sw->idle->sleepers[w->index];
	uint64_t asleep = s->clock, now;
	bool slept = false;

	w->napped = false;
	if (plan->sleepless[w->index])
		return since;
	drain(s);
	__atomic_store_n(&s->turn, s->turn + 1, __ATOMIC_RELAXED);
	/* Pairs with the fence in sw_idle_wake. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	plan = __atomic_load_n(&w->sw->plan, __ATOMIC_ACQUIRE);
	if (is_free(w, plan) && arm(w, plan)) {
		__atomic_store_n(&s->clock, (asleep - 2 * since) | 1, __ATOMIC_RELAXED);
		sleep_until_woken(w, s, plan->naps[w->index]);
		slept = true;
	}
	/* Pairs with the acquire in sw_idle_wake_and_wait: the worker is online. */
	__atomic_store_n(&s->turn, s->turn + 1, __ATOMIC_RELEASE);
	disarm(w);
	now = rte_rdtsc();
	if (slept) {
		__atomic_store_n(&s->clock, asleep + 2 * (now - since), __ATOMIC_RELAXED);
		__atomic_store_n(&s->sleeps, s->sleeps + 1, __ATOMIC_RELAXED);
		sw_worker_clock(w, now);
	} else {
		port_count(&w->idle_cycles, now - since);
	}
	return now;
}

/* ---- control's side ---- */

static int watch_add(const struct sleeper *s, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};

	return epoll_ctl(s->set, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int sleeper_begin(struct sleeper *s)
{
	s->set = epoll_create1(EPOLL_CLOEXEC);
	s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->set < 0 || s->wake_fd < 0)
		return -errno;
	return watch_add(s, s->wake_fd);
}

int sw_idle_begin(struct sw *sw, enum sw_idle_mode mode)
{
	struct sw_idle *idle;
	int ret = 0;

	sw->idle_after = UINT64_MAX;
	if (mode == SW_IDLE_SPIN)
		return 0;
	idle = sw->idle = rw_zalloc(sizeof(*idle));
	if (!idle)
		return -ENOMEM;
	for (unsigned i = 0; i < SW_MAX_WORKERS; i++)
		idle->sleepers[i].set = idle->sleepers[i].wake_fd = -1;
	idle->watches = calloc(SW_MAX_QUEUES, sizeof(*idle->watches));
	if (!idle->watches)
		return -ENOMEM;
	sw->idle_after = IDLE_US * sw->tsc_hz / 1000000;
	for (unsigned i = 0; i < sw->nworkers && !ret; i++)
		ret = sleeper_begin(&idle->sleepers[i]);
	return ret;
}

void sw_idle_end(struct sw *sw)
{
	if (!sw->idle)
		return;
	for (unsigned i = 0; i < SW_MAX_WORKERS; i++) {
		const struct sleeper *s = &sw->idle->sleepers[i];

		if (s->set >= 0)
			close(s->set);
		if (s->wake_fd >= 0)
			close(s->wake_fd);
	}
	free(sw->idle->watches);
	rw_free(sw->idle);
	sw->idle = NULL;
}

static struct watch *watch_of(const struct sw *sw, const struct port_rxq *q)
{
	return &sw->idle->watches[q->port->id * PORT_MAX_PAIRS + q->index];
}

static void watch_end(const struct sw *sw, struct watch *x)
{
	if (x->watched)
		epoll_ctl(sw->idle->sleepers[x->worker].set, EPOLL_CTL_DEL, x->fd, NULL);
	x->watched = false;
}

/* Let a kick of queue `q` wake worker `index`. False: nothing would wake it. */
static bool watch_begin(struct sw *sw, unsigned index, struct port_rxq *q, bool *naps)
{
	int fd = q->ops->kick ? q->ops->kick(q) : PORT_KICK_NONE;
	struct watch *x = watch_of(sw, q);

	*naps |= fd == PORT_KICK_NAP;
	x->plan = sw->idle->plans;
	if (x->fd != fd || x->worker != index)
		watch_end(sw, x);
	if (fd < 0 || x->watched)
		return fd != PORT_KICK_NONE;
	x->watched = !watch_add(&sw->idle->sleepers[index], fd);
	x->worker = (uint8_t)index;
	x->fd = fd;
	return x->watched;
}

void sw_idle_watch(struct sw *sw, struct sw_plan *next)
{
	bool makes = sw->forwarding && sw->forward == SW_FORWARD_TXONLY;

	if (!sw->idle)
		return;
	sw->idle->plans++;
	next->takes = sw->forwarding && !makes;
	for (unsigned w = 0; w < sw->nworkers; w++) {
		next->sleepless[w] = makes;
		next->naps[w] = false;
		for (unsigned i = next->first_rxq[w]; i < next->first_rxq[w + 1]; i++) {
			if (!watch_begin(sw, w, next->rxqs[i], &next->naps[w]))
				next->sleepless[w] = true;
		}
	}
}

void sw_idle_unwatch(struct sw *sw, const struct sw_plan *old)
{
	if (!sw->idle)
		return;
	for (unsigned i = 0; i < old->first_rxq[sw->nworkers]; i++) {
		struct port_rxq *q = old->rxqs[i];
		struct watch *x = watch_of(sw, q);

		if (x->plan == sw->idle->plans)
			continue;
		watch_end(sw, x);
		/*
		 * Another program may process the ring next. It expects notifications to be
		 * disabled, as in a stopped ring.
		 */
		if (q->ops->disarm)
			q->ops->disarm(q);
	}
}

/* Wake the worker if it sleeps. Returns its turn before that. */
static uint32_t wake(struct sleeper *s)
{
	uint32_t turn;
	int ret;

	/*
	 * Pairs with the fence in sw_idle_sleep: the worker sees what was published, or we see that
	 * it sleeps.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	turn = __atomic_load_n(&s->turn, __ATOMIC_ACQUIRE);
	if (!(turn & 1) || s->called == turn)
		return turn;
	s->called = turn;
	ret = rw_eventfd_signal(s->wake_fd);
	assert(!ret);
	(void)ret;
	return turn;
}

void sw_idle_wake(struct sw *sw, unsigned index)
{
	if (sw->idle)
		wake(&sw->idle->sleepers[index]);
}

void sw_idle_wake_all(struct sw *sw)
{
	for (unsigned i = 0; i < sw->nworkers; i++)
		sw_idle_wake(sw, i);
}

void sw_idle_wake_and_wait(struct sw *sw, unsigned index)
{
	struct sleeper *s;
	uint32_t turn;

	if (!sw->idle)
		return;
	s = &sw->idle->sleepers[index];
	turn = wake(s);
	while (turn & 1 && __atomic_load_n(&s->turn, __ATOMIC_ACQUIRE) == turn)
		rw_pause();
}

void sw_idle_read(const struct sw *sw, unsigned index, struct sw_worker_stats *out)
{
	const struct sleeper *s;
	uint32_t turn;
	uint64_t clock;

	if (!sw->idle)
		return;
	s = &sw->idle->sleepers[index];
	turn = __atomic_load_n(&s->turn, __ATOMIC_RELAXED);
	clock = __atomic_load_n(&s->clock, __ATOMIC_RELAXED);
	out->idle = SW_IDLE_ADAPTIVE;
	out->sleeps = __atomic_load_n(&s->sleeps, __ATOMIC_RELAXED);
	out->asleep_cycles = clock / 2;
	if (!(clock & 1))
		return;
	out->asleep_cycles = (clock - 1 + 2 * rte_rdtsc()) / 2;
	/* A worker that control has woken counts as awake, even if it waits for its CPU. */
	out->asleep = turn & 1 && s->called != turn;
}
