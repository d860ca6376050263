/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Workers that sleep (SW_IDLE_ADAPTIVE). A worker that has found no frame for a while enables
 * notifications on all its queues, peeks at each queue once more, and waits in its own epoll set.
 * The set holds the kick eventfds of its queues and one eventfd that control writes. A sleeping
 * worker is offline for rte_rcu_qsbr: no commit waits for it. When it wakes, it reads the plan
 * anew.
 *
 * No wake-up is lost: each side first writes, then has a full barrier, then reads. The guest
 * publishes a chain, then reads whether notifications are enabled; the worker enables
 * notifications, then reads whether a chain is available (virtio 1.2, 2.7.10 and 2.8.10). Control
 * publishes a plan, a frame or a stop, then reads whether the worker sleeps; the worker writes that
 * it sleeps, then reads the plan, the injected frames and the stop flag. If an eventfd is written
 * before the worker calls epoll_wait, epoll_wait returns at once.
 *
 * Kick eventfds are watched edge-triggered and never read. So each write wakes the worker, whatever
 * the count is, and a front-end cannot block a worker. A kick eventfd is added to the set before a
 * worker can see the queue in a plan, and removed when no worker can see it any more.
 *
 * A queue that has no notification and need not be polled all the time (PORT_KICK_NAP) bounds each
 * sleep of its worker to SW_NAP_MS. When that time is over, one round without a frame suffices for
 * the next sleep.
 */
#include "plan.h"

/* The shortest time that epoll_wait can wait. */
#define SW_NAP_MS 1

/*
 * With SW_IDLE_SPIN, sw->idle stays NULL and all functions below do nothing. Returns 0 or -errno.
 */
int sw_idle_begin(struct sw *sw, enum sw_idle_mode mode);
/* May be called after sw_idle_begin failed. */
void sw_idle_end(struct sw *sw);

/*
 * Sleep, unless there is something to do. The worker has found no frame since `since` (TSC) and has
 * not counted that time yet. Returns the TSC up to which the time is counted. Thread: worker.
 */
uint64_t sw_idle_sleep(struct sw_worker *w, uint64_t since);

/*
 * Watch the kick eventfds of the rx queues in plan `next`. sw_commit calls this before it publishes
 * the plan.
 */
void sw_idle_watch(struct sw *sw, struct sw_plan *next);
/*
 * For each rx queue that is in plan `old` and not in the current plan: stop watching its kick
 * eventfd and disable notifications. sw_commit calls this when no worker uses `old` any more.
 */
void sw_idle_unwatch(struct sw *sw, const struct sw_plan *old);

/*
 * Ensure that worker `index`, or every worker, sees what was published before the call, whether it
 * sleeps or not.
 */
void sw_idle_wake(struct sw *sw, unsigned index);
void sw_idle_wake_all(struct sw *sw);
/*
 * As sw_idle_wake, and wait until the worker has left the sleep that it was in. On return it is
 * online, so that sw_quiesce waits for it, or in a later sleep, before which it saw everything.
 */
void sw_idle_wake_and_wait(struct sw *sw, unsigned index);

/* Fill in the statistics about sleeping. */
void sw_idle_read(const struct sw *sw, unsigned index, struct sw_worker_stats *out);
