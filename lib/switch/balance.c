/* SPDX-License-Identifier: BSD-3-Clause */
/* Measure the loads of rx queues, assign the queues to workers, and move them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "assign.h"
#include "plan.h"
#include "rw_numa.h"
#include "sw_balance.h"

/* Call `fn` for each running rx queue. */
static void queues_each(const struct sw *sw,
	void (*fn)(const struct sw *sw, struct sw_port_state *state, uint16_t queue, void *arg),
	void *arg)
{
	for (unsigned id = 0; id < sw->id_end; id++) {
		struct sw_port_state *state = &sw->ports[id];

		for (uint16_t q = 0; state->port && q < PORT_MAX_PAIRS; q++) {
			if (state->rxqs[q] && !state->rxq_states[q].held)
				fn(sw, state, q, arg);
		}
	}
}

/* ---- loads ---- */

static void read_counters(
	const struct sw_port_state *state, uint16_t queue, uint64_t *frames, uint64_t *bytes)
{
	const struct port_counters *c = state->rxqs[queue]->counters;

	*frames = __atomic_load_n(&c->frames, __ATOMIC_RELAXED);
	*bytes = __atomic_load_n(&c->bytes, __ATOMIC_RELAXED);
}

/* Compute the weight of a queue since the last measurement, and add it to its worker's sum. */
static void weigh(const struct sw *sw, struct sw_port_state *state, uint16_t queue, void *arg)
{
	struct sw_rxq_state *st = &state->rxq_states[queue];
	uint64_t *sums = arg, frames, bytes;

	(void)sw;
	read_counters(state, queue, &frames, &bytes);
	st->weight = (frames - st->frames) * SW_FRAME_BYTES + bytes - st->bytes;
	st->frames = frames;
	st->bytes = bytes;
	sums[state->rx_worker[queue]] += st->weight;
}

/* The inputs of a measurement. */
struct span {
	uint64_t cycles;
	uint64_t busy[SW_MAX_WORKERS]; /* busy cycles of each worker */
	uint64_t sums[SW_MAX_WORKERS]; /* weights of each worker's queues */
};

static void rate(const struct sw *sw, struct sw_port_state *state, uint16_t queue, void *arg)
{
	struct sw_rxq_state *st = &state->rxq_states[queue];
	unsigned w = state->rx_worker[queue];
	const struct span *span = arg;
	uint32_t load = assign_load(span->busy[w], span->cycles, st->weight, span->sums[w]);

	(void)sw;
	st->load = st->measured ? (st->load + load) / 2 : load;
	st->measured = true;
	if (st->rest)
		st->rest--;
}

void sw_measure(struct sw *sw)
{
	uint64_t now = rte_rdtsc();
	struct span span = {.cycles = now - sw->measured_at};
	bool first = !sw->measured_at;

	for (unsigned w = 0; w < sw->nworkers; w++) {
		uint64_t busy = __atomic_load_n(&sw->workers[w]->busy_cycles, __ATOMIC_RELAXED);

		span.busy[w] = busy - sw->busy_before[w];
		sw->busy_before[w] = busy;
	}
	sw->measured_at = now;
	queues_each(sw, weigh, span.sums);
	if (!first)
		queues_each(sw, rate, &span);
}

/* ---- owners ---- */

void sw_rxq_own(struct sw *sw, struct sw_port_state *state, uint16_t index, unsigned worker)
{
	struct port_rxq *q = state->rxqs[index];

	state->rx_worker[index] = (uint8_t)worker;
	sw->load[worker]++;
	q->empty = 0;
	if (q->ops->set_node)
		q->ops->set_node(q, sw->workers[worker]->node);
}

/* Sums over the running queues. */
struct loads {
	struct assign_worker workers[SW_MAX_WORKERS];
	uint32_t sum;      /* loads of the measured queues */
	unsigned measured; /* number of measured queues */
};

static void add_up(const struct sw *sw, struct sw_port_state *state, uint16_t queue, void *arg)
{
	const struct sw_rxq_state *st = &state->rxq_states[queue];
	struct loads *loads = arg;

	(void)sw;
	loads->workers[state->rx_worker[queue]].load += st->load;
	loads->sum += st->measured ? st->load : 0;
	loads->measured += st->measured;
}

static void nodes_fill(const struct sw *sw, struct assign_worker *workers)
{
	for (unsigned w = 0; w < sw->nworkers; w++) {
		workers[w] = (struct assign_worker){
			.node = sw->workers[w]->node, .nqueues = sw->load[w]};
	}
}

static bool is_far_off(const struct sw *sw, int node)
{
	struct assign_worker workers[SW_MAX_WORKERS];

	nodes_fill(sw, workers);
	return !assign_has_near(workers, sw->nworkers, node);
}

static void tell_far_off(struct sw *sw, struct sw_port_state *state, int node)
{
	if (state->far_told || !is_far_off(sw, node))
		return;
	state->far_told = true;
	rw_log_limited(&sw->limit, RW_LOG_WARNING,
		"port %s: the guest's memory is on NUMA node %d, where no worker is (slower); see "
		"--cpus",
		state->port->name, node);
}

