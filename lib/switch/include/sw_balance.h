/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Which worker polls which receive queue: how busy each queue keeps its worker, and how one moves
 * to another while traffic flows.
 *
 * The load of a queue costs workers nothing: they count their busy cycles and each queue's frames
 * and bytes anyway. Once a second control divides the busy cycles of each worker among its queues
 * by what they sent meanwhile, a frame counting as much as SW_FRAME_BYTES of its bytes; the load is
 * the mean of that share and of the load before. What a frame costs beyond that, flooding say, is
 * charged to all queues of the worker.
 *
 * A queue moves in two commits: by the first it rests, by the second it runs at the other worker.
 * What the guest sends meanwhile waits in its ring, so nothing is lost and the order stays.
 *
 * Threads: control.
 */
#include "sw.h"

/* What is constant in a frame's cost, in bytes that could be copied instead. */
#define SW_FRAME_BYTES 400

/* The most queues that one balancing moves. */
#define SW_BALANCE_MOVES 4
/* A queue that moved stays where it is until it was measured so many times. */
#define SW_BALANCE_REST 4

/* Measure the loads; once a second. */
void sw_measure(struct sw *sw);

struct sw_queue_info {
	struct port *port;
	uint16_t queue;
	unsigned worker; /* by number, from 0 in the order of sw_config.workers */
	uint32_t load;   /* permille of a CPU */
	int node;        /* of the guest's memory; RW_NUMA_UNKNOWN */
	bool far_off;    /* no worker is on that node */
	bool by_hand;    /* sw_queue_move put it there */
};
/* -ENOENT: the queue does not run. */
int sw_queue_read(
	const struct sw *sw, const struct port *port, uint16_t queue, struct sw_queue_info *out);
/* Tell `fn` of each queue that `worker` polls, in the order in which it does. */
void sw_queues_of(const struct sw *sw, unsigned worker,
	void (*fn)(void *arg, const struct sw_queue_info *info), void *arg);

/* The NUMA node of a worker; RW_NUMA_UNKNOWN. */
int sw_worker_node(const struct sw *sw, unsigned worker);

/*
 * Let `worker` poll the queue from now on. It stays there until it stops, or sw_balance is asked
 * for all. -ENOENT: the queue does not run; -EINVAL: there is no such worker.
 */
int sw_queue_move(struct sw *sw, struct port *port, uint16_t queue, unsigned worker);

/*
 * Move at most SW_BALANCE_MOVES queues where that clearly pays (lib/switch/assign.h says when),
 * with `all` those too that were put somewhere by hand or moved just now. How many.
 */
unsigned sw_balance(struct sw *sw, bool all);
