/* SPDX-License-Identifier: BSD-3-Clause */
#include "assign.h"

#define FULL 1000 /* permille */

uint32_t assign_load(uint64_t busy, uint64_t span, uint64_t weight, uint64_t sum)
{
	if (!span || !sum)
		return 0;
	return (uint32_t)(FULL * ((double)busy / (double)span) * ((double)weight / (double)sum) +
		0.5);
}

bool assign_has_near(const struct assign_worker *workers, unsigned n, int node)
{
	for (unsigned i = 0; i < n; i++) {
		if (assign_is_near(workers[i].node, node))
			return true;
	}
	return false;
}

/* Whether `a` is better than `b` for a queue whose memory is on `node`. */
static bool is_better(const struct assign_worker *a, const struct assign_worker *b, int node)
{
	uint32_t load_a = a->load + (assign_is_near(a->node, node) ? 0 : ASSIGN_AWAY);
	uint32_t load_b = b->load + (assign_is_near(b->node, node) ? 0 : ASSIGN_AWAY);

	if (load_a / ASSIGN_STEP != load_b / ASSIGN_STEP)
		return load_a < load_b;
	return a->nqueues < b->nqueues;
}

unsigned assign_new(const struct assign_worker *workers, unsigned n, int node)
{
	unsigned best = 0;

	for (unsigned i = 1; i < n; i++) {
		if (is_better(&workers[i], &workers[best], node))
			best = i;
	}
	return best;
}

/* The load that a queue would have at another worker. */
static uint32_t load_at(
	const struct assign_worker *workers, const struct assign_queue *q, unsigned worker)
{
	bool near = assign_is_near(workers[q->worker].node, q->node);
	bool then = assign_is_near(workers[worker].node, q->node);

	if (near == then)
		return q->load;
	return then ? q->load * 2 / 3 : q->load * 3 / 2;
}

static void move(struct assign_worker *workers, struct assign_queue *q, unsigned worker)
{
	uint32_t load = load_at(workers, q, worker);

	workers[q->worker].load -= q->load;
	workers[worker].load += load;
	q->load = load;
	q->worker = (uint8_t)worker;
	q->fixed = true; /* a queue moves at most once */
}

/* The arguments of assign_balance. */
struct plan {
	struct assign_worker *workers;
	unsigned nworkers;
	struct assign_queue *queues;
	unsigned nqueues;
};

/* Whether a queue may move to worker `to` to reduce the load of its worker. */
static bool may_go(const struct plan *p, const struct assign_queue *q, unsigned to)
{
	const struct assign_worker *here = &p->workers[q->worker], *there = &p->workers[to];

	if (to == q->worker)
		return false;
	return assign_is_near(there->node, q->node) || !assign_is_near(here->node, q->node) ||
		here->load > there->load + ASSIGN_AWAY;
}

/* A move, and the queue before it. */
struct step {
	struct assign_queue *q;
	struct assign_queue before;
};

/* Make the move off worker `busy` that helps most. False: no move helps. */
static bool step_make(const struct plan *p, unsigned busy, struct step *step)
{
	uint32_t now = p->workers[busy].load, best_gain = ASSIGN_LEAST_GAIN - 1;
	unsigned to = 0;

	step->q = NULL;
	for (unsigned i = 0; i < p->nqueues; i++) {
		struct assign_queue *q = &p->queues[i];

		if (q->worker != busy || q->fixed)
			continue;
		for (unsigned w = 0; w < p->nworkers; w++) {
			uint32_t there = p->workers[w].load + load_at(p->workers, q, w);
			uint32_t after = RW_MAX(now - q->load, there);

			if (!may_go(p, q, w) || after >= now || now - after <= best_gain)
				continue;
			best_gain = now - after;
			step->q = q;
			to = w;
		}
	}
	if (!step->q)
		return false;
	step->before = *step->q;
	move(p->workers, step->q, to);
	return true;
}

static void step_undo(const struct plan *p, const struct step *step)
{
	p->workers[step->q->worker].load -= step->q->load;
	*step->q = step->before;
	p->workers[step->q->worker].load += step->q->load;
}

/*
 * Move at most `max_moves` queues off worker `busy`, if all useful moves together reduce the load
 * enough. Returns how many queues moved.
 */
static unsigned relieve(const struct plan *p, unsigned busy, unsigned max_moves)
{
	uint32_t before = p->workers[busy].load, after = 0;
	struct step steps[64];
	unsigned n = 0, keep;

	while (n < RW_ARRAY_SIZE(steps) && step_make(p, busy, &steps[n]))
		n++;
	for (unsigned i = 0; i < n; i++)
		after = RW_MAX(after, p->workers[steps[i].q->worker].load);
	after = RW_MAX(after, p->workers[busy].load);
	keep = before - after < RW_MAX((uint32_t)ASSIGN_MIN_GAIN, before / ASSIGN_GAIN_PART)
		? 0
		: RW_MIN(n, max_moves);
	while (n > keep)
		step_undo(p, &steps[--n]);
	return keep;
}

/* Relieve the busiest worker that can be relieved. Returns how many queues moved. */
static unsigned relieve_any(const struct plan *p, unsigned max_moves)
{
	bool tried[UINT8_MAX + 1] = {false};

	for (unsigned i = 0; i < p->nworkers; i++) {
		unsigned busiest = p->nworkers, moves;

		for (unsigned w = 0; w < p->nworkers; w++) {
			if (!tried[w] &&
				(busiest == p->nworkers ||
					p->workers[w].load > p->workers[busiest].load))
				busiest = w;
		}
		moves = relieve(p, busiest, max_moves);
		if (moves)
			return moves;
		tried[busiest] = true;
	}
	return 0;
}

/* Move one queue to a worker near to its memory. Returns how many moved: 1 or 0. */
static unsigned bring_home(const struct plan *p)
{
	for (unsigned i = 0; i < p->nqueues; i++) {
		struct assign_queue *q = &p->queues[i];

		if (q->fixed || q->load < ASSIGN_MIN_GAIN ||
			assign_is_near(p->workers[q->worker].node, q->node))
			continue;
		for (unsigned w = 0; w < p->nworkers; w++) {
			if (!assign_is_near(p->workers[w].node, q->node) ||
				p->workers[w].load + load_at(p->workers, q, w) >
					p->workers[q->worker].load)
				continue;
			move(p->workers, q, w);
			return 1;
		}
	}
	return 0;
}

unsigned assign_balance(struct assign_worker *workers, unsigned nworkers,
	struct assign_queue *queues, unsigned nqueues, unsigned max_moves)
{
	const struct plan p = {workers, nworkers, queues, nqueues};
	unsigned moves = 0, more;

	for (unsigned w = 0; w < nworkers; w++)
		workers[w].load = 0;
	for (unsigned i = 0; i < nqueues; i++)
		workers[queues[i].worker].load += queues[i].load;
	for (; moves < max_moves; moves += more) {
		more = relieve_any(&p, max_moves - moves);
		if (!more)
			more = bring_home(&p);
		if (!more)
			break;
	}
	return moves;
}
