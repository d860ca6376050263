/* SPDX-License-Identifier: BSD-3-Clause */
/* Watches: who watches, and what workers tell them (sw_watch.h). */
#include <errno.h>
#include <string.h>

#include <rte_cycles.h>

#include "out.h"

/* ---- control ---- */

int sw_watch_add(struct sw *sw, struct sw_watch *watch)
{
	struct sw_watchers *all = &sw->watchers;
	unsigned at = all->n;

	if (all->n == SW_MAX_WATCHES)
		return -ENOSPC;
	for (; at && all->list[at - 1]->last && !watch->last; at--)
		all->list[at] = all->list[at - 1];
	all->list[at] = watch;
	all->n++;
	sw->changed = true;
	return 0;
}

void sw_watch_remove(struct sw *sw, struct sw_watch *watch)
{
	struct sw_watchers *all = &sw->watchers;

	for (unsigned i = 0; i < all->n; i++) {
		if (all->list[i] != watch)
			continue;
		all->n--;
		for (; i < all->n; i++)
			all->list[i] = all->list[i + 1];
		sw->changed = true;
		return;
	}
}

bool sw_watch_has_port(const struct sw_watch *watch)
{
	bool any = watch->all;

	for (unsigned i = 0; i < RW_ARRAY_SIZE(watch->ports); i++)
		any |= __atomic_load_n(&watch->ports[i], __ATOMIC_RELAXED) != 0;
	return any;
}

void sw_watches_forget(struct sw *sw, uint16_t id)
{
	for (unsigned i = 0; i < sw->watchers.n; i++)
		__atomic_and_fetch(&sw->watchers.list[i]->ports[id / 64], ~(UINT64_C(1) << id % 64),
			__ATOMIC_RELAXED);
}

void sw_plan_watch(const struct sw *sw, struct sw_plan *plan)
{
	struct sw_watchers *all = &plan->watchers;

	*all = sw->watchers;
	all->wants = 0;
	for (unsigned i = 0; i < all->n; i++)
		all->wants |= all->list[i]->wants;
	for (unsigned id = 0; id < sw->id_end; id++) {
		plan->targets[id].seen = false;
		for (unsigned i = 0; i < all->n; i++)
			plan->targets[id].seen |= sw_watch_names(all->list[i], (uint16_t)id);
	}
	plan->inner = plan->round;
	if (all->n)
		plan->round = sw_round_seen;
}

/* ---- workers ---- */

/*
 * Whether somebody may want to see `what` at port `id`, of frames that came from the port `from`.
 * Most ports are not watched while one is, so this comes before any work.
 */
static inline bool is_wanted(
	const struct sw_worker *w, enum sw_see what, uint16_t id, uint16_t from)
{
	const struct sw_seen *seen = &w->seen;
	const struct sw_target *targets = seen->plan->targets;

	if (rw_likely(!targets[id].seen && !(seen->by->wants & SW_SEE_ONWARD) && !seen->dry))
		return false;
	return (seen->by->wants & what) &&
		(targets[id].seen || seen->dry || (from != SW_NO_PORT && targets[from].seen));
}

bool sw_out_is_seen(const struct sw_worker *w, const struct sw_out *out)
{
	return is_wanted(w, SW_SEE_TX, out->port_id, w->seen.from);
}

static void tell(const struct sw_worker *w, struct sw_sight *s)
{
	const struct sw_watchers *by = w->seen.by;

	if (!s->n || !is_wanted(w, s->what, s->port, s->other))
		return;
	s->worker = w->index;
	s->now = rte_rdtsc();
	if (!s->target)
		s->target = &w->seen.plan->targets[s->port];
	for (unsigned i = 0; i < by->n; i++) {
		struct sw_watch *watch = by->list[i];

		if (!(watch->wants & s->what))
			continue;
		if (sw_watch_names(watch, s->port) ||
			((watch->wants & SW_SEE_ONWARD) && s->other != SW_NO_PORT && !s->rx &&
				sw_watch_names(watch, s->other)))
			watch->see(watch, s);
	}
}

/* What a queue of a port delivers or drops. */
static struct sw_sight sight_at(const struct sw_worker *w, uint16_t port, uint16_t queue,
	struct frame *const *frames, unsigned n)
{
	const struct sw_seen *seen = &w->seen;
	bool late = seen->observer.late;

	return (struct sw_sight){.port = port,
		.queue = queue,
		.late = late,
		.other = late ? SW_NO_PORT : seen->from,
		.polled = late ? 0 : seen->polled,
		.edit = late ? NULL : seen->edit,
		.frames = frames,
		.n = n};
}

static void sent(
	struct port_observer *o, const struct port_txq *q, struct frame *const *frames, unsigned n)
{
	const struct sw_worker *w = rw_container_of(o, struct sw_worker, seen.observer);
	struct sw_sight s = sight_at(w, q->port->id, q->index, frames, n);

	s.what = SW_SEE_TX;
	tell(w, &s);
}

static void dropped(struct port_observer *o, const struct port_txq *q, struct frame *const *frames,
	unsigned n, enum port_drop why)
{
	const struct sw_worker *w = rw_container_of(o, struct sw_worker, seen.observer);
	struct sw_sight s = sight_at(w, q->port->id, q->index, frames, n);

	s.what = SW_SEE_DROP;
	s.why = why;
	tell(w, &s);
}

static void malformed(struct port_observer *o, const struct port *port, uint16_t index, bool rx,
	unsigned n, enum port_drop why)
{
	const struct sw_worker *w = rw_container_of(o, struct sw_worker, seen.observer);
	struct sw_sight s = {.what = SW_SEE_DROP,
		.why = why,
		.rx = rx,
		.port = port->id,
		.queue = index,
		.late = o->late,
		.other = SW_NO_PORT,
		.n = n};

	tell(w, &s);
}

