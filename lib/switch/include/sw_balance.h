/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Which worker polls which rx queue: how the load of a queue is measured, and how a queue moves to
 * another worker while traffic flows.
 *
 * The measurement costs workers nothing: they count their busy cycles and each queue's frames and
 * bytes anyway. Once a second control divides the busy cycles of each worker among its queues, in
 * proportion to the bytes received since the last measurement plus SW_FRAME_BYTES for each frame.
 * The load is the mean of this share and the previous load. Other costs of a frame, such as
 * flooding, are charged to all queues of the worker.
 *
 * A queue moves in two commits: the first stops it, the second starts it at the other worker.
 * Frames that the guest sends meanwhile wait in its ring, so none is lost and their order stays.
 *
 * Threads: control.
 */
#include "sw.h"

/* The constant part of a frame's cost, as the number of bytes whose copy costs the same. */
#define SW_FRAME_BYTES 400

/* One call of sw_balance moves at most this many queues. */
#define SW_BALANCE_MOVES 4
/* A queue that moved may move again after this many measurements. */
#define SW_BALANCE_REST 4

/* Measure the loads. Call this once a second. */
void sw_measure(struct sw *sw);

struct sw_queue_info {
	struct port *port;
	uint16_t queue;
	unsigned worker; /* by number, from 0 in the order of sw_config.workers */
	uint32_t load;   /* permille of a CPU */
	int node;        /* of the guest's memory, or RW_NUMA_UNKNOWN */
	bool far_off;    /* no worker is on that node */
	bool by_hand;    /* sw_queue_move assigned the worker */
};
/* -ENOENT: the queue does not run. */
int sw_queue_read(
	const struct sw *sw, const struct port *port, uint16_t queue, struct sw_queue_info *out);
/* Call `fn` for each rx queue that `worker` polls, in the order of the plan. */
void sw_queues_of(const struct sw *sw, unsigned worker,
	void (*fn)(void *arg, const struct sw_queue_info *info), void *arg);

/* The NUMA node of a worker, or RW_NUMA_UNKNOWN. */
int sw_worker_node(const struct sw *sw, unsigned worker);

/*
 * Assign the queue to `worker`. The queue stays there until it stops or sw_balance is called with
 * `all`. -ENOENT: the queue does not run; -EINVAL: there is no such worker.
 */
int sw_queue_move(struct sw *sw, struct port *port, uint16_t queue, unsigned worker);

/*
 * Move at most SW_BALANCE_MOVES queues if the gain is large enough (lib/switch/assign.h). With
 * `all`, queues that were assigned by hand or moved recently may move too. Returns the number of
 * queues moved.
 */
unsigned sw_balance(struct sw *sw, bool all);