void sw_rxq_assign(struct sw *sw, struct sw_port_state *state, uint16_t queue)
{
	const struct port_rxq *q = state->rxqs[queue];
	struct sw_rxq_state *st = &state->rxq_states[queue];
	struct loads loads = {.sum = 0};
	unsigned worker;
	int node;

	nodes_fill(sw, loads.workers);
	queues_each(sw, add_up, &loads);
	node = q->ops->node ? q->ops->node(q) : RW_NUMA_UNKNOWN;
	worker = assign_new(loads.workers, sw->nworkers, node);
	/* Assume the mean load until it is measured, so that queues started at once spread. */
	*st = (struct sw_rxq_state){
		.node = (int16_t)node,
		.load = loads.measured ? loads.sum / loads.measured : 0,
	};
	read_counters(state, queue, &st->frames, &st->bytes);
	tell_far_off(sw, state, node);
	sw_rxq_own(sw, state, queue, worker);
}

/* A queue that moves to `worker`. */
struct move {
	struct sw_port_state *state;
	uint16_t queue;
	unsigned worker;
};

static void moves_make(struct sw *sw, const struct move *moves, unsigned n)
{
	if (!n)
		return;
	for (unsigned i = 0; i < n; i++) {
		moves[i].state->rxq_states[moves[i].queue].held = true;
		sw->load[moves[i].state->rx_worker[moves[i].queue]]--;
	}
	sw->changed = true;
	sw_commit(sw); /* now they are stopped */
	for (unsigned i = 0; i < n; i++) {
		moves[i].state->rxq_states[moves[i].queue].held = false;
		sw_rxq_own(sw, moves[i].state, moves[i].queue, moves[i].worker);
	}
	sw->changed = true;
	sw_commit(sw);
}

int sw_queue_move(struct sw *sw, struct port *port, uint16_t queue, unsigned worker)
{
	struct sw_port_state *state = &sw->ports[port->id];
	const struct move move = {state, queue, worker};

	if (queue >= PORT_MAX_PAIRS || !state->rxqs[queue])
		return -ENOENT;
	if (worker >= sw->nworkers)
		return -EINVAL;
	state->rxq_states[queue].by_hand = true;
	if (state->rx_worker[queue] != worker)
		moves_make(sw, &move, 1);
	return 0;
}

/* ---- balance ---- */

/* The running queues, in the form that assign_balance needs. */
struct census {
	bool all;
	unsigned n;
	struct assign_queue *queues; /* NULL: only count the queues */
	struct move *moves;          /* identifies each of `queues`; `worker` is the current one */
};

static void enlist(const struct sw *sw, struct sw_port_state *state, uint16_t queue, void *arg)
{
	struct sw_rxq_state *st = &state->rxq_states[queue];
	struct census *c = arg;

	(void)sw;
	if (c->queues) {
		c->moves[c->n] = (struct move){state, queue, state->rx_worker[queue]};
		c->queues[c->n] = (struct assign_queue){
			.load = st->load,
			.node = st->node,
			.worker = state->rx_worker[queue],
			.fixed = !st->measured || (!c->all && (st->by_hand || st->rest)),
		};
	}
	c->n++;
}

/* Move the queues to which assign_balance assigned another worker. Returns how many. */
static unsigned census_apply(struct sw *sw, const struct census *c)
{
	struct move moves[SW_BALANCE_MOVES];
	unsigned n = 0;

	for (unsigned i = 0; i < c->n; i++) {
		const struct assign_queue *q = &c->queues[i];
		struct sw_rxq_state *st = &c->moves[i].state->rxq_states[c->moves[i].queue];

		if (q->worker == c->moves[i].worker)
			continue;
		moves[n] = c->moves[i];
		moves[n++].worker = q->worker;
		st->rest = SW_BALANCE_REST;
		st->by_hand = false;
	}
	moves_make(sw, moves, n);
	return n;
}

unsigned sw_balance(struct sw *sw, bool all)
{
	struct assign_worker workers[SW_MAX_WORKERS];
	struct census c = {.all = all};
	unsigned n, moved = 0;

	queues_each(sw, enlist, &c);
	if (!c.n || sw->nworkers == 1)
		return 0;
	n = c.n;
	c.n = 0;
	c.queues = calloc(n, sizeof(*c.queues));
	c.moves = calloc(n, sizeof(*c.moves));
	if (c.queues && c.moves) {
		queues_each(sw, enlist, &c);
		nodes_fill(sw, workers);
		assign_balance(workers, sw->nworkers, c.queues, c.n, SW_BALANCE_MOVES);
		moved = census_apply(sw, &c);
	}
	free(c.queues);
	free(c.moves);
	return moved;
}

/* ---- for operators ---- */

int sw_queue_read(
	const struct sw *sw, const struct port *port, uint16_t queue, struct sw_queue_info *out)
{
	const struct sw_port_state *state = &sw->ports[port->id];
	const struct sw_rxq_state *st = &state->rxq_states[queue];

	if (!state->rxqs[queue])
		return -ENOENT;
	*out = (struct sw_queue_info){
		.port = state->port,
		.queue = queue,
		.worker = state->rx_worker[queue],
		.load = st->load,
		.node = st->node,
		.far_off = is_far_off(sw, st->node),
		.by_hand = st->by_hand,
	};
	return 0;
}

void sw_queues_of(const struct sw *sw, unsigned worker,
	void (*fn)(void *arg, const struct sw_queue_info *info), void *arg)
{
	const struct sw_plan *plan = sw->plan;

	for (unsigned i = plan->first_rxq[worker]; i < plan->first_rxq[worker + 1]; i++) {
		struct sw_queue_info info;

		if (!sw_queue_read(sw, plan->rxqs[i]->port, plan->rxqs[i]->index, &info))
			fn(arg, &info);
	}
}

int sw_worker_node(const struct sw *sw, unsigned worker)
{
	return sw->workers[worker]->node;
}
