/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Which worker a queue should have: plain arithmetic over loads and nodes, without a switch, so
 * that a test can play any machine.
 *
 * A load is a share of one CPU's time, in permille. A queue whose guest's memory is on another node
 * than its worker costs half as much again as at home: every line of a frame and of the ring
 * crosses the link between the nodes.
 */
#include "rw_base.h"

#define ASSIGN_NO_NODE (-1) /* unknown: near to every worker */

/* The queues that can leave a worker must together take so much of a CPU (permille) off it. */
#define ASSIGN_MIN_GAIN 50
/* They must also take one such part of its load off it. */
#define ASSIGN_GAIN_PART 8
/* Each of them must take so much of a CPU (permille) off it. */
#define ASSIGN_LEAST_GAIN 5
/* A queue goes to another node only past workers at home that are busier by more than this. */
#define ASSIGN_AWAY 300
/* Loads that differ by less are equal, and the number of queues decides. */
#define ASSIGN_STEP 20

struct assign_worker {
	int node;
	uint32_t load;    /* of its queues; assign_balance fills it in */
	uint32_t nqueues; /* assign_new only */
};

struct assign_queue {
	uint32_t load;
	int16_t node;   /* of its guest's memory */
	uint8_t worker; /* where it is; assign_balance: and where it should be */
	bool fixed;     /* stays there */
};

/* What part `weight` of `sum` has in a worker's `busy` cycles of `span`: a load. */
uint32_t assign_load(uint64_t busy, uint64_t span, uint64_t weight, uint64_t sum);

/* Whether a worker on that node is near to memory on the other. */
static inline bool assign_is_near(int worker_node, int memory_node)
{
	return worker_node == ASSIGN_NO_NODE || memory_node == ASSIGN_NO_NODE ||
		worker_node == memory_node;
}

/* Whether there is a worker near to memory on `node`. */
bool assign_has_near(const struct assign_worker *workers, unsigned n, int node);

/* The worker for a new queue whose guest's memory is on `node`. */
unsigned assign_new(const struct assign_worker *workers, unsigned n, int node);

/*
 * Change `worker` of at most `max_moves` queues where it clearly pays. How many.
 *
 * - Off the busiest worker, if all the moves that would help there, the best first, leave the
 *   busiest of those concerned with at least ASSIGN_MIN_GAIN and 1/ASSIGN_GAIN_PART less to do; of
 *   these moves the first `max_moves` are made. If it does not pay there, off the next busiest.
 * - Then queues of at least ASSIGN_MIN_GAIN home, to a worker that is not busier then than the one
 *   they leave.
 */
unsigned assign_balance(struct assign_worker *workers, unsigned nworkers,
	struct assign_queue *queues, unsigned nqueues, unsigned max_moves);
