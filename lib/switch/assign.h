/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Which worker should poll a queue: arithmetic over loads and NUMA nodes. It needs no switch, so a
 * test can describe any machine.
 *
 * A load is a share of one CPU's time, in permille. If the guest's memory is on another node than
 * the worker, the queue costs 1.5 times as much: each cache line of a frame and of the ring crosses
 * the link between the nodes.
 */
#include "rw_base.h"

#define ASSIGN_NO_NODE (-1) /* unknown; counts as near to every worker */

/* Moves off a worker must reduce its load by at least this together (permille of a CPU). */
#define ASSIGN_MIN_GAIN 50
/* They must also reduce its load by at least 1/ASSIGN_GAIN_PART. */
#define ASSIGN_GAIN_PART 8
/* Each move must reduce the load by at least this (permille of a CPU). */
#define ASSIGN_LEAST_GAIN 5
/*
 * A queue moves to another node only if the workers on its own node are busier by more than this
 * (permille of a CPU).
 */
#define ASSIGN_AWAY 300
/* Loads that differ by less than this (permille) are equal: the number of queues decides. */
#define ASSIGN_STEP 20

struct assign_worker {
	int node;
	uint32_t load;    /* the sum over its queues; assign_balance computes it */
	uint32_t nqueues; /* only assign_new reads it */
};

struct assign_queue {
	uint32_t load;
	int16_t node;   /* the node of the guest's memory */
	uint8_t worker; /* polls the queue; assign_balance writes the worker that should */
	bool fixed;     /* the queue must not move */
};

/*
 * The load of a queue: its share `weight` / `sum` of the `busy` cycles that its worker had in
 * `span` cycles.
 */
uint32_t assign_load(uint64_t busy, uint64_t span, uint64_t weight, uint64_t sum);

/* Whether a worker on `worker_node` is near to memory on `memory_node`. */
static inline bool assign_is_near(int worker_node, int memory_node)
{
	return worker_node == ASSIGN_NO_NODE || memory_node == ASSIGN_NO_NODE ||
		worker_node == memory_node;
}

/* Whether any worker is near to memory on `node`. */
bool assign_has_near(const struct assign_worker *workers, unsigned n, int node);

/* Choose the worker for a new queue whose guest's memory is on `node`. */
unsigned assign_new(const struct assign_worker *workers, unsigned n, int node);

/*
 * Change `worker` of at most `max_moves` queues, where the gain is large enough. Returns the number
 * of queues changed.
 *
 * - First move queues off the busiest worker. Plan all moves that help it, the best first. If they
 *   reduce the highest load among the workers concerned by at least ASSIGN_MIN_GAIN and by at least
 *   1/ASSIGN_GAIN_PART, make the first `max_moves` of them. Otherwise try the next busiest worker.
 * - Then move queues with a load of at least ASSIGN_MIN_GAIN to a worker near to their memory, if
 *   that worker's load afterwards is not higher than the load of the worker that they leave.
 */
unsigned assign_balance(struct assign_worker *workers, unsigned nworkers,
	struct assign_queue *queues, unsigned nqueues, unsigned max_moves);
