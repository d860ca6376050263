/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Forwarding without switching, for measuring guests. Each mode has its own poll round. Frames are
 * checked on receive and copied on send as in the switch. Only the choice of the destination
 * differs: the plan contains it.
 */
#include <string.h>

#include "plan.h"
#include "sw.h"

static void put_be(uint8_t *to, uint64_t v, unsigned bytes)
{
	while (bytes--) {
		to[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

/* Write both addresses of a frame that is sent to port `id`. */
static void address(struct frame *f, uint16_t id)
{
	put_be(f->head, (uint64_t)SW_MAC_TO << 16 | id, 6);
	put_be(f->head + 6, (uint64_t)SW_MAC_FROM << 16 | id, 6);
}

static void keep(struct frame *f, uint16_t id)
{
	(void)f, (void)id;
}

static void swap(struct frame *f, uint16_t id)
{
	uint8_t dst[6];

	(void)id;
	__builtin_memcpy(dst, f->head, 6);
	__builtin_memmove(f->head, f->head + 6, 6);
	__builtin_memcpy(f->head + 6, dst, 6);
}

/* Count a burst as received. */
static struct port_tally count_received(
	const struct sw_worker *w, const struct port_rxq *from, unsigned n)
{
	struct port_tally tally = {0};

	for (unsigned i = 0; i < n; i++)
		port_tally_add(&tally, &w->frames[i]);
	port_tally_commit(&tally, from->counters);
	return tally;
}

/* Send a burst to the partner, after `edit`, a constant, has changed each head. */
RW_ALWAYS_INLINE void pass_on(struct sw_worker *w, const struct sw_plan *plan,
	const struct port_rxq *from, const struct port_tally *tally,
	void (*const edit)(struct frame *f, uint16_t id))
{
	uint16_t id = plan->partner[from->port->id];
	const struct sw_target *t = &plan->targets[id];
	struct frame **frames = w->outs[0].frames;
	unsigned n = tally->frames;

	if (rw_unlikely(!t->ntxqs)) {
		sw_drop_tx(w, t, w->frames, sw_bits(n), sw_down_reason(t));
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		frames[i] = &w->frames[i];
		edit(frames[i], id);
	}
	sw_txq_send_watched(w, t->txqs[from->index % t->ntxqs], frames, n, tally);
}

RW_ALWAYS_INLINE unsigned pair_round(struct sw_worker *w, const struct sw_plan *plan,
	void (*const edit)(struct frame *f, uint16_t id))
{
	unsigned total = 0;

	sw_backlogs_poll(w, plan);
	for (unsigned i = plan->first_rxq[w->index]; i < plan->first_rxq[w->index + 1]; i++) {
		struct port_rxq *from = plan->rxqs[i];
		unsigned n = sw_burst(w, plan, from);
		struct port_tally tally;

		if (!n)
			continue;
		tally = count_received(w, from, n);
		if (edit)
			pass_on(w, plan, from, &tally, edit);
		from->done(from);
		total += n;
	}
	return total;
}

static unsigned io_round(struct sw_worker *w, const struct sw_plan *plan)
{
	return pair_round(w, plan, keep);
}

static unsigned mac_round(struct sw_worker *w, const struct sw_plan *plan)
{
	return pair_round(w, plan, address);
}

static unsigned macswap_round(struct sw_worker *w, const struct sw_plan *plan)
{
	return pair_round(w, plan, swap);
}

static unsigned rxonly_round(struct sw_worker *w, const struct sw_plan *plan)
{
	return pair_round(w, plan, NULL);
}

/*
 * Fetch no frame. Queues are polled anyway, because the poll drains a queue that the front-end has
 * disabled.
 */
static unsigned idle_round(struct sw_worker *w, const struct sw_plan *plan)
{
	sw_backlogs_poll(w, plan);
	for (unsigned i = plan->first_rxq[w->index]; i < plan->first_rxq[w->index + 1]; i++)
		plan->rxqs[i]->burst(plan->rxqs[i], w->frames, 0);
	return 0;
}

/* Send a burst of new frames to one queue. Returns how many fit into the ring. */
static unsigned make(struct sw_worker *w, const struct sw_target *t, struct port_txq *q)
{
	struct frame **frames = w->outs[0].frames;

	for (unsigned i = 0; i < FRAME_BURST; i++) {
		struct frame *f = frames[i] = &w->frames[i];

		frame_init(f, SW_TXONLY_LEN);
		memset(f->head, 0, SW_TXONLY_LEN);
		address(f, t->port->id);
		put_be(f->head + 12, SW_TXONLY_TYPE, 2);
		put_be(f->head + 14, t->port->id, 2);
		put_be(f->head + 16, q->index, 2);
		put_be(f->head + 18, (uint64_t)w->index << 48 | w->made++, 8);
	}
	return sw_txq_send_watched(w, q, frames, FRAME_BURST, NULL);
}

/* Each tx queue of a port that is up is filled by one worker: they are dealt out in turn. */
static unsigned txonly_round(struct sw_worker *w, const struct sw_plan *plan)
{
	unsigned turn = 0, total = 0;

	idle_round(w, plan);
	for (unsigned i = 0; i < plan->nup; i++) {
		const struct sw_target *t = &plan->targets[plan->up[i]];

		for (unsigned k = 0; k < t->ntxqs; k++) {
			if (turn == w->index)
				total += make(w, t, t->txqs[k]);
			turn = turn + 1 < w->sw->nworkers ? turn + 1 : 0;
		}
	}
	return total;
}

void sw_plan_forward(const struct sw *sw, struct sw_plan *plan)
{
	static unsigned (*const rounds[])(struct sw_worker * w, const struct sw_plan *plan) = {
		[SW_FORWARD_SWITCH] = NULL, /* poll_round in worker.c */
		[SW_FORWARD_IO] = io_round,
		[SW_FORWARD_MAC] = mac_round,
		[SW_FORWARD_MACSWAP] = macswap_round,
		[SW_FORWARD_RXONLY] = rxonly_round,
		[SW_FORWARD_TXONLY] = txonly_round,
	};

	plan->mode = sw->forward;
	plan->round = sw->forwarding ? rounds[sw->forward] : idle_round;
	for (unsigned i = 0; i < sw->nports; i++) {
		unsigned other = (i ^ 1) < sw->nports ? i ^ 1 : i;

		/* Nothing comes from a mirror's destination: what it sends goes where none goes. */
		if (plan->targets[sw->order[i]].sink)
			other = i;
		plan->partner[sw->order[i]] = sw->order[other];
	}
}

void sw_forward_set(struct sw *sw, enum sw_forward mode, bool run)
{
	if (sw->forward == mode && sw->forwarding == run)
		return;
	sw->forward = mode;
	sw->forwarding = run;
	sw->changed = true;
	sw_commit(sw);
}

enum sw_forward sw_forward_mode(const struct sw *sw)
{
	return sw->forward;
}

bool sw_forward_runs(const struct sw *sw)
{
	return sw->forwarding;
}

bool sw_forward_takes(const struct sw *sw)
{
	return sw->forwarding && sw->forward != SW_FORWARD_TXONLY;
}

const struct port *sw_forward_partner(const struct sw *sw, const struct port *port)
{
	if (sw->forward != SW_FORWARD_IO && sw->forward != SW_FORWARD_MAC &&
		sw->forward != SW_FORWARD_MACSWAP)
		return NULL;
	return sw->plan->targets[sw->plan->partner[port->id]].port;
}