struct port_observer sw_observer(void)
{
	return (struct port_observer){.sent = sent, .dropped = dropped, .malformed = malformed};
}

unsigned sw_txq_send_seen(struct sw_worker *w, struct port_txq *q, struct frame **frames,
	unsigned n, const struct port_tally *all)
{
	if (w->seen.dry) {
		sent(&w->seen.observer, q, frames, n);
		return n;
	}
	/* Drops, and what a backlog delivers, are told to the observer in any case. */
	if (q->backlog || !is_wanted(w, SW_SEE_TX, q->port->id, w->seen.from))
		return sw_txq_send(q, frames, n, all);
	return port_txq_send_seen(q, frames, n, all);
}

/* Point to the frames that have a bit. Returns how many there are. */
static unsigned frames_of(struct frame *frames, uint32_t which, struct frame **list)
{
	unsigned n = 0;

	for (; which; which &= which - 1)
		list[n++] = &frames[__builtin_ctz(which)];
	return n;
}

void sw_see_received(struct sw_worker *w, const struct port_rxq *q, unsigned n)
{
	struct frame *list[FRAME_BURST];
	struct sw_sight s = {.what = SW_SEE_RX,
		.port = q->port->id,
		.queue = q->index,
		.other = SW_NO_PORT,
		.polled = w->seen.polled,
		.frames = list,
		.n = n};

	for (unsigned i = 0; i < n; i++) {
		list[i] = &w->frames[i];
		list[i]->mark = (uint16_t)i;
	}
	tell(w, &s);
}

void sw_see_drop_rx(struct sw_worker *w, const struct port_rxq *from, struct frame *frames,
	uint32_t which, uint16_t to, enum port_drop why)
{
	struct frame *list[FRAME_BURST];
	struct sw_sight s = {.what = SW_SEE_DROP,
		.why = why,
		.rx = true,
		.port = from->port->id,
		.queue = from->index,
		.other = to,
		.polled = w->seen.polled,
		.frames = list};

	if (!is_wanted(w, SW_SEE_DROP, s.port, to))
		return;
	s.n = frames_of(frames, which, list);
	tell(w, &s);
}

void sw_see_drop_tx(struct sw_worker *w, const struct sw_target *t, struct frame *frames,
	uint32_t which, enum port_drop why)
{
	struct frame *list[FRAME_BURST];
	struct sw_sight s = {.what = SW_SEE_DROP,
		.why = why,
		.port = t->port->id,
		.other = w->seen.from,
		.polled = w->seen.polled,
		.frames = list};

	if (!is_wanted(w, SW_SEE_DROP, s.port, s.other))
		return;
	s.n = frames_of(frames, which, list);
	/* They are not edited for the receiver yet. */
	if (w->seen.from != SW_NO_PORT)
		s.target = &w->seen.plan->targets[w->seen.from];
	tell(w, &s);
}

void sw_see_copies_lost(struct sw_worker *w, const struct sw_target *t, struct frame *const *frames,
	unsigned n, enum port_drop why)
{
	struct sw_sight s = sight_at(w, t->port->id, 0, frames, n);

	s.what = SW_SEE_DROP;
	s.why = why;
	tell(w, &s);
}

void sw_see_stage(struct sw_worker *w, const struct port_rxq *from, unsigned n, enum sw_stage stage,
	const uint32_t *result)
{
	struct frame *list[FRAME_BURST];
	struct sw_sight s = {.what = SW_SEE_STAGES,
		.stage = stage,
		.port = from->port->id,
		.queue = from->index,
		.other = SW_NO_PORT,
		.polled = w->seen.polled,
		.frames = list,
		.result = result,
		.n = frames_of(w->frames, sw_bits(n), list)};

	tell(w, &s);
}

void sw_see_runs(struct sw_worker *w, const struct port_rxq *from, unsigned nruns,
	enum sw_stage stage, const uint32_t *of_run)
{
	uint32_t result[FRAME_BURST];

	for (unsigned r = 0; r < nruns; r++) {
		for (unsigned i = w->run[r]; i < w->run[r + 1]; i++)
			result[i] = of_run[r];
	}
	sw_see_stage(w, from, w->run[nruns], stage, result);
}

void sw_see_flood(
	struct sw_worker *w, const struct sw_lot *lot, const struct port *from, enum sw_flood_to to)
{
	struct frame *list[FRAME_BURST];
	uint32_t result[FRAME_BURST];
	struct sw_sight s = {.what = SW_SEE_STAGES,
		.stage = SW_STAGE_FLOOD,
		.port = from->id,
		.queue = lot->from ? lot->from->index : 0,
		.other = SW_NO_PORT,
		.polled = w->seen.polled,
		.frames = list,
		.result = result};

	if (!is_wanted(w, SW_SEE_STAGES, from->id, SW_NO_PORT))
		return;
	s.n = frames_of(lot->frames, sw_bits(lot->n), list);
	for (unsigned i = 0; i < lot->n; i++)
		result[i] = to;
	tell(w, &s);
}

struct sw_vlan sw_sight_vlan(const struct sw_sight *sight, unsigned i)
{
	const struct sw_target *t = sight->target;
	struct sw_vlan vlan = {.bridge = t->bridge, .service = t->service};

	vlan.id = frame_vlan(sight->frames[i], t->tpid);
	if (vlan.id >= SW_VLANS || t->transparent)
		return vlan;
	if (!vlan.id)
		vlan.id = t->untagged;
	else if (!t->domains[vlan.id])
		vlan.id = SW_VLANS;
	return vlan;
}
