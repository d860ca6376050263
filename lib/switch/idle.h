/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Workers that sleep (SW_IDLE_ADAPTIVE). One that has found no frame for a while asks the guests of
 * all its queues for kicks, looks once more, and waits in its own epoll set for a kick eventfd of
 * theirs, or for one that control writes. Asleep it is offline for rte_rcu_qsbr: nobody waits for
 * it, and when it wakes it takes the plan of that moment.
 *
 * No wake-up is lost, because both sides first say what they have to say and then look at what the
 * other one said, with a full barrier in between: the guest publishes a chain, then reads whether a
 * kick is wanted; the worker asks for a kick, then reads what is published (virtio 1.2, 2.7.10 and
 * 2.8.10). Control publishes a plan, a frame or a stop, then reads whether the worker sleeps; the
 * worker writes that it does, then reads those. And a kick or a waking that comes before the worker
 * is in epoll_wait ends that at once.
 *
 * Kick eventfds are watched edge-triggered and never read: each write to one wakes, whatever its
 * count is, and nothing a front-end does to it can block a worker. Descriptors are in a set from
 * before a worker can see their queue in a plan until no worker does.
 */
#include "plan.h"

/* NULL in sw->idle, and all that follows does nothing, with SW_IDLE_SPIN. 0 or -errno. */
int sw_idle_begin(struct sw *sw, enum sw_idle_mode mode);
/* Harmless when sw_idle_begin failed. */
void sw_idle_end(struct sw *sw);

/*
 * Thread: worker, which found nothing since `since` (TSC) but did not count that time. When it is
 * done.
 */
uint64_t sw_idle_sleep(struct sw_worker *w, uint64_t since);

/*
 * sw_commit: watch what the next plan polls; when it is the plan and the workers are through with
 * `old`...
 */
void sw_idle_watch(struct sw *sw, struct sw_plan *next);
/*
 * sw_commit, when no worker uses `old` any more: watch no more what is polled no more, and disable
 * its kicks.
 */
void sw_idle_unwatch(struct sw *sw, const struct sw_plan *old);

/* What was published before is seen by the worker, or by all, asleep or not. */
void sw_idle_wake(struct sw *sw, unsigned index);
void sw_idle_wake_all(struct sw *sw);
/*
 * And on return it does not sleep the sleep in which it did not know of it: sw_quiesce waits for
 * it.
 */
void sw_idle_wake_and_wait(struct sw *sw, unsigned index);

/* The part of the statistics that is about sleeping. */
void sw_idle_read(const struct sw *sw, unsigned index, struct sw_worker_stats *out);
