/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The lines that wait for the thread of the log: a bounded queue without locks, for any number of
 * writers and readers, which a signal handler may use.
 *
 * A writer claims a slot, fills it and publishes it; a reader does the same the other way round.
 * The sequence number of a slot says whose turn it is: the position at which it can be written, one
 * more when it can be read. A writer that is preempted between the two steps holds up readers, and
 * no writer before the queue is full.
 */
#include <stdatomic.h>

#include "rw_log.h"

#define LOG_LINE_MAX 1024

struct log_slot {
	atomic_size_t seq;
	size_t len;
	char text[LOG_LINE_MAX];
};

struct log_queue {
	atomic_size_t head RW_CACHE_ALIGNED; /* the next position to read */
	atomic_size_t tail RW_CACHE_ALIGNED; /* the next position to write */
	struct log_slot slots[RW_LOG_QUEUE];
};

/* Nobody else uses the queue. */
static inline void log_queue_init(struct log_queue *q)
{
	for (size_t i = 0; i < RW_LOG_QUEUE; i++)
		atomic_init(&q->slots[i].seq, i);
	atomic_init(&q->head, 0);
	atomic_init(&q->tail, 0);
}

/*
 * Claim the slot at `*pos` of `at`, once its sequence number is `ahead` beyond the position. NULL:
 * there is none.
 */
static inline struct log_slot *log_queue_claim(
	struct log_queue *q, atomic_size_t *at, size_t ahead, size_t *pos)
{
	size_t i = atomic_load_explicit(at, memory_order_relaxed);

	for (;;) {
		struct log_slot *slot = &q->slots[i % RW_LOG_QUEUE];
		/* Pairs with the release in log_queue_publish. */
		size_t seq = atomic_load_explicit(&slot->seq, memory_order_acquire);

		if (seq == i + ahead) {
			if (atomic_compare_exchange_weak_explicit(
				    at, &i, i + 1, memory_order_relaxed, memory_order_relaxed)) {
				*pos = i;
				return slot;
			}
		} else if ((ptrdiff_t)(seq - (i + ahead)) < 0) {
			return NULL;
		} else {
			i = atomic_load_explicit(at, memory_order_relaxed);
		}
	}
}

static inline void log_queue_publish(struct log_slot *slot, size_t seq)
{
	atomic_store_explicit(&slot->seq, seq, memory_order_release);
}
